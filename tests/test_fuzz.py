"A small share of what `make fuzz` tries, and the cases that it has found."

import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import SIZES, run_python, same_state, small
from test_checkpoint import listing, shard, write_bert

from tinybert import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, Checkpoint
from tinybert.checkpoint import read_weights
from tinybert.sentence_folders import read_pooling

fuzz = pytest.importorskip("fuzz", reason="needs hypothesis")


def test_damaged_checkpoints():
    faults = fuzz.damages(120, seed=10_000)
    assert not faults, "\n".join(faults)


def test_texts_that_hypothesis_draws(tmp_path):
    fuzz.write(tmp_path)
    fuzz.tokenizers(60, tmp_path)


def test_inputs_that_hypothesis_draws(): fuzz.inputs(100)


def spoiled(folder: Path, file: str, content: object) -> Path:
    "Return a checkpoint with another content in one of its files: text, bytes, or a dict that's merged with what is there."
    fuzz.write(folder)
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json"):
        if name != file: (folder / name).unlink()
    if file.startswith("pytorch"): (folder / "model.safetensors").unlink()
    path = folder / file
    if isinstance(content, dict): content = json.dumps(json.loads(path.read_text()) | content if path.exists() else content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def header(text: str) -> bytes: return len(text).to_bytes(8, "little") + text.encode()


# file → content and what the message says besides the file's name: each was a foreign exception, a wrong result or a long wait
REGRESSIONS = [
    ("config.json", "[" * 100_000, "damaged"), ("config.json", '{"a":' * 100_000, "damaged"), ("config.json", {"layer_norm_eps": None}, "from 0 up"),
    ("config.json", {"layer_norm_eps": -1}, "from 0 up"), ("config.json", {"layer_norm_eps": float("nan")}, "from 0 up"),
    ("config.json", {"layer_norm_eps": True}, "from 0 up"), ("config.json", {"initializer_range": float("inf")}, "from 0 up"),
    ("config.json", {"hidden_act": []}, "a str"), ("config.json", {"hidden_act": "/etc"}, "knows gelu"), ("config.json", {"pad_token_id": "0"}, "whole number"),
    ("config.json", {"pad_token_id": True}, "whole number"), ("config.json", {"use_cache": "yes"}, "True or False"),
    ("config.json", {"num_labels": 10**9}, "no model has more"), ("config.json", {"hidden_size": 10**30}, "no model has more"),
    ("config.json", {"num_hidden_layers": 10**5}, "lacks most of the weights"), ("config.json", {"model_type": []}, "model_type"),
    ("config.json", {"pruned_heads": "x" * 5000}, "only {} is supported"), ("special_tokens_map.json", {"cls_token": "\ud800"}, "surrogates"),
    *(("config.json", {name: 1}, f"'{name}' would hide") for name in ("to_dict", "check", "check_setting", "save_pretrained", "supported",
                                                                      "__class__", "__dict__", "_values", "attribute_map")),
    ("model.safetensors", header("[]"), "no sense"), ("model.safetensors", header('{"a":' + "[" * 10**5), "no sense"),
    ("model.safetensors", (5_000_000).to_bytes(8, "little") + b" " * 5_000_000, "do not begin"),
    ("pytorch_model.bin", b"cos\nsystem\n(S'x'\ntR.", "os.system"), ("pytorch_model.bin", b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
    ("pytorch_model.bin.index.json", {"weight_map": {"a": None}}, "lists None"), ("pytorch_model.bin.index.json", {"weight_map": {"a": []}}, "lists"),
    ("pytorch_model.bin.index.json", {"weight_map": {"a": 1, "b": "x"}}, "lists 1"),
    ("pytorch_model.bin.index.json", {"weight_map": {"a": "../x.bin"}}, "in its folder"),
    ("pytorch_model.bin.index.json", {"weight_map": {"a": "/etc/passwd"}}, "in its folder"),
    ("pytorch_model.bin.index.json", {"weight_map": {"a": "x" * 5000}}, "in its folder"),
    ("pytorch_model.bin.index.json", {"weight_map": {"a": "b\0c"}}, "in its folder"),
    ("tokenizer_config.json", {"tokenizer_class": 5}, "a str"), ("tokenizer_config.json", {"cls_token": {}}, "with its content"),
    ("tokenizer_config.json", {"cls_token": 5}, "with its content"), ("tokenizer_config.json", {"model_max_length": "x"}, "whole number"),
    ("tokenizer_config.json", {"model_max_length": 512.0}, "whole number"), ("tokenizer_config.json", {"model_input_names": []}, "a list of names"),
    ("tokenizer_config.json", {"model_input_names": 5}, "a list of names"), ("tokenizer_config.json", {"padding_side": "up"}, "'left' or 'right'"),
    ("tokenizer_config.json", {"do_lower_case": "no"}, "true or false"), ("tokenizer_config.json", {"added_tokens_decoder": {"x": "a"}}, "from ids"),
    ("tokenizer_config.json", {"additional_special_tokens": 3}, "a list of tokens"), ("special_tokens_map.json", {"sep_token": []}, "with its content"),
    ("added_tokens.json", {"new": "18"}, "whole number"), ("tokenizer.json", "{}", "tokenizer"), ("tokenizer.json", '{"model":{"x":', "damaged"),
    ("modules.json", "[1]", "list of modules"), ("modules.json", '[{"type": "x"}]', "list of modules"),
]


@pytest.mark.parametrize("file, content, words", REGRESSIONS, ids=[f"{n} {row[0]}" for n, row in enumerate(REGRESSIONS)])
def test_a_case_that_was_found(tmp_path, file, content, words):
    folder, start = spoiled(tmp_path / "x", file, content), time.monotonic()
    with pytest.raises((OSError, ValueError)) as error: fuzz.load(folder)
    message = str(error.value)
    assert str(folder) in message and words in message and len(message) < 2000 and time.monotonic() - start < fuzz.LONGEST
    assert file in message or words.startswith("lacks"), message


def test_a_long_token_is_cut(tmp_path):
    folder = spoiled(tmp_path / "x", "special_tokens_map.json", {"cls_token": "x" * 5000})
    with pytest.raises(ValueError, match=r"The vocabulary has no x{80}\. ") as error: fuzz.load(folder)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize("file, content", [
    *(("1_Pooling/config.json", {"pooling_mode": value}) for value in (5, True, [["mean"]], {"a": 1}, ["mean", "cls"])),
    *(("sentence_bert_config.json", {"model_args": value}) for value in (5, ["x"])),
    *(("config_sentence_transformers.json", settings) for settings in ({"prompts": 5}, {"prompts": ["x"]}, {"default_prompt_name": ["x"]},
                                                                       {"prompts": {"x": 5}, "default_prompt_name": "x"}))])
def test_odd_settings_of_sentence_folders(tmp_path, file, content):
    folder = spoiled(tmp_path / "x", file, content)
    with pytest.raises(ValueError) as error: read_pooling(folder)
    assert str(folder) in str(error.value) and [*content][0].removeprefix("default_").split("_")[0].rstrip("s") in str(error.value)


def test_modules_stay_in_their_folder(tmp_path):
    rows = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in (("Transformer", ""), ("Pooling", "../other"))]
    with pytest.raises(OSError, match="modules.json lists '../other'"): read_pooling(spoiled(tmp_path / "x", "modules.json", json.dumps(rows)))


def packed(path: Path) -> None:
    "Write a .bin file anew, with its entries deflated."
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(f"{path}2", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist(): new.writestr(name, old.read(name))
    os.replace(f"{path}2", path)


def test_a_packed_file_is_read_and_not_mapped(tmp_path):
    model = small(vocab_size=2000)
    model.save_pretrained(tmp_path)
    packed(tmp_path / "pytorch_model.bin")
    same_state(BertModel.from_pretrained(tmp_path), model)


@pytest.mark.parametrize("change", [-8, -4, 4, 16, 169])
def test_a_tensor_that_seems_to_begin_elsewhere_is_noticed(tmp_path, change):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.randn(50), "b": torch.randn(50)}, path)
    state, content = torch.load(path), bytearray(path.read_bytes())
    assert all(torch.equal(weight, state[name]) for name, weight in read_weights(path).items())
    with zipfile.ZipFile(path) as archive: start = archive.getinfo("pytorch_model/data/0").header_offset
    content[start + 28] += change  # how long what comes before the numbers is
    path.write_bytes(content)
    with pytest.raises(OSError, match="data/0 isn't where its directory says"): read_weights(path)


