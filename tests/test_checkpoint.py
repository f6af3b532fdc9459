"Checkpoints: both formats in both directions with transformers, damage that is named, saves that are whole or did not happen."

import argparse
import functools
import hashlib
import inspect
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy
import pytest
import safetensors.torch
import torch
import transformers
from conftest import FAMILY_SIZES, SIZES, reference, run_python, same_state, small, their_config

import tinybert
from tinybert import AutoConfig, AutoModel, BertConfig, BertModel, Checkpoint

FORMATS = pytest.mark.parametrize("safe", [False, True], ids=["bin", "safetensors"])
WEIGHTS = {False: "pytorch_model.bin", True: "model.safetensors"}
IDS = torch.tensor([[5, 6, 7], [8, 9, 10]])


def listing(folder: Path) -> list[str]:
    "Return the names in a folder as `ls -A` shows them."
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    "Return the files of a folder."
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_bert(folder: Path, state: dict | None = None, safe: bool = True, **settings) -> Path:
    "Write a config.json, and a state dictionary beside it."
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **SIZES, **settings}))
    if state is not None and safe: safetensors.torch.save_file(state, folder / WEIGHTS[True])
    elif state is not None: torch.save(state, folder / WEIGHTS[False])
    return folder


# With transformers, in both directions

@FORMATS
def test_transformers_loads_what_we_save(tmp_path, safe):
    ours = small(hidden_act="relu", layer_norm_eps=1e-3)
    ours.save_pretrained(tmp_path, safe_serialization=safe)
    theirs, report = transformers.BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    same_state(ours, theirs)
    torch.testing.assert_close(ours(IDS).last_hidden_state, theirs(IDS).last_hidden_state, rtol=1e-4, atol=1e-5)
    same_state(AutoModel.from_pretrained(tmp_path), theirs)


@FORMATS
def test_we_load_what_transformers_has(tmp_path, safe, caplog):
    theirs = reference(1)
    if safe: theirs.save_pretrained(tmp_path)
    else: write_bert(tmp_path, theirs.state_dict(), safe=False)  # transformers 5 itself writes no .bin any more
    assert WEIGHTS[safe] in listing(tmp_path)
    ours = AutoModel.from_pretrained(tmp_path)
    assert type(ours) is BertModel and not ours.training and not caplog.records
    same_state(ours, theirs)
    torch.testing.assert_close(ours(IDS).last_hidden_state, theirs(IDS).last_hidden_state, rtol=1e-4, atol=1e-5)


@FORMATS
def test_save_and_load_give_the_same_model(tmp_path, safe):
    model = small()
    model.save_pretrained(tmp_path, safe_serialization=safe)
    again = BertModel.from_pretrained(str(tmp_path))
    same_state(again, model)
    assert not again.training and torch.equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)
    again.save_pretrained(tmp_path / "second", safe_serialization=safe)
    assert (tmp_path / "second" / WEIGHTS[safe]).read_bytes() == (tmp_path / WEIGHTS[safe]).read_bytes()


def test_transformers_shards_are_put_together(tmp_path):
    theirs = reference()
    theirs.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len([name for name in listing(tmp_path) if name.startswith("model-")]) > 2
    same_state(BertModel.from_pretrained(tmp_path), theirs)


def shard(folder: Path, state: dict, parts: int = 3) -> dict:
    "Write a state dictionary as several .bin files with an index, as transformers 4 did; return the index."
    weight_map = {}
    for number in range(parts):
        name = f"pytorch_model-{number + 1:05}-of-{parts:05}.bin"
        piece = {key: state[key] for key in list(state)[number::parts]}
        torch.save(piece, folder / name)
        weight_map |= dict.fromkeys(piece, name)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return index


def test_bin_shards_are_put_together(tmp_path):
    model = small()
    shard(write_bert(tmp_path), model.state_dict())
    same_state(BertModel.from_pretrained(tmp_path), model)


