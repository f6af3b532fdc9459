"""Try what nobody thought of: `make fuzz`, or `python tests/fuzz.py [examples] [seed]`. Prints a line for each fault. A found
case becomes a row of `REGRESSIONS` in test_fuzz.py. The tests run a small share of it."""

import itertools
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinybert
from tinybert import AutoModel, AutoTokenizer, BertConfig, BertModel
from tinybert.sentence_folders import read_pooling

LONGEST, ROOM = 5.0, 200_000  # seconds and kB that a damaged checkpoint may take, the latter besides twice its size
OURS = (OSError, ValueError, TypeError)
SIZES = dict(vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
             max_position_embeddings=40)
TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##c ab . ! ? , é 中".split()
ODD = [None, True, False, 0, -1, 1, 3, 0.5, -0.5, 1e400, float("nan"), 10**9, 10**30, "", "x", "0", "\ud800", "\0", "../x", "/etc", "x" * 5000,
       [], [1], ["a"], [None], [[]], {}, {"a": 1}, {"0": "a"}, {"content": "a"}, {"content": 5}, {"__class__": 1}, [{}], [["a", "b"]]]
NAMES = ["model_type", "to_dict", "__class__", "__dict__", "check", "supported", "architectures", "dtype", "torch_dtype", "num_labels", "id2label",
         "label2id", "problem_type", "quantization_config", "pruned_heads", "tokenizer_class", "model_max_length", "cls_token", "mask_token",
         "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "model_input_names", "padding_side", "do_lower_case",
         "strip_accents", "weight_map", "hidden_act", "layer_norm_eps", "tinybert_saving", "use_cache", "output_attentions", "is_decoder"]


def write(folder: Path) -> None:
    "Write a checkpoint with all files that a damage can be in; each model file may be removed again."
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES))
    for safe in (True, False):
        model.save_pretrained(folder / "x", safe_serialization=safe)
        for path in (folder / "x").iterdir(): shutil.copy(path, folder)
    shutil.rmtree(folder / "x")
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "special_tokens_map.json").write_text('{"cls_token": "[CLS]"}')
    (folder / "added_tokens.json").write_text('{"new": 18}')
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "mean", "word_embedding_dimension": 16}')
    half = {key: f"pytorch_model-0000{n % 2 + 1}-of-00002.bin" for n, key in enumerate(model.state_dict())}
    for name in set(half.values()): torch.save({k: v for k, v in model.state_dict().items() if half[k] == name}, folder / name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": half}))


def spoil_json(draw: random.Random, text: str) -> str:
    "Change one value in a JSON text, at any depth, or put a new key in."
    content = json.loads(text)
    place = content
    for _ in range(draw.randrange(4)):
        inside = [v for v in (place.values() if isinstance(place, dict) else place) if isinstance(v, (dict, list)) and v]
        if not inside: break
        place = draw.choice(inside)
    key = draw.choice([*place, *NAMES] if isinstance(place, dict) else range(len(place)))
    if isinstance(place, dict) and key in place and draw.random() < 0.2: del place[key]
    else: place[key] = draw.choice(ODD)
    return json.dumps(content if draw.random() < 0.97 else draw.choice(ODD))


def spoil(draw: random.Random, path: Path) -> None:
    "Damage a file: its JSON, or bytes of it. In weights, only what describes them: numbers can't be told from others."
    data = path.read_bytes()
    if path.suffix == ".json" and draw.random() < 0.7: return path.write_bytes(spoil_json(draw, data.decode()).encode())
    kind, size = draw.randrange(5), len(data)
    numbers = data.find(b"/data/0") if path.suffix == ".bin" else 8 + int.from_bytes(data[:8], "little")
    reach = numbers if path.suffix in (".bin", ".safetensors") else size
    at = draw.randrange(max(reach, 1))
    if kind == 0: data = data[:draw.randrange(size)]
    elif kind == 1: data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1:]
    elif kind == 2: data = data[:at] + draw.randbytes(draw.randrange(1, 9)) + data[at:]
    elif kind == 3: data = data[:at] + data[at + draw.randrange(1, 30):]
    else: data = draw.choice([b"", b"[" * 100_000, b"\0" * 3000, b"<html>" * 50, b'{"a":' * 50_000, data * 2, b"\xff\xfe", b"PK\x03\x04"])
    path.write_bytes(data)


def load(folder: Path) -> dict:
    "Use everything in a folder."
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    read_pooling(folder)
    ids = tokenizer(["a b", "c"], padding=True, truncation=True, max_length=8, return_tensors="pt")
    if ids["input_ids"].max() < model.config.vocab_size: model(ids["input_ids"])
    return model.state_dict()


