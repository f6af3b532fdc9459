"""The families: for each row of the table the same numbers, gradients and files as transformers, and no mix-up of two rows."""

import dataclasses
import itertools
import json

import pytest
import torch
import transformers
from conftest import (FAMILY_SIZES, ROUNDED, compare_dropouts, compare_gradients, draw_batch, dropout_rates, exactness, family_twins, in_files, name_of, our_class,
                      randomise, same_state, their_class, their_config, their_model)
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder as TheirMPNetEncoder

import tinybert
from tinybert import AutoConfig, AutoModel
from tinybert.families import distance_bucket
from tinybert.heads import ENCODERS, FAMILIES, HEADS

EACH = pytest.mark.parametrize("model_type", list(FAMILIES))
FORMATS = pytest.mark.parametrize("safe", [False, True], ids=["bin", "safetensors"])
SHIFTED = [model_type for model_type, family in FAMILIES.items() if family.positions_after_padding]
WITHOUT_TYPES = [model_type for model_type in FAMILIES if not getattr(their_config(model_type), "type_vocab_size", 0)]

# Beside the row of sizes: settings under which a family's own ways show.
VARIANTS = [
    *((model_type, {}) for model_type in FAMILIES),
    *((model_type, {name: value}) for model_type in FAMILIES
      for name, value in [("hidden_act", "relu"), ("activation", "relu"), ("hidden_activation", "relu"), ("layer_norm_eps", 1e-2),
                          ("norm_eps", 1e-2)]
      if name in their_config(model_type).to_dict()),
    ("bert", dict(pad_token_id=5, type_vocab_size=3)),
    ("roberta", dict(pad_token_id=0)), ("roberta", dict(pad_token_id=7, type_vocab_size=3)), ("xlm-roberta", dict(pad_token_id=4)),
    ("electra", dict(embedding_size=16)), ("electra", dict(embedding_size=20)), ("electra", dict(pad_token_id=5)),
    ("albert", dict(embedding_size=16)), ("albert", dict(num_hidden_layers=4, num_hidden_groups=2)),
    ("albert", dict(num_hidden_layers=5, num_hidden_groups=3)), ("albert", dict(num_hidden_layers=3, num_hidden_groups=3)),
    ("distilbert", dict(pad_token_id=4)), ("distilbert", dict(sinusoidal_pos_embds=True)), ("mpnet", dict(num_attention_heads=4)),
]


def compare(ours, theirs, real: torch.Tensor, atol: float) -> None:
    "Check all outputs at real tokens, and that ours are exactly 0 elsewhere."
    close = lambda a, b: torch.testing.assert_close(a, b, rtol=atol, atol=atol)
    assert len(ours.hidden_states) == len(theirs.hidden_states) and len(ours.attentions) == len(theirs.attentions)
    for a, b in zip([ours.last_hidden_state, *ours.hidden_states], [theirs.last_hidden_state, *theirs.hidden_states]):
        close(a[real], b[real])
        assert (a[~real] == 0).all()
    for a, b in zip(ours.attentions, theirs.attentions):
        queries = real[:, None, :].expand(a.shape[:3])
        close(a[queries], b[queries])
        assert (a[~queries] == 0).all() and (a.transpose(2, 3)[~queries] == 0).all()
    if "pooler_output" in ours: close(ours.pooler_output, theirs.pooler_output)


def run_both(ours, theirs, inputs: dict) -> None:
    "Compare all outputs for the same inputs, for both ways in which ours computes attention."
    atol = exactness(ours)
    with torch.no_grad():
        a = ours(**inputs, output_hidden_states=True, output_attentions=True)
        b = theirs(**inputs, output_hidden_states=True, output_attentions=True)
        plain = ours(**inputs, output_hidden_states=True)
    compare(a, b, inputs["attention_mask"].bool(), atol)
    assert plain.attentions is None
    for x, y in zip(plain.hidden_states, a.hidden_states): torch.testing.assert_close(x, y, rtol=atol, atol=atol)


def test_every_family_has_a_row_of_sizes():
    assert not FAMILIES.keys() - FAMILY_SIZES.keys(), "add a row to FAMILY_SIZES in conftest.py"
    assert list(ENCODERS) == list(FAMILIES)


# The same numbers

