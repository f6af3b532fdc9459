"The package: its names, what importing it costs and loads, how its modules hang together, and the section's own code."

import ast
import graphlib
import inspect
import json
import re
import statistics
import sys

import pytest
import torch
from conftest import ROOT, reference, run_python, small

import tinybert

MODULES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tinybert").glob("*.py") if path.stem != "_modidx"}


def imported(tree: ast.AST) -> set[str]:
    "Return what a module imports, anywhere in it: `torch`, `.config`."
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level: names |= {"." + (node.module or name.name) for name in node.names}
        elif isinstance(node, ast.ImportFrom): names.add(node.module.partition(".")[0])
    return names


def test_every_public_name_is_there():
    names = {"AutoConfig", "AutoModel", "AutoTokenizer", "BatchEncoding", "BertConfig", "BertModel", "BertTokenizer"}
    assert names <= set(tinybert.__all__) <= set(dir(tinybert))
    for name in tinybert.__all__: assert getattr(tinybert, name).__name__ == name and getattr(tinybert, name).__doc__


@pytest.mark.parametrize("name, hint", [("AutoModle", r"\. Did you mean 'AutoModel'\?"), ("GPT2Model", "")])
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(name, hint):
    with pytest.raises(AttributeError, match=rf"^module 'tinybert' has no attribute '{name}'{hint}$"): getattr(tinybert, name)
    assert not hasattr(tinybert, name)


def test_python_does_not_repeat_the_suggestion():
    printed = run_python("""if True:
        import sys, tinybert
        sys.stderr = sys.stdout
        try: tinybert.AutoModle
        except AttributeError: sys.excepthook(*sys.exc_info())""")
    assert printed.count("Did you mean") == 1


@pytest.mark.parametrize("name", tinybert.__all__)
def test_every_public_name_has_a_statement_that_can_be_found(name):
    "What `??`, an editor and grep find: a class or def in the source of the module that the name comes from."
    found = getattr(tinybert, name)
    source = inspect.getsource(found)
    assert re.match(rf"(@.+\n)*(class|def) {name}\b", source)
    module = (ROOT / "tinybert" / f"{found.__module__.removeprefix('tinybert.')}.py").read_text(encoding="utf-8")
    assert source in module and len(re.findall(rf"(?m)^(?:class|def) {name}\b", module)) == 1


def test_public_names_are_those_of_transformers():
    import transformers
    elsewhere = {"Checkpoint", "ModelOutput", "embed", "read_pooling", "prepack",
                 "QuestionAnsweringPipeline", "LengthBatchSampler", "evaluate", "model_card",
                 "pack_sequences", "ready_to_serve", "train", "plot_losses", "show_attention", "show_layers", "show_masked",
                 "show_similarity", "show_tokens", "summary"}  # our own; in transformers.utils
    for name in set(tinybert.__all__) - elsewhere: assert hasattr(transformers, name), name


def test_no_public_name_is_a_module():
    "Importing `tinybert.prepack` would make `tinybert.prepack` that module, whatever it was before."
    assert not set(tinybert.__all__) & MODULES.keys()


def test_import_costs_next_to_nothing_on_top_of_torch():
    code = "import torch, time; start = time.perf_counter(); import tinybert; print(time.perf_counter() - start)"
    assert statistics.median(float(run_python(code)) for _ in range(5)) < 0.15


def test_import_loads_nothing_heavy():
    printed = run_python("""if True:
        import json, sys
        import tinybert
        alone = sorted(sys.modules)
        from tinybert import BertConfig
        BertConfig()
        print(json.dumps([alone, sorted(sys.modules)]))""")
    alone, config = map(set, json.loads(printed))
    assert not alone & {"torch", "numpy", "transformers", "huggingface_hub", "tokenizers", "safetensors"}
    assert "torch" in config  # so that the next line means something
    assert not config & {"transformers", "huggingface_hub", "tokenizers", "safetensors", "requests", "httpx", "matplotlib"}


def test_importing_the_package_keeps_everybodys_other_warnings():
    printed = run_python("""if True:
        import warnings
        before = list(warnings.filters)
        import tinybert
        print(len(before), [entry for entry in warnings.filters if entry not in before][0][1].pattern)
        print(warnings.filters[1:] == before)""")
    assert printed.splitlines()[0].endswith(" IProgress not found") and printed.splitlines()[1] == "True"


