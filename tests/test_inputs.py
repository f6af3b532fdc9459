"Inputs and outputs: as in transformers, gradients inside, shared rows, tracers, labels."

import copy
import io
import pickle

import pytest
import torch
import transformers
from conftest import FAMILY_SIZES, our_class, randomise, their_config, their_model
from torch.utils import _pytree

import tinybert
from tinybert import AutoConfig, ModelOutput
from tinybert.heads import HEADS

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 10, 11, 12, 13], [20, 21, 22, 23, 24]])
RIGHT = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
MASKS = {"none": None, "right": RIGHT, "left": RIGHT.flip(1)}
KINDS = [*((model_type, "") for model_type in FAMILY_SIZES),
         *(("bert", task) for model_type, task in HEADS if model_type == "bert"),
         *((name, "SequenceClassification") for name in FAMILY_SIZES if name != "bert")]
EACH_FAMILY = pytest.mark.parametrize("model_type", FAMILY_SIZES)
EACH_KIND = pytest.mark.parametrize("model_type, task", KINDS)


def build(model_type: str, task: str = "", seed: int = 3, **settings):
    "Return a small model of ours with random weights, for inference."
    layers = {"n_layers" if model_type == "distilbert" else "num_hidden_layers": 2}
    config = AutoConfig.from_dict(their_config(model_type, **layers | settings).to_dict())
    return randomise(our_class(model_type, task)(config), seed, 0.2).eval()


def shaped(task: str, *tensors) -> list:
    "Return tensors in the shape that a task takes: one text of three choices for multiple choice."
    if task != "MultipleChoice": return list(tensors)
    return [None if tensor is None else tensor[None] for tensor in tensors]


# Outputs

@pytest.fixture
def outputs() -> tuple[ModelOutput, "transformers.utils.ModelOutput"]:
    "Return an output of ours and one of transformers with the same content."
    options = dict(output_hidden_states=True, labels=torch.tensor([0, 1, 1]))
    theirs = their_model("bert", "SequenceClassification")
    ours = tinybert.BertForSequenceClassification.from_pretrained(
        None, config=AutoConfig.from_dict(theirs.config.to_dict()), state_dict=theirs.state_dict())
    with torch.no_grad(): return ours(IDS, **options), theirs(IDS, **options)


def test_an_output_behaves_like_transformers(outputs):
    for output in outputs:
        kind = type(output)
        assert list(output) == list(output.keys()) == ["loss", "logits", "hidden_states"]
        assert [*map(id, output.to_tuple())] == [*map(id, output.values())]
        assert output.loss is output["loss"] is output[0] and output[:2] == output.to_tuple()[:2]
        assert output.attentions is None and "attentions" not in output and len(output) == 3
        with pytest.raises(AttributeError): output.pooled
        with pytest.raises(KeyError): output["attentions"]
        with pytest.raises(IndexError): output[3]
        output.loss = torch.tensor(7.0)
        assert output["loss"] == 7
        output["loss"] = torch.tensor(8.0)
        assert output.loss == 8 and output[0] == 8
        for pairs in (dict(output.items()), list(output.items())):
            again = kind(pairs)
            assert list(again) == list(output) and again.logits is output.logits
        assert kind(**output).logits is output.logits


@pytest.mark.parametrize("duplicate", [
    copy.copy, copy.deepcopy, lambda output: pickle.loads(pickle.dumps(output)),
    lambda output: _pytree.tree_map(lambda leaf: leaf, output),
    lambda output: type(output)({name: value for name, value in output.items()})])
def test_copies_of_an_output(outputs, duplicate):
    ours, theirs = map(duplicate, outputs)
    for output, whole in ((ours, outputs[0]), (theirs, outputs[1])):
        assert type(output) is type(whole) and list(output) == list(whole)
        assert torch.equal(output.logits, whole.logits) and len(output.hidden_states) == 4
        assert torch.equal(output["hidden_states"][1], whole.hidden_states[1])
    assert "attentions" not in ours


def test_an_output_is_a_pytree_with_the_leaves_of_transformers(outputs):
    ours, theirs = (_pytree.tree_flatten(output)[0] for output in outputs)
    assert len(ours) == len(theirs) == 6
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    paths = [_pytree.keystr(path) for path, _ in _pytree.tree_flatten_with_path(outputs[0])[0]]
    assert paths[:3] == ["['loss']", "['logits']", "['hidden_states'][0]"]


# Settings and return_dict

