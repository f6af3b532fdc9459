"Views: the model's own numbers, text that stays text, sizes, and messages for what can't be shown. `tests/browser` looks at them."

import json
import math
import re
import sys
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from importlib.resources import files

import matplotlib
import pytest
import torch
import torch.nn.functional as F
import transformers
from conftest import FAMILY_SIZES, ROOT, our_class, small

import tinybert
from tinybert import (BertTokenizer, pipeline, plot_losses, show_attention, show_layers, show_masked, show_similarity, show_tokens,
                      summary)
from tinybert.view import AttentionView, Cell, Table, draw_attention, mean_between, pack_weights

sys.path.insert(0, str(ROOT / "tests/data"))
from checkpoints import VOCABULARY, save_checkpoint, save_tokenizer_files

TEXT, PAIR = "the old king lives in a city .", "where is the queen ?"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    save_tokenizer_files(folder := tmp_path_factory.mktemp("tokenizer"), 64)
    return BertTokenizer.from_pretrained(folder)


def make(model_type: str = "bert", task: str = ""):
    "Return a small random model of a family, bare or with a head, that knows the tokenizer's ids."
    torch.manual_seed(0)
    kind, sizes = our_class(model_type, task), FAMILY_SIZES[model_type] | {"vocab_size": len(VOCABULARY)}
    return kind(kind.config_class(**sizes)).eval()


def suited(tokenizer, model):
    "Return the tokenizer with the inputs that a family takes."
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    if getattr(model.config, "type_vocab_size", 0) < 2: tokenizer.model_input_names.remove("token_type_ids")
    return tokenizer


class Elements(HTMLParser):
    "Collect the elements of a page with their attributes and their text."
    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes): self.found.append([tag, dict(attributes), ""])
    def handle_data(self, data): self.found[-1][2] += data
    def named(self, name: str) -> list: return [element for element in self.found if element[0] == name]


# Attention

@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_a_view_has_the_attention_weights_of_every_family(model_type, tokenizer):
    model = make(model_type)
    tokenizer = suited(tokenizer, model)
    for texts in (TEXT,), (TEXT, PAIR):
        view = show_attention(model, tokenizer, *texts)
        inputs = tokenizer(*texts, return_tensors="pt")
        with torch.no_grad(): expected = model(**inputs, output_attentions=True).attentions
        assert torch.equal(view.weights, torch.cat(expected)) and view.tokens == inputs.tokens()
        assert view.weights.shape[:2] == (3, 2)
    assert view.tokens[view.second] == "where" and view.tokens[view.second - 1] == "[SEP]"
    assert view._repr_html_() and view._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("task", ["MaskedLM", "SequenceClassification", "MultipleChoice"])
def test_a_model_with_a_head_is_seen_through_its_encoder(task, tokenizer):
    model = make("bert", task)
    expected = show_attention(model.encoder, tokenizer, TEXT).weights
    assert torch.equal(show_attention(model, tokenizer, TEXT).weights, expected)
    assert torch.equal(show_attention(torch.nn.DataParallel(model), tokenizer, TEXT).weights, expected)
    assert show_layers(model, tokenizer, TEXT) == show_layers(model.encoder, tokenizer, TEXT)


def test_half_precision_is_shown_in_single_precision(tokenizer):
    view = show_attention(make().bfloat16(), tokenizer, TEXT)
    assert view.weights.dtype == torch.float32 and view._repr_html_() and view._repr_png_()


def test_a_view_leaves_each_part_in_its_mode(tokenizer):
    model = make().train()
    model.encoder.layer[1].eval()  # a part may be frozen
    modes = [part.training for part in model.modules()]
    weights = show_attention(model, tokenizer, TEXT).weights
    assert [part.training for part in model.modules()] == modes and len(set(modes)) == 2
    assert torch.equal(weights, show_attention(model.eval(), tokenizer, TEXT).weights)  # there was no dropout
    with pytest.raises(ValueError): show_layers(model.train(), tokenizer, "the " * 100)
    assert all(part.training for part in model.modules())