@pytest.mark.parametrize("dtype, deviation", [(torch.float64, 0.3), (torch.float32, 0.1)], ids=["float64", "float32"])
@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=[f"{name}-{settings}" for name, settings in VARIANTS])
def test_outputs_agree(tmp_path, caplog, number, dtype, deviation):
    model_type, settings = VARIANTS[number]
    if model_type in ROUNDED and dtype == torch.float64: pytest.skip("transformers works in float32 here")
    ours, theirs = family_twins(tmp_path, model_type, seed=number, dtype=dtype, deviation=deviation, **settings)
    assert not ours.training and ours.dtype == dtype and type(ours) is our_class(model_type) and not caplog.records
    assert (getattr(ours, "pooler", None) is not None) == FAMILIES[model_type].pooler
    assert theirs(torch.tensor([[5]])).get("pooler_output") is not None or not FAMILIES[model_type].pooler
    for types in (False, True): run_both(ours, theirs, draw_batch(theirs.config, number, segments=types))


@EACH
def test_given_positions_agree(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type)
    batch = draw_batch(theirs.config)
    positions = torch.randint(theirs.config.max_position_embeddings, batch["input_ids"].shape, generator=torch.Generator().manual_seed(1))
    run_both(ours, theirs, batch | {"position_ids": positions})


@EACH
def test_inputs_embeds_agree(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type)
    batch = draw_batch(theirs.config)
    embedding, ids = ours.get_input_embeddings(), batch.pop("input_ids")
    assert torch.equal(embedding.weight, theirs.get_input_embeddings().weight)
    vectors = torch.randn(*ids.shape, embedding.embedding_dim, generator=torch.Generator().manual_seed(2)).to(ours.dtype)
    run_both(ours, theirs, batch | {"inputs_embeds": vectors})
    given, embedded = ours(ids, **batch).last_hidden_state, ours(inputs_embeds=embedding(ids), **batch).last_hidden_state
    torch.testing.assert_close(given, embedded, rtol=exactness(ours), atol=exactness(ours))


@EACH
def test_left_padding_changes_nothing(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type)
    lengths = (9, 6, 1)
    batch = draw_batch(theirs.config, left=True, lengths=lengths)
    real = batch["attention_mask"].bool()
    together = ours(**batch)
    assert (together.last_hidden_state[~real] == 0).all()
    for row, length in enumerate(lengths):
        alone = ours(**{name: tensor[row:row + 1, -length:] for name, tensor in batch.items() if name != "attention_mask"})
        torch.testing.assert_close(together.last_hidden_state[row, -length:], alone.last_hidden_state[0], rtol=exactness(ours), atol=exactness(ours))
        if "pooler_output" in alone:
            torch.testing.assert_close(together.pooler_output[row], alone.pooler_output[0], rtol=exactness(ours), atol=exactness(ours))
    first = theirs.config.pad_token_id + 1 if model_type in SHIFTED else 0
    positions = (real.cumsum(1) - 1).clamp(min=0) + first
    expected = theirs(**batch, position_ids=positions).last_hidden_state
    torch.testing.assert_close(together.last_hidden_state[real], expected[real], rtol=exactness(ours), atol=exactness(ours))


@EACH
def test_a_text_without_a_mask_is_one_without_padding(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type)
    batch = draw_batch(theirs.config, lengths=(8, 8))
    expected = theirs(**batch).last_hidden_state
    del batch["attention_mask"]
    torch.testing.assert_close(ours(**batch).last_hidden_state, expected, rtol=exactness(ours), atol=exactness(ours))


@EACH
@pytest.mark.parametrize("attentions", [False, True])
def test_a_row_of_padding_only_does_no_harm(tmp_path, model_type, attentions):
    ours, theirs = family_twins(tmp_path, model_type)
    batch = draw_batch(theirs.config, lengths=(6, 0, 4))
    output = ours(**batch, output_attentions=attentions)
    assert (output.last_hidden_state[1] == 0).all()
    expected = ours(**{name: tensor[[0, 2]] for name, tensor in batch.items()}).last_hidden_state
    torch.testing.assert_close(output.last_hidden_state[[0, 2]], expected, rtol=exactness(ours), atol=exactness(ours))
    output.last_hidden_state.square().sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in ours.parameters())


@EACH
@pytest.mark.parametrize("attentions", [False, True])
def test_gradients_agree(tmp_path, model_type, attentions):
    ours, theirs = family_twins(tmp_path, model_type)
    batch = draw_batch(theirs.config)
    real = batch["attention_mask"].bool()
    weights = torch.randn(*real.shape, 16, generator=torch.Generator().manual_seed(0)).to(ours.dtype)
    for model in (ours, theirs):
        output = model(**batch, output_attentions=attentions)
        loss = (output.last_hidden_state * weights)[real].sum()
        if FAMILIES[model_type].pooler: loss = loss + (output.pooler_output * weights[:, 0]).sum()
        loss.backward()
    compare_gradients(ours, theirs)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in ours.parameters())


