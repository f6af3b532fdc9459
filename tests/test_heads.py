"""The heads: for each family and task the same answers, losses, gradients and files as transformers, and nothing random in silence."""

import inspect
import json
import logging
import sys

import pytest
import safetensors.torch
import torch
import transformers
from conftest import (FAMILY_SIZES, PLAIN, compare_dropouts, compare_gradients, draw_batch, dropout_rates, exactness, family_twins, in_files, name_of, our_class,
                      randomise, run_python, same_state, their_class, their_config, their_model)

import tinybert
from tinybert import AutoConfig, AutoModel
from tinybert import auto as auto_classes
from tinybert import heads
from tinybert.heads import FAMILIES, HEADS, classification_loss

EACH = pytest.mark.parametrize("model_type, task", list(HEADS))
EACH_FAMILY = pytest.mark.parametrize("model_type", list(FAMILIES))
FORMATS = pytest.mark.parametrize("safe", [False, True], ids=["bin", "safetensors"])
WEIGHTS = {False: "pytorch_model.bin", True: "model.safetensors"}
AUTO = [getattr(auto_classes, name) for name in auto_classes.__all__ if name.startswith("AutoModelFor")]
TASKS = ["MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering"]
AUTO_FOR = {auto.__name__.removeprefix("AutoModelFor"): auto for auto in AUTO}
LABELLED = ("SequenceClassification", "TokenClassification")


def settings_for(task: str, **settings) -> dict:
    "Return settings with three labels for a task that has labels."
    return (dict(num_labels=3) if task in LABELLED else {}) | settings


def draw_inputs(task: str, config, seed: int = 0, **options) -> tuple[dict, dict]:
    "Return inputs and labels for a task; no label is in the padding, and not every token has one."
    batch, generator = draw_batch(config, seed, **options), torch.Generator().manual_seed(seed + 1)
    real, count = batch["attention_mask"].bool(), len(batch["input_ids"])
    draw = lambda limit, *shape: torch.randint(limit, shape, generator=generator)
    asked = real & (torch.rand(real.shape, generator=generator) < 0.7)
    asked[:, 0] = real[:, 0]
    words = torch.where(asked, draw(config.vocab_size, *real.shape), -100)
    if task == "MultipleChoice": return {name: tensor[None] for name, tensor in batch.items()}, {"labels": draw(count, 1)}
    return batch, {
        "MaskedLM": lambda: {"labels": words},
        "SequenceClassification": lambda: {"labels": draw(config.num_labels, count)},
        "TokenClassification": lambda: {"labels": torch.where(asked, draw(config.num_labels, *real.shape), -100)},
        "QuestionAnswering": lambda: {name: (draw(100, count) % real.sum(1)) for name in ("start_positions", "end_positions")},
        "NextSentencePrediction": lambda: {"labels": draw(2, count)},
        "PreTraining": lambda: {"labels": words, "next_sentence_label": draw(2, count)}}[task]()


def compare(ours, theirs, real: torch.Tensor, atol: float, loss: bool = True) -> None:
    "Check all that our output has against theirs, at real tokens if it is for each token."
    assert set(ours) == set(theirs) - (set() if loss else {"loss"})
    for name in ours:
        for a, b in zip(*([value] if isinstance(value, torch.Tensor) else value for value in (ours[name], theirs[name])), strict=True):
            where = real[:, None, :].expand(a.shape[:3]) if name == "attentions" else real if a.shape[:2] == real.shape else ...
            torch.testing.assert_close(a[where], b[where], rtol=atol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def run_both(ours, theirs, task: str, inputs: dict, labels: dict, atol: float) -> None:
    "Compare all outputs, with and without labels; the loss of spans only without padding, which transformers counts."
    real = inputs["attention_mask"].bool().flatten(0, -2)
    loss = bool(labels) and (task != "QuestionAnswering" or bool(real.all()))
    more = {} if task == "MultipleChoice" else dict(output_hidden_states=True, output_attentions=True)
    with torch.no_grad():
        a, b = ours(**inputs, **(labels if loss else {}), **more), theirs(**inputs, **(labels if loss else {}), **more)
        plain = ours(**inputs)
    assert (a.get("loss") is not None) == loss and ("attentions" in a) == bool(more)
    compare(a, b, real, atol, loss)
    for name in plain: torch.testing.assert_close(plain[name], a[name], rtol=atol, atol=atol)
    assert plain.loss is None


# Beside the row of sizes: settings under which a head's own ways show.
VARIANTS = {"plain": {}, "activation": dict(hidden_act="relu", activation="relu", hidden_activation="relu"),
            "norm": dict(layer_norm_eps=1e-2, norm_eps=1e-2)}


def known(model_type: str, settings: dict) -> dict:
    "Return those of these settings that a family has."
    return {name: value for name, value in settings.items() if name in their_config(model_type).to_dict()}


# The same answers

@EACH
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype, deviation", [(torch.float64, 0.3), (torch.float32, 0.1)], ids=["float64", "float32"])
def test_answers_and_losses_agree(tmp_path, caplog, model_type, task, variant, dtype, deviation):
    settings = settings_for(task, **known(model_type, VARIANTS[variant]))
    ours, theirs = family_twins(tmp_path, model_type, task, len(variant), dtype, deviation, **settings)
    assert not ours.training and type(ours) is HEADS[model_type, task] and not caplog.records
    for seed, options in enumerate([dict(segments=False), {}, dict(lengths=(8, 8, 8, 8))]):
        run_both(ours, theirs, task, *draw_inputs(task, theirs.config, seed, **options), exactness(ours))


@EACH
def test_positions_and_vectors_agree(tmp_path, model_type, task):
    if task == "MultipleChoice": pytest.skip("takes neither")
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task))
    inputs, labels = draw_inputs(task, theirs.config, 3)
    positions = torch.randint(theirs.config.max_position_embeddings, inputs["input_ids"].shape, generator=torch.Generator().manual_seed(4))
    run_both(ours, theirs, task, inputs | {"position_ids": positions}, labels, exactness(ours))
    ids, embedding = inputs.pop("input_ids"), ours.encoder.get_input_embeddings()
    run_both(ours, theirs, task, inputs | {"inputs_embeds": embedding(ids).detach().flip(2)}, labels, exactness(ours))