def test_a_bomb_is_refused(tmp_path):
    write_bert(tmp_path, {"pooler.dense.bias": torch.zeros(10_000_000)}, safe=False)
    packed(tmp_path / "pytorch_model.bin")
    assert (tmp_path / "pytorch_model.bin").stat().st_size < 100_000
    with pytest.raises(OSError, match="pytorch_model.bin cannot be read .*unpacked, it would have 40,0"): BertModel.from_pretrained(tmp_path)


OLD_FORMAT = """if True:
    import resource, struct, sys, torch
    from pathlib import Path
    from tinybert.checkpoint import read_weights
    path, claimed = Path(sys.argv[1], "pytorch_model.bin"), int(sys.argv[2])
    torch.save({"pooler.dense.bias": torch.ones(7777)}, path, _use_new_zipfile_serialization=False)
    assert read_weights(path)["pooler.dense.bias"].sum() == 7777
    content = path.read_bytes()
    for old, new in ((b"M" + struct.pack("<H", 7777), bytes([0x8a, 8]) + struct.pack("<q", claimed)),  # in the pickle
                     (struct.pack("<q", 7777), struct.pack("<q", claimed))):  # before the numbers
        assert old in content
        content = content.replace(old, new)
    path.write_bytes(content)
    before = resource.getrusage(0).ru_maxrss
    try: read_weights(path)
    except OSError as error: print(resource.getrusage(0).ru_maxrss - before, error)"""