def test_loading_does_not_wake_torchs_compiler(tmp_path):
    "Random numbers on the meta device import some 800 modules, sympy among them: over a second for weights that nobody wants."
    small().save_pretrained(tmp_path)
    printed = run_python("""if True:
        import sys, tinybert
        tinybert.BertModel.from_pretrained(sys.argv[1])
        print(*sys.modules)""", tmp_path)
    assert not {"sympy", "torch._dynamo", "transformers"} & set(printed.split())


OPTIONAL = {"drawing": {"matplotlib"}, "view": {"matplotlib"},  # only where a picture is drawn: the next test
            "serving": {"openvino"}}  # only by the engine of that name: tests/test_engines.py


def test_modules_import_nothing_that_is_not_theirs():
    allowed = {"torch", "tokenizers", "huggingface_hub", "safetensors", "tqdm", *sys.stdlib_module_names}
    for name, tree in MODULES.items():
        extra = OPTIONAL.get(name, set())
        outside = {found for found in imported(tree) if not found.startswith(".")} - allowed - extra
        assert not outside, f"{name} imports {outside}"


def test_views_are_there_without_matplotlib():
    "Tables and the view of attention are HTML; only `plot_losses` needs the extra, and the static picture is left out."
    printed = run_python("""if True:
        import sys
        sys.modules["matplotlib"] = None  # as if it weren't installed
        import torch
        from tinybert.view import AttentionView, plot_losses
        view = AttentionView(["a", "b"], torch.full((1, 1, 2, 2), 0.5))
        print(view._repr_png_(), "<img" in view._repr_html_(), "Attention weights of 1 layers" in view._repr_html_())
        try: plot_losses([{"step": 1, "loss": 1.0}])
        except ImportError as error: print(error)""")
    assert printed.splitlines() == ["None False True", "plot_losses draws with matplotlib, which isn't installed: pip install matplotlib."]


def test_importing_views_does_not_import_matplotlib():
    assert run_python("import sys, tinybert.view; print('matplotlib' in sys.modules, 'torch' in sys.modules)") == "False True\n"


def test_modules_depend_downwards_only():
    graph = {f".{name}": imported(tree) & {f".{other}" for other in MODULES} for name, tree in MODULES.items() if name != "__init__"}
    assert graph[".model"] >= {".config", ".pretrained", ".unpadding"} and graph[".pretrained"] >= {".checkpoint"}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert not graph[".hub"] and graph[".checkpoint"] == {".hub"} and graph[".saving"] == {".checkpoint"}  # know nothing of BERT


# The section's code, block by block; nothing but the name of the library is changed.

SECTION = [
    '''
from transformers import BertConfig, BertModel

# Building the config
config = BertConfig()

# Building the model from the config
model = BertModel(config)
''', '''
print(config)
''', '''
from transformers import BertConfig, BertModel

config = BertConfig()
model = BertModel(config)

# Model is randomly initialized!
''', '''
from transformers import BertModel

model = BertModel.from_pretrained("bert-base-cased")
''', '''
model.save_pretrained("directory_on_my_computer")
''', '''
sequences = ["Hello!", "Cool.", "Nice!"]
''', '''
encoded_sequences = [
    [101, 7592, 999, 102],
    [101, 4658, 1012, 102],
    [101, 3835, 999, 102],
]
''', '''
import torch

model_inputs = torch.tensor(encoded_sequences)
''', '''
output = model(model_inputs)
''']


def test_the_sections_code_runs(hub, tmp_path):
    bert = reference(vocab_size=28996)  # as many words as bert-base-cased has
    bert.save_pretrained(tmp_path / "files")
    hub.add("bert-base-cased", {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()})
    (tmp_path / "here").mkdir()
    code = "".join(SECTION).replace("from transformers import", "from tinybert import")
    assert "transformers" not in code
    printed = run_python(code + 'torch.save({**output}, "output")', folder=tmp_path / "here",
                         HF_HOME=str(tmp_path / "home"), HF_ENDPOINT=hub.url)
    assert printed.startswith("BertConfig {") and '"hidden_size": 768' in printed
    folder = tmp_path / "here/directory_on_my_computer"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert json.loads((folder / "config.json").read_text())["_name_or_path"] == "bert-base-cased"
    output = torch.load(tmp_path / "here/output")
    ids = torch.tensor([[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]])
    with torch.no_grad(): expected = bert(ids)
    torch.testing.assert_close(output["last_hidden_state"], expected.last_hidden_state, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output["pooler_output"], expected.pooler_output, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "home/hub/models--bert-base-cased/snapshots").is_dir()