@EACH
def test_left_padding_changes_nothing(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task))
    lengths = (9, 6, 4)
    inputs, _ = draw_inputs(task, theirs.config, left=True, lengths=lengths)
    together = ours(**inputs)
    for row, length in enumerate(lengths):
        alone = ours(**{name: tensor[..., row:row + 1, -length:] for name, tensor in inputs.items() if name != "attention_mask"})
        for name in alone:
            found = together[name][:, row:row + 1] if task == "MultipleChoice" else together[name][row:row + 1]
            if found.shape[1:2] == (9,): found = found[:, -length:]  # an answer for each token
            torch.testing.assert_close(found, alone[name], rtol=exactness(ours), atol=exactness(ours))


@EACH
def test_gradients_agree(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task))
    inputs, labels = draw_inputs(task, theirs.config, 5, **(dict(lengths=(7, 7, 7)) if task == "QuestionAnswering" else {}))
    for model in (ours, theirs): model(**inputs, **labels).loss.backward()
    compare_gradients(ours, theirs)


@EACH_FAMILY
def test_the_word_embeddings_learn_from_both_their_ends(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type, "MaskedLM")
    batch = draw_batch(theirs.config)
    for model in (ours, theirs): model(**batch, labels=batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)).loss.backward()
    matrix = ours.encoder.get_input_embeddings().weight
    torch.testing.assert_close(matrix.grad, theirs.get_input_embeddings().weight.grad, rtol=10 * exactness(ours), atol=10 * exactness(ours))
    unused = [number for number in range(60) if not (batch["input_ids"] == number).any()]
    assert matrix.grad[unused].abs().sum(1).min() > 0, "only the decoder sees these"
    assert sum(parameter.shape == matrix.shape for parameter in ours.parameters()) == 1
    assert not any("decoder" in name for name in ours.state_dict())


@EACH
def test_labels_do_not_change_the_answer(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task))
    inputs, labels = draw_inputs(task, theirs.config)
    plain, labelled = ours(**inputs), ours(**inputs, **labels)
    assert "loss" not in plain and labelled.loss.dim() == 0 and labelled.to_tuple()[0] is labelled.loss
    assert labelled.loss.requires_grad and labelled.loss.isfinite()
    for name in plain: assert torch.equal(plain[name], labelled[name])


# Losses

CLASSES = [(1, torch.tensor([0.5, -1.0, 2.0]), None), (1, torch.tensor([[0.5], [-1.0], [2.0]]), None), (1, torch.tensor([1, 0, 2]), None),
           (3, torch.tensor([0, 2, 1]), None), (3, torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]), None),
           (1, torch.tensor([0.5, -1.0, 2.0]), "regression"), (3, torch.tensor([[0.5, 1.0, -1.0]] * 3), "regression"),
           (3, torch.tensor([0, 2, 1]), "single_label_classification"), (2, torch.tensor([[0], [1], [1]]), "single_label_classification"),
           (3, torch.tensor([[1.0, 0.0, 1.0]] * 3), "multi_label_classification"),
           (1, torch.tensor([[1.0], [0.0], [1.0]]), "multi_label_classification")]


@EACH_FAMILY
@pytest.mark.parametrize("num_labels, labels, problem_type", CLASSES)
def test_losses_of_texts_agree(tmp_path, model_type, num_labels, labels, problem_type):
    ours, theirs = family_twins(tmp_path, model_type, "SequenceClassification", num_labels=num_labels, problem_type=problem_type)
    assert ours.config.num_labels == num_labels and ours.config.problem_type == problem_type
    if labels.dtype.is_floating_point or (num_labels == 1 and problem_type is None): labels = labels.to(theirs.dtype)
    batch = draw_batch(theirs.config)
    a, b = ours(**batch, labels=labels), theirs(**batch, labels=labels)
    torch.testing.assert_close(a.loss, b.loss, rtol=exactness(ours), atol=exactness(ours))
    torch.testing.assert_close(a.logits, b.logits, rtol=exactness(ours), atol=exactness(ours))
    assert a.logits.shape == (3, num_labels) and ours.config.problem_type == problem_type  # transformers writes its guess there


def test_integer_labels_are_understood_where_the_loss_takes_floats():
    logits = torch.tensor([[0.2], [1.0]])
    assert classification_loss(logits, torch.tensor([1, 0]), None) == classification_loss(logits, torch.tensor([1.0, 0.0]), None)
    several = torch.tensor([[0.2, 0.1], [1.0, 0.3]])
    several_loss = classification_loss(several, torch.tensor([[1, 0], [1, 1]]), "multi_label_classification")
    assert several_loss == classification_loss(several, torch.tensor([[1.0, 0.0], [1.0, 1.0]]), None)


def test_an_unknown_problem_type_is_named(tmp_path):
    with pytest.raises(ValueError, match="problem_type is 'ranking'.*regression.*single_label.*multi_label"):
        model, _ = family_twins(tmp_path, "bert", "SequenceClassification")
        model.config.problem_type = "ranking"
        model(torch.tensor([[5, 6]]), labels=torch.tensor([1]))


