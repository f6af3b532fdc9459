"The Hub: real huggingface_hub, in a process of its own, pointed at a server on this machine that answers as the Hub does."

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from conftest import clean_environment, reference, run_python
from loopback import Hub, git_hash

READER = """if True:
    import json, sys, time
    import tinybert
    def show(thing):
        if isinstance(thing, tinybert.PreTrainedModel):
            return {"weights": [parameter.double().sum().item() for parameter in thing.parameters()], "config": thing.config.to_dict()}
        return {"config": thing.to_dict()} if isinstance(thing, tinybert.PreTrainedConfig) else {"ids": thing("hello world!")["input_ids"]}
    for line in sys.stdin:
        kind, name, options = json.loads(line)
        start = time.perf_counter()
        try: result = show(getattr(tinybert, kind).from_pretrained(name, **options))
        except OSError as error: result = {"error": str(error)}
        except Exception as error: result = {"surprise": repr(error)}
        print(json.dumps({**result, "seconds": time.perf_counter() - start}), flush=True)
"""


class Reader:
    "A process that loads what it is told to: `reader('AutoModel', 'owner/name', revision='v1')` returns what it got."
    def __init__(self, home: Path, url: str, *before: str, **variables: str):
        self.home = home
        env = clean_environment(HF_HOME=str(home), HF_ENDPOINT=url, **variables)
        self.process = subprocess.Popen([*before, sys.executable, "-c", READER], env=env, cwd=home, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __call__(self, kind: str, name: str, **options) -> dict:
        print(json.dumps([kind, name, options]), file=self.process.stdin, flush=True)
        result = json.loads(self.process.stdout.readline())
        assert "surprise" not in result, result
        return result

    def __enter__(self): return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def store(self, name: str) -> Path:
        "Return the folder that the Hub's cache has for a repository."
        return self.home / "hub" / f"models--{name.replace('/', '--')}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    "Return one Hub and one reader for all tests that can share them: each has a repository of its own."
    with Hub() as hub, Reader(tmp_path_factory.mktemp("home"), hub.url) as reader: yield hub, reader


@pytest.fixture
def hub(shared):
    shared[0].requests.clear(), shared[0].tokens.clear()
    shared[0].after = shared[0].mood = lambda request: None
    return shared[0]


@pytest.fixture
def reader(shared): return shared[1]


@pytest.fixture
def name(request) -> str: return "owner/" + request.node.name.partition("[")[0].removeprefix("test_")


def weights(seed: int, size: int) -> list[float]:
    "Return what a reader shows of the random model with this seed."
    return [parameter.double().sum().item() for parameter in reference(seed, vocab_size=size).parameters()]


@pytest.fixture(scope="module")
def versions(files, vocabulary, tmp_path_factory) -> list[dict[str, bytes]]:
    "Return the files of two versions of a model, with different weights and a different config."
    folder = tmp_path_factory.mktemp("later")
    reference(1, vocab_size=len(vocabulary), hidden_dropout_prob=0.25).save_pretrained(folder)
    return [files, files | {path.name: path.read_bytes() for path in folder.iterdir()}]


def is_version(result: dict, number: int, vocabulary: list[str]) -> bool:
    "Tell whether config and weights are those of this version."
    return (result["config"]["hidden_dropout_prob"] == [0.1, 0.25][number]
            and result["weights"] == pytest.approx(weights(number, len(vocabulary)), rel=1e-12))


# Downloading, once

@pytest.mark.parametrize("plain", [False, True])
def test_download_once_then_never_again(hub, reader, files, vocabulary, plain, name):
    if plain: name = "plain-name"
    commit = hub.add(name, files)
    first = reader("AutoModel", name)
    assert is_version(first, 0, vocabulary) and first["config"]["_name_or_path"] == name
    assert {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request} == {"config.json", "model.safetensors"}
    assert sum(request.startswith("GET /cdn/") for request in hub.requests) == 1
    hub.requests.clear()
    assert reader("AutoModel", name)["weights"] == first["weights"]
    assert hub.requests == [], "the second load asked the Hub"
    store = reader.store(name)
    assert (store / "refs/main").read_text() == commit
    assert {path.name for path in (store / "snapshots" / commit).iterdir()} == {"config.json", "model.safetensors"}
    for path in (store / "snapshots" / commit).iterdir(): assert path.resolve().parent == store.resolve() / "blobs"


def test_tokenizer_is_downloaded_once_too(hub, reader, files, vocabulary, name):
    hub.add(name, files)
    ids = [vocabulary.index(token) for token in ("[CLS]", "hello", "world", "!", "[SEP]")]
    assert reader("AutoTokenizer", name)["ids"] == ids
    assert hub.requests
    hub.requests.clear()
    assert reader("AutoTokenizer", name)["ids"] == ids and hub.requests == []


def test_weights_in_the_old_format_only(hub, reader, versions, vocabulary, name, tmp_path):
    torch.save(reference(vocab_size=len(vocabulary)).state_dict(), tmp_path / "pytorch_model.bin")
    hub.add(name, {"config.json": versions[0]["config.json"], "pytorch_model.bin": (tmp_path / "pytorch_model.bin").read_bytes()})
    assert is_version(reader("AutoModel", name), 0, vocabulary)
    hub.requests.clear()
    assert is_version(reader("AutoModel", name), 0, vocabulary)
    assert hub.requests == [], "the cache did not remember that there is no model.safetensors"


def test_shards(hub, reader, vocabulary, name, tmp_path):
    reference(vocab_size=len(vocabulary)).save_pretrained(tmp_path, max_shard_size="10KB")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) > 4
    hub.add(name, files)
    assert is_version(reader("AutoModel", name), 0, vocabulary)
    hub.requests.clear()
    assert is_version(reader("AutoModel", name), 0, vocabulary) and hub.requests == []