def damaged(seed: int, template: Path, root: Path, right: dict) -> str | None:
    "Return what is wrong with how one damaged checkpoint is loaded."
    draw, folder = random.Random(seed), root / "damaged"
    shutil.rmtree(folder, ignore_errors=True), shutil.copytree(template, folder)
    form = draw.choice(["model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"])
    for name in ("model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"):
        if name != form: (folder / name).unlink()
    path = draw.choice(sorted(path for path in folder.rglob("*") if path.is_file() and ("0000" not in path.name or "index" in form)))
    spoil(draw, path)
    size, before, start = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()), resource.getrusage(0).ru_maxrss, time.monotonic()
    try: found = load(folder)
    except OURS as error:
        if str(folder) not in str(error): return f"{path.name}: no file in {type(error).__name__}: {str(error)[:200]}"
        if len(str(error)) > 3000: return f"{path.name}: a message of {len(str(error))} letters"
    except BaseException as error: return f"{path.name}: {type(error).__name__}: {str(error)[:200]}"
    else:
        if path.suffix in (".bin", ".safetensors") and any(not torch.equal(found[key], right[key]) for key in found):
            return f"{path.name}: loaded, but other weights"
    if (seconds := time.monotonic() - start) > LONGEST: return f"{path.name}: {seconds:.1f} s"
    if (grown := resource.getrusage(0).ru_maxrss - before) > ROOM + 2 * size // 1000: return f"{path.name}: {grown:,} kB"
    return None


def damages(count: int, seed: int = 0) -> list[str]:
    "Return the faults of so many damaged checkpoints."
    with tempfile.TemporaryDirectory() as root:
        (template := Path(root) / "template").mkdir()
        write(template)
        right = BertModel.from_pretrained(template).state_dict()
        found = ((n, damaged(n, template, Path(root), right)) for n in range(seed, seed + count))
        return [f"seed {n}, {fault}" for n, fault in found if fault]


def tokenizers(count: int, folder: Path) -> None:
    "Compare ids with those of transformers for texts that Hypothesis draws."
    import transformers
    ours, theirs = AutoTokenizer.from_pretrained(folder), transformers.BertTokenizer.from_pretrained(folder)

    @settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.text(max_size=40), st.none() | st.text(min_size=1, max_size=20), st.booleans(), st.integers(5, 30))
    def compare(text, pair, cut, length):
        options = dict(truncation=True, max_length=length) if cut else {}
        try: found = ours(text, pair, **options)
        except ValueError as error:
            assert "surrogate" in str(error) or "can't be encoded" in str(error)
            return
        expected = theirs(text, pair, **options)
        for name in ("input_ids", "token_type_ids", "attention_mask"): assert found[name] == expected[name], (text, pair, options)
    compare()


def inputs(count: int) -> None:
    "Give a model tensors of any kind: it answers, finitely, or says what's wrong."
    model, kinds = BertModel(BertConfig(**SIZES)).eval(), [torch.int64, torch.int32, torch.float32, torch.float64, torch.float16, torch.bool, torch.complex64]
    names = ["input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"]

    @settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(names), st.tuples(
        st.lists(st.integers(0, 5), max_size=3), st.sampled_from(kinds), st.integers(-2, 70)), max_size=4), st.booleans())
    def call(given, autocast):
        tensors = {name: torch.full([16 if name == "inputs_embeds" and n == 2 else s for n, s in enumerate(shape)], fill).to(kind)
                   for name, (shape, kind, fill) in given.items()}
        try:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast): found = model(**tensors)
        except (TypeError, ValueError) as error: assert any(word in str(error) for word in (*names, "texts are", "padding")), str(error)
        else: assert found.last_hidden_state.isfinite().all()
    call()


def stops() -> list[str]:
    "Return the faults of saves that were stopped at each of their system calls, over whatever can be in a folder."
    found = []
    for how, where in itertools.product(("kill", "error", "interrupt", "stuck"), ("nameless", "named")):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run([sys.executable, Path(__file__).with_name("kill_points.py"), folder, how, where], text=True, capture_output=True)
            found += [f"{how} {where}: {line}" for line in (run.stdout.splitlines() or [run.stderr])[:-1 if run.stdout else None]]
    return found


def main(count: int = 5000, seed: int = 0) -> None:
    warnings.simplefilter("ignore")
    tinybert.checkpoint.logger.setLevel("ERROR")
    faults = damages(3 * count // 5, seed) + (stops() if count >= 5000 else [])
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for job in (lambda: tokenizers(count // 5, Path(folder)), lambda: inputs(count // 5)):
            try: job()
            except Exception as error: faults.append(f"{type(error).__name__}: {error}")
    print(*faults, f"{count:,} examples, {len(faults)} faults", sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__": main(*map(int, sys.argv[1:]))