@pytest.mark.parametrize("model_type, task", [key for key in HEADS if key[1] in ("MaskedLM", "TokenClassification", "PreTraining")])
def test_tokens_with_the_label_minus_100_do_not_count(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task))
    inputs, labels = draw_inputs(task, theirs.config)
    chosen = torch.full_like(labels["labels"], -100)
    chosen[1, 2], chosen[0, 4] = 1, 2
    labels["labels"] = chosen
    a, b = ours(**inputs, **labels), theirs(**inputs, **labels)
    torch.testing.assert_close(a.loss, b.loss, rtol=exactness(ours), atol=exactness(ours))
    logits = a.prediction_logits if task == "PreTraining" else a.logits
    expected = -(logits[1, 2].log_softmax(-1)[1] + logits[0, 4].log_softmax(-1)[2]) / 2
    if task == "PreTraining": expected = expected + torch.nn.functional.cross_entropy(a.seq_relationship_logits, labels["next_sentence_label"])
    torch.testing.assert_close(a.loss, expected)


@EACH_FAMILY
def test_spans_never_lie_in_the_padding(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type, "QuestionAnswering")
    whole = draw_batch(theirs.config, lengths=(6, 6, 6))
    spans = {"start_positions": torch.tensor([0, 3, 5]), "end_positions": torch.tensor([2, 3, 5])}
    expected = theirs(**whole, **spans)
    pad = theirs.config.pad_token_id
    for width in (1, 7):
        for left in (False, True):
            fill = lambda tensor, value: torch.nn.functional.pad(tensor, (width, 0) if left else (0, width), value=value)
            padded = {name: fill(tensor, pad if name == "input_ids" else 0) for name, tensor in whole.items()}
            output = ours(**padded, **{name: positions + width * left for name, positions in spans.items()})
            torch.testing.assert_close(output.loss, expected.loss, rtol=exactness(ours), atol=exactness(ours))
            real = padded["attention_mask"].bool()
            for name in ("start_logits", "end_logits"):
                assert output[name].isfinite().all() and output[name][~real].max() < output[name][real].min() - 1e6
                torch.testing.assert_close(output[name][real].view(3, 6), expected[name], rtol=exactness(ours), atol=exactness(ours))


@EACH_FAMILY
def test_spans_beyond_the_text_do_not_count(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type, "QuestionAnswering")
    batch = draw_batch(theirs.config, lengths=(6, 6, 6))
    for start, end in ([0, 6, 5], [5, 3, 9]), ([[0], [2], [99]], [[1], [6], [99]]):
        spans = {"start_positions": torch.tensor(start), "end_positions": torch.tensor(end)}
        torch.testing.assert_close(ours(**batch, **spans).loss, theirs(**batch, **spans).loss, rtol=exactness(ours), atol=exactness(ours))
    assert ours(**batch, start_positions=torch.tensor([0, 0, 0])).loss is None
    with pytest.raises(ValueError, match="end_positions has the value -1; it must be a column"):
        ours(**batch, start_positions=torch.tensor([0, 2, 3]), end_positions=torch.tensor([0, 3, -1]))


def test_pretraining_needs_both_labels_for_a_loss(tmp_path):
    ours, theirs = family_twins(tmp_path, "bert", "PreTraining")
    inputs, labels = draw_inputs("PreTraining", theirs.config)
    assert ours(**inputs, labels=labels["labels"]).loss is None and ours(**inputs, next_sentence_label=labels["next_sentence_label"]).loss is None


def test_multiple_choice_wants_three_dimensions(tmp_path):
    ours, _ = family_twins(tmp_path, "bert", "MultipleChoice")
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(texts, choices, tokens\)"): ours(torch.ones(2, 3, dtype=torch.long))


def test_multiple_choice_agrees_on_several_texts(tmp_path):
    ours, theirs = family_twins(tmp_path, "bert", "MultipleChoice")
    batch = {name: tensor.view(2, 3, -1) for name, tensor in draw_batch(theirs.config, lengths=(9, 4, 7, 2, 9, 5)).items()}
    a, b = (model(**batch, labels=torch.tensor([2, 0])) for model in (ours, theirs))
    compare(a, b, batch["attention_mask"].flatten(0, 1).bool(), 1e-10)


@pytest.mark.parametrize("model_type", [name for name in FAMILIES if "classifier_pooling" in their_config(name).to_dict()])
def test_mean_pooling_agrees(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type, "SequenceClassification", classifier_pooling="mean", num_labels=3)
    run_both(ours, theirs, "SequenceClassification", *draw_inputs("SequenceClassification", theirs.config), exactness(ours))
    whole = draw_batch(theirs.config, lengths=(6, 6))
    expected = theirs(**whole).logits
    torch.testing.assert_close(ours(whole["input_ids"]).logits, expected, rtol=exactness(ours), atol=exactness(ours))


# Training

@EACH
@pytest.mark.parametrize("own", [True, False], ids=["own rates", "rates left to the encoder"])
def test_dropout_sits_where_transformers_has_it(tmp_path, model_type, task, own):
    if task == "MultipleChoice": pytest.skip("gives no attentions; see the next test")
    rates = dropout_rates(model_type)
    if not own: rates = {name: rate for name, rate in rates.items() if "classif" not in name and "qa_" not in name}
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task, **rates))
    inputs, _ = draw_inputs(task, theirs.config)
    assert compare_dropouts(ours, theirs, inputs) > 6


@EACH
def test_dropout_acts_in_training_only(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task, **dict.fromkeys(dropout_rates(model_type), 0.5)))
    inputs, labels = draw_inputs(task, theirs.config)
    run = lambda: ours(**inputs, **labels).loss
    assert torch.equal(run(), run())
    ours.train()
    assert not torch.allclose(run(), run())


def test_multiple_choice_drops_the_pooled_vector(tmp_path):
    for rates, expected in ({"classifier_dropout": 0.3}, 0.3), ({"hidden_dropout_prob": 0.2}, 0.2):
        ours, theirs = family_twins(tmp_path, "bert", "MultipleChoice", **rates)
        assert ours.dropout.p == theirs.dropout.p == expected


# Files, both ways