@EACH_KIND
def test_a_tuple_has_the_same_and_the_config_decides(model_type, task):
    model, (ids, mask) = build(model_type, task), shaped(task, IDS, RIGHT)
    both = dict(output_hidden_states=True, output_attentions=True)
    whole, plain = model(ids, mask, **both), model(ids, mask)
    assert plain.hidden_states is None and plain.attentions is None
    given = model(ids, mask, **both, return_dict=False)
    assert type(given) is tuple and len(given) == len(whole)
    torch.testing.assert_close(given, whole.to_tuple())
    model.config.output_hidden_states = model.config.output_attentions = True
    assert list(model(ids, mask)) == list(whole)
    neither = dict.fromkeys(both, False)
    assert list(model(ids, mask, **neither)) == list(plain)
    model.config.return_dict = False
    torch.testing.assert_close(model(ids, mask), whole.to_tuple())
    assert list(model(ids, mask, return_dict=True)) == list(whole)


@pytest.mark.parametrize("setting", ["output_hidden_states", "output_attentions"])
@EACH_FAMILY
def test_a_setting_in_a_file_is_heeded(tmp_path, model_type, setting):
    theirs = their_model(model_type)
    setattr(theirs.config, setting, True)
    theirs.save_pretrained(tmp_path)
    name = setting.removeprefix("output_")
    for model in (tinybert.AutoModel.from_pretrained(tmp_path),
                  tinybert.AutoModelForTokenClassification.from_pretrained(tmp_path)):
        assert model(IDS)[name] is not None and getattr(model.config, setting) is True
    model = tinybert.AutoModel.from_pretrained(tmp_path, **{setting: False})
    assert getattr(model(IDS), name) is None


# Gradients of what is returned

@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("model_type, task", [
    *KINDS[:len(FAMILY_SIZES)], ("bert", "MaskedLM"), ("bert", "MultipleChoice")])
def test_what_is_returned_is_what_was_computed(model_type, task, side):
    model, (ids, mask) = build(model_type, task), shaped(task, IDS, MASKS[side])
    for unpad, attentions in ((True, True), (True, False), (False, False)):
        model.unpad = unpad
        output = model(ids, mask, output_hidden_states=True, output_attentions=attentions)
        inner = [*output.hidden_states, *(output.attentions or ())]
        for tensor in inner: tensor.retain_grad()
        answer = [value for value in output.values() if isinstance(value, torch.Tensor)]
        sum(value.clamp(-1e3, 1e3).square().sum() for value in answer).backward()
        for tensor in inner: assert tensor.grad is not None and tensor.grad.any()


def test_their_gradients_are_those_of_transformers():
    theirs = their_model("bert", dtype=torch.float64)
    config = AutoConfig.from_dict(theirs.config.to_dict())
    ours = tinybert.BertModel.from_pretrained(
        None, config=config, state_dict=theirs.state_dict(), dtype=torch.float64)
    found = []
    for model in (ours, theirs):
        output = model(IDS, RIGHT, output_hidden_states=True, output_attentions=True)
        for tensor in (*output.hidden_states, *output.attentions): tensor.retain_grad()
        output.last_hidden_state[RIGHT.bool()].pow(3).sum().backward()
        found.append([*(state.grad[RIGHT.bool()] for state in output.hidden_states),
                      *(weights.grad[0] for weights in output.attentions)])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


# One row for all texts

@EACH_KIND
def test_one_row_serves_all_texts(model_type, task):
    if task == "MultipleChoice": pytest.skip("has a dimension more")
    model = build(model_type, task)
    first = model.base_model.first_position
    positions = torch.arange(first, first + 5)[None]
    found = [model(IDS, RIGHT, position_ids=ids, return_dict=False)
             for ids in (positions, positions.expand(3, 5), None)]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    if getattr(model.config, "type_vocab_size", 0) < 2: return
    types = torch.tensor([[0, 0, 1, 1, 1]])
    found = [model(IDS, RIGHT, token_type_ids=ids, return_dict=False)
             for ids in (types, types.expand(3, 5))]
    torch.testing.assert_close(*found)