def test_missing_shard_is_named(tmp_path):
    shard(write_bert(tmp_path), small().state_dict())
    (tmp_path / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(OSError, match="has no pytorch_model-00002-of-00003.bin"): BertModel.from_pretrained(tmp_path)


def test_index_that_lists_what_no_shard_has_is_refused(tmp_path):
    index = shard(write_bert(tmp_path), small().state_dict())
    index["weight_map"]["pooler.extra.weight"] = "pytorch_model-00001-of-00003.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(OSError, match="pytorch_model.bin.index.json lists pooler.extra.weight"): BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"metadata": {}}'])
def test_damaged_index_is_named(tmp_path, text):
    shard(write_bert(tmp_path), small().state_dict())
    (tmp_path / "pytorch_model.bin.index.json").write_text(text)
    with pytest.raises(OSError, match="pytorch_model.bin.index.json"): BertModel.from_pretrained(tmp_path)


def test_safetensors_come_before_bin(tmp_path):
    write_bert(tmp_path, small(1).state_dict(), safe=False)
    write_bert(tmp_path, small(2).state_dict(), safe=True)
    same_state(BertModel.from_pretrained(tmp_path), small(2))


# Names of weights

@FORMATS
def test_old_names_and_prefix_are_understood(tmp_path, safe, caplog):
    model = small()
    old = {"bert." + key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
           for key, tensor in model.state_dict().items()}
    assert sum("gamma" in key for key in old) == sum("beta" in key for key in old) == 5
    old["bert.embeddings.position_ids"] = torch.arange(20)[None]
    same_state(BertModel.from_pretrained(write_bert(tmp_path, old, safe)), model)
    assert not caplog.records


def test_two_names_for_one_weight_are_refused(tmp_path):
    state = small().state_dict()
    state["bert.pooler.dense.bias"] = state["pooler.dense.bias"].clone()
    with pytest.raises(ValueError, match="pooler.dense.bias"): BertModel.from_pretrained(write_bert(tmp_path, state))


def test_language_model_gives_its_encoder_and_one_line(tmp_path, caplog):
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(**SIZES)).eval()
    theirs.save_pretrained(tmp_path)
    ours = BertModel.from_pretrained(tmp_path)
    assert ours.pooler is None and ours(IDS).pooler_output is None
    assert torch.allclose(ours(IDS)[0], theirs.bert(IDS)[0], rtol=1e-4, atol=1e-5)
    assert len(caplog.records) == 1 and "cls.predictions" in caplog.text and "BertModel" in caplog.text
    ours.save_pretrained(tmp_path / "again")
    assert BertModel.from_pretrained(tmp_path / "again").pooler is None and len(caplog.records) == 1


def test_half_a_pooler_is_an_error(tmp_path):
    state = small().state_dict()
    del state["pooler.dense.bias"]
    with pytest.raises(ValueError, match="lacks 1 .*pooler.dense.bias"): BertModel.from_pretrained(write_bert(tmp_path, state))


@FORMATS
def test_missing_weight_is_named(tmp_path, safe):
    state = small().state_dict()
    del state["encoder.layer.1.attention.self.key.weight"]
    with pytest.raises(ValueError, match=r"lacks 1 .*encoder\.layer\.1\.attention\.self\.key\.weight"):
        BertModel.from_pretrained(write_bert(tmp_path, state, safe))


def test_wrong_shape_names_both_shapes(tmp_path):
    folder = write_bert(tmp_path, small().state_dict(), intermediate_size=44)
    with pytest.raises(ValueError, match=r"intermediate\.dense.*\(40.*\(44"): BertModel.from_pretrained(folder)


def test_fewer_layers_than_the_file_are_reported(tmp_path, caplog):
    model = BertModel.from_pretrained(write_bert(tmp_path, small().state_dict()), num_hidden_layers=1)
    assert len(model.encoder.layer) == 1 and len(caplog.records) == 1
    assert "encoder.layer.1" in caplog.text


