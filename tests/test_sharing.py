"Uploads: real huggingface_hub, in a process of its own, pointed at a server on this machine that answers as the Hub does."

import json
import subprocess
import sys

import pytest
import yaml
from conftest import clean_environment, run_python, small
from huggingface_hub import ModelCard
from loopback import Hub

import tinybert
from tinybert.heads import HEADS
from tinybert.pipelines import PIPELINES
from tinybert.sharing import find_task, model_card

STORY = """
from huggingface_hub import login
from transformers import AutoModel, AutoTokenizer

login(token="hf_writer")
model = AutoModel.from_pretrained("giver/bert")
tokenizer = AutoTokenizer.from_pretrained("giver/bert")

model.push_to_hub("my-awesome-model")
tokenizer.push_to_hub("my-awesome-model")

again = AutoModel.from_pretrained("writer/my-awesome-model")
print(tokenizer("hello world!")["input_ids"] == AutoTokenizer.from_pretrained("writer/my-awesome-model")("hello world!")["input_ids"])
print(all((old == new).all() for old, new in zip(model.state_dict().values(), again.state_dict().values(), strict=True)))
"""


@pytest.mark.parametrize("library", ["tinybert", "transformers"])
def test_the_sections_sharing_story(hub, files, tmp_path, library):
    "Nothing but the name of the library is changed."
    hub.add("giver/bert", files)
    variables = dict(HF_HOME=str(tmp_path), HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    printed = run_python(STORY.replace("from transformers", f"from {library}"), folder=tmp_path, **variables)
    assert printed.splitlines()[-2:] == ["True", "True"]
    there = hub.files("writer/my-awesome-model")
    assert there.keys() >= {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    log = hub.repositories["writer/my-awesome-model"]["log"]
    assert log[-1]["summary"] == "Upload tokenizer" and len(log) == 2
    assert library in there["README.md"].decode()


WRITER = """if True:
    import json, sys
    import tinybert
    config = tinybert.BertConfig(vocab_size=10, hidden_size=4, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=6, max_position_embeddings=8)
    model = tinybert.BertForMaskedLM(config)
    for line in sys.stdin:
        name, options, layers = json.loads(line)
        model.config.num_hidden_layers = layers
        try: answer = {"commit": (info := model.push_to_hub(name, **options)).oid, "pull": info.pr_url}
        except Exception as error: answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
"""


class Writer:
    "A process with a small masked-LM model, which it uploads when it is told to."
    def __init__(self, hub: Hub, home, **variables: str):
        env = clean_environment(HF_HOME=str(home), HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", **variables)
        self.process = subprocess.Popen([sys.executable, "-c", WRITER], env=env, cwd=home, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __call__(self, name: str, layers: int = 1, **options) -> dict:
        "Upload under this name; a model that claims to have other layers than it has can't be saved."
        print(json.dumps([name, {"token": "hf_writer"} | options, layers]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def __enter__(self): return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    "Return one Hub and one writer for all tests: each has a repository of its own."
    with Hub() as hub, Writer(hub, tmp_path_factory.mktemp("home")) as writer: yield hub, writer


@pytest.fixture
def hub(request):
    if "writer" not in request.fixturenames:
        with Hub() as hub: yield hub
        return
    hub, _ = request.getfixturevalue("shared")
    hub.requests.clear(), hub.tokens.clear()
    hub.after = lambda request: None
    yield hub


@pytest.fixture
def writer(shared): return shared[1]


@pytest.fixture
def name(request) -> str: return "writer/" + request.node.name.partition("[")[0].removeprefix("test_")


NEW = {".gitattributes", "README.md", "config.json", "model.safetensors"}


def test_files_go_up_in_one_commit_and_come_back(hub, writer, name):
    answer = writer(name, commit_message="First", commit_description="With more to read.")
    assert hub.files(name).keys() == NEW and answer["commit"] == hub.repositories[name]["branches"]["main"]
    assert hub.repositories[name]["log"] == [{"summary": "First", "description": "With more to read."}]
    assert hub.repositories[name]["private"] is False
    puts = [request for request in hub.requests if request.startswith("PUT ")]
    assert len(puts) == 1 and hub.tokens[puts[0]] is None, "the host of large files gets no token"


def test_the_pickle_if_you_ask_for_it_and_never_two_kinds_of_weights(hub, writer, name):
    for safe, weights in ((True, "model.safetensors"), (False, "pytorch_model.bin"), (True, "model.safetensors")):
        assert "commit" in writer(name, safe_serialization=safe)
        assert hub.files(name).keys() == NEW - {"model.safetensors"} | {weights}
    assert len(hub.repositories[name]["log"]) == 3


def test_what_else_a_repository_has_stays(hub, writer, name):
    theirs = {"README.md": b"My own words.", "vocab.txt": b"a", "model-00001-of-00002.safetensors": b"old", "onnx/model.onnx": b"b"}
    hub.add(name, theirs)
    assert "commit" in writer(name, tags=["poetry"])
    del theirs["model-00001-of-00002.safetensors"]
    assert hub.files(name).items() >= theirs.items() and hub.files(name).keys() == {*theirs, "config.json", "model.safetensors"}
    assert "commit" in writer(name, card="---\nlicense: mit\n---\nNew words.")
    assert hub.files(name)["README.md"] == b"---\nlicense: mit\n---\nNew words."


def test_generated_card_has_the_tags(hub, writer, name):
    writer(name, tags=["poetry"])
    assert "poetry" in ModelCard(hub.files(name)["README.md"].decode()).data.tags


def test_branch_is_made_and_main_stays(hub, writer, name):
    hub.add(name, {"config.json": b"{}"})
    for _ in range(2): assert "commit" in writer(name, revision="draft")
    assert hub.files(name) == {"config.json": b"{}"} and "model.safetensors" in hub.files(name, "draft")


def test_pull_request_for_a_repository_of_others(hub, writer, name):
    name = name.replace("writer/", "stranger/")
    hub.add(name, {"config.json": b"{}", "README.md": b"Theirs."})
    answer = writer(name, create_pr=True)
    assert answer["pull"].startswith(hub.url) and hub.files(name) == {"config.json": b"{}", "README.md": b"Theirs."}
    assert "model.safetensors" in hub.files(name, "refs/pr/1")


@pytest.mark.parametrize("owner", ["writer", "stranger"])
def test_pull_request_against_a_branch(hub, writer, name, owner):
    hub.add(name := f"{owner}/{name.partition('/')[2]}", {"config.json": b"{}"})
    hub.add(name, {"draft.txt": b"x", "pytorch_model.bin": b"old"}, "draft")
    pull = "refs/pr/" + str(len(hub.repositories[name]["log"]) + 1)
    assert writer(name, create_pr=True, revision="draft")["pull"].startswith(hub.url)
    assert hub.files(name) == {"config.json": b"{}"} and hub.files(name, "draft").keys() == {"draft.txt", "pytorch_model.bin"}
    assert hub.files(name, pull).keys() == {"draft.txt", "README.md", "config.json", "model.safetensors"}


def test_pull_request_against_a_branch_that_is_not_there(hub, writer, name):
    hub.add(name, {"config.json": b"{}"})
    assert "pull" in writer(name, create_pr=True, revision="draft") and hub.files(name, "draft") == {"config.json": b"{}"}
    hub.add(theirs := name.replace("writer/", "stranger/"), {"config.json": b"{}"})
    assert "may not write there" in writer(theirs, create_pr=True, revision="draft")["error"]


def test_private_is_heeded_or_refused(hub, writer, name):
    assert "commit" in writer(name, private=True) and hub.repositories[name]["private"] is True
    assert "commit" in writer(name, private=True)
    before = hub.files(name)
    assert "private is False, but" in (error := writer(name, private=False)["error"]) and "Nothing was uploaded" in error
    hub.repositories[name]["private"] = False
    assert f"ValueError: private is True, but {name!r} exists and is public." in writer(name, private=True)["error"]
    assert hub.files(name) is before


@pytest.mark.parametrize("options, message", [
    (dict(token=False), "OSError: To upload, you need an access token of the Hub. Make one with write permission at "
                        "https://huggingface.co/settings/tokens, then run `hf auth login` or pass token=…. Nothing was sent."),
    (dict(token=None), "OSError: To upload, you need an access token"), (dict(token=True), "OSError: To upload, you need an access token"),
    (dict(layers=2), "ValueError: The config and 16 weights don't go together")])
def test_nothing_is_sent_if_it_could_not_succeed(hub, writer, name, options, message):
    assert writer(name, **options)["error"].startswith(message)
    assert hub.requests == []


def test_nothing_is_sent_under_an_impossible_name(hub, writer):
    assert "repo_id is 'a/b/c'; give a name for the Hub" in writer("a/b/c")["error"] and hub.requests == []


@pytest.mark.parametrize("token, owner, message", [
    ("hf_nobody", "writer", "the Hub does not know this access token; run `hf auth login` again"),
    ("hf_reader", "writer", "this access token may not write there"), ("hf_writer", "stranger", "this access token may not write there")])
def test_a_refusal_is_one_sentence_about_the_token(hub, writer, name, token, owner, message):
    name = name.replace("writer/", f"{owner}/{token}")
    error = writer(name, token=token)["error"]
    assert error.startswith(f"OSError: {name!r} was not uploaded: {message}") and "\n" not in error
    assert name not in hub.repositories
    hub.add(name, {"config.json": b"{}"})  # one that is there makes no difference
    error = writer(name, token=token)["error"]
    assert error.startswith(f"OSError: {name!r} was not uploaded: {message}") and hub.files(name) == {"config.json": b"{}"}


class Lost(dict):
    "Lose each large file, so that the commit that names it breaks."
    def __setitem__(self, name, content): pass


def test_a_connection_that_breaks_leaves_no_half_commit(hub, writer, name, monkeypatch):
    hub.add(name, {"config.json": b"{}"})
    monkeypatch.setattr(hub, "uploaded", Lost())
    error = writer(name)["error"]
    assert error.startswith(f"OSError: {name!r} was not uploaded: ") and "empty" not in error
    assert hub.files(name) == {"config.json": b"{}"}


def test_a_repository_that_is_left_empty_is_named(hub, writer, name, monkeypatch):
    monkeypatch.setattr(hub, "uploaded", Lost())
    for given in name.partition("/")[2], name:  # new, then left from before
        assert f"The repository {name!r} is there, but it's empty; try again." in writer(given)["error"]
        assert hub.files(name).keys() == {".gitattributes"}
    monkeypatch.undo()
    assert "commit" in writer(name) and hub.files(name).keys() == NEW


@pytest.mark.parametrize("variables, reason", [
    ({}, "no connection to 127.0.0.1"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set")])
def test_without_a_network_it_says_so_in_a_sentence(tmp_path, variables, reason):
    with Hub() as hub: pass  # nobody listens there any more
    with Writer(hub, tmp_path, **variables) as writer: error = writer("writer/model")["error"]
    assert error.startswith(f"OSError: 'writer/model' was not uploaded: {reason}") and "\n" not in error


# The card

def test_a_card_names_the_task_whose_pipeline_takes_the_model():
    tasks = {pipeline.auto.__name__.removeprefix("AutoModelFor"): name for name, pipeline in PIPELINES.items()}
    assert {task: find_task(f"BertFor{task}") for _, task in HEADS} == {task: tasks.get(task) for _, task in HEADS}
    assert find_task("BertModel") == tasks["AutoModel"] == "feature-extraction"


def test_card_with_everything():
    model = tinybert.BertForSequenceClassification(small().config)
    text = model_card(model, "me/model", language=["en", "de"], license="mit", datasets=["me/reviews", "other/reviews"],
                      results={"accuracy": 0.78125, "f1": 0.5}, about="For *learning*.", tags=["poetry"])
    card = ModelCard(text)
    facts = card.data.to_dict()
    assert facts["language"] == ["en", "de"] and facts["license"] == "mit" and facts["datasets"] == ["me/reviews", "other/reviews"]
    assert facts["pipeline_tag"] == "text-classification" and facts["tags"] == ["tinybert", "poetry"]
    result, = facts["model-index"][0]["results"]
    assert result["dataset"] == {"name": "me/reviews", "type": "me/reviews"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("accuracy", 0.78125), ("f1", 0.5)]
    assert "For *learning*." in card.text and "| accuracy | 0.78125 |" in card.text
    assert 'BertForSequenceClassification.from_pretrained("me/model")' in card.text


def test_card_with_nothing_says_only_what_is_known(tmp_path):
    model = small()
    text = model_card(model, "me/model")
    assert yaml.safe_load(text.split("---")[1]) == {"library_name": "transformers", "pipeline_tag": "feature-extraction", "tags": ["tinybert"]}
    assert "None" not in text and "##" not in text
    model.save_pretrained(tmp_path / "models/mine")
    again = tinybert.BertModel.from_pretrained(tmp_path / "models/mine")
    assert "base_model" not in model_card(again, "me/model"), "a folder is no model on the Hub"


def test_card_names_the_model_it_was_made_from(minilm):
    model = tinybert.BertModel.from_pretrained("sentence-transformers/all-MiniLM-L6-v2")
    assert ModelCard(model_card(model, "me/model")).data.base_model == "sentence-transformers/all-MiniLM-L6-v2"


def test_results_without_a_data_set_are_no_claim_for_the_hub():
    text = model_card(small(), "me/model", results={"accuracy": 0.5})
    assert "model-index" not in text and "| accuracy | 0.5 |" in text


def test_card_of_a_class_of_your_own_shows_no_import_that_fails():
    class Mine(tinybert.BertModel): pass
    assert "import" not in model_card(Mine(small().config), "me/model")