@pytest.mark.parametrize("model_type", ROUNDED)
@pytest.mark.parametrize("settings", [{}, dict(local_attention=6, num_hidden_layers=5), dict(norm_bias=True, mlp_bias=True, attention_bias=True),
                                      dict(layer_types=["sliding_attention", "full_attention", "full_attention"]),
                                      dict(rope_parameters={kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in
                                                            [("full_attention", 50.0), ("sliding_attention", 7.0)]})])
def test_rounded_families_agree_in_float64_too(tmp_path, model_type, settings):
    theirs = their_model(model_type, dtype=torch.float64, **settings)
    theirs.set_attn_implementation("sdpa")
    theirs.save_pretrained(tmp_path)
    ours, batch = AutoModel.from_pretrained(tmp_path, dtype=torch.float64), draw_batch(theirs.config, lengths=(25, 12, 3))
    real = batch["attention_mask"].bool()
    a, b = ours(**batch, output_hidden_states=True), theirs(**batch, output_hidden_states=True)
    for x, y in zip(a.hidden_states, b.hidden_states): torch.testing.assert_close(x[real], y[real], rtol=1e-5, atol=1e-5)
    run_both(*family_twins(tmp_path / "float32", model_type, **settings), batch)


# What a family has of its own

def test_distance_buckets_agree():
    distances = torch.arange(-700, 701)
    for buckets in (8, 16, 32, 64):
        for furthest in (64, 128):
            expected = TheirMPNetEncoder.relative_position_bucket(distances, num_buckets=buckets, max_distance=furthest)
            assert torch.equal(distance_bucket(distances, buckets, furthest), expected), (buckets, furthest)
    assert torch.equal(distance_bucket(distances, 32), TheirMPNetEncoder.relative_position_bucket(distances))


@EACH
def test_long_texts_agree(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type, max_position_embeddings=220, num_hidden_layers=2)
    run_both(ours, theirs, draw_batch(theirs.config, lengths=(200, 140)))


@pytest.mark.parametrize("layers, groups", [(3, 1), (4, 2), (5, 2), (5, 3), (7, 3), (6, 6), (12, 5)])
def test_albert_uses_its_layers_in_the_right_order(layers, groups):
    model = tinybert.AlbertModel(tinybert.AlbertConfig(**FAMILY_SIZES["albert"] | dict(num_hidden_layers=layers, num_hidden_groups=groups)))
    distinct = [group["albert_layers"][0] for group in model.encoder.albert_layer_groups]
    assert len(distinct) == groups and len(model.encoder.layer) == layers
    used = [distinct.index(layer) for layer in model.encoder.layer]
    assert used == [int(number / (layers / groups)) for number in range(layers)]
    assert len([name for name, _ in model.named_parameters() if name.endswith("query.weight")]) == groups


@pytest.mark.parametrize("model_type", SHIFTED)
def test_positions_begin_after_the_padding(model_type):
    pad, limit = their_config(model_type).pad_token_id, FAMILY_SIZES[model_type]["max_position_embeddings"]
    model = our_class(model_type)(AutoConfig.from_dict(their_config(model_type).to_dict())).eval()
    longest = limit - pad - 1
    assert model(torch.full((1, longest), 5)).last_hidden_state.shape == (1, longest, 16)
    with pytest.raises(ValueError, match=f"{longest + 1} tokens long.*{longest} positions.*max_length={longest}"):
        model(torch.full((1, longest + 1), 5))
    rows = []
    model.embeddings.position_embeddings.register_forward_hook(lambda module, given, result: rows.append(given[0]))
    model(torch.full((1, longest), 5))
    assert rows[0].tolist() == [list(range(pad + 1, limit))]


@pytest.mark.parametrize("model_type", SHIFTED)
def test_positions_after_the_padding_need_a_padding_id(model_type):
    config = AutoConfig.from_dict(their_config(model_type).to_dict() | {"pad_token_id": None})
    with pytest.raises(ValueError, match=f"pad_token_id is None; {name_of(model_type)}Model needs one"): AutoModel.from_config(config)