def test_other_family_is_refused_by_both_names(tmp_path):
    transformers.RobertaModel(transformers.RobertaConfig(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'roberta'.*'bert'"): BertModel.from_pretrained(tmp_path)


def test_weights_of_another_family_are_refused(tmp_path):
    state = {key: tensor.clone() for key, tensor in transformers.DistilBertModel(
        transformers.DistilBertConfig(vocab_size=60, dim=24, n_heads=3, n_layers=2, hidden_dim=40)).state_dict().items()}
    with pytest.raises(ValueError, match="lacks .*transformer.layer.0"): BertModel.from_pretrained(write_bert(tmp_path, state))


# Files that are old, damaged or dangerous

def test_file_of_an_old_torch_is_read(tmp_path):
    model = small()
    write_bert(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    same_state(BertModel.from_pretrained(tmp_path), model)


class Trap:
    def __init__(self, path): self.path = path
    def __reduce__(self): return open, (str(self.path), "w")


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, new):
    write_bert(tmp_path / "model")
    trap = {"pooler.dense.bias": Trap(tmp_path / "sprung")}
    torch.save(trap, tmp_path / "model/pytorch_model.bin", _use_new_zipfile_serialization=new)
    with pytest.raises(OSError, match="pytorch_model.bin"): BertModel.from_pretrained(tmp_path / "model")
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(trap)), (tmp_path / "sprung").stat()  # the trap works


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa51172d142c89d9012cce15ae4d6cc\nsize 90868376\n"
DAMAGES = {"cut in the middle": lambda data: data[:len(data) // 2], "cut at the end": lambda data: data[:-10],
           "cut at the start": lambda data: data[:20], "empty": lambda data: b"", "zeros": lambda data: bytes(5000),
           "pointer": lambda data: POINTER, "garbage": lambda data: bytes(range(1, 256)) * 40, "a page": lambda data: b"<html>" * 100}


@FORMATS
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_name_file_size_and_cure(tmp_path, damage, safe):
    small().save_pretrained(tmp_path, safe_serialization=safe)
    path = tmp_path / WEIGHTS[safe]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(OSError) as error: BertModel.from_pretrained(tmp_path)
    cure = "git lfs pull" if damage == "pointer" else "force_download=True"
    for word in (str(path), f"{path.stat().st_size} bytes", cure): assert word in str(error.value).replace(",", "")


def test_cut_safetensors_say_how_long_they_should_be(tmp_path):
    small().save_pretrained(tmp_path, safe_serialization=True)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    with pytest.raises(OSError, match=f"{len(whole) - 1000:,} bytes.*{len(whole):,}"): BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("state", [[1, 2], {"a": 1}, {}, torch.zeros(2)])
def test_a_bin_file_that_is_no_state_dictionary_is_refused(tmp_path, state):
    with pytest.raises((OSError, ValueError), match="pytorch_model.bin|weights"):
        BertModel.from_pretrained(write_bert(tmp_path, state, safe=False))


def test_folder_without_weights_says_what_was_looked_for(tmp_path):
    with pytest.raises(OSError, match="no weights.*model.safetensors.*pytorch_model.bin"): BertModel.from_pretrained(write_bert(tmp_path))


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "a/b/c", "my model", "~/no such folder", "bad--name", "bad..name",
                                  "x" * 200])
def test_what_is_neither_folder_nor_name_is_said(name):
    with pytest.raises(OSError, match="neither a folder.*owner/name"): BertModel.from_pretrained(name)


def test_missing_subfolder_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"): BertModel.from_pretrained(tmp_path, subfolder="nowhere")


def test_subfolder_is_read(tmp_path):
    small().save_pretrained(tmp_path / "a" / "b")
    same_state(BertModel.from_pretrained(tmp_path, subfolder="a/b"), small())


def test_a_file_is_no_folder(tmp_path):
    small().save_pretrained(tmp_path)
    with pytest.raises(OSError, match="pytorch_model.bin.*folder"): BertModel.from_pretrained(tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="config.json is a file.*folder"): small().save_pretrained(tmp_path / "config.json")
    with pytest.raises(OSError, match="could not be written|is a file"): small().save_pretrained(tmp_path / "config.json" / "deeper")


# What is written

@FORMATS
def test_a_save_writes_exactly_two_files(tmp_path, safe):
    small().save_pretrained(tmp_path / "new" / "folder", safe_serialization=safe)
    assert listing(tmp_path / "new/folder") == sorted(["config.json", WEIGHTS[safe]])


def test_safetensors_carry_the_mark_of_torch(tmp_path):
    "transformers 4 refuses a file without it."
    small().save_pretrained(tmp_path, safe_serialization=True)
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file: assert file.metadata() == {"format": "pt"}