def test_subfolder(hub, reader, files, vocabulary, name):
    hub.add(name, {f"one/two/{file}": data for file, data in files.items()})
    result = reader("AutoModel", name, subfolder="one/two")
    assert is_version(result, 0, vocabulary)
    assert reader("AutoTokenizer", name, subfolder="one/two")["ids"]
    assert "config.json" in reader("AutoModel", name)["error"]


def test_cache_dir_is_used(hub, reader, files, name, tmp_path):
    commit = hub.add(name, files)
    assert "weights" in reader("AutoModel", name, cache_dir=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / f"models--{name.replace('/', '--')}" / "snapshots" / commit / "model.safetensors").exists()
    assert not reader.store(name).exists()


def test_a_folder_comes_before_the_hub(hub, reader, versions, vocabulary, name):
    hub.add(name, versions[0])
    folder = reader.home / name
    folder.mkdir(parents=True)
    for file, data in versions[1].items(): (folder / file).write_bytes(data)
    assert is_version(reader("AutoModel", name), 1, vocabulary) and hub.requests == []


# Which version

def test_revision_by_branch_and_by_commit(hub, reader, versions, vocabulary, name):
    hub.add(name, versions[0])
    commit = hub.add(name, versions[1], branch="later")
    assert is_version(reader("AutoModel", name), 0, vocabulary)
    assert is_version(reader("AutoModel", name, revision="later"), 1, vocabulary)
    hub.requests.clear()
    assert is_version(reader("AutoModel", name, revision=commit), 1, vocabulary)
    assert is_version(reader("AutoModel", name, revision="main"), 0, vocabulary)
    assert is_version(reader("AutoModel", name, revision="later"), 1, vocabulary)
    assert hub.requests == []


def test_force_download_asks_again_and_takes_the_new_version(hub, reader, versions, vocabulary, name):
    hub.add(name, versions[0])
    reader("AutoModel", name), reader("AutoTokenizer", name)
    hub.add(name, versions[1])
    assert is_version(reader("AutoModel", name), 0, vocabulary)  # the cache serves what it has
    hub.requests.clear()
    assert is_version(reader("AutoModel", name, force_download=True), 1, vocabulary)
    assert sum(request.startswith("GET /cdn/") for request in hub.requests) == 1
    hub.requests.clear()
    assert reader("AutoTokenizer", name, force_download=True)["ids"] and reader("AutoConfig", name, force_download=True)["config"]
    assert any("vocab.txt" in request for request in hub.requests) and any("config.json" in request for request in hub.requests)