@EACH
@FORMATS
def test_transformers_loads_what_we_save(tmp_path, model_type, task, safe):
    config = AutoConfig.from_dict(their_config(model_type, **settings_for(task)).to_dict())
    ours = randomise(our_class(model_type, task)(config), 3, 0.1).eval()
    ours.save_pretrained(tmp_path, safe_serialization=safe)
    theirs, report = their_class(model_type, task).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    found, expected = in_files(ours.state_dict(), type(ours)), theirs.state_dict()
    for key, tensor in found.items(): assert torch.equal(tensor, expected[key]), key
    copies = expected.keys() - found.keys()
    matrix = theirs.get_input_embeddings().weight
    assert all(expected[key].data_ptr() == matrix.data_ptr() or key.endswith(".bias") for key in copies) and (not copies or task in ("MaskedLM", "PreTraining"))
    theirs.set_attn_implementation("eager")
    run_both(ours, theirs.eval(), task, *draw_inputs(task, theirs.config), 2e-5)
    same_state(our_class(model_type, task).from_pretrained(tmp_path), ours)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [their_class(model_type, task).__name__]


@EACH
@FORMATS
def test_we_load_what_transformers_has(tmp_path, caplog, model_type, task, safe):
    theirs = their_model(model_type, task, 4, deviation=0.1, **settings_for(task))
    theirs.save_pretrained(tmp_path)
    if not safe:  # transformers 5 itself writes no .bin any more; tied tensors are shared in it
        (tmp_path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours = AUTO_FOR[task].from_pretrained(tmp_path)
    assert type(ours) is our_class(model_type, task) and not ours.training and not caplog.records
    run_both(ours, theirs, task, *draw_inputs(task, theirs.config), 2e-5)
    ours.save_pretrained(tmp_path / "back", safe_serialization=safe)
    back, report = their_class(model_type, task).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values()), report
    same_state(back, theirs)


@EACH
def test_shards_are_put_together(tmp_path, caplog, model_type, task):
    theirs = their_model(model_type, task, 6, deviation=0.1, **settings_for(task))
    theirs.save_pretrained(tmp_path, max_shard_size="3KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    ours = AUTO_FOR[task].from_pretrained(tmp_path)
    run_both(ours, theirs, task, *draw_inputs(task, theirs.config), 2e-5)
    assert not caplog.records


@EACH_FAMILY
def test_copies_of_tied_weights_in_old_files_are_understood(tmp_path, caplog, model_type):
    for task in ("MaskedLM", "PreTraining") if model_type == "bert" else ("MaskedLM",):
        theirs = their_model(model_type, task, 7, deviation=0.1)
        theirs.save_pretrained(tmp_path)
        state = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}  # no tensor is shared any more
        needed = in_files(our_class(model_type, task)(AutoConfig.from_dict(theirs.config.to_dict())).state_dict(), our_class(model_type, task))
        assert len(state) > len(needed)
        for old in (state, {key: state[key] for key in needed}):
            safetensors.torch.save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
            ours = AUTO_FOR[task].from_pretrained(tmp_path)
            run_both(ours, theirs, task, *draw_inputs(task, theirs.config), 2e-5)
            assert not caplog.records


# Settings of heads

@EACH_FAMILY
@pytest.mark.parametrize("settings", [dict(num_labels=1), dict(num_labels=5), dict(num_labels=2), dict(problem_type="multi_label_classification"),
                                      dict(id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1}),
                                      dict(id2label={0: "a", 1: "b", 2: "c"}, label2id={"a": 0, "b": 1, "c": 2}, problem_type="regression")])
def test_labels_survive_both_ways(tmp_path, model_type, settings):
    theirs = their_model(model_type, "SequenceClassification", **settings)
    theirs.save_pretrained(tmp_path)
    ours = AUTO_FOR["SequenceClassification"].from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path / "back")
    again = AUTO_FOR["SequenceClassification"].from_pretrained(tmp_path / "back")
    back = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "back")
    for name in ("num_labels", "problem_type", "id2label", "label2id"):
        expected = getattr(theirs.config, name)
        assert getattr(back.config, name) == expected, name
        if name in settings or settings.get("num_labels") != 2: assert getattr(ours.config, name) in (expected, None), name
        if name in settings: assert getattr(ours.config, name) == getattr(again.config, name) == expected, name
    assert again.config.num_labels == ours.config.num_labels == theirs.config.num_labels


def test_labels_of_a_config_count_them():
    config = tinybert.BertConfig(id2label={"0": "x", "1": "y", "2": "z"})
    assert config.num_labels == 3 and config.id2label == {0: "x", 1: "y", 2: "z"} and config.label2id == {"x": 0, "y": 1, "z": 2}
    assert tinybert.BertConfig(num_labels=4).id2label == {n: f"LABEL_{n}" for n in range(4)}


# A head on another encoder, an encoder without its head

def states(model) -> dict:
    "Return a model's weights under our names, the encoder's without prefix."
    prefix = f"{model.base_model_prefix}."
    return {key.removeprefix(prefix): tensor for key, tensor in model.state_dict().items()}


def parts(model) -> dict[str, set[str]]:
    "Return the parts of a model's head with their keys in a file."
    keys = {key: next(iter(in_files({key: None}, type(model)))) for key in model.state_dict()}
    found = {part: {keys[key] for key in keys if key.startswith(f"{part}.")} for part in model.head}
    return {part: keys for part, keys in found.items() if keys}


def file_keys(given, ours) -> set[str]:
    "Return the keys in the file of a model of transformers, with the prefix of a model with a head; no copies of tied weights."
    prefix, bare = ours.base_model_prefix, type(given).__name__.endswith("Model")
    keys = {f"{prefix}.{key}" if bare else key for key in given.state_dict()}
    return keys - {key for key in keys if "decoder" in key and key != "decoder.bias" or key in ("generator_lm_head.weight", "vocab_projector.weight")}