def test_the_section_ls(tmp_path):
    small().save_pretrained(tmp_path / "directory_on_my_computer")
    shown = subprocess.run(["ls", "directory_on_my_computer"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown.split() == ["config.json", "pytorch_model.bin"]


@FORMATS
def test_a_save_replaces_weights_in_another_form_and_nothing_else(tmp_path, safe):
    reference().save_pretrained(tmp_path, max_shard_size="10KB")
    shard(tmp_path, small(1).state_dict())
    small(2).save_pretrained(tmp_path, safe_serialization=not safe)
    for name in ("vocab.txt", "README.md", "optimizer.bin", "adapter_model.safetensors"): (tmp_path / name).write_text("mine")
    small(3).save_pretrained(tmp_path, safe_serialization=safe)
    assert listing(tmp_path) == sorted(["config.json", WEIGHTS[safe], "vocab.txt", "README.md", "optimizer.bin", "adapter_model.safetensors"])
    same_state(BertModel.from_pretrained(tmp_path), small(3))


def test_config_tells_where_the_weights_come_from(tmp_path):
    small().to(torch.bfloat16).save_pretrained(tmp_path / "first")
    model = BertModel.from_pretrained(tmp_path / "first", dtype="auto")
    model.save_pretrained(tmp_path / "second")
    written = json.loads((tmp_path / "second/config.json").read_text())
    assert written["architectures"] == ["BertModel"] and written["_name_or_path"] == str(tmp_path / "first")
    assert written["dtype"] == "bfloat16" and written["tinybert_version"] == tinybert.__version__ and written["model_type"] == "bert"
    assert {name: written[name] for name in SIZES} == SIZES
    assert not hasattr(small().config, "architectures")  # saving does not change the model's own config


def test_extra_settings_of_a_checkpoint_survive_a_save(tmp_path):
    write_bert(tmp_path / "old", small().state_dict(), id2label={"0": "good"}, torch_dtype="float16", architectures=["BertForMaskedLM"])
    BertModel.from_pretrained(tmp_path / "old").save_pretrained(tmp_path / "new")
    written = json.loads((tmp_path / "new/config.json").read_text())
    assert written["id2label"] == {"0": "good"} and written["architectures"] == ["BertModel"]
    assert written["dtype"] == "float32" and "torch_dtype" not in written


@FORMATS
def test_saving_over_the_files_in_use(tmp_path, safe):
    small(1).save_pretrained(tmp_path, safe_serialization=safe)
    model = BertModel.from_pretrained(tmp_path)
    with torch.no_grad(): model.pooler.dense.weight.fill_(0.5)
    for as_safe in (safe, not safe, safe):
        model.save_pretrained(tmp_path, safe_serialization=as_safe)
        again = BertModel.from_pretrained(tmp_path)
        same_state(again, model)
        assert (again.pooler.dense.weight == 0.5).all()


@FORMATS
def test_changing_a_loaded_model_leaves_the_file_alone(tmp_path, safe):
    small().save_pretrained(tmp_path, safe_serialization=safe)
    before = content(tmp_path)
    model = BertModel.from_pretrained(tmp_path)
    with torch.no_grad():
        for parameter in model.parameters(): parameter.zero_()
    assert content(tmp_path) == before
    same_state(BertModel.from_pretrained(tmp_path), small())


@FORMATS
def test_a_loaded_model_can_be_trained(tmp_path, safe):
    small().save_pretrained(tmp_path, safe_serialization=safe)
    model = BertModel.from_pretrained(tmp_path).train()
    model(IDS).last_hidden_state.square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(model.pooler.dense.weight, model.embeddings.word_embeddings.weight)
    assert not torch.equal(model.encoder.layer[0].output.dense.weight, small().encoder.layer[0].output.dense.weight)


@FORMATS
def test_weights_that_share_memory_or_are_transposed_are_saved_whole(tmp_path, safe):
    model = small()
    attention = model.encoder.layer[0].attention.self
    attention.key.weight = attention.query.weight
    attention.value.weight = torch.nn.Parameter(attention.query.weight.detach().t())
    model.save_pretrained(tmp_path, safe_serialization=safe)
    same_state(BertModel.from_pretrained(tmp_path), model)
    assert (tmp_path / WEIGHTS[safe]).stat().st_size < 1.5 * 4 * model.num_parameters() + 20_000


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_of_new_files_respect_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try: small().save_pretrained(tmp_path / "new")
    finally: os.umask(before)
    for name in ("config.json", "pytorch_model.bin"): assert (tmp_path / "new" / name).stat().st_mode & 0o777 == 0o666 & ~umask


# Types

@FORMATS
def test_dtype_of_a_loaded_model(tmp_path, safe):
    small().to(torch.bfloat16).save_pretrained(tmp_path, safe_serialization=safe)
    assert BertModel.from_pretrained(tmp_path).dtype == torch.float32
    assert BertModel.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16
    for dtype in (torch.float16, "float16", torch.float64):
        model = BertModel.from_pretrained(tmp_path, dtype=dtype)
        assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype) if isinstance(dtype, str) else dtype}
    same_state(BertModel.from_pretrained(tmp_path, dtype=torch.bfloat16), small().to(torch.bfloat16))