def test_force_download_repairs_a_damaged_cache(hub, reader, files, vocabulary, name):
    commit = hub.add(name, files)
    reader("AutoModel", name)
    blob = (reader.store(name) / "snapshots" / commit / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:5000])
    assert "force_download=True" in reader("AutoModel", name)["error"]
    assert is_version(reader("AutoModel", name, force_download=True), 0, vocabulary)
    assert is_version(reader("AutoModel", name), 0, vocabulary)


def test_a_branch_that_moves_during_a_load_mixes_nothing(hub, reader, versions, vocabulary, name):
    hub.add(name, versions[0])

    def move(request):
        if request.startswith("GET") and request.endswith("/config.json"): hub.add(name, versions[1])
    hub.after = move
    assert is_version(reader("AutoModel", name), 0, vocabulary)


def test_a_branch_that_moves_between_two_loads_mixes_nothing(hub, reader, versions, vocabulary, name):
    hub.add(name, versions[0])
    reader("AutoConfig", name)
    hub.add(name, versions[1])
    assert is_version(reader("AutoModel", name), 0, vocabulary)
    hub.after = lambda request: hub.add(name, versions[0]) if request.endswith("/config.json") and "GET" in request else None
    assert is_version(reader("AutoModel", name, force_download=True), 1, vocabulary)


# What goes wrong

def test_token_is_sent(hub, reader, files, name):
    hub.add(name, files)
    hub.gated.add(name)
    error = reader("AutoModel", name)["error"]
    assert name in error and "grants access" in error and "hf auth login" in error
    hub.tokens.clear()
    assert "weights" in reader("AutoModel", name, token="hf_good")
    assert {token for request, token in hub.tokens.items() if name in request} == {"Bearer hf_good"}
    assert {token for request, token in hub.tokens.items() if "/cdn/" in request} == {None}
    assert "ids" in reader("AutoTokenizer", name, token="hf_good") and "config" in reader("AutoConfig", name, token="hf_good")


@pytest.mark.parametrize("unknown", ["owner/no-such-model", "no-such-model"])
def test_unknown_repository(reader, unknown):
    for kind in ("AutoModel", "AutoTokenizer", "AutoConfig"):
        error = reader(kind, unknown)["error"]
        for word in (unknown, "no public model", "spelling", "token", "folder"): assert word in error


@pytest.mark.parametrize("revision", ["no-such-branch", "0" * 40])
def test_unknown_revision(hub, reader, files, name, revision):
    hub.add(name, files)
    error = reader("AutoModel", name, revision=revision)["error"]
    assert name in error and "revision" in error and "branch" in error
    assert revision in error, "the message does not say which revision"


def test_missing_files_on_the_hub(hub, reader, files, name):
    hub.add(name, {"README.md": b"hi"})
    error = reader("AutoModel", name)["error"]
    assert name in error and "config.json" in error and "Hub" in error
    hub.add(name + "2", {"config.json": files["config.json"]})
    assert "no weights" in reader("AutoModel", name + "2")["error"]
    error = reader("AutoTokenizer", name + "2")["error"]
    assert "no tokenizer" in error and "vocab.txt" in error


def test_local_files_only_asks_nobody(hub, reader, files, name):
    hub.add(name, files)
    error = reader("AutoModel", name, local_files_only=True)["error"]
    assert name in error and "local_files_only" in error and hub.requests == []
    reader("AutoModel", name)
    hub.requests.clear()
    assert "weights" in reader("AutoModel", name, local_files_only=True) and hub.requests == []