@pytest.mark.parametrize("model_type", [name for name in FAMILIES if name not in SHIFTED and name != "modernbert"])
def test_positions_of_the_others_begin_at_0(model_type):
    model = our_class(model_type)(AutoConfig.from_dict(their_config(model_type).to_dict())).eval()
    assert model(torch.full((1, 30), 5)).last_hidden_state.shape == (1, 30, 16)
    with pytest.raises(ValueError, match="31 tokens long.*30 positions"): model(torch.full((1, 31), 5))


@pytest.mark.parametrize("model_type", WITHOUT_TYPES)
def test_token_types_are_refused_where_there_are_none(model_type):
    for task in ["", *(task for name, task in HEADS if name == model_type)]:
        model = our_class(model_type, task)(AutoConfig.from_dict(their_config(model_type).to_dict())).eval()
        ids = torch.tensor([[5, 6, 7]])
        with pytest.raises(ValueError, match="no token types.*token_type_ids"): model(ids, token_type_ids=torch.zeros_like(ids))


def test_what_albert_here_cannot_do_is_refused(tmp_path):
    with pytest.raises(ValueError, match="inner_group_num is 2.*1"): tinybert.AlbertConfig(inner_group_num=2)
    their_model("albert", inner_group_num=2).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="inner_group_num is 2.*1"): AutoModel.from_pretrained(tmp_path)


# Training

@EACH
def test_dropout_sits_where_transformers_has_it(tmp_path, model_type):
    ours, theirs = family_twins(tmp_path, model_type, **dropout_rates(model_type))
    assert compare_dropouts(ours, theirs, draw_batch(theirs.config)) > 6


@EACH
def test_dropout_acts_in_training_only(tmp_path, model_type):
    rates = dropout_rates(model_type)
    for name in [None, *(name for name in rates if not any(word in name for word in ("classif", "qa_")))]:
        chosen = {other: 0.5 if other == name else 0.0 for other in rates}
        model, theirs = family_twins(tmp_path, model_type, **chosen)
        batch = draw_batch(theirs.config)
        for attentions in (False, True):
            run = lambda: model(**batch, output_attentions=attentions).last_hidden_state
            model.eval()
            expected = run()
            assert torch.equal(expected, run())
            model.train()
            first, second = run(), run()
            assert torch.allclose(first, second) == torch.allclose(first, expected) == (name is None), name


def test_which_parts_of_a_layer_drop_out():
    rate = lambda model, part: model.encoder.layer[1].get_submodule(part).dropout.p
    build = lambda name, **settings: our_class(name)(AutoConfig.from_dict(their_config(name, **settings).to_dict()))
    for name in FAMILIES:
        if name in ("distilbert", "albert", "modernbert"): continue
        model = build(name, hidden_dropout_prob=0.5)
        assert rate(model, "attention.output") == rate(model, "output") == model.embeddings.dropout.p == 0.5
    distilbert, albert = build("distilbert", dropout=0.5), build("albert", hidden_dropout_prob=0.5)
    assert (rate(distilbert, "attention.output"), rate(distilbert, "output"), distilbert.embeddings.dropout.p) == (0, 0.5, 0.5)
    assert (rate(albert, "attention.output"), rate(albert, "output"), albert.embeddings.dropout.p) == (0.5, 0, 0.5)


@EACH
def test_fresh_weights_have_the_right_spread(model_type):
    torch.manual_seed(0)
    sizes = {name: 96 if name in ("hidden_size", "dim", "embedding_size") else value for name, value in FAMILY_SIZES[model_type].items()}
    model = our_class(model_type)(AutoConfig.from_dict(their_config(model_type, **sizes, initializer_range=0.05).to_dict()))
    for name, parameter in model.named_parameters():
        if name.lower().endswith("norm.weight"): assert (parameter == 1).all(), name
        elif name.endswith("bias"): assert (parameter == 0).all(), name
        elif parameter.numel() > 1000 and model_type != "modernbert": assert abs(parameter.std().item() / 0.05 - 1) < 0.1, name
    if model_type not in ROUNDED: assert (model.get_input_embeddings().weight[model.config.pad_token_id] == 0).all()


@EACH
def test_a_model_can_be_trained(model_type):
    torch.manual_seed(0)
    model = our_class(model_type)(AutoConfig.from_dict(their_config(model_type, initializer_range=0.2).to_dict())).train()
    head, batch = torch.nn.Linear(16, 2), draw_batch(model.config, lengths=(8,) * 16, segments=False)
    labels = (batch["input_ids"][:, 0] > 30).long()
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=5e-3)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(head(model(**batch).last_hidden_state[:, 0]), labels)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