ATTACK = """</script><script>alert("1")</script> & <img src=x onerror='alert(2)'> " ' </div>"""


def test_text_stays_text():
    tokens = ["[CLS]", ATTACK, "[SEP]"]
    page = Elements(AttentionView(tokens, torch.full((1, 1, 3, 3), 1 / 3))._repr_html_())
    assert [element[0] for element in page.found] == ["div", "img", "script"]
    assert json.loads(page.found[0][1]["data-view"])["tokens"] == tokens and ATTACK in page.found[1][1]["alt"]
    assert page.found[2][2] == files("tinybert").joinpath("attention.js").read_text(encoding="utf-8")
    table = Elements(Table(["", ATTACK], [[ATTACK, Cell(ATTACK, 1)]])._repr_html_())
    assert {element[0] for element in table.found} == {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert [element[2] for element in table.named("th") + table.named("td")] == ["", ATTACK, ATTACK, ATTACK]


def test_the_name_of_a_row_keeps_its_indentation():
    table = Elements(Table(["", "class"], [["\u2003query of a layer", "Linear"]])._repr_html_())
    name, = [element for element in table.named("th") if element[1]["scope"] == "row"]
    assert name[2] == "\u2003query of a layer" and "white-space: nowrap" in name[1]["style"]


def test_a_byte_for_each_weight_is_precise_to_half_a_step():
    torch.manual_seed(0)
    weights = (3 * torch.randn(2, 3, 20, 20)).softmax(dim=-1)
    weights[0, 0, 0, :2] = torch.tensor([0., 1.])
    found = torch.tensor(list(zlib.decompress(b64decode(pack_weights(weights))))).view(weights.shape) / 255
    assert (found - weights).abs().max() <= 0.5 / 255 + 1e-6 and found[0, 0, 0, :2].tolist() == [0, 1]


@pytest.mark.parametrize("spread", [0.3, 1.5, 3.0])
def test_a_large_view_is_below_a_megabyte(spread):
    "Bytes of random weights can hardly be compressed; a model's weights are more regular."
    torch.manual_seed(0)
    view = AttentionView([f"token{n}" for n in range(128)], (spread * torch.randn(6, 12, 128, 128)).softmax(dim=-1))
    assert len(view._repr_html_()) < 1_000_000


def test_the_picture_shows_what_was_chosen(monkeypatch):
    torch.manual_seed(0)
    weights, drawn = torch.rand(2, 3, 4, 4).softmax(dim=-1), []
    monkeypatch.setattr("tinybert.view.draw_attention", lambda *given: drawn.append(given))
    for layer, head, expected, title in (
            (None, None, weights.mean((0, 1)), "mean of all layers and heads"), (1, None, weights[1].mean(0), "layer 1, mean"),
            (1, 2, weights[1, 2], "layer 1, head 2"), (0, 0, weights[0, 0], "layer 0, head 0")):
        view = AttentionView(list("abcd"), weights, None, layer, head)
        view._repr_png_(), view._repr_html_()  # it's drawn once for both
        (_, chosen, _, name), = drawn
        torch.testing.assert_close(chosen, expected)
        assert name == title
        drawn.clear()


def test_a_picture_of_one_token_and_one_head_can_be_drawn():
    assert draw_attention(torch.ones(1, 1, 1, 1), torch.ones(1, 1), ["$x_$"], "t").png.startswith(b"\x89PNG")


def test_what_cannot_be_shown(tokenizer):
    model = make()  # with 30 positions
    theirs = transformers.BertModel(transformers.BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=8))
    for error, message, given, options in [
            (ValueError, "The text has 33 tokens; this model takes 30. Give a part of it.", (model, tokenizer, "the " * 31), {}),
            (TypeError, "a text is .'a', 'b'.; expected a str. A view shows one text", (model, tokenizer, ["a", "b"]), {}),
            (TypeError, "a text is .'b'.; expected a str.", (model, tokenizer, "a", ["b"]), {}),
            (TypeError, "model is a transformers.BertModel; give one that tinybert's", (theirs, tokenizer, "a"), {}),
            (ValueError, "head is 1, but which layer's", (model, tokenizer, "a"), {"head": 1}),
            (ValueError, "head is 2; it must be a whole number from 0 to 1", (model, tokenizer, "a"), {"layer": 0, "head": 2}),
            (ValueError, "layer is -1; it must be a whole number from 0 to 2", (model, tokenizer, "a"), {"layer": -1})]:
        with pytest.raises(error, match=message): show_attention(*given, **options)
    with pytest.raises(ValueError, match="The text has 129 tokens; a view shows 128."):
        show_attention(small(max_position_embeddings=200, vocab_size=len(VOCABULARY)), tokenizer, "the " * 127)
    assert show_attention(model, tokenizer, "").tokens == ["[CLS]", "[SEP]"]