@EACH_FAMILY
def test_given_positions_may_use_every_row(model_type):
    theirs = their_model(model_type)
    model = our_class(model_type).from_pretrained(
        None, config=AutoConfig.from_dict(theirs.config.to_dict()), state_dict=theirs.state_dict())
    ids = torch.arange(5, 35)[None].repeat(2, 1)  # as many as there are rows
    positions = torch.arange(30)[None]
    with torch.no_grad():
        expected = theirs(ids, position_ids=positions).last_hidden_state
        found = model(ids, position_ids=positions).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    limit = model.config.max_position_embeddings
    with pytest.raises(ValueError, match=f"position_ids has the value {limit}; it must lie in 0"):
        model(ids, position_ids=positions + 1)


# Tracers and functional tools

@pytest.mark.filterwarnings("ignore")  # a tracer notes each `if`, and that it is deprecated
@pytest.mark.parametrize("model_type, task", [
    *((model_type, "SequenceClassification") for model_type in FAMILY_SIZES),
    ("bert", "MultipleChoice"), ("bert", "NextSentencePrediction")])
def test_a_trace_of_one_text_is_right_for_a_batch(model_type, task):
    model = build(model_type, task)
    one, whole, right, left = shaped(task, IDS[:1, :3], IDS, RIGHT, RIGHT.flip(1))
    traced = torch.jit.trace(model, (one, torch.ones_like(one)), strict=False, check_trace=False)
    for ids, mask in ((whole, right), (whole[..., :2, :4], left[..., :2, :4])):
        with torch.no_grad(): found, expected = traced(ids, mask), model(ids, mask)
        for name in found:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@EACH_FAMILY
def test_gradients_of_each_text_alone(model_type):
    model = build(model_type, "SequenceClassification")
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def loss(weights, ids, mask):
        logits = torch.func.functional_call(model, weights, (ids[None], mask[None])).logits
        return logits.square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(weights, IDS, RIGHT)
    model(IDS[1:2], RIGHT[1:2]).logits.square().sum().backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(each[name][1], weight.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("task", ["", "MaskedLM"])
@EACH_FAMILY
def test_whole_models_are_copied_and_pickled(model_type, task):
    model = build(model_type, task)
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
                  torch.load(file, weights_only=False)):
        assert other.is_gradient_checkpointing and other.config == model.config
        assert other.config is not model.config
        with torch.no_grad(): assert torch.equal(other(IDS, RIGHT)[0], model(IDS, RIGHT)[0])


# Labels

LONG, FLOAT = torch.long, torch.float
WRONG = [  # task, labels by name (shape, dtype, value), kind, words of the message
    ("MaskedLM", {"labels": ((3, 5), FLOAT, 1)}, TypeError, "labels has the dtype torch.float32"),
    ("MaskedLM", {"labels": ((3, 5), torch.bool, 1)}, TypeError, "labels has the dtype torch.bool"),
    ("MaskedLM", {"labels": ((3, 5), torch.cfloat, 1)}, TypeError, "labels has the dtype"),
    ("MaskedLM", {"labels": ((3, 4), LONG, 1)}, ValueError, r"\(3, 4\); expected \(3, 5\)"),
    ("MaskedLM", {"labels": ((5,), LONG, 1)}, ValueError, r"\(5,\); expected \(3, 5\)"),
    ("MaskedLM", {"labels": ((3, 5), LONG, 60)}, ValueError, "the value 60; .* 0 … 59"),
    ("MaskedLM", {"labels": ((3, 5), LONG, -1)}, ValueError, "the value -1; .* 0 … 59"),
    ("TokenClassification", {"labels": ((3, 5), LONG, 2)}, ValueError, "the value 2; .* 0 … 1"),
    ("TokenClassification", {"labels": ((3,), LONG, 0)}, ValueError, r"\(3,\); expected \(3, 5\)"),
    ("TokenClassification", {"labels": ((3, 5), FLOAT, 0)}, TypeError, "labels has the dtype"),
    ("SequenceClassification", {"labels": ((3,), LONG, 2)}, ValueError, "the value 2; .* 0 … 1"),
    ("SequenceClassification", {"labels": ((2,), LONG, 1)}, ValueError, r"\(2,\); expected \(3,\)"),
    ("SequenceClassification", {"labels": ((1, 3), LONG, 1)}, ValueError, r"expected \(3,\)"),
    ("SequenceClassification", {"labels": ((), LONG, 1)}, ValueError, r"\(\); expected \(3,\)"),
    ("SequenceClassification", {"labels": ((3,), FLOAT, 1)}, ValueError, r"labels .*\(3, 2\)"),
    ("SequenceClassification", {"labels": ((2, 2), FLOAT, 1)}, ValueError, r"labels .*\(3, 2\)"),
    ("NextSentencePrediction", {"labels": ((3,), LONG, 2)}, ValueError, "the value 2; .* 0 … 1"),
    ("NextSentencePrediction", {"labels": ((3,), FLOAT, 1)}, TypeError, "labels has the dtype"),
    ("MultipleChoice", {"labels": ((1,), LONG, 3)}, ValueError, "the value 3; .* 0 … 2"),
    ("MultipleChoice", {"labels": ((2,), LONG, 1)}, ValueError, r"\(2,\); expected \(1,\)"),
    ("MultipleChoice", {"labels": ((1,), FLOAT, 1)}, TypeError, "labels has the dtype"),
    ("PreTraining", {"labels": ((3, 5), LONG, 1), "next_sentence_label": ((3,), LONG, 2)},
     ValueError, "next_sentence_label has the value 2"),
    ("PreTraining", {"labels": ((3, 5), LONG, 1), "next_sentence_label": ((3,), FLOAT, 1)},
     TypeError, "next_sentence_label has the dtype"),
    ("PreTraining", {"labels": ((3, 5), FLOAT, 1), "next_sentence_label": ((3,), LONG, 1)},
     TypeError, "labels has the dtype"),
    *(("QuestionAnswering", {"start_positions": start, "end_positions": ((3,), LONG, 1)},
       kind, f"start_positions has the {words}")
      for start, kind, words in [
          (((3,), FLOAT, 1), TypeError, "dtype"), (((2,), LONG, 1), ValueError, "shape"),
          (((1, 3), LONG, 1), ValueError, "shape"), (((3,), LONG, -1), ValueError, "value -1")])]