# Files, both ways

@EACH
@FORMATS
def test_transformers_loads_what_we_save(tmp_path, model_type, safe):
    ours = randomise(our_class(model_type)(AutoConfig.from_dict(their_config(model_type).to_dict())), 3).eval()
    ours.save_pretrained(tmp_path, safe_serialization=safe)
    theirs, report = their_class(model_type).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert type(transformers.AutoModel.from_pretrained(tmp_path)) is their_class(model_type)
    found = in_files(ours.state_dict(), type(ours))
    assert found.keys() == theirs.state_dict().keys() and all(torch.equal(found[key], tensor) for key, tensor in theirs.state_dict().items())
    batch = draw_batch(theirs.config)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(ours(**batch).last_hidden_state[real], theirs.eval()(**batch).last_hidden_state[real], rtol=1e-4, atol=2e-5)
    for again in (AutoModel.from_pretrained(tmp_path), our_class(model_type).from_pretrained(tmp_path)): same_state(again, ours)


@EACH
@FORMATS
def test_we_load_what_transformers_has(tmp_path, caplog, model_type, safe):
    theirs = their_model(model_type, seed=4)
    theirs.save_pretrained(tmp_path)
    if not safe:  # transformers 5 itself writes no .bin any more
        (tmp_path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours = AutoModel.from_pretrained(tmp_path)
    assert type(ours) is our_class(model_type) and not ours.training and not caplog.records
    ours.save_pretrained(tmp_path / "back", safe_serialization=safe)
    back, report = their_class(model_type).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values()), report
    same_state(back, theirs)


@EACH
def test_shards_are_put_together(tmp_path, model_type):
    theirs = their_model(model_type)
    theirs.save_pretrained(tmp_path, max_shard_size="3KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path / "whole")
    same_state(their_class(model_type).from_pretrained(tmp_path / "whole"), theirs)


@EACH
def test_an_incomplete_encoder_is_an_error_that_names_what_is_missing(tmp_path, model_type):
    model = our_class(model_type)(AutoConfig.from_dict(their_config(model_type).to_dict()))
    model.save_pretrained(tmp_path)
    whole = torch.load(tmp_path / "pytorch_model.bin")
    for key in whole:
        torch.save({other: tensor for other, tensor in whole.items() if other != key}, tmp_path / "pytorch_model.bin")
        with pytest.raises(ValueError) as error: AutoModel.from_pretrained(tmp_path)
        assert "lacks 1 of" in str(error.value) and key in str(error.value)


@EACH
def test_weights_of_another_size_are_refused(tmp_path, model_type):
    their_model(model_type).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(written | {"vocab_size": 61}))
    with pytest.raises(ValueError, match=r"word_embeddings|tok_embeddings"): AutoModel.from_pretrained(tmp_path)


# Settings, both ways

UNSAID = {"architectures", "dtype", "_name_or_path", "transformers_version", "tinybert_version"}  # who wrote the file, not what the model is


def unusual_config(model_type: str):
    "Return transformers' config of a family with values that are not its defaults."
    unusual = {"layer_norm_eps": 1e-3, "norm_eps": 1e-3, "initializer_range": 0.07, "hidden_act": "relu", "activation": "relu",
               "hidden_activation": "relu", "pad_token_id": 9, "bos_token_id": 8, "eos_token_id": 7, "problem_type": "regression"}
    known = their_config(model_type).to_dict()
    return their_config(model_type, **{name: value for name, value in (unusual | dropout_rates(model_type)).items() if name in known},
                        id2label={0: "no", 1: "perhaps", 2: "yes"}, label2id={"no": 0, "perhaps": 1, "yes": 2})


@EACH
@pytest.mark.parametrize("make", [their_config, unusual_config])
def test_config_survives_both_ways(tmp_path, model_type, make):
    theirs = make(model_type)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = AutoConfig.from_pretrained(tmp_path / "theirs")
    assert type(ours) is FAMILIES[model_type].config_class
    expected = {name: value for name, value in theirs.to_dict().items() if name not in UNSAID}
    for name, value in ours.to_dict().items():
        if name not in UNSAID: assert expected.get(name, getattr(theirs, name)) == value, name  # transformers counts id2label
    for name in expected: assert name in vars(ours) or name == "model_type" or expected[name] == getattr(type(theirs)(), name, None), name
    ours.save_pretrained(tmp_path / "ours")
    back = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert type(back) is type(theirs)
    assert {name: value for name, value in back.to_dict().items() if name not in UNSAID} == expected