@EACH
@FORMATS
def test_bare_encoder_of_a_model_with_a_head(tmp_path, caplog, model_type, task, safe):
    ours = randomise(our_class(model_type, task)(AutoConfig.from_dict(their_config(model_type).to_dict())), 8)
    if safe: their_model(model_type, task, 8).save_pretrained(tmp_path)
    else: ours.save_pretrained(tmp_path)
    encoder = AutoModel.from_pretrained(tmp_path)
    assert type(encoder) is our_class(model_type) and len(caplog.records) == 1 and caplog.records[0].name == "tinybert"
    assert "left out" in caplog.text and type(encoder).__name__ in caplog.text
    again = HEADS[model_type, task].from_pretrained(tmp_path)
    whole = states(again)
    for key, tensor in encoder.state_dict().items(): assert torch.equal(tensor, whole[key]), key
    pooler = any(key.startswith("pooler.") for key in whole)
    assert (getattr(encoder, "pooler", None) is not None) == pooler == again.pooled
    expected = their_class(model_type).from_pretrained(tmp_path).eval()
    batch = draw_batch(expected.config)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(encoder(**batch).last_hidden_state[real], expected(**batch).last_hidden_state[real], rtol=1e-4, atol=1e-4)


@EACH
@pytest.mark.parametrize("other", [False, True], ids=["from the encoder", "from another head"])
def test_a_new_head_is_named_and_well_drawn(tmp_path, caplog, model_type, task, other):
    settings = dict(initializer_range=0.5) | (dict(num_labels=40) if task in LABELLED else {})
    source = ("SequenceClassification" if task == "MaskedLM" else "MaskedLM") if other else ""
    given = their_model(model_type, source, 9, **settings)
    given.save_pretrained(tmp_path)
    torch.manual_seed(0)
    if other and (model_type, task) == ("modernbert", "MaskedLM"):  # all its heads begin alike, so this one is there but for its bias
        with pytest.raises(ValueError, match="lacks 1 of .*decoder.bias"): AUTO_FOR[task].from_pretrained(tmp_path)
        return
    ours = AUTO_FOR[task].from_pretrained(tmp_path)
    assert type(ours) is our_class(model_type, task) and not ours.training
    new = {part for part, keys in parts(ours).items() if not keys & file_keys(given, ours)}
    assert new, "nothing is new here"
    lines = [record.getMessage() for record in caplog.records if "is new and random" in record.getMessage()]
    assert len(lines) == len(new) and all(any(part in line for line in lines) for part in new)
    assert all(type(ours).__name__ in line and "Train it before use" in line for line in lines)
    used = in_files(ours.state_dict(), type(ours)).keys()
    assert len(caplog.records) - len(lines) == bool(file_keys(given, ours) - used)  # one line for all that is left over
    fresh = {key: tensor for key, tensor in ours.state_dict().items() if key.startswith(tuple(f"{part}." for part in new))}
    matrices = torch.cat([tensor.flatten() for tensor in fresh.values() if tensor.dim() == 2])
    assert matrices.isfinite().all() and abs(matrices.std() / 0.5 - 1) < (0.5 if len(matrices) < 100 else 0.2) and abs(matrices.mean()) < 0.25
    for key, tensor in fresh.items():
        if tensor.dim() == 1: assert (tensor == float(key.lower().endswith("norm.weight"))).all(), key
    assert not any(parameter.is_meta for parameter in ours.parameters())
    encoder = AutoModel.from_pretrained(tmp_path)
    kept = states(ours)
    for key, tensor in encoder.state_dict().items():
        if key.startswith("pooler."): assert key not in kept or torch.equal(kept[key], tensor)
        else: assert torch.equal(kept[key], tensor), key
    ours.train()
    inputs, labels = draw_inputs(task, ours.config)
    ours(**inputs, **labels).loss.backward()


@EACH
def test_half_a_head_is_an_error(tmp_path, model_type, task):
    model = our_class(model_type, task)(AutoConfig.from_dict(their_config(model_type).to_dict()))
    model.save_pretrained(tmp_path)
    whole, tried = torch.load(tmp_path / "pytorch_model.bin"), 0
    for part in model.head:
        keys = [key for key in model.state_dict() if key.startswith(f"{part}.")]
        for key in keys if len(keys) > 1 else []:
            (theirs,) = in_files({key: None}, type(model))
            torch.save({other: tensor for other, tensor in whole.items() if other != theirs}, tmp_path / "pytorch_model.bin")
            with pytest.raises(ValueError) as error: HEADS[model_type, task].from_pretrained(tmp_path)
            assert "lacks 1 of" in str(error.value) and theirs in str(error.value)
            tried += 1
    assert tried > 1


