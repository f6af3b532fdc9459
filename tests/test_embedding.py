"Embedding: the vectors of sentence-transformers, in order, from any iterable, within bounded memory; errors name the text."

import inspect
import io
import itertools
import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pandas
import pytest
import torch
import torch.nn.functional as F
from conftest import FAMILY_SIZES, ROOT, clean_environment, randomise, run_python, small, their_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import normalizers
from torch.testing import assert_close
from transformers import PreTrainedTokenizerFast

import tinybert.embedding
from tinybert import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM, Checkpoint, embed, read_pooling
from tinybert.embedding import POOLINGS, pool, token_batches
from tinybert.heads import ENCODERS, FAMILIES

TEXTS = ["", "hello", "hello world!", " \n", "the nice café , cool ?", "世界", "a b c 1 2 3 un##able", "😀 👩‍👩‍👧", "x" * 300,
         *(" ".join(["nice", "cool", "a", "B"][:1 + number % 4] * number) for number in range(1, 6))]


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    "Return the folder of a small BERT and its tokenizer, both with a limit of 20 tokens."
    folder = tmp_path_factory.mktemp("small")
    for name, data in files.items(): (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def model(folder): return AutoModel.from_pretrained(folder)


@pytest.fixture
def tokenizer(folder): return AutoTokenizer.from_pretrained(folder)


def alone(model, tokenizer, texts: list[str], pooling: str = "mean", **options) -> torch.Tensor:
    "Return the vectors of texts that go through the model one at a time, without a mask, padding or a batch: the reference."
    take = {"mean": lambda vectors: vectors.mean(0), "cls": lambda vectors: vectors[0], "max": lambda vectors: vectors.amax(0)}[pooling]
    with torch.no_grad():
        inputs = [tokenizer([text], truncation=True, **options) for text in texts]
        return torch.stack([take(model(torch.tensor(rows["input_ids"])).last_hidden_state[0]) for rows in inputs])


def close(a, b): assert_close(a, b, rtol=1e-5, atol=1e-5)


# The vectors

def test_the_genuine_checkpoint_gives_the_vectors_of_sentence_transformers(minilm):
    words = "the bridge broke because it was too old and nobody had looked at its foundations for many years".split()
    texts = [*TEXTS, *(" ".join((words * 40)[:count]) for count in (1, 2, 7, 30, 100, 252, 254, 255, 300, 600)), "Ünïcödé ß 今天天气很好 मन مَرْحَبًا"]
    theirs, options = SentenceTransformer(str(minilm), device="cpu").encode(texts, convert_to_tensor=True), read_pooling(minilm)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    ours = embed(AutoModel.from_pretrained(minilm), tokenizer, texts, **options)
    half = embed(AutoModel.from_pretrained(minilm, dtype=torch.bfloat16), tokenizer, texts, **options)
    assert options == {"pooling": "mean", "normalize": True, "max_length": 256}
    assert ours.dtype == half.dtype == torch.float32 and ours.shape == half.shape == (len(texts), 384)
    close(ours, theirs)
    assert F.cosine_similarity(ours, theirs).min() > 0.99999
    assert F.cosine_similarity(ours, half).min() >= 0.9995


MASKS = {"right": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]], "left": [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
         "both": [[0, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 0]]}