# Tables

def test_tokens_of_texts_and_pairs(tokenizer):
    tokenizer = suited(tokenizer, make())
    assert show_tokens(tokenizer, "the old banal", "a").rows == [
        ["token", "[CLS]", "the", "old", "ba", "##na", "##l", "[SEP]", "a", "[SEP]"],
        ["id", *map(str, tokenizer("the old banal", "a")["input_ids"])],
        ["token type", *"0000000", *"11"], ["attention mask", *"1" * 9],
        ["characters", "", "0–3", "4–7", "8–10", "10–12", "12–13", "", "0–1", ""]]
    both = show_tokens(tokenizer, ["the", "the old"], ["a", "a"])
    assert [row[0] for row in both.rows][::5] == ["text 0, token", "text 1, token"]
    assert both.rows[0][-1] == "[PAD]" and both.rows[3] == ["text 0, attention mask", *"111110"] and len(both.rows) == 10
    assert show_tokens(tokenizer, ["the"]).rows[0] == ["text 0, token", "[CLS]", "the", "[SEP]"]
    assert show_tokens(suited(tokenizer, make("distilbert")), "a").rows[2][0] == "attention mask"
    with pytest.raises(TypeError): show_tokens(tokenizer, 3)


@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_a_summary_adds_up(model_type):
    model = make(model_type, "MaskedLM")
    rows = summary(model).rows
    assert rows[0][:2] == ["model", type(model).__name__] and rows[0][3] == f"{model.num_parameters():,}"
    total, times = 0, []  # how many modules each row around this one stands for
    for name, _, weights, parameters, _ in rows:
        count, _, _ = parameters.rpartition(" × ")
        times[name.count("\u2003"):] = [int(count or 1)]
        shapes = [tuple(map(int, re.findall(r"\d+", shape))) for shape in re.findall(r"\(([^)]+)\)", weights)]
        total += math.prod(times) * sum(map(math.prod, shapes))
    assert total == model.num_parameters()


def test_layers_are_folded_only_if_they_are_alike():
    modern = [row[0].strip() for row in summary(make("modernbert")).rows]
    assert "0" in modern and "1 … 2" in modern  # the first layer has no norm before its attention
    bert = summary(make()).rows
    layers, = [row for row in bert if row[0].strip() == "0 … 2"]
    one = sum(weight.numel() for weight in make().encoder.layer[0].parameters())
    assert layers[1:] == ["BertLayer", "", f"3 × {one:,}", f"3 × {4 * one / 1000:.1f} kB"]
    assert [row[0].strip() for row in bert].count("query") == 1 and "value" in [row[0].strip() for row in bert]