@pytest.mark.parametrize("claimed", [500_000_000, 10**12])
def test_a_file_of_the_old_format_cannot_claim_more_than_it_holds(tmp_path, claimed):
    grown, message = run_python(OLD_FORMAT, tmp_path, str(claimed)).split(" ", 1)
    assert "pytorch_model.bin cannot be read (31," in message and int(grown) < 50_000  # kB


def test_a_view_of_one_number_is_no_weight(tmp_path):
    sizes = dict(vocab_size=9_000_000)
    state = dict(small().state_dict()) | {"embeddings.word_embeddings.weight": torch.zeros(1, dtype=torch.float16).expand(9_000_000, 24)}
    write_bert(tmp_path, state, safe=False, **sizes)
    with pytest.raises(ValueError, match="by their shapes, its weights have 43.,...,... bytes, but the file holds only"): BertModel.from_pretrained(tmp_path)


def test_many_labels_cost_nothing_until_somebody_asks(tmp_path):
    write_bert(tmp_path, small().state_dict(), num_labels=3_000_000)
    config = BertModel.from_pretrained(tmp_path).config
    assert config.num_labels == 3_000_000 and "id2label" not in vars(config)
    small_config = BertConfig(num_labels=3)
    assert small_config == BertConfig(id2label={0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}) and small_config.label2id["LABEL_2"] == 2
    assert json.loads(small_config.to_json_string())["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}


@pytest.mark.parametrize("own", [{"num_attention_heads": 5}, {"hidden_act": "sine"}, {"config": BertConfig(**SIZES, hidden_act="sine")}], ids=str)
def test_a_setting_of_the_callers_own_is_not_blamed_on_the_file(tmp_path, own):
    small().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_attention_heads is 5|hidden_act is 'sine'") as found: BertModel.from_pretrained(tmp_path, **own)
    assert "config.json" not in str(found.value)


def test_two_forms_with_other_weights_are_told(tmp_path, caplog):
    for seed in (1, 2):
        write_bert(tmp_path, small(1).state_dict(), safe=True)
        write_bert(tmp_path, small(seed).state_dict(), safe=False)
        caplog.clear()
        same_state(BertModel.from_pretrained(tmp_path), small(1))
        assert len(caplog.records) == seed - 1
    assert "pytorch_model.bin has other weights than the file that is loaded, which is model.safetensors" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_rounding_makes_no_other_weights_but_a_small_step_does(tmp_path, caplog, dtype):
    def save(step):
        write_bert(tmp_path, {key: value.to(dtype) for key, value in small(1).state_dict().items()}, safe=True)
        write_bert(tmp_path, {key: value + step for key, value in small(1).state_dict().items()}, safe=False)
        BertModel.from_pretrained(tmp_path)
        return len(caplog.records)
    assert save(step=0) == 0 and save(step=2e-5) == 1


def test_a_tensor_in_two_shards_is_told_and_the_index_decides(tmp_path, caplog):
    index = shard(write_bert(tmp_path), small().state_dict())["weight_map"]
    first, second = sorted(set(index.values()))[:2]
    key = next(key for key in index if index[key] == first)
    torch.save(torch.load(tmp_path / second) | {key: torch.zeros_like(small().state_dict()[key])}, tmp_path / second)
    same_state(BertModel.from_pretrained(tmp_path), small())
    assert len(caplog.records) == 1 and f"more than one shard has {key}" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.complex64, torch.bool], ids=str)
@pytest.mark.parametrize("autocast", [False, True])
def test_embeddings_of_another_type_are_refused(dtype, autocast):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), pytest.raises(TypeError, match=r"inputs_embeds has the dtype .*\.to\(torch.float32\)"):
        small()(inputs_embeds=torch.ones(1, 3, 24).to(dtype))


def test_a_library_that_panics_is_our_error(tmp_path, monkeypatch):
    fuzz.write(tmp_path)

    class Panic(BaseException): "As Rust's come to Python."
    def panic(*given): raise Panic("index out of bounds")
    monkeypatch.setattr("tinybert.vocabulary.Tokenizer.from_file", panic, raising=False)
    monkeypatch.setattr("tinybert.vocabulary.Tokenizer", type("T", (), {"from_file": staticmethod(panic)}))
    with pytest.raises(OSError, match="tokenizer.json is damaged.*index out of bounds"): AutoTokenizer.from_pretrained(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr("tinybert.pretrained.read_state", panic)
    with pytest.raises(OSError, match="can't be loaded: Panic"): AutoModel.from_pretrained(tmp_path)