@pytest.mark.parametrize("mask", ["right", "left", "both"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pooling_is_that_of_sentence_transformers(pooling, mask, dtype):
    vectors, mask = torch.randn(3, 4, 8).to(dtype), torch.tensor(MASKS[mask])
    theirs = Pooling(8, pooling_mode=pooling)({"token_embeddings": vectors.float(), "attention_mask": mask})["sentence_embedding"]
    for given in (mask, mask.bool()):
        ours = pool(vectors, given, pooling)
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_all_families(tokenizer, model_type, pooling):
    "Against one text at a time. The tokenizer is BERT's: any ids will do."
    config = FAMILIES[model_type].config_class(**FAMILY_SIZES[model_type] | {"vocab_size": len(tokenizer)})
    model, tokenizer.model_input_names = randomise(ENCODERS[model_type](config), 0, 0.1).eval(), ["input_ids", "attention_mask"]
    found = embed(model, tokenizer, TEXTS, pooling=pooling, normalize=False, batch_tokens=60)
    close(found, alone(model, tokenizer, TEXTS, pooling))


def test_normalised_or_not(model, tokenizer):
    raw = embed(model, tokenizer, TEXTS, normalize=False)
    assert (raw.norm(dim=1) - 1).abs().min() > 0.01
    close(embed(model, tokenizer, TEXTS), raw / raw.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("batch_tokens", [1, 19, 50, 10**12])
@pytest.mark.parametrize("window", [1, 3, 4096])
def test_batches_and_windows_do_not_show(model, tokenizer, monkeypatch, window, batch_tokens):
    monkeypatch.setattr(tinybert.embedding, "WINDOW", window)
    expected = alone(model, tokenizer, TEXTS)
    for texts in (TEXTS, tuple(TEXTS), (text for text in TEXTS), dict.fromkeys(TEXTS)):
        close(embed(model, tokenizer, texts, batch_tokens=batch_tokens, normalize=False), expected)


@pytest.mark.parametrize("kind", [
    tuple, np.array, lambda texts: np.array(texts, dtype=object), pandas.Series, pandas.Index, iter,
    lambda texts: pandas.Series(texts, index=range(len(texts), 0, -1), dtype="category"),
    lambda texts: datasets.Dataset.from_dict({"text": texts})["text"]])
def test_any_column_of_texts(model, tokenizer, kind):
    close(embed(model, tokenizer, kind(TEXTS)), embed(model, tokenizer, TEXTS))


def test_a_missing_value_in_a_column_is_named(model, tokenizer):
    with pytest.raises(TypeError, match="The text at index 1 is nan; expected a str"):
        embed(model, tokenizer, pandas.Series(["a", None, "b"]))


@pytest.mark.parametrize("prompt, include_prompt", [("", True), ("nice: ", True), ("nice: ", False), ("", False), ("A " * 40, False)])
def test_options_mean_what_they_mean_in_sentence_transformers(folder, model, tokenizer, prompt, include_prompt):
    theirs = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(24)], device="cpu")
    for pooling, truncate_dim, normalize in itertools.product(POOLINGS, [None, 10], [True, False]):
        theirs[1].pooling_mode, theirs[1].include_prompt = pooling, include_prompt
        options = dict(prompt=prompt, truncate_dim=truncate_dim)
        expected = theirs.encode(TEXTS, **options, normalize_embeddings=normalize, convert_to_tensor=True)
        options |= dict(pooling=pooling, normalize=normalize, include_prompt=include_prompt)
        close(embed(model, tokenizer, TEXTS, **options), expected)


def test_threads_share_a_tokenizer(model, tokenizer):
    lengths = [5, None, 12, 7] * 8
    expected = {length: embed(model, tokenizer, TEXTS, max_length=length) for length in set(lengths)}
    with ThreadPoolExecutor(8) as threads:
        for length, found in zip(lengths, threads.map(lambda length: embed(model, tokenizer, TEXTS, max_length=length), lengths)):
            close(found, expected[length])


def test_without_packing_it_is_the_same(model, tokenizer):
    expected, model.unpad = embed(model, tokenizer, TEXTS), False
    close(embed(model, tokenizer, TEXTS), expected)


def test_sides_of_the_tokenizer(model, tokenizer):
    expected = embed(model, tokenizer, TEXTS, max_length=6)
    tokenizer.padding_side = "left"
    close(embed(model, tokenizer, TEXTS, max_length=6), expected)
    tokenizer.truncation_side = "left"
    close(embed(model, tokenizer, TEXTS, max_length=6, normalize=False), alone(model, tokenizer, TEXTS, max_length=6))
    assert (embed(model, tokenizer, TEXTS, max_length=6) - expected).abs().max() > 0.01


def test_no_texts(model, tokenizer):
    for texts in ([], iter(())):
        vectors = embed(model, tokenizer, texts)
        assert vectors.shape == (0, 24) and vectors.dtype == torch.float32


def test_the_vectors_can_be_used_for_training_and_changed(model, tokenizer):
    graphs = []
    model.register_forward_hook(lambda module, given, output: graphs.append(output.last_hidden_state.requires_grad))
    vectors = embed(model, tokenizer, TEXTS)
    assert graphs == [False]
    assert not vectors.requires_grad and not vectors.is_inference() and vectors.is_contiguous() and torch.is_grad_enabled()
    probe = torch.nn.Linear(24, 2)
    probe(vectors.clone().requires_grad_()).sum().backward()
    close(probe.weight.grad, vectors.sum(0).expand(2, 24))
    file = io.BytesIO()
    torch.save(vectors, file)
    file.seek(0)
    assert torch.equal(torch.load(file), vectors)
    vectors.mul_(0)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_another_default_type(model, tokenizer, default):
    expected = embed(model, tokenizer, TEXTS)
    torch.set_default_dtype(default)
    try: found = embed(model, tokenizer, TEXTS), embed(model, tokenizer, [])
    finally: torch.set_default_dtype(torch.float32)
    close(found[0], expected)
    assert found[1].dtype == torch.float32


@pytest.mark.parametrize("pooling", POOLINGS)
def test_in_contexts(model, tokenizer, pooling):
    expected = embed(model, tokenizer, TEXTS, pooling=pooling)
    with torch.inference_mode(): close(embed(model, tokenizer, TEXTS, pooling=pooling), expected)
    with torch.autocast("cpu", torch.bfloat16): found = embed(model, tokenizer, TEXTS, pooling=pooling)
    assert found.dtype == torch.float32 and F.cosine_similarity(found, expected).min() > 0.99


def test_a_compiled_model(model, tokenizer):
    close(embed(torch.compile(model, backend="eager"), tokenizer, TEXTS[:3]), embed(model, tokenizer, TEXTS[:3]))


# Batches

@pytest.mark.parametrize("seed", range(20))
def test_batches_hold_each_text_once_and_as_many_as_they_may(seed):
    draw = random.Random(seed)
    lengths = [max(1, int(draw.paretovariate(0.7))) % 500 + 1 for _ in range(draw.choice([1, 10, 300]))]
    limit = draw.choice([1, 30, 512, 4000])
    batches = list(token_batches(lengths, limit))
    order = [number for batch in batches for number in batch]
    assert sorted(order) == list(range(len(lengths))) and [lengths[number] for number in order] == sorted(lengths, reverse=True)
    fits = lambda batch: sum(lengths[number] for number in batch) <= limit and len(batch) * lengths[batch[0]] <= 2 * limit
    for batch, following in zip(batches, [*batches[1:], None]):
        assert len(batch) == 1 or fits(batch)
        assert following is None or not fits([*batch, following[0]])


def test_no_texts_no_batches(): assert list(token_batches([], 10)) == []


def test_a_long_text_among_many_short_ones_makes_no_huge_rectangle(model, tokenizer, monkeypatch):
    sizes, forward = [], type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, input_ids, **inputs: (sizes.append(input_ids.numel()), forward(self, input_ids, **inputs))[1])
    embed(model, tokenizer, ["a " * 18] + ["a"] * 500, batch_tokens=200)
    assert sum(sizes) >= 1520 and max(sizes) <= 400