@EACH
def test_defaults_are_those_of_transformers(tmp_path, model_type):
    config_class = FAMILIES[model_type].config_class
    ours, theirs = config_class(), getattr(transformers, config_class.__name__)()
    for field in dataclasses.fields(config_class):
        if field.name in ("id2label", "label2id"): continue  # None: LABEL_0 and LABEL_1
        if hasattr(theirs, field.name): assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
    ours.save_pretrained(tmp_path)
    back = transformers.AutoConfig.from_pretrained(tmp_path)
    assert {k: v for k, v in back.to_dict().items() if k not in UNSAID} == {k: v for k, v in theirs.to_dict().items() if k not in UNSAID}


@EACH
def test_sizes_have_the_usual_names_too(model_type):
    ours, theirs = AutoConfig.from_dict(their_config(model_type).to_dict()), their_config(model_type)
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings"):
        assert getattr(ours, name) == getattr(theirs, name)
    with pytest.raises(AttributeError, match="no_such"): ours.no_such
    with pytest.raises(TypeError, match="no_such"): FAMILIES[model_type].config_class(no_such=1)


# One family's checkpoint in another's class

@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict:
    "Return a folder with a checkpoint of transformers for each family."
    folders = {model_type: tmp_path_factory.mktemp(model_type) for model_type in FAMILIES}
    for model_type, folder in folders.items(): their_model(model_type, seed=5).save_pretrained(folder)
    return folders


@pytest.mark.parametrize("given, wanted", list(itertools.permutations(FAMILIES, 2)))
def test_another_family_is_refused_by_both_names(checkpoints, given, wanted):
    tasks = [task for name, task in HEADS if name == wanted]
    for kind in [FAMILIES[wanted].config_class, *(our_class(wanted, task) for task in ["", *tasks])]:
        with pytest.raises(ValueError, match=f"'{given}'.*'{wanted}'"): kind.from_pretrained(checkpoints[given])
    config = AutoConfig.from_pretrained(checkpoints[given])
    with pytest.raises(ValueError, match=f"'{given}'.*'{wanted}'"): our_class(wanted).from_pretrained(checkpoints[wanted], config=config)


@EACH
def test_the_right_class_is_found(checkpoints, model_type):
    assert type(AutoConfig.from_pretrained(checkpoints[model_type])) is FAMILIES[model_type].config_class
    model = AutoModel.from_pretrained(checkpoints[model_type])
    assert type(model) is our_class(model_type) and type(model).__name__ == f"{name_of(model_type)}Model"
    same_state(our_class(model_type).from_pretrained(checkpoints[model_type]), model)
    written = json.loads((checkpoints[model_type] / "config.json").read_text())
    assert type(AutoModel.from_config(AutoConfig.from_dict(written))) is type(model)


# Names

@pytest.mark.parametrize("model_type, name", [("bert", "Bert"), ("distilbert", "DistilBert"), ("roberta", "Roberta"),
                                              ("xlm-roberta", "XLMRoberta"), ("camembert", "Camembert"), ("electra", "Electra"),
                                              ("mpnet", "MPNet"), ("albert", "Albert")])
def test_families_of_the_issue_are_there(model_type, name):
    assert name_of(model_type) == name


@EACH
def test_classes_have_the_names_of_transformers(model_type):
    name = name_of(model_type)
    for kind, found in {f"{name}Config": FAMILIES[model_type].config_class, f"{name}Model": our_class(model_type)}.items():
        assert found.__name__ == kind and getattr(tinybert, kind) is found and kind in tinybert.__all__
        assert getattr(transformers, kind).__name__ == kind and found.__doc__


@EACH
def test_a_subclass_keeps_the_facts_of_its_family(model_type):
    parent = our_class(model_type)
    child = type("Child", (parent,), {})
    for name in ("config_class", "base_model_prefix", "renames", "embeddings_class", "encoder_class"):
        assert getattr(child, name, None) == getattr(parent, name, None)
    model = child(AutoConfig.from_dict(their_config(model_type).to_dict()))
    assert isinstance(model, parent) and model(torch.full((1, 3), 5)).last_hidden_state.shape == (1, 3, 16)
    assert ENCODERS[model_type] is parent