@pytest.mark.parametrize("dtype", ["float17", torch.long, "int8", 3, "nn"])
def test_wrong_dtype_is_named(tmp_path, dtype):
    small().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype is .*torch.float32.*auto"): BertModel.from_pretrained(tmp_path, dtype=dtype)


def test_config_overrides_reach_the_model(tmp_path):
    small().save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, hidden_act="relu", hidden_dropout_prob=0.5)
    assert model.config.hidden_act == "relu" and model.embeddings.dropout.p == 0.5
    torch.testing.assert_close(model(IDS).last_hidden_state, small(hidden_act="relu")(IDS).last_hidden_state)
    given = BertModel.from_pretrained(tmp_path, config=BertConfig(**SIZES, hidden_act="relu"))
    assert torch.equal(given(IDS).last_hidden_state, model(IDS).last_hidden_state)
    with pytest.raises(TypeError, match="'hidden_act'"): AutoModel.from_pretrained(tmp_path, hiden_act="relu")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@FORMATS
def test_loading_needs_little_more_memory_than_the_file(tmp_path, safe):
    sizes = dict(SIZES, vocab_size=1_000_000, hidden_size=60)
    with torch.device("meta"): shapes = {key: tensor.shape for key, tensor in BertModel(BertConfig(**sizes)).state_dict().items()}
    small().save_pretrained(tmp_path / "small", safe_serialization=safe)
    write_bert(tmp_path, {key: torch.zeros(shape) for key, shape in shapes.items()}, safe, **sizes)
    size = (tmp_path / WEIGHTS[safe]).stat().st_size
    assert size > 200_000_000
    printed = run_python("""if True:
        import re, sys
        from tinybert import BertModel
        peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
        BertModel.from_pretrained(sys.argv[2])  # what the first load of any model costs
        before = peak()
        model = BertModel.from_pretrained(sys.argv[1])
        print(peak() - before)
        assert sum(parameter.sum() for parameter in model.parameters()) == 0  # all of it has been read
        print(peak() - before)""", tmp_path, tmp_path / "small")
    loaded, used = map(int, printed.split())
    assert loaded < 0.3 * size, "the file is not memory-mapped"
    assert 0.9 * size < used < 1.3 * size


# Saves that fail