# Any number of texts

def test_a_generator_is_read_a_window_at_a_time(model, tokenizer, monkeypatch):
    read, seen, encode_texts = [], [], tinybert.embedding.encode_texts
    monkeypatch.setattr(tinybert.embedding, "WINDOW", 4)
    monkeypatch.setattr(tinybert.embedding, "encode_texts", lambda *arguments: (seen.append(len(read)), encode_texts(*arguments))[1])
    def texts():
        for number in range(10):
            assert torch.is_grad_enabled()  # this code is the caller's
            read.append(number)
            yield "a " * (number % 3)
    assert embed(model, tokenizer, texts()).shape == (10, 24) and seen == [4, 8, 10]


PEAK = r"""if True:
    import re, sys
    from tinybert import AutoTokenizer, BertConfig, BertModel, embed
    class Text(str): "A text that is heavy to keep, but not to read."
    def texts(count):
        for number in range(count):
            text = Text(f"{'a ' * (number % 4)}b")
            text.ballast = bytes(1000)
            yield text
    model = BertModel(BertConfig(vocab_size=60, hidden_size=256, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
                                 max_position_embeddings=20)).eval()
    del model.encoder.layer[0]  # for speed
    tokenizer, count = AutoTokenizer.from_pretrained(sys.argv[1]), int(sys.argv[2])
    assert embed(model, tokenizer, texts(count), progress=False).shape == (count, 256)
    print(re.search(r"VmHWM:\s*(\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; resource.getrusage gives a new process the peak of its parent")
def test_memory_grows_by_the_vectors_alone(folder):
    "Texts, ids or vectors of tokens that were kept, or vectors that were there twice, would need more."
    few, many = (1024 * int(run_python(PEAK, folder, count, OMP_NUM_THREADS="1")) for count in (10_000, 100_000))
    output = 90_000 * 256 * 4
    assert 0.8 * output < many - few < 1.25 * output, f"{(many - few) / output:.2f} times the growth of the output"


def test_cut_texts_are_counted_in_one_line(model, tokenizer, monkeypatch, caplog):
    monkeypatch.setattr(tinybert.embedding, "WINDOW", 2)
    embed(model, tokenizer, ["a"] * 5)
    assert caplog.messages == []
    embed(model, tokenizer, ["a", "a " * 30, "a a", "a " * 50, "a a a"])
    embed(model, tokenizer, ["a " * 30, "a"], max_length=7)
    assert caplog.messages == ["embed: 2 of 5 texts fill all 20 tokens; what is longer was cut.",
                               "embed: 1 of 2 texts fill all 7 tokens; what is longer was cut."]


# Progress

@pytest.fixture
def clock(monkeypatch):
    "Let each look at the clock take two seconds."
    times = iter(range(0, 10**6, 2))
    monkeypatch.setattr("tqdm.std.time", lambda: next(times))


def test_short_work_shows_nothing(model, tokenizer, capsys):
    embed(model, tokenizer, TEXTS)
    assert capsys.readouterr() == ("", "")


def test_long_work_shows_a_progress_bar(model, tokenizer, clock, capsys):
    embed(model, tokenizer, ["a"] * 1200, batch_tokens=900)
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("\n") and err.count("\n") == 1
    assert "embed:  75%" in err and "900/1200" in err and "1200/1200" in err


def test_a_generator_has_no_total(model, tokenizer, clock, capsys):
    embed(model, tokenizer, (text for text in ["a"] * 12), batch_tokens=9)
    assert "embed: 12 texts [" in capsys.readouterr().err


def test_the_bar_ends_before_an_error(model, tokenizer, clock, capsys):
    with pytest.raises(TypeError): embed(model, tokenizer, (text for text in ["a"] * 4096 + [None]), batch_tokens=400)
    assert capsys.readouterr().err.endswith("\n")


def test_progress_can_be_switched_off(model, tokenizer, clock, capsys):
    embed(model, tokenizer, ["a"] * 12, batch_tokens=9, progress=False)
    assert capsys.readouterr() == ("", "")


# What goes wrong at a text

@pytest.fixture
def windows(monkeypatch): monkeypatch.setattr(tinybert.embedding, "WINDOW", 4)


@pytest.mark.parametrize("wrong", [None, 7, b"a", ("a", "b"), ["a"]])
def test_what_is_no_text_is_named_by_its_index(model, tokenizer, windows, wrong):
    with pytest.raises(TypeError) as error: embed(model, tokenizer, iter(["a"] * 6 + [wrong] + ["a"] * 6))
    assert str(error.value) == f"The text at index 6 is {wrong!r}; expected a str."


def test_half_a_character_is_named_by_its_text(model, tokenizer, windows):
    with pytest.raises(ValueError) as error: embed(model, tokenizer, ["a"] * 5 + ["half of \ud83d"] + ["a"] * 3)
    assert str(error.value).startswith("embed stopped at the text at index 5, 'half of \\ud83d': The text has half of a surrogate pair")
    assert str(error.value).count("embed stopped") == 1


class Stop(KeyboardInterrupt): pass


def failing(model, monkeypatch, error):
    "Let the model fail in the second window: its batches are texts 5 (longest), 4 and 6 together, and 7. Return the texts."
    forward = type(model).forward
    def fail(self, input_ids, **inputs):
        if len(input_ids) == 2 and input_ids.shape[1] == 6: raise error
        return forward(self, input_ids, **inputs)
    monkeypatch.setattr(type(model), "forward", fail)
    return ["a"] * 4 + ["b a b c", "1 2 3 1 2 3 1", "a a a a", "c"]


@pytest.mark.parametrize("error, kind", [
    (RuntimeError("no room"), RuntimeError), (NotImplementedError("no room"), RuntimeError), (ValueError("no room"), ValueError),
    (torch.OutOfMemoryError("no room"), torch.OutOfMemoryError)], ids=repr)
def test_an_error_in_the_model_names_the_text(model, tokenizer, windows, monkeypatch, error, kind):
    texts = failing(model, monkeypatch, error)
    with pytest.raises(kind) as caught: embed(model, tokenizer, texts, batch_tokens=13)
    assert str(caught.value) == "embed stopped at the text at index 4, 'b a b c', or another of the 2 in its batch: no room"
    assert type(caught.value) is kind and caught.value.__cause__ is error and error.args == ("no room",)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stop("now"), KeyError("x")], ids=repr)
def test_an_interruption_passes_untouched(model, tokenizer, windows, monkeypatch, error):
    texts, arguments = failing(model, monkeypatch, error), error.args
    with pytest.raises(type(error)) as caught: embed(model, tokenizer, texts, batch_tokens=13)
    assert caught.value is error and error.args == arguments and error.__cause__ is None


def test_an_error_of_the_generator_is_the_callers(model, tokenizer):
    def texts():
        yield "a"
        raise OSError(5, "unreadable")
    with pytest.raises(OSError) as error: embed(model, tokenizer, texts())
    assert error.value.args == (5, "unreadable")


# What cannot work

@pytest.mark.parametrize("options, message", [
    (dict(pooling="first"), "pooling is 'first'; expected one of 'mean', 'cls', 'max'."),
    (dict(pooling=None), "pooling is None; expected one of 'mean', 'cls', 'max'."),
    (dict(normalize="after"), "normalize is 'after'; expected one of True, False, 'before_truncation'."),
    *[(dict(truncate_dim=value), f"truncate_dim is {value!r}; it must be a whole number from 1 to 24, the model's width.")
      for value in (0, -1, 25, 2.0, True, "8")],
    *[(dict(batch_tokens=value), f"batch_tokens is {value!r}; it must be a whole number from 1 up.") for value in (0, -1, 2.0, True, "8")],
    *[(dict(max_length=value), f"max_length is {value!r}; it must be a whole number from 3 (one token and the special ones) to 20, the model's limit.")
      for value in (21, 2, 0, -1, 6.0, True, "6")],
])
def test_options_that_are_none(model, tokenizer, options, message):
    with pytest.raises(ValueError) as error: embed(model, tokenizer, TEXTS, **options)
    assert str(error.value) == message


def test_one_text_is_not_taken_for_its_letters(model, tokenizer):
    with pytest.raises(TypeError, match=r"texts is one str, .* put it in brackets, \[text\]"): embed(model, tokenizer, "hello")


@pytest.mark.parametrize("texts", [pandas.DataFrame({"text": ["a"]}), np.array([["a"]]), np.array("a"), torch.zeros(2, 2)])
def test_a_table_is_not_taken_for_a_column(model, tokenizer, texts):
    with pytest.raises(TypeError, match=rf"texts is a {type(texts).__name__} with \d dimensions; give one column of it"):
        embed(model, tokenizer, texts)


@pytest.mark.parametrize("prompt", [None, 3, ["a"]])
def test_a_prompt_that_is_no_text(model, tokenizer, prompt):
    with pytest.raises(TypeError, match=r"prompt is .*; expected a str\."): embed(model, tokenizer, TEXTS, prompt=prompt)


def test_training_mode(model, tokenizer):
    with pytest.raises(ValueError, match=r"The model is in training mode.* Call model.eval\(\) first"): embed(model.train(), tokenizer, TEXTS)


def test_a_head(tokenizer):
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **{name: small().config.to_dict()[name] for name in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")})).eval()
    with pytest.raises(TypeError, match="BertForMaskedLM has a head and gives no vectors: embed takes model.encoder"): embed(model, tokenizer, TEXTS)
    assert embed(model.encoder, tokenizer, TEXTS).shape == (len(TEXTS), 24)


def test_the_limit_is_that_of_model_and_tokenizer(model, tokenizer):
    "Unless max_length is given: then the tokenizer's is only a default."
    for limit, expected in ((8, 8), (None, 20), (30, 20)):
        tokenizer.model_max_length = limit
        close(embed(model, tokenizer, TEXTS, normalize=False), alone(model, tokenizer, TEXTS, max_length=expected))
        close(embed(model, tokenizer, TEXTS, normalize=False, max_length=10), alone(model, tokenizer, TEXTS, max_length=10))


def test_the_limit_of_a_family_that_begins_at_a_later_row(tokenizer):
    config = FAMILIES["roberta"].config_class(**FAMILY_SIZES["roberta"] | {"vocab_size": len(tokenizer), "max_position_embeddings": 14})
    model, tokenizer.model_input_names = ENCODERS["roberta"](config).eval(), ["input_ids", "attention_mask"]
    assert embed(model, tokenizer, ["a " * 30], max_length=12).shape == (1, 16)
    with pytest.raises(ValueError, match="max_length is 13; .* to 12, "): embed(model, tokenizer, ["a"], max_length=13)


# What a checkpoint says about itself

TYPE = "sentence_transformers.models."
OLD = {"word_embedding_dimension": 24, **{f"pooling_mode_{name}": False for name in (
    "cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")}}


def describe(pooling: dict, *more: str, text: dict | None = None, general: dict | None = None) -> dict[str, bytes]:
    "Return the files that sentence-transformers would put beside a model."
    names, paths = ["Transformer", "Pooling", *more], ["", "1_Pooling", *(f"{number}_{name}" for number, name in enumerate(more, 2))]
    contents = {"modules.json": [{"idx": number, "name": str(number), "path": path, "type": TYPE + name}
                                 for number, (name, path) in enumerate(zip(names, paths))],
                "1_Pooling/config.json": pooling, "sentence_bert_config.json": text, "config_sentence_transformers.json": general}
    return {name: json.dumps(content).encode() for name, content in contents.items() if content is not None}


@pytest.fixture
def checkpoint(tmp_path, files):
    "Return what writes a checkpoint with such files."
    def write(described: dict[str, bytes]):
        for name, data in (files | described).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return tmp_path
    return write


@pytest.mark.parametrize("pooling, key", [("mean", "mean_tokens"), ("cls", "cls_token"), ("max", "max_tokens")])
@pytest.mark.parametrize("form", ["old keys", "new key", "list"])
def test_a_checkpoint_is_read_as_sentence_transformers_reads_it(checkpoint, pooling, key, form):
    "Its vectors are the judge, with and without normalisation, and with a length of its own."
    settings = {"old keys": OLD | {f"pooling_mode_{key}": True}, "new key": {"word_embedding_dimension": 24, "pooling_mode": pooling},
                "list": {"word_embedding_dimension": 24, "pooling_mode": [pooling]}}[form]
    for more, text in (((), None), (("Normalize",), {"max_seq_length": 9, "do_lower_case": False})):
        folder = checkpoint(describe(settings, *more, text=text, general={"prompts": {"query": "q: "}, "default_prompt_name": None}))
        options = read_pooling(folder)
        assert options == {"pooling": pooling, "normalize": bool(more)} | ({"max_length": 9} if text else {})
        theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, convert_to_tensor=True)
        close(embed(AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), TEXTS, **options), theirs)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("truncate_dim", [None, 10])
def test_folders_that_sentence_transformers_saved(folder, tmp_path, pooling, include_prompt, truncate_dim):
    modules = [Transformer(str(folder)), Pooling(24, pooling, include_prompt), Normalize()]
    model = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "a: ", "document": "nice: "},
                                default_prompt_name="document", truncate_dim=truncate_dim, similarity_fn_name="dot")
    model.save(str(tmp_path / "saved"))
    close(vectors_of(tmp_path / "saved"), model.encode(TEXTS, convert_to_tensor=True))
    close(vectors_of(tmp_path / "saved", prompt="a: "), model.encode_query(TEXTS, convert_to_tensor=True))


def test_a_checkpoint_that_sentence_transformers_saved(checkpoint, tmp_path):
    model = SentenceTransformer(str(checkpoint(describe({"word_embedding_dimension": 24, "pooling_mode": "max"}, "Normalize"))), device="cpu")
    model.max_seq_length = 11
    model.save(str(tmp_path / "saved"))
    model, theirs = AutoModel.from_pretrained(tmp_path / "saved"), model.encode(TEXTS, convert_to_tensor=True)
    close(embed(model, AutoTokenizer.from_pretrained(tmp_path / "saved"), TEXTS, **read_pooling(tmp_path / "saved")), theirs)


WIDE = {"embedding_dimension": 24}
MEAN = WIDE | {"pooling_mode": "mean"}
QUERY = {"prompts": {"text": "nice: "}, "default_prompt_name": "text"}
TEXT_MODE = {"method": "forward", "method_output_name": "last_hidden_state"}


def vectors_of(folder, texts=TEXTS, **options):
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return embed(model, tokenizer, texts, **read_pooling(folder) | options)


def typed(described: dict, *types: str) -> dict:
    "Return the same files, with other types of the modules."
    rows = json.loads(described["modules.json"])
    for row, kind in zip(rows, types, strict=True): row["type"] = kind
    return described | {"modules.json": json.dumps(rows).encode()}


NAMED = [f"{name}_token" for name in ("unk", "sep", "pad", "cls", "mask")]
NEW_TYPES = ["sentence_transformers.base.modules.transformer.Transformer",
             "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
             "sentence_transformers.base.modules.normalize.Normalize"]


@pytest.mark.parametrize("described, expected", [
    (describe(OLD), {}),  # sentence-transformers 6 takes the mean
    (describe(WIDE), {}),
    (describe(WIDE | {"pooling_mode": "max", "pooling_mode_mean_tokens": True}), {"pooling": "max"}),
    (describe(MEAN, "Normalize", "Normalize"), {"normalize": True}),
    (typed(describe(MEAN, "Normalize"), *NEW_TYPES), {"normalize": True}),
    (typed(describe(MEAN), *NEW_TYPES[:2]), {}),
    (describe(MEAN, general=QUERY), {"prompt": "nice: "}),
    (describe(MEAN | {"include_prompt": False}, general=QUERY),
     {"prompt": "nice: ", "include_prompt": False}),
    (describe(WIDE | {"pooling_mode": "cls", "include_prompt": False}, general=QUERY, text={"max_seq_length": 6}),
     {"pooling": "cls", "prompt": "nice: ", "include_prompt": False, "max_length": 6}),
    (describe(WIDE | {"pooling_mode": "max", "include_prompt": False}, general=QUERY, text={"max_seq_length": 3}),
     {"pooling": "max", "prompt": "nice: ", "include_prompt": False, "max_length": 3}),
    (describe(MEAN | {"include_prompt": False}), {"include_prompt": False}),
    (describe(MEAN, general={"prompts": {}, "default_prompt_name": "query"}), {}),
    (describe(MEAN, general={"truncate_dim": 8}), {"truncate_dim": 8}),
    (describe(MEAN, "Normalize", general={"truncate_dim": 8}),
     {"truncate_dim": 8, "normalize": "before_truncation"}),
    (describe(MEAN, general={"truncate_dim": 99, "similarity_fn_name": "dot"}), {"truncate_dim": 24}),
    (describe(MEAN, general={"truncate_dim": None, "similarity_fn_name": None, "model_type": "SentenceTransformer"}), {}),
    (describe(MEAN, text={"max_seq_length": 20, "do_lower_case": True}), {"max_length": 20}),
    (describe(MEAN, text={"max_seq_length": 512}), {"max_length": 20}),
    (describe(MEAN, text={"max_seq_length": None, "do_lower_case": False}), {}),
    (describe(MEAN, text={"max_seq_length": 9, "tokenizer_args": {"model_max_length": 7, "use_fast": True}}), {"max_length": 7}),
    (describe(MEAN, text={"processor_kwargs": {"model_max_length": 7}}), {"max_length": 7}),
    (describe(MEAN, text={"max_seq_length": 9, "processing_kwargs": {"text": {"max_length": 6}}}), {"max_length": 6}),
    (describe(MEAN, text={"model_args": {"attn_implementation": "eager", "add_pooling_layer": False},
                          "config_args": {"use_cache": False}, "unpad_inputs": False}), {}),
    (describe(MEAN, text={"transformer_task": "feature-extraction", "modality_config": {"text": TEXT_MODE},
                          "module_output_name": "token_embeddings"}), {}),
])
def test_what_a_folder_says_is_done(checkpoint, described, expected):
    "Its vectors are those of sentence-transformers."
    folder = checkpoint(described)
    assert read_pooling(folder) == {"pooling": "mean", "normalize": False} | expected
    texts = TEXTS if expected.get("max_length") != 20 else [text for text in TEXTS if len(text) < 30]
    theirs = SentenceTransformer(str(folder), device="cpu").encode(texts, convert_to_tensor=True)
    close(vectors_of(folder, texts), theirs)


@pytest.mark.parametrize("described, message", [
    (describe({"pooling_mode": ["mean", "max"]}), r"has the pooling \['mean', 'max'\] \(embed knows mean, cls, max, one"),
    (describe(OLD | {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}), r"the pooling \['cls', 'mean'\]"),
    (describe(OLD | {"pooling_mode_weightedmean_tokens": True}), r"the pooling \['weightedmean'\]"),
    (describe({"pooling_mode": "lasttoken"}), "has the pooling 'lasttoken'"),
    (describe(MEAN | {"pooling_mode_attention": True}), "has the setting pooling_mode_attention=True for its Pooling"),
    (describe(MEAN, "Dense"), "by Transformer, Pooling, sentence_transformers.models.Dense .* Use sentence-transformers for it"),
    (describe(MEAN, "Dense", "Normalize"), "by Transformer, Pooling, sentence_transformers.models.Dense, Normalize"),
    (describe(MEAN, "Normalize", "Pooling"), "by Transformer, Pooling, Normalize, Pooling"),
    (describe(MEAN, "Transformer"), "by Transformer, Pooling, Transformer"),
    ({"modules.json": json.dumps([{"path": "", "type": TYPE + "Transformer"}]).encode()}, "by Transformer \\("),
    ({"modules.json": b"[]"}, "makes its vectors by nothing"),
    (typed(describe(MEAN), TYPE + "WordEmbeddings", TYPE + "Pooling"), "by sentence_transformers.models.WordEmbeddings, Pooling"),
    (typed(describe(MEAN), TYPE + "Pooling", TYPE + "Transformer"), "by Pooling, Transformer"),
    (typed(describe(MEAN), TYPE + "Transformer", "my_package.Pooling"), "by Transformer, my_package.Pooling"),
    (typed(describe(MEAN), "custom_st.Transformer", TYPE + "Pooling"), "by custom_st.Transformer, Pooling"),
    (typed(describe(MEAN), "my.sentence_transformers.models.Transformer", TYPE + "Pooling"), "by my.sentence_transformers"),
    (typed(describe(MEAN), TYPE + "Transformer", "sentence_transformers.evil.Pooling"), "by Transformer, sentence_transformers.evil"),
    (typed(describe(MEAN), TYPE + "Transformer", TYPE + "mine.Pooling"), "by Transformer, sentence_transformers.models.mine.Pooling"),
    (typed(describe(MEAN), "sentence_transformers.sparse_encoder.models.MLMTransformer", TYPE + "Pooling"), "by sentence_tr.*MLM"),
    (describe(MEAN, "Normalize") | {"2_Normalize/config.json": b'{"module_input_name": "token_embeddings"}'},
     "module_input_name='token_embeddings' for its Normalize"),
    (describe(MEAN, general={"prompts": {}, "default_prompt_name": "text"}), "has the default prompt 'text' without a text"),
    (describe(MEAN, general={"truncate_dim": "8"}), "has the truncate_dim '8'"),
    (describe(MEAN, text={"max_seq_length": 9.5}), "has the max_length 9.5"),
    (describe(MEAN, general={"model_type": "CrossEncoder"}), "is a CrossEncoder, which embed doesn't do"),
    (describe(MEAN, general={"model_type": "SparseEncoder"}), "is a SparseEncoder"),
    (describe(MEAN) | {"adapter_config.json": b"{}"}, "changes its model by an adapter"),
    *[(describe(MEAN, text=text), f"has the setting {message} for its Transformer") for text, message in [
        ({"transformer_task": "fill-mask"}, "transformer_task='fill-mask'"),
        ({"module_output_name": "sentence_embedding"}, "module_output_name='sentence_embedding'"),
        ({"modality_config": {"text": TEXT_MODE | {"method_output_name": "pooler_output"}}}, "modality_config={'text'.*"),
        ({"modality_config": {"text": TEXT_MODE, "message": TEXT_MODE}}, "modality_config={'text'.*"),
        ({"query_expansion": {"length": 8}}, "query_expansion={'length': 8}"), ({"query_length": 8}, "query_length=8"),
        ({"tokenizer_args": {"do_lower_case": False}}, "do_lower_case=False"),
        ({"tokenizer_args": {"truncation_side": "left"}}, "truncation_side='left'"),
        ({"tokenizer_args": {"add_special_tokens": False}}, "add_special_tokens=False"),
        ({"model_args": {"num_hidden_layers": 1}}, "num_hidden_layers=1"), ({"config_args": {"is_decoder": True}}, "is_decoder=True"),
        ({"model_kwargs": {"quantization_config": {"load_in_8bit": True}}}, "quantization_config={'load_in_8bit': True}"),
        ({"processing_kwargs": {"text": {"truncation": False}}}, "truncation=False"),
        ({"tokenizer_name_or_path": "elsewhere"}, "tokenizer_name_or_path='elsewhere'"), ({"max_length_": 3}, "max_length_=3"),
    ]],
])
def test_what_a_checkpoint_does_besides_is_refused(checkpoint, described, message):
    with pytest.raises(ValueError, match=message): read_pooling(checkpoint(described))


def test_lower_case_before_a_tokenizer_that_keeps_capitals(checkpoint, files):
    kept = {"tokenizer_config.json": files["tokenizer_config.json"].replace(b"{", b'{"do_lower_case": false, ', 1)}
    folder = checkpoint(describe(MEAN, text={"do_lower_case": True}) | kept)
    with pytest.raises(ValueError, match="turns texts into lower case before its tokenizer, which doesn't"): read_pooling(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)  # what the page says to do
    tokenizer.backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), tokenizer.backend.normalizer])
    theirs = SentenceTransformer(str(folder), device="cpu").encode(["Nice", "COOL café"], convert_to_tensor=True)
    close(embed(AutoModel.from_pretrained(folder), tokenizer, ["Nice", "COOL café"], normalize=False), theirs)


@pytest.mark.parametrize("layout", ["0_Transformer", ""])
@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_folders_of_all_families(checkpoint, tokenizer, model_type, layout):
    "The limit is the model's, which is smaller than its position embeddings where they begin after the padding's."
    folder = checkpoint(describe(MEAN, "Normalize", text={"max_seq_length": 30}))
    (folder / "model.safetensors").unlink()
    their_model(model_type, deviation=0.1, vocab_size=len(tokenizer), pad_token_id=int(model_type == "mpnet")).save_pretrained(
        folder)  # transformers' MPNet counts from 1, whatever its config says
    limit = 30 - {"roberta": 1, "xlm-roberta": 1, "camembert": 1, "mpnet": 2}.get(model_type, 0)
    names = {name: getattr(tokenizer, name) for name in NAMED} | {"model_input_names": ["input_ids", "attention_mask"]}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend, **names).save_pretrained(folder)
    (folder / "vocab.txt").unlink()
    texts = [text for text in TEXTS if len(text) < 30 and 1 not in tokenizer(text).input_ids]
    theirs = SentenceTransformer(str(folder), device="cpu").encode(texts, convert_to_tensor=True)
    if layout:  # what the first versions wrote
        (folder / layout).mkdir()
        moved = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json"]
        for name in moved: shutil.move(folder / name, folder / layout)
        modules = folder / "modules.json"
        modules.write_bytes(modules.read_bytes().replace(b'"path": ""', b'"path": "0_Transformer"'))
    options = read_pooling(folder)
    assert options == {"pooling": "mean", "normalize": True, "max_length": limit}
    model, tokenizer = (auto.from_pretrained(folder, subfolder=layout) for auto in (AutoModel, AutoTokenizer))
    close(embed(model, tokenizer, texts, **options), theirs)
    assert embed(model, tokenizer, ["a " * 99], **options).shape == (1, 16)


def test_an_empty_prompt_and_other_prompts_are_none(checkpoint):
    for general in ({"prompts": {"text": "", "query": "q: "}, "default_prompt_name": "text"}, {"prompts": None}, {}):
        assert read_pooling(checkpoint(describe(MEAN, general=general))) == {"pooling": "mean", "normalize": False}


def test_older_places_and_names_of_the_text_settings(checkpoint):
    described = describe(MEAN) | {"sentence_bert_config.json": b'{"max_seq_length": 9}'}
    assert read_pooling(checkpoint(described))["max_length"] == 9
    folder = checkpoint({"sentence_bert_config.json": b'{"max_seq_length": 9}'})
    (folder / "sentence_bert_config.json").unlink()
    (folder / "config.json").write_text('{"model_type": "xlm-roberta"}')
    (folder / "sentence_xlm-roberta_config.json").write_text('{"max_seq_length": 8}')
    assert read_pooling(folder)["max_length"] == 8
    (folder / "modules.json").write_bytes(described["modules.json"].replace(b'"path": "",', b'"path": "0_Transformer",'))
    (folder / "0_Transformer").mkdir()
    shutil.copy(folder / "config.json", folder / "0_Transformer")
    (folder / "0_Transformer/sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    assert read_pooling(folder)["max_length"] == 7


def test_a_plain_checkpoint_says_nothing(folder): assert read_pooling(folder) == {}


def test_a_damaged_file_is_named(checkpoint):
    with pytest.raises(OSError, match="1_Pooling/config.json is damaged"): read_pooling(checkpoint(describe(MEAN) | {"1_Pooling/config.json": b"{"}))
    with pytest.raises(OSError, match="modules.json is damaged; expected a JSON list: it holds a dict"): read_pooling(checkpoint({"modules.json": b"{}"}))


def test_the_options_are_those_of_from_pretrained(folder):
    assert list(inspect.signature(read_pooling).parameters) == list(inspect.signature(Checkpoint).parameters)
    assert read_pooling(name_or_folder=folder, revision="main") == read_pooling(folder) == {}
    with pytest.raises(TypeError, match="read_pooling has no option 'revison'. Did you mean 'revision'?"): read_pooling(folder, revison="main")
    with pytest.raises(TypeError, match="name_or_folder"): read_pooling()


def test_from_the_hub_once(hub, files, tmp_path):
    described = describe(OLD | {"pooling_mode_cls_token": True}, "Normalize", text={"max_seq_length": 9})
    hub.add("owner/sentences", files | described)
    hub.add("owner/plain", files)
    code = "import tinybert; print(*[tinybert.read_pooling(f'owner/{name}') for name in ('sentences', 'plain')] * 2, sep='\\n')"
    first = run_python(code, HF_HOME=str(tmp_path), HF_ENDPOINT=hub.url)
    assert first.splitlines() == ["{'pooling': 'cls', 'normalize': True, 'max_length': 9}", "{}"] * 2
    asked = [request for request in hub.requests if request.startswith("GET")]
    assert len(asked) == len(set(asked)), "something was fetched twice"
    hub.requests.clear()
    assert run_python(code, HF_HOME=str(tmp_path), HF_ENDPOINT=hub.url) == first and hub.requests == []


# A graphics card

@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype, cosine", [(torch.float32, 0.99999), (torch.bfloat16, 0.999), (torch.float16, 0.999)])
def test_a_graphics_card_gives_the_same(model, tokenizer, dtype, cosine):
    expected = embed(model, tokenizer, TEXTS)
    found = embed(model.to("cuda", dtype), tokenizer, TEXTS)
    assert found.device.type == "cpu" and found.dtype == torch.float32 and F.cosine_similarity(found, expected).min() > cosine


# The programs of the page, with two workers, one of which is killed on the way

CORPUS = [f"The bridge number {n} broke because it was {'very ' * (n % 9)}old." for n in range(60)]
KILL_ONE = """
import os, signal, time
from pathlib import Path
import tinybert
calls, embed_for_good = Path({calls!r}), tinybert.embed
def embed(*given, **options):
    (calls / str(os.getpid())).touch()
    try: (calls / "killed").touch(exist_ok=False)
    except FileExistsError: pass
    else: os.kill(os.getpid(), signal.SIGKILL)  # the first call of all
    while len(list(calls.iterdir())) < 4: time.sleep(0.1)  # the killed worker and two others have to come here
    return embed_for_good(*given, **options)