@EACH
def test_an_incomplete_encoder_is_an_error(tmp_path, model_type, task):
    model = our_class(model_type, task)(AutoConfig.from_dict(their_config(model_type).to_dict()))
    model.save_pretrained(tmp_path)
    whole, prefix = torch.load(tmp_path / "pytorch_model.bin"), f"{model.base_model_prefix}."
    inner = [key for key in model.state_dict() if key.startswith(prefix) and "pooler" not in key]
    for key in inner[::7]:
        (theirs,) = in_files({key: None}, type(model))
        torch.save({other: tensor for other, tensor in whole.items() if other != theirs}, tmp_path / "pytorch_model.bin")
        with pytest.raises(ValueError, match="lacks 1 of") as error: HEADS[model_type, task].from_pretrained(tmp_path)
        assert theirs in str(error.value)
    torch.save({key: tensor for key, tensor in whole.items() if not key.startswith(prefix)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="lacks .*of the"): HEADS[model_type, task].from_pretrained(tmp_path)


@EACH_FAMILY
def test_another_number_of_labels_than_the_file_has_is_an_error(tmp_path, model_type):
    their_model(model_type, "SequenceClassification", num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"classifier.*\(3.*\(5"): AUTO_FOR["SequenceClassification"].from_pretrained(tmp_path, num_labels=5)


def test_labels_of_a_new_head_are_chosen_while_loading(tmp_path):
    their_model("roberta").save_pretrained(tmp_path)
    model = AUTO_FOR["TokenClassification"].from_pretrained(tmp_path, num_labels=7)
    assert model.classifier.weight.shape == (7, 16) and model.config.id2label[6] == "LABEL_6"
    named = AUTO_FOR["TokenClassification"].from_pretrained(tmp_path, id2label={0: "O", 1: "B", 2: "I"})
    assert named.classifier.weight.shape == (3, 16) and named.config.label2id == {"O": 0, "B": 1, "I": 2}


@EACH
def test_a_model_of_a_config_is_drawn_like_the_encoder(model_type, task):
    torch.manual_seed(0)
    config = AutoConfig.from_dict(their_config(model_type, **(dict(num_labels=40) if task in LABELLED else {}), initializer_range=0.3).to_dict())
    model = AUTO_FOR[task].from_config(config)
    assert type(model) is our_class(model_type, task) and model.training and model.config is config
    for part in parts(model):
        for name, parameter in model.get_submodule(part).named_parameters():
            if parameter.dim() == 2: assert abs(parameter.std() / 0.3 - 1) < (0.5 if parameter.numel() < 100 else 0.2), name
            else: assert (parameter == float(name.lower().endswith("norm.weight"))).all(), name


# Which class

@EACH
def test_the_auto_class_of_a_task_finds_the_class(model_type, task):
    name = f"{name_of(model_type)}For{task}"
    found = HEADS[model_type, task]
    assert found.__name__ == name and getattr(tinybert, name) is found and name in tinybert.__all__ and getattr(transformers, name).__name__ == name
    assert AUTO_FOR[task].classes[model_type] is found and getattr(tinybert, f"AutoModelFor{task}") is AUTO_FOR[task]
    assert getattr(transformers, f"AutoModelFor{task}") and found.config_class is FAMILIES[model_type].config_class


def test_every_family_has_every_head():
    for model_type in FAMILIES: assert {task for name, task in HEADS if name == model_type} >= set(TASKS)
    assert {task for name, task in HEADS if name == "bert"} - set(TASKS) == {"NextSentencePrediction", "PreTraining", "MultipleChoice"}


def test_an_unknown_model_type_is_named(tmp_path):
    for settings, word in ({"model_type": "t5"}, "'t5'"), ({"vocab_size": 3}, "None"):
        (tmp_path / "config.json").write_text(json.dumps(settings))
        for auto in (AutoConfig, AutoModel, *AUTO):
            with pytest.raises(ValueError, match=f"model_type {word}.*bert.*albert"): auto.from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type, task", [(name, task) for name in FAMILIES for task in AUTO_FOR if (name, task) not in HEADS])
def test_a_task_without_a_class_is_named(tmp_path, model_type, task):
    their_config(model_type).save_pretrained(tmp_path)
    for build in (lambda: AUTO_FOR[task].from_pretrained(tmp_path), lambda: AUTO_FOR[task].from_config(AutoConfig.from_pretrained(tmp_path))):
        with pytest.raises((ValueError, OSError), match=f"AutoModelFor{task}.*'{model_type}'.*bert"): build()


@pytest.mark.parametrize("auto", [AutoModel, *AUTO])
def test_auto_classes_are_not_built(auto):
    with pytest.raises(TypeError, match=f"{auto.__name__}.from_pretrained.*{auto.__name__}.from_config"): auto(tinybert.BertConfig())
    with pytest.raises(TypeError, match="AutoConfig"): AutoConfig()


@EACH_FAMILY
def test_the_encoder_of_a_model_with_a_head_is_reached_as_in_transformers(model_type):
    model = our_class(model_type, "MaskedLM")(AutoConfig.from_dict(their_config(model_type).to_dict()))
    theirs = their_model(model_type, "MaskedLM")
    assert model.base_model_prefix == theirs.base_model_prefix
    assert type(getattr(model, theirs.base_model_prefix)) is our_class(model_type) and model.encoder is getattr(model, model.base_model_prefix)


@EACH_FAMILY
def test_an_untied_decoder_is_refused(tmp_path, model_type):
    for task in ("MaskedLM", "PreTraining") if model_type == "bert" else ("MaskedLM",):
        their_model(model_type, task, tie_word_embeddings=False).save_pretrained(tmp_path)
        for kind in (AUTO_FOR[task], our_class(model_type, task)):
            with pytest.raises(ValueError, match="tie_word_embeddings is False"): kind.from_pretrained(tmp_path)
    logging.getLogger("tinybert").setLevel(logging.ERROR)
    try:  # without a decoder nothing is amiss
        for auto in (AutoModel, AUTO_FOR["SequenceClassification"]): assert auto.from_pretrained(tmp_path)
    finally: logging.getLogger("tinybert").setLevel(logging.NOTSET)


# The labels, and tasks of one's own

@EACH
def test_labels_are_in_the_signature_and_taken_in_order_or_by_name(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task, **settings_for(task))
    inputs, labels = draw_inputs(task, theirs.config)
    given = ["input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"]
    assert list(inspect.signature(ours.forward).parameters) == [*given, *labels, "output_hidden_states",
                                                               "output_attentions", "return_dict"]
    assert list(inspect.signature(ours.forward).parameters) == list(inspect.signature(type(ours).forward).parameters)[1:]
    assert transformers.utils.generic.find_labels(type(ours)) == transformers.utils.generic.find_labels(type(theirs)) == list(labels)
    assert ours.forward.__doc__ and "input_ids" in inspect.getsource(ours.forward)
    named = ours(**inputs, **labels).loss
    assert torch.equal(ours(*(inputs.get(name) for name in given), *labels.values()).loss, named)
    name, label = next(iter(labels.items()))
    for more, message in [({"labes": label}, "no argument 'labes'"), ({"input_idz": label}, "Did you mean 'input_ids'"),
                          ({"output_attention": True}, "Did you mean 'output_attentions'"), ({name: [1, 2]}, f"{name} is a list")]:
        with pytest.raises(TypeError, match=message): ours(**inputs, **more)
    ordered = [inputs.get(name) for name in given] + list(labels.values())
    with pytest.raises(TypeError, match=f"{name} is given twice"): ours(*ordered, **{name: label})
    with pytest.raises(TypeError, match=f"{len(labels) + 1} labels are given; expected {name}"): ours(*ordered, label)


@pytest.mark.parametrize("task", [task for model_type, task in HEADS if model_type == "bert"])
def test_a_loss_can_be_compiled_and_exported(tmp_path, task):
    class Tuple(torch.nn.Module):  # torch.export wants tensors, not our output
        def forward(self, inputs, labels): return ours(**inputs, **labels).to_tuple()

    ours, theirs = family_twins(tmp_path, "bert", task, **settings_for(task))
    inputs, labels = draw_inputs(task, theirs.config)
    wrapped = Tuple()
    wrapped.model = ours
    with torch.no_grad(): expected = wrapped(inputs, labels)
    exported = torch.export.export(wrapped, (inputs, labels)).module()
    for run in (torch.compile(wrapped, backend="eager", fullgraph=True), exported):
        with torch.no_grad(): torch.testing.assert_close(run(inputs, labels), expected)


def test_a_subclass_may_have_a_forward_of_its_own():
    class Logits(tinybert.BertForQuestionAnswering):
        def forward(self, input_ids): return super().forward(input_ids).start_logits

    class Again(Logits): pass

    config = AutoConfig.from_dict(their_config("bert").to_dict())
    assert Again(config)(torch.tensor([[5, 6, 7]])).shape == (1, 3) and Again.renames == tinybert.BertForQuestionAnswering.renames
    assert HEADS["bert", "QuestionAnswering"] is tinybert.BertForQuestionAnswering


def test_a_task_of_ones_own(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(heads, "HEADS", dict(HEADS))

    class ForWidth(heads.HeadModel):
        "Say how wide a text is."
        labels = ("width",)
        forward = heads.name_labels(labels)

        def add_head(self, config): self.width = torch.nn.Linear(config.hidden_size, 1)
        def predict(self, output, inputs): return {"logits": self.width(output.last_hidden_state[:, 0])}
        def loss(self, answer, width): return (answer["logits"][:, 0] - width).square().mean()

    class RobertaForWidth(ForWidth, family=FAMILIES["roberta"]): pass

    assert heads.HEADS["roberta", "Width"] is RobertaForWidth and RobertaForWidth.__doc__ == ForWidth.__doc__
    with pytest.raises(TypeError, match="ForWidth is a task without an encoder"): ForWidth(AutoConfig.from_dict(their_config("roberta").to_dict()))
    their_model("roberta").save_pretrained(tmp_path)
    model, ids = RobertaForWidth.from_pretrained(tmp_path), torch.tensor([[5, 6, 7], [8, 9, 5]])
    assert [record.getMessage() for record in caplog.records if "new" in record.getMessage()][0].split(": ")[1].startswith("it has no width;")
    model(ids, width=torch.tensor([1.0, 2.0])).loss.backward()
    assert model.width.weight.grad.any() and model.roberta.embeddings.word_embeddings.weight.grad.any()
    model.save_pretrained(tmp_path)
    caplog.clear()
    same_state(RobertaForWidth.from_pretrained(tmp_path), model)
    assert not caplog.records


# Memory

PEAK = """if True:
    import re, sys, torch, tinybert
    model_class = getattr(tinybert, sys.argv[1])
    peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    before = peak()
    model = model_class.from_pretrained(sys.argv[2])
    print(sum(parameter.double().sum().item() if parameter.dim() == 1 else sum(row.sum().item() for row in parameter.split(1000))
              for parameter in model.parameters()))  # all of it has been read
    print(peak() - before)"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("model_type, task", [("bert", ""), ("distilbert", "MaskedLM"), ("albert", "SequenceClassification")])
@FORMATS
def test_loading_needs_little_more_memory_than_the_file(tmp_path, model_type, task, safe):
    name, wide = our_class(model_type, task).__name__, dict(vocab_size=900_000)
    wide |= dict(embedding_size=64) if model_type == "albert" else dict(dim=64) if model_type == "distilbert" else dict(hidden_size=64)
    config = AutoConfig.from_dict(their_config(model_type, **wide).to_dict())
    with torch.device("meta"): shapes = {key: tensor.shape for key, tensor in our_class(model_type, task)(config).state_dict().items()}
    state = in_files({key: torch.full(shape, 0.5) for key, shape in shapes.items()}, our_class(model_type, task))
    config.save_pretrained(tmp_path)
    if safe: safetensors.torch.save_file(state, tmp_path / WEIGHTS[safe])
    else: torch.save(state, tmp_path / WEIGHTS[safe])
    size = (tmp_path / WEIGHTS[safe]).stat().st_size
    assert size > 200_000_000
    total, used = map(float, run_python(PEAK, name, tmp_path).split())
    assert total == pytest.approx(sum(shape.numel() for shape in shapes.values()) / 2)
    print(f"{name} {WEIGHTS[safe]}: {used / size:.3f}")
    assert 0.9 * size < used < 1.15 * size


# Only labeled tokens are scored

SPARSE = pytest.mark.parametrize("model_type, task", [key for key in HEADS if key[1] in ("MaskedLM", "PreTraining")])


def sparse_and_dense(ours, inputs: dict, labels: dict) -> tuple:
    "Return the outputs and gradients of a model that scores only labeled tokens, and of the same when it scores all."
    found = []
    for sparse in (True, False):
        ours.sparse_prediction = sparse
        ours.zero_grad(set_to_none=True)
        output = ours(**inputs, **labels)
        output.loss.backward()
        found.append((output, {name: weight.grad for name, weight in ours.named_parameters()}))
    return found


@SPARSE
@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("unpad", [True, False], ids=["unpadded", "padded"])
def test_scoring_only_labeled_tokens_changes_neither_loss_nor_gradients(tmp_path, model_type, task, left, unpad):
    ours, theirs = family_twins(tmp_path, model_type, task)
    ours.unpad = unpad
    inputs, labels = draw_inputs(task, theirs.config, 2, left=left)
    (sparse, few), (dense, all_of_them) = sparse_and_dense(ours, inputs, labels)
    name, chosen = "prediction_logits" if task == "PreTraining" else "logits", labels["labels"] != -100
    assert sparse[name].shape == (chosen.sum(), 60) and dense[name].shape == (3, 11, 60)
    torch.testing.assert_close(sparse[name], dense[name][chosen], rtol=exactness(ours), atol=exactness(ours))
    torch.testing.assert_close(sparse.loss, dense.loss, rtol=exactness(ours), atol=exactness(ours))
    if not left: torch.testing.assert_close(sparse.loss, theirs(**inputs, **labels).loss, rtol=exactness(ours), atol=exactness(ours))
    assert few.keys() == all_of_them.keys()
    for key, gradient in all_of_them.items():
        torch.testing.assert_close(few[key], gradient, rtol=10 * exactness(ours), atol=10 * exactness(ours), msg=lambda text, key=key: f"{key}: {text}")


@SPARSE
def test_without_labels_every_token_is_scored(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task)
    inputs, labels = draw_inputs(task, theirs.config)
    name = "prediction_logits" if task == "PreTraining" else "logits"
    expected = ours(**inputs)[name]
    assert not ours.sparse_prediction
    ours.sparse_prediction = True
    for given in [{}] + ([dict(labels=labels["labels"])] if task == "PreTraining" else []):  # half the labels are none
        output = ours(**inputs, **given)
        assert output.loss is None and torch.equal(output[name], expected)


@SPARSE
def test_no_labeled_token_at_all(tmp_path, model_type, task):
    ours, theirs = family_twins(tmp_path, model_type, task)
    inputs, labels = draw_inputs(task, theirs.config)
    labels["labels"] = torch.full_like(labels["labels"], -100)
    (sparse, few), (dense, _) = sparse_and_dense(ours, inputs, labels)
    assert sparse.loss.isnan() and dense.loss.isnan() and theirs(**inputs, **labels).loss.isnan(), "a mean over nothing"
    assert sparse.to_tuple()[1].shape == (0, 60)
    ours.zero_grad()
    ours(**inputs, **labels).loss.nan_to_num().backward()
    assert all(weight.grad is None or not weight.grad.any() for weight in ours.parameters())


WRONG_LABELS = [(lambda labels: labels[:, :-1], r"labels has the shape \(3, 10\); expected \(3, 11\)"), (lambda labels: labels.flatten(), r"shape \(33,\); expected \(3, 11\)"),
                (lambda labels: labels[:1], r"shape \(1, 11\); expected \(3, 11\)"), (lambda labels: labels[..., None], r"shape \(3, 11, 1\); expected \(3, 11\)"),
                (lambda labels: labels.clamp(-1), "labels has the value -1; it must lie in 0 … 59, or be -100"), (lambda labels: labels + 160, "must lie in 0 … 59"),
                (lambda labels: labels.double(), "labels has the dtype torch.float64"), (lambda labels: labels > 0, "labels has the dtype torch.bool")]


@SPARSE
@pytest.mark.parametrize("sparse", [True, False])
def test_wrong_labels_are_named_however_many_tokens_are_scored(tmp_path, model_type, task, sparse):
    ours, theirs = family_twins(tmp_path, model_type, task)
    ours.sparse_prediction = sparse
    inputs, labels = draw_inputs(task, theirs.config)
    for change, message in WRONG_LABELS:
        with pytest.raises((ValueError, TypeError), match=message): ours(**inputs, **labels | {"labels": change(labels["labels"])})


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16])
def test_labels_of_other_integers_will_do(tmp_path, dtype):
    ours, theirs = family_twins(tmp_path, "bert", "MaskedLM")
    inputs, labels = draw_inputs("MaskedLM", theirs.config)
    ours.sparse_prediction = True
    assert ours(**inputs, labels=labels["labels"].to(dtype)).loss == ours(**inputs, **labels).loss


def test_modernbert_scores_what_its_config_says(tmp_path):
    ours, theirs = family_twins(tmp_path, "modernbert", "MaskedLM", sparse_prediction=True)
    assert ours.sparse_prediction and theirs.sparse_prediction
    inputs, labels = draw_inputs("MaskedLM", theirs.config)
    a, b = ours(**inputs, **labels), theirs(**inputs, **labels)
    compare(a, b, torch.ones(0, dtype=torch.bool), exactness(ours))
    assert a.logits.shape == b.logits.shape == ((labels["labels"] != -100).sum(), 60)
    torch.testing.assert_close(ours(**inputs).logits[inputs["attention_mask"].bool()], theirs(**inputs).logits[inputs["attention_mask"].bool()], rtol=2e-5, atol=2e-5)
    ours.save_pretrained(tmp_path / "saved")
    assert our_class("modernbert", "MaskedLM").from_pretrained(tmp_path / "saved").sparse_prediction
    ours.sparse_prediction = False  # a switch of the model, not of its config
    ours.save_pretrained(tmp_path / "saved")
    assert ours(**inputs, **labels).logits.dim() == 3 and transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "saved").sparse_prediction


def test_another_ignored_label_is_refused_where_it_would_count():
    "transformers scores the tokens whose label isn't that index; its loss still leaves out -100 alone."
    size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    tinybert.ModernBertForMaskedLM(tinybert.ModernBertConfig(**size, sparse_pred_ignore_index=-1))
    with pytest.raises(ValueError, match="sparse_pred_ignore_index is -1. Set it to -100"):
        tinybert.ModernBertForMaskedLM(tinybert.ModernBertConfig(**size, sparse_prediction=True, sparse_pred_ignore_index=-1))