def test_a_download_that_breaks_off_is_an_error_with_a_name(hub, reader, files, name):
    "Half of the weights arrive, then the connection ends: no half file stays under the name of the whole one."
    hub.add(name, files)
    whole = files["model.safetensors"]
    broken = whole[:-1] + bytes([whole[-1] ^ 1])
    original, hub.blob = hub.blob, lambda digest: broken[:len(whole) // 2]
    try: error = reader("AutoModel", name)["error"]
    finally: hub.blob = original
    assert name in error or "model.safetensors" in error
    assert "weights" in reader("AutoModel", name)


def test_a_download_whose_process_is_killed_is_no_trouble_for_the_next(tmp_path, files, vocabulary):
    with Hub() as hub:
        hub.add("owner/name", files)
        hub.mood = lambda request: "half" if "GET /cdn/" in request else None
        with Reader(tmp_path, hub.url) as killed:
            print(json.dumps(["AutoModel", "owner/name", {}]), file=killed.process.stdin, flush=True)
            while not any("GET /cdn/" in request for request in hub.requests): time.sleep(0.05)
            time.sleep(0.5)  # half of it comes
            killed.process.kill()
            killed.process.wait()
        hub.mood = lambda request: None
        with Reader(tmp_path, hub.url) as reader: assert is_version(reader("AutoModel", "owner/name"), 0, vocabulary)


SHARE = """if True:
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from tinybert import AutoModel, AutoTokenizer
    def load(_):
        model, tokenizer = AutoModel.from_pretrained("owner/name"), AutoTokenizer.from_pretrained("owner/name")
        return sum(parameter.double().sum().item() for parameter in model.parameters()), tokenizer("hello world!")["input_ids"]
    with ThreadPoolExecutor(4) as pool: results = list(pool.map(load, range(8)))
    assert all(result == results[0] for result in results)
    print(results[0][0])"""


def test_processes_and_threads_fill_one_cache(tmp_path, files, vocabulary):
    with Hub() as hub, ThreadPoolExecutor(3) as pool:
        hub.add("owner/name", files)
        programs = [pool.submit(run_python, SHARE, HF_HOME=str(tmp_path), HF_ENDPOINT=hub.url) for _ in range(3)]
        found = [float(program.result()) for program in programs]
        assert found == pytest.approx([sum(weights(0, len(vocabulary)))] * 3, rel=1e-9)
        assert sum("GET /cdn/" in request for request in hub.requests) == 1  # the others wait for the first


def test_a_read_only_cache_is_enough(tmp_path, files, vocabulary):
    drop = []
    if os.geteuid() == 0:  # who may write everywhere
        if not (program := shutil.which("setpriv")): pytest.skip("root can't do without its rights here")
        drop = [program, "--bounding-set", "-dac_override,-dac_read_search"]
    home = tmp_path / "home"
    home.mkdir()
    with Hub() as hub:
        hub.add("owner/name", files)
        with Reader(home, hub.url) as reader: reader("AutoModel", "owner/name"), reader("AutoTokenizer", "owner/name")
        hub.requests.clear()
        everything = [home, *(path for path in home.rglob("*") if not path.is_symlink())]
        modes = {path: path.stat().st_mode for path in everything}
        for path in everything: path.chmod(modes[path] & 0o555)
        try:
            with Reader(home, hub.url, *drop) as reader:
                assert is_version(reader("AutoModel", "owner/name"), 0, vocabulary) and reader("AutoTokenizer", "owner/name")["ids"]
                assert hub.requests == []
                hub.add("owner/other", files)
                error = reader("AutoModel", "owner/other")["error"]
                for word in ("owner/other", "config.json could not be downloaded", str(home)): assert word in error
        finally:
            for path in everything: path.chmod(modes[path])


def test_works_with_the_server_gone_and_offline(tmp_path, files, vocabulary):
    with Hub() as hub:
        hub.add("owner/name", files)
        with Reader(tmp_path, hub.url) as reader:
            assert is_version(reader("AutoModel", "owner/name"), 0, vocabulary) and reader("AutoTokenizer", "owner/name")["ids"]
            hub.close()
            assert is_version(reader("AutoModel", "owner/name"), 0, vocabulary) and reader("AutoTokenizer", "owner/name")["ids"]
            error = reader("AutoModel", "owner/other")
            assert error["seconds"] < 5
            for word in ("owner/other", "127.0.0.1", "connection", "network"): assert word in error["error"]
    with Reader(tmp_path, hub.url, HF_HUB_OFFLINE="1") as reader:
        assert is_version(reader("AutoModel", "owner/name"), 0, vocabulary) and reader("AutoTokenizer", "owner/name")["ids"]
        error = reader("AutoModel", "owner/other")["error"]
        assert "owner/other" in error and "HF_HUB_OFFLINE" in error
        assert "HF_HUB_OFFLINE" in reader("AutoModel", "owner/name", force_download=True)["error"]


def test_half_a_checkpoint_and_no_network(tmp_path, files):
    with Hub() as hub, Reader(tmp_path, hub.url) as reader:
        hub.add("owner/name", files)
        reader("AutoConfig", "owner/name")
        hub.close()
        for kind in ("AutoModel", "AutoTokenizer"):
            error = reader(kind, "owner/name")["error"]
            assert "owner/name" in error and "connection" in error, f"{kind} does not say that there is no network"


def test_no_network_fails_fast(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with Reader(tmp_path, f"http://127.0.0.1:{closed.getsockname()[1]}") as reader:
            for kind in ("AutoConfig", "AutoModel", "AutoTokenizer"):
                result = reader(kind, "bert-base-cased")
                assert result["seconds"] < 5 and "'bert-base-cased'" in result["error"] and "connection" in result["error"]


# A bad day

@pytest.mark.parametrize("status, words", [(403, "forbids"), (404, "doesn't know this address"), (429, "too many requests"),
                                           (500, "an internal error"), (503, "overloaded"), (418, "unusual")])
def test_each_bad_answer_has_its_own_sentence_at_once(hub, reader, files, name, status, words):
    name += str(status)  # the cache has what an earlier one loaded
    hub.add(name, files)
    hub.mood = lambda request: (status, {})
    result = reader("AutoModel", name)
    for word in (name, "config.json", f"answers {status}", words): assert word in result["error"]
    assert "connection" not in result["error"] and result["seconds"] < 10
    hub.mood = lambda request: None
    assert "weights" in reader("AutoModel", name)


def test_a_wait_that_the_hub_asks_for_is_kept_if_it_is_short(hub, reader, files, name):
    hub.add(name, files)
    hub.mood = lambda request: (429, {"Retry-After": "157"})
    result = reader("AutoModel", name)
    assert "wait 157 seconds" in result["error"] and result["seconds"] < 10
    busy = iter([(429, {"Retry-After": "1"})])
    hub.mood = lambda request: next(busy, None)
    result = reader("AutoModel", name)
    assert "weights" in result and result["seconds"] > 1


def test_a_silent_hub_is_given_a_deadline(tmp_path, files):
    with Hub() as hub, Reader(tmp_path, hub.url, HF_HUB_ETAG_TIMEOUT="1") as reader:
        hub.add("owner/name", files)
        hub.mood = lambda request: 30
        result = reader("AutoModel", "owner/name")
        for word in ("owner/name", "not answered for 1 seconds", "HF_HUB_ETAG_TIMEOUT"): assert word in result["error"]
        assert result["seconds"] < 15


@pytest.mark.parametrize("mood, words", [(60, "fallen silent"), ("trickle", "Less than 3,000 bytes"), ("headers", "fallen silent"),
                                         ("half", "fallen silent"), ((503, {}), "answers 503"), ((429, {"Retry-After": "99"}), "wait 99 seconds")], ids=str)
def test_a_download_that_comes_to_nothing_ends_soon_with_its_reason(tmp_path, files, mood, words):
    with Hub() as hub, Reader(tmp_path, hub.url, HF_HUB_ETAG_TIMEOUT="2", HF_HUB_DOWNLOAD_TIMEOUT="2") as reader:
        hub.add("owner/name", files)
        assert 6000 < len(files["model.safetensors"]) < 55_000  # for "half": it's little, but not nothing
        hub.mood = lambda request: mood if "GET /cdn/" in request else None
        result = reader("AutoModel", "owner/name")
        for word in ("owner/name", "model.safetensors", words): assert word in result["error"]
        assert result["seconds"] < 40
        hub.mood = lambda request: None
        assert "weights" in reader("AutoModel", "owner/name")  # nothing of it has entered the cache


@pytest.mark.parametrize("mood, words", [(60, "fallen silent"), ("headers", "fallen silent"), ((503, {}), "answers 503")], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_a_hub_that_turns_bad_between_two_questions(tmp_path, files, mood, words, count):
    "Before a download there are two requests: our own, and the library's."
    with Hub() as hub, Reader(tmp_path, hub.url, HF_HUB_ETAG_TIMEOUT="2", HF_HUB_DOWNLOAD_TIMEOUT="2") as reader:
        hub.add("owner/name", files)
        assert "config" in reader("AutoConfig", "owner/name")
        good = iter(range(count - 1))
        hub.mood = lambda request: mood if "safetensors" in request and next(good, None) is None else None
        result = reader("AutoModel", "owner/name")
        if (mood, count) == (60, 1): words = "not answered for 2 seconds"
        for word in ("owner/name", words): assert word in result["error"]
        assert result["seconds"] < 15
        hub.mood = lambda request: None
        assert "weights" in reader("AutoModel", "owner/name")


def test_headers_that_trickle_from_the_first_answer_on(tmp_path, files):
    with Hub() as hub, Reader(tmp_path, hub.url, HF_HUB_ETAG_TIMEOUT="2", HF_HUB_DOWNLOAD_TIMEOUT="2") as reader:
        hub.add("owner/name", files)
        hub.mood = lambda request: "headers"
        result = reader("AutoModel", "owner/name")
        assert "fallen silent" in result["error"] and result["seconds"] < 20
        hub.mood = lambda request: None if "/api/" in request else "headers"  # the library asks for something of its own before
        result = reader("AutoModel", "owner/other")
        assert "fallen silent" in result["error"] and result["seconds"] < 20


@pytest.mark.parametrize("kind, mood", [("HEAD", "drop"), ("GET /cdn/", (408, {}))], ids=str)
def test_what_goes_wrong_at_once_is_no_silence_and_is_tried_again(hub, reader, files, name, kind, mood):
    name += kind[:3]
    hub.add(name, files)
    moods = iter([mood])
    hub.mood = lambda request: next(moods, None) if kind in request else None
    assert "weights" in reader("AutoModel", name) and next(moods, None) is None


def test_a_download_that_is_sent_elsewhere_goes_there(hub, reader, files, name):
    hub.add(name, files)
    places = iter([(302, {"Location": "?elsewhere"})])
    hub.mood = lambda request: next(places, None) if "GET /cdn/" in request else None
    assert "weights" in reader("AutoModel", name) and next(places, None) is None


@pytest.mark.parametrize("kind, file", [("AutoModel", "model.safetensors"), ("AutoTokenizer", "vocab.txt")])
def test_half_a_file_that_the_server_calls_whole_does_not_enter_the_cache(hub, reader, files, name, kind, file):
    name += kind
    hub.add(name, files)
    right = hashlib.sha256(files[file]).hexdigest() if kind == "AutoModel" else git_hash(files[file])
    hub.mood = lambda request: (200, {"ETag": f'"{right}"', "X-Repo-Commit": "0" * 40}) if request.endswith(file) else None
    error = reader(kind, name)["error"]
    for word in (name, file, "has 3 bytes", "hash"): assert word in error
    hub.mood = lambda request: None
    assert reader(kind, name).keys() & {"weights", "ids"}
    assert not [path for path in reader.store(name).rglob("*") if path.is_file() and path.read_bytes() == b"No."]


# A cache that was copied by hand

@pytest.mark.parametrize("end", ["", "\n", "\r\n", "  \n"], ids=repr)
def test_a_cache_copied_by_hand_is_read_offline(tmp_path, files, vocabulary, end):
    commit = "0123456789abcdef0123456789abcdef01234567"
    store = tmp_path / "hub/models--owner--name"
    snapshot = store / "snapshots" / commit
    (store / "refs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (store / "refs/main").write_bytes((commit + end).encode())  # as an editor or git writes it
    for name, data in files.items(): (snapshot / name).write_bytes(data)  # and no blobs
    with Reader(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1") as reader:
        for options in ({}, dict(revision="main"), dict(revision=commit)):
            assert is_version(reader("AutoModel", "owner/name", **options), 0, vocabulary)
            assert reader("AutoTokenizer", "owner/name", **options)["ids"]
        for missing in ("owner/other", "owner/name2"):
            assert "HF_HUB_OFFLINE" in reader("AutoModel", missing)["error"]
        (store / "refs/main").unlink()
        error = reader("AutoConfig", "owner/name")["error"]
        assert "owner/name" in error and "HF_HUB_OFFLINE" in error


def test_a_pointer_in_the_cache_is_recognised(tmp_path, files):
    snapshot = tmp_path / "hub/models--owner--name/snapshots/main"
    snapshot.mkdir(parents=True)
    for name, data in files.items(): (snapshot / name).write_bytes(data)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 3\n")
        with Reader(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1") as reader:
            error = reader("AutoModel", "owner/name")["error"]
        assert f"{name} is a Git LFS pointer" in error
        (snapshot / name).write_bytes(files[name])