def test_layers_are_compared_as_their_names_say(tokenizer):
    model = make()
    table = show_layers(model, tokenizer, TEXT, PAIR)
    inputs = tokenizer(TEXT, PAIR, return_tensors="pt")
    with torch.no_grad(): states = [each[0] for each in model(**inputs, output_hidden_states=True).hidden_states]
    cosine = lambda a, b: F.cosine_similarity(a, b, dim=-1)
    close = lambda cell, value: abs(float(cell.text) - value) <= 0.0051
    assert table.header == ["", "embedding", "0", "1", "2"] and [row[0] for row in table.rows[:-2]] == inputs.tokens()
    for row, token in zip(table.rows, range(len(states[0]))):
        assert all(close(cell, cosine(state[token], states[0][token]).item()) for cell, state in zip(row[1:], states, strict=True))
    assert table.rows[-2][1] == ""
    assert all(close(cell, cosine(states[n + 1], states[n]).mean().item()) for n, cell in enumerate(table.rows[-2][2:]))
    T = len(states[0])
    pairs = [cosine(states[2][a], states[2][b]).item() for a in range(T) for b in range(T) if a != b]
    assert close(table.rows[-1][3], sum(pairs) / len(pairs)) and mean_between(states[2][:1]) == 0


def test_similarity_has_no_negative_zero_and_a_vector_for_each_text():
    table = show_similarity(["a", "b", "c"], torch.tensor([[2., 0], [-0.001, 1], [-1, 0]]))
    assert [[cell.text for cell in row[1:]] for row in table.rows] == [
        ["1.00", "0.00", "-1.00"], ["0.00", "1.00", "0.00"], ["-1.00", "0.00", "1.00"]]
    assert all(0 <= cell.shade <= 1 for row in table.rows for cell in row[1:]) and table.rows[1][0] == "1: b"
    for texts, vectors in (["a"], torch.ones(2, 3)), ("ab", torch.ones(2, 3)), (["a", "b"], torch.ones(2)):
        with pytest.raises(ValueError, match="give a list of texts, and a vector for each"): show_similarity(texts, vectors)


def test_masked_words_are_the_pipelines(tmp_path):
    save_checkpoint(tmp_path, "BertForMaskedLM")
    fill = pipeline("fill-mask", model=tmp_path, top_k=3)
    for text in "the [MASK] .", "the [MASK] of a [MASK]":
        answers = fill(text)
        if isinstance(answers[0], dict): answers = [answers]
        table = show_masked(fill.model, fill.tokenizer, text, top_k=3)
        assert table.header == ["", *(f"mask {n}" for n in range(len(answers)))] and [row[0] for row in table.rows] == ["1", "2", "3"]
        for column, words in enumerate(answers, 1):
            assert [row[column].text for row in table.rows] == [f"{word['token_str']} {word['score']:.2f}" for word in words]
    with pytest.raises(ValueError, match="has no .MASK."): show_masked(fill.model, fill.tokenizer, "the king")
    with pytest.raises(TypeError, match="A view shows one text at a time"): show_masked(fill.model, fill.tokenizer, ["the [MASK]"])


def test_a_table_is_aligned_text_in_a_terminal():
    assert repr(Table(["", "0"], [["long name", Cell("x", .5)], ["b", "yyy"]])) == "           0\nlong name  x\nb          yyy"


# Losses

def test_losses_are_drawn_as_they_are():
    log = [{"step": step, "loss": 1 / step} for step in range(1, 41)]
    log[19]["eval_loss"], log[39]["eval_loss"] = 0.5, 0.4
    ax = matplotlib.figure.Figure().subplots()
    plot_losses(log, ax)
    losses, means, points = [line.get_xydata().tolist() for line in ax.lines]
    assert losses == [[row["step"], row["loss"]] for row in log] and points == [[20, 0.5], [40, 0.4]]
    assert means[0] == losses[0] and means[39][1] == pytest.approx((1 / 39 + 1 / 40) / 2)
    plot_losses(log[:1], other := matplotlib.figure.Figure().subplots())
    assert len(other.lines) == 2
    for wrong in [], [{"step": 1}]:
        with pytest.raises(ValueError, match="There's no loss in this log"): plot_losses(wrong)