LIMITED = """if True:
    import json, resource, sys, torch
    from tinybert import BertModel
    folder, safe, limits = sys.argv[1], sys.argv[2] == "True", json.loads(sys.argv[3])
    model = BertModel.from_pretrained(folder, hidden_dropout_prob=0.7)  # another config
    for parameter in model.parameters(): torch.nn.init.constant_(parameter, 7)  # and other weights
    before = {path.name: path.read_bytes() for path in __import__("pathlib").Path(folder).iterdir()}
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try: model.save_pretrained(folder, safe_serialization=safe)
        except OSError as error: message = str(error)
        else: message = "saved"
        after = {path.name: path.read_bytes() for path in __import__("pathlib").Path(folder).iterdir()}
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        print(json.dumps([limit, changed, message]))"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
@FORMATS
def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path, safe):
    small(hidden_dropout_prob=0.2).save_pretrained(tmp_path, safe_serialization=safe)
    config, size = ((tmp_path / name).stat().st_size for name in ("config.json", WEIGHTS[safe]))
    limits = [config // 2, config + 100, size // 2, size - 4000, size - 1]  # the last ones fail when the file is closed
    for line in run_python(LIMITED, tmp_path, safe, json.dumps(limits)).splitlines():
        limit, changed, message = json.loads(line)
        assert not changed, f"{changed} changed at {limit} of {size} bytes"
        for word in (str(tmp_path), "could not be written", "full"): assert word in message
    same_state(BertModel.from_pretrained(tmp_path), small())


KILLED = """if True:
    import json, os, signal, sys, time, torch
    from tinybert import BertConfig, BertModel
    torch.set_num_threads(1)  # a fork takes no threads along
    folder, safe = sys.argv[1], sys.argv[2] == "True"
    models = []
    for number in (1, 2):
        models.append(BertModel(BertConfig(vocab_size=40000, hidden_size=96, num_hidden_layers=1, num_attention_heads=4, intermediate_size=96)))
        for parameter in models[-1].parameters(): torch.nn.init.constant_(parameter, number)
    save = lambda: [model.save_pretrained(folder, safe_serialization=safe) for model in models]
    start = time.perf_counter(); save(); duration = time.perf_counter() - start
    for step in range(12):
        if (child := os.fork()) == 0:
            while True: save()
        time.sleep(duration * (0.1 + step / 10))
        os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
        values = {number for parameter in BertModel.from_pretrained(folder).parameters() for number in (parameter.min().item(), parameter.max().item())}
        print(json.dumps([sorted(values), sorted(os.listdir(folder))]))"""


def nameless_files(folder: Path) -> bool:
    "Tell whether the file system has files without a name; elsewhere a killed process may leave a part behind."
    try: os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError): return False
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGKILL")
@FORMATS
def test_a_killed_save_leaves_a_whole_checkpoint(tmp_path, safe):
    lines = run_python(KILLED, tmp_path, safe).splitlines()
    assert len(lines) == 12
    for values, names in map(json.loads, lines):
        assert values in ([1], [2]), "the weights are of two saves"
        if nameless_files(tmp_path): assert names == sorted(["config.json", WEIGHTS[safe]])


def test_the_sections_hash_of_minilm(minilm):
    digest = hashlib.sha256((minilm / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_minilm_survives_a_round_trip(minilm, tmp_path):
    model = AutoModel.from_pretrained(minilm)
    model.save_pretrained(tmp_path)
    theirs, report = transformers.BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    same_state(model, theirs)


def test_code_in_a_file_is_named(tmp_path):
    write_bert(tmp_path)
    torch.save({"pooler.dense.bias": Trap(tmp_path / "sprung")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="pytorch_model.bin is refused: reading it would use io.open, which weights"): BertModel.from_pretrained(tmp_path)


def test_another_kind_of_file_is_not_given_a_size(tmp_path):
    small().save_pretrained(tmp_path, safe_serialization=True)
    (tmp_path / "model.safetensors").write_bytes(b"<!DOCTYPE html>" * 10)
    with pytest.raises(OSError, match="150 bytes, which do not begin as a safetensors file does"): BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("header", ["[]", "nonsense", '{"a": 1}', '{"a": {}}', '{"a": {"data_offsets": []}}'])
def test_a_header_that_makes_no_sense_is_said(tmp_path, header):
    folder = write_bert(tmp_path)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(OSError, match="model.safetensors cannot be read .*bytes, and its header makes no sense"):
        BertModel.from_pretrained(folder)


# Options of from_pretrained

LOADERS = pytest.mark.parametrize("name", ["BertConfig", "AutoConfig", "BertModel", "AutoModel", "AutoTokenizer"])


@LOADERS
def test_a_misspelt_option_names_the_right_one(name, tmp_path):
    with pytest.raises(TypeError, match="no option 'revison'. Did you mean 'revision'"):
        getattr(tinybert, name).from_pretrained(tmp_path, revison="main")


@LOADERS
def test_every_from_pretrained_shows_the_options_of_a_checkpoint(name):
    shown = inspect.signature(getattr(tinybert, name).from_pretrained).parameters
    options = inspect.signature(Checkpoint).parameters
    assert {option: shown[option] for option in options} == dict(options) and len(options) == 7


@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_no_setting_is_taken_for_a_misspelt_option(model_type, tmp_path):
    their_config(model_type).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    settings = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    assert AutoConfig.from_pretrained(tmp_path, **settings) == config
    with pytest.raises(OSError, match="has no weights"): AutoModel.from_pretrained(tmp_path, **settings)


# What else may be in a file

class Named:
    "Ask for a function when it's read: the module, the name, its argument."
    def __init__(self, function, *given): self.function, self.given = function, given
    def __reduce__(self): return self.function, self.given


def old_tar(path: Path) -> None:
    with tarfile.open(path, "w"): pass


def zipped(path: Path, **entries: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items(): archive.writestr(f"archive/{name}", data)


EVIL = {"x": Named(os.system, "exit 1")}
STRANGERS = {  # kind → (writer, what the message says was asked for)
    "zip": (lambda path: torch.save(EVIL, path), "system"),
    "legacy": (lambda path: torch.save(EVIL, path, _use_new_zipfile_serialization=False), "system"),
    "eval": (lambda path: torch.save({"x": Named(eval, "1")}, path), "eval"),
    "getattr": (lambda path: path.write_bytes(
        b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR."), "getattr"),
    "by hand": (lambda path: zipped(path, **{
        "data.pkl": pickle.dumps(EVIL, 2), "version": b"3\n", "byteorder": b"little"}), "system"),
    "a model": (lambda path: torch.save(small(), path), "BertModel"),
    "a legacy model": (lambda path: torch.save(
        small(), path, _use_new_zipfile_serialization=False), "BertModel"),
    "TorchScript": (lambda path: torch.jit.save(
        torch.jit.script(torch.nn.Linear(2, 2)), str(path)), "TorchScript"),
    "constants": (lambda path: zipped(path, **{
        "data.pkl": pickle.dumps({}, 2), "constants.pkl": b"", "version": b"3\n"}), "TorchScript"),
    "numpy": (lambda path: torch.save({"x": numpy.zeros(3)}, path), "_reconstruct"),
    "arguments": (lambda path: torch.save({"x": argparse.Namespace(a=1)}, path), "Namespace"),
    "partial": (lambda path: torch.save({"x": functools.partial(print)}, path), "partial"),
    "protocol 0": (lambda path: path.write_bytes(pickle.dumps(EVIL, 0)), "system"),
    "protocol 4": (lambda path: path.write_bytes(pickle.dumps(EVIL, 4)), "system"),
    "instance": (lambda path: path.write_bytes(b"(S'id'\nios\nsystem\n."), "os.system"),
    "tar": (old_tar, ""), "extension": (lambda path: path.write_bytes(b"\x80\x02\x82\x01."),
                                           "extension 1"),
    "another zip": (lambda path: zipped(path, readme=b"hello"), ""),
    "nested": (lambda path: torch.save({"model": {}, "epoch": 3}, path), "epoch, model")}


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_a_strange_file_asks_for_is_said_without_bad_advice(tmp_path, kind):
    write, asked = STRANGERS[kind]
    write_bert(tmp_path)
    write(tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="pytorch_model.bin") as error:
        BertModel.from_pretrained(tmp_path)
    message = str(error.value)
    assert asked in message and "weights_only" not in message and "safe_globals" not in message
    assert ("is refused: reading it would use" in message) == bool(asked and kind != "nested")


@FORMATS
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool,
                                   torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64],
                         ids=str)
def test_weights_that_are_no_floats_are_refused(tmp_path, dtype, safe):
    for key in ("encoder.layer.0.output.dense.weight", "pooler.dense.bias",
                "embeddings.LayerNorm.weight"):
        state = small().state_dict()
        state[key] = state[key].to(dtype)
        write_bert(tmp_path, state, safe)
        with pytest.raises(ValueError, match=f"{key} has the dtype {dtype}"):
            BertModel.from_pretrained(tmp_path)


@FORMATS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_weights_of_other_floats_are_read(tmp_path, dtype, safe):
    model = small().to(dtype)
    write_bert(tmp_path, model.state_dict(), safe)
    same_state(BertModel.from_pretrained(tmp_path), model.float())
    assert BertModel.from_pretrained(tmp_path, dtype="auto").dtype == dtype


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin",
                                  "model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_a_pointer_in_the_place_of_a_file_is_recognised(tmp_path, name, end):
    write_bert(tmp_path)
    (tmp_path / name).write_bytes(POINTER.replace(b"\n", end))
    with pytest.raises(OSError, match=f"{name} is a Git LFS pointer .*git lfs pull"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "vocab.txt"])
def test_a_pointer_in_the_place_of_a_tokenizers_file_is_recognised(minilm, tmp_path, name):
    for path in minilm.iterdir():
        if path.suffix in (".json", ".txt"): (tmp_path / path.name).write_bytes(path.read_bytes())
    if name == "vocab.txt": (tmp_path / "tokenizer.json").unlink()
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(OSError, match=f"{name} is a Git LFS pointer .*git lfs pull"):
        tinybert.AutoTokenizer.from_pretrained(tmp_path)


def test_a_pointer_in_the_place_of_a_shard_is_recognised(tmp_path):
    write_bert(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"pooler.dense.bias": "model-1.safetensors"}}))
    (tmp_path / "model-1.safetensors").write_bytes(POINTER)
    with pytest.raises(OSError, match="model-1.safetensors is a Git LFS pointer"):
        AutoModel.from_pretrained(tmp_path)