tinybert.embed = embed
"""
START_RAY = """
import ray
for attempt in range(3):  # Ray gives itself 30 s to start, which a busy machine can exceed
    try: ray.init(num_cpus=3, object_store_memory=10**8, include_dashboard=False)
    except Exception:
        if attempt == 2: raise
    else: break
"""


def run_program_of_the_page(cell: str, folder: Path, launcher: list[str], *arguments: str, before: str = "", **variables: str) -> torch.Tensor:
    "Run a program from a cell of the page, have one of its workers killed, and return the vectors of a single call of `embed`."
    cells = json.loads((ROOT / "nbs/10_embedding.ipynb").read_text(encoding="utf-8"))["cells"]
    source = "".join(next(entry for entry in cells if entry["id"] == cell)["source"])
    program = KILL_ONE.format(calls=str(folder / "calls")) + before + source.removeprefix("```python\n").removesuffix("```")
    (folder / "program.py").write_text(program, encoding="utf-8")
    (folder / "calls").mkdir()
    done = subprocess.run([sys.executable, *launcher, "program.py", "tinybert-mini", *arguments], cwd=folder, capture_output=True, text=True,
                          env=clean_environment(OMP_NUM_THREADS="1", **variables), timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return embed(AutoModel.from_pretrained("tinybert-mini"), AutoTokenizer.from_pretrained("tinybert-mini"), CORPUS)


def test_the_program_for_torchrun_survives_a_killed_worker(tmp_path):
    (tmp_path / "corpus.txt").write_text("\n".join(CORPUS), encoding="utf-8")
    launcher = "-m torch.distributed.run --standalone --nproc-per-node 2 --max-restarts 1".split()
    expected = run_program_of_the_page("torchrun-program", tmp_path, launcher, "corpus.txt", "vectors", "7")
    parts = sorted((tmp_path / "vectors").iterdir())
    assert len(parts) == 9 and {part.suffix for part in parts} == {".pt"}
    assert_close(torch.cat([torch.load(part) for part in parts]), expected, rtol=1e-5, atol=1e-5)


def test_the_program_for_ray_survives_a_killed_worker(tmp_path):
    rows = pandas.DataFrame({"index": range(60), "text": CORPUS})
    (tmp_path / "corpus").mkdir()
    for start in range(0, 60, 10): rows[start:start + 10].to_parquet(tmp_path / f"corpus/{start}.parquet")
    expected = run_program_of_the_page("ray-program", tmp_path, [], "corpus", "vectors", "2", "10", before=START_RAY,
                                       RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    found = pandas.read_parquet(tmp_path / "vectors").sort_values("index")
    assert found["text"].tolist() == CORPUS
    assert_close(torch.tensor(np.stack(found["vector"])), expected, rtol=1e-5, atol=1e-5)