@pytest.fixture(scope="module")
def heads() -> dict:
    "Return a model for each of BERT's tasks."
    return {task: build("bert", task) for model_type, task in HEADS if model_type == "bert"}


@pytest.mark.parametrize("task, labels, kind, words", WRONG)
def test_labels_that_do_not_fit_are_named(heads, task, labels, kind, words):
    labels = {name: torch.full(shape, value, dtype=dtype)
              for name, (shape, dtype, value) in labels.items()}
    with pytest.raises(kind, match=words): heads[task](*shaped(task, IDS), **labels)
    for name in labels:
        for value in ([1, 2, 3], IDS.numpy()):
            with pytest.raises(TypeError, match=f"{name} is a .*; give a tensor"):
                heads[task](*shaped(task, IDS), **labels | {name: value})


@pytest.mark.parametrize("problem_type, shape, value, dtype, words", [
    ("regression", (3, 3), 0.5, FLOAT, r"labels has the shape \(3, 3\); .*\(3, 1\)"),
    ("regression", (2,), 0.5, FLOAT, r"labels has the shape \(2,\)"),
    ("regression", (3,), 0.5, torch.cfloat, "labels"),
    ("multi_label_classification", (3,), 1.0, FLOAT, r"labels .*\(3, 3\)"),
    ("multi_label_classification", (3, 3), 2.0, FLOAT, "labels .*0 … 1"),
    ("multi_label_classification", (3, 3), -100.0, FLOAT, "labels .*0 … 1"),
    ("single_label_classification", (3,), 1.0, FLOAT, "labels has the dtype"),
    ("single_label_classification", (3, 3), 1, LONG, "labels has the shape"),
    ("single_label_classification", (3,), 3, LONG, "labels has the value 3"),
])
def test_labels_of_each_problem_type(problem_type, shape, value, dtype, words):
    count = 1 if problem_type == "regression" else 3
    model = build("bert", "SequenceClassification", num_labels=count, problem_type=problem_type)
    labels = torch.full(shape, value, dtype=dtype)
    with pytest.raises((TypeError, ValueError), match=words): model(IDS, labels=labels)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_whole_numbers_of_any_type_are_labels(heads, dtype):
    spans = ("start_positions", "end_positions")
    for task, names, labels in (
            ("MaskedLM", ("labels",), IDS), ("TokenClassification", ("labels",), IDS % 2),
            ("SequenceClassification", ("labels",), torch.tensor([0, 1, 1])),
            ("NextSentencePrediction", ("labels",), torch.tensor([0, 1, 1])),
            ("QuestionAnswering", spans, torch.tensor([0, 1, 1]))):
        found, expected = (heads[task](IDS, **dict.fromkeys(names, given)).loss
                           for given in (labels.to(dtype), labels))
        assert torch.equal(found, expected), task
