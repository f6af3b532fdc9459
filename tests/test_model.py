"""The model: the same numbers as transformers, sound training, and clear words about inputs that do not fit."""

import random

import pytest
import torch
import transformers
from conftest import SIZES, reference, small, twins

from tinybert import AutoModel, AutoTokenizer, BertConfig, BertModel, ModelOutput
from tinybert.model import ACTIVATIONS

SEEDS = range(24)


# Parity on small random configurations

def draw_config(seed: int) -> dict:
    "Return settings drawn by a seed; every activation occurs among the seeds."
    rng = random.Random(seed)
    heads = rng.choice([1, 2, 3, 4, 6])
    return dict(
        vocab_size=rng.randint(20, 120), num_attention_heads=heads, hidden_size=heads * rng.randint(4, 16),
        num_hidden_layers=rng.randint(1, 4), intermediate_size=rng.randint(5, 80), max_position_embeddings=rng.randint(8, 40),
        type_vocab_size=rng.randint(1, 4), layer_norm_eps=rng.choice([1e-12, 1e-5, 1e-2]),
        hidden_act=list(ACTIVATIONS)[seed % len(ACTIVATIONS)])


def draw_mask(kind: str, texts: int, tokens: int, rng: random.Random) -> torch.Tensor | None:
    "Return no mask, padding on the right, or holes; the first token is always real."
    if kind == "none": return None
    mask = torch.ones(texts, tokens, dtype=torch.long)
    for row in range(texts):
        if kind == "right": mask[row, rng.randint(1, tokens):] = 0
        else: mask[row, 1:] = torch.tensor([rng.randint(0, 1) for _ in range(tokens - 1)])
    return mask


def draw_inputs(seed: int, config: dict) -> dict:
    "Return inputs drawn by a seed: with and without mask, token types, explicit positions."
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    texts, tokens = rng.randint(1, 4), rng.randint(2, config["max_position_embeddings"])
    ids = lambda limit: torch.randint(limit, (texts, tokens), generator=generator)
    inputs = {"input_ids": ids(config["vocab_size"]).clamp(min=1)}
    if (mask := draw_mask(["none", "right", "holes"][seed % 3], texts, tokens, rng)) is not None: inputs["attention_mask"] = mask
    if seed % 2: inputs["token_type_ids"] = ids(config["type_vocab_size"])
    if seed % 4 == 2: inputs["position_ids"] = ids(config["max_position_embeddings"])
    return inputs


def real_tokens(inputs: dict) -> torch.Tensor:
    "Return where the real tokens are, (B, T)."
    given = inputs.get("input_ids", inputs.get("inputs_embeds"))
    return inputs.get("attention_mask", torch.ones(given.shape[:2])).bool()


def compare(ours: ModelOutput, theirs, real: torch.Tensor, atol: float) -> None:
    "Check all outputs at real tokens, and that ours are exactly 0 elsewhere."
    close = lambda a, b: torch.testing.assert_close(a, b, rtol=atol, atol=atol)
    close(ours.pooler_output, theirs.pooler_output)
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for a, b in zip([ours.last_hidden_state, *ours.hidden_states], [theirs.last_hidden_state, *theirs.hidden_states]):
        close(a[real], b[real])
        assert (a[~real] == 0).all()
    if ours.attentions is None: return
    assert len(ours.attentions) == len(theirs.attentions)
    for a, b in zip(ours.attentions, theirs.attentions):
        queries = real[:, None, :].expand(a.shape[:3])
        close(a[queries], b[queries])
        assert (a[~queries] == 0).all() and (a.transpose(2, 3)[~queries] == 0).all()
        close(a[queries].sum(-1), torch.ones_like(a[queries].sum(-1)))


# In float32 the weights are as small as trained ones; in float64 they are large, and no error of a formula is too small to see.
@pytest.mark.parametrize("dtype, deviation, atol", [(torch.float64, 0.3, 1e-10), (torch.float32, 0.08, 1e-5)])
@pytest.mark.parametrize("seed", SEEDS)
def test_outputs_agree(seed, dtype, deviation, atol):
    config = draw_config(seed)
    ours, theirs = twins(seed, dtype=dtype, deviation=deviation, **config)
    inputs, attentions = draw_inputs(seed, config), bool(seed // 2 % 2)  # both ways to compute attention
    with torch.no_grad():
        a = ours(**inputs, output_hidden_states=True, output_attentions=attentions)
        b = theirs(**inputs, output_hidden_states=True, output_attentions=True)
    assert (a.attentions is not None) == attentions
    compare(a, b, real_tokens(inputs), atol)


def test_draws_cover_all_kinds_of_input():
    configs = [draw_config(seed) for seed in SEEDS]
    inputs = [draw_inputs(seed, config) for seed, config in zip(SEEDS, configs)]
    assert {config["hidden_act"] for config in configs} == set(ACTIVATIONS)
    assert len({frozenset(given) for given in inputs}) == 6 and len({config["num_attention_heads"] for config in configs}) == 5
    masks = [given["attention_mask"] for given in inputs if "attention_mask" in given]
    assert any((mask.diff(dim=1) > 0).any() for mask in masks) and all(mask[:, 0].all() for mask in masks)


@pytest.mark.parametrize("seed", range(0, 24, 3))
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_inputs_embeds_and_both_references_agree(seed, attention):
    config = draw_config(seed)
    ours, theirs = twins(seed, attention, **config)
    inputs = draw_inputs(seed + 1, config)
    ids = inputs.pop("input_ids")
    inputs["inputs_embeds"] = torch.randn(*ids.shape, config["hidden_size"], dtype=torch.float64)
    with torch.no_grad():
        a, b = ours(**inputs, output_hidden_states=True), theirs(**inputs, output_hidden_states=True)
    compare(a, b, real_tokens(inputs), 1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_agree(seed):
    config = draw_config(seed)
    ours, theirs = twins(seed, **config)
    inputs = draw_inputs(seed, config)
    real = real_tokens(inputs)
    weights = torch.randn(*real.shape, config["hidden_size"], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for model in (ours, theirs):
        output = model(**inputs)
        loss = (output.last_hidden_state * weights)[real].sum() + (output.pooler_output * weights[:, 0]).sum()
        loss.backward()
    theirs = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-9, atol=1e-9, msg=lambda text: f"{name}: {text}")


def test_the_padding_row_gets_no_gradient():
    model = small()
    model(torch.tensor([[5, 0, 7]]), torch.ones(1, 3)).last_hidden_state.square().sum().backward()
    gradient = model.embeddings.word_embeddings.weight.grad
    assert (gradient[0] == 0).all() and (gradient[5] != 0).any()


# Padding

def test_left_padding_changes_nothing():
    ours, theirs = twins()
    ids = torch.randint(1, 60, (2, 6), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), ids], dim=1)
    mask = (padded != 0).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    a, b = ours(padded, mask), ours(ids)
    c = theirs(padded, attention_mask=mask, position_ids=positions)
    torch.testing.assert_close(a.last_hidden_state[:, 3:], b.last_hidden_state, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(a.pooler_output, b.pooler_output, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(a.last_hidden_state[:, 3:], c.last_hidden_state[:, 3:], rtol=1e-10, atol=1e-10)
    assert (a.last_hidden_state[:, :3] == 0).all()


def test_texts_of_different_lengths_do_not_touch_each_other():
    model, _ = twins()
    short, long = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 10, 11, 12]])
    batch = torch.cat([torch.cat([short, torch.zeros(1, 2, dtype=torch.long)], dim=1), long])
    for filler in (0, 33):  # what stands in the padding does not matter
        batch[0, 3:] = filler
        together = model(batch, (torch.tensor([[1, 1, 1, 0, 0], [1] * 5]))).last_hidden_state
        torch.testing.assert_close(together[:1, :3], model(short).last_hidden_state, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(together[1:], model(long).last_hidden_state, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("attentions", [False, True])
def test_a_row_of_padding_only_is_zero_and_does_no_harm(attentions):
    model = small()
    ids, mask = torch.tensor([[5, 6, 7], [0, 0, 0]]), torch.tensor([[1, 1, 0], [0, 0, 0]])
    output = model(ids, mask, output_attentions=attentions, output_hidden_states=True)
    assert (output.last_hidden_state[1] == 0).all() and all((states[1] == 0).all() for states in output.hidden_states)
    if attentions: assert all((weights[1] == 0).all() for weights in output.attentions)
    alone = model(ids[:1], mask[:1])
    torch.testing.assert_close(output.last_hidden_state[:1], alone.last_hidden_state)
    (output.last_hidden_state.sum() + output.pooler_output.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("kind", [torch.long, torch.bool, torch.float32, torch.uint8])
def test_masks_of_any_type_mean_the_same(kind):
    model, mask = small(), torch.tensor([[1, 1, 0]])
    expected = model(torch.tensor([[5, 6, 7]]), mask).last_hidden_state
    assert torch.equal(model(torch.tensor([[5, 6, 7]]), mask.to(kind)).last_hidden_state, expected)


def test_ids_may_be_int32():
    model, ids = small(), torch.tensor([[5, 6, 7]])
    assert torch.equal(model(ids.int()).last_hidden_state, model(ids).last_hidden_state)


def test_padding_without_a_mask_is_warned_of_once_for_each_model(caplog):
    ids = torch.tensor([[5, 6, 7], [8, 0, 0]])
    model = small()
    for _ in range(3): model(ids)
    model(ids[:1])
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "tinybert" and caplog.records[0].levelname == "WARNING"
    assert "id 0" in caplog.text and "attention_mask" in caplog.text
    small()(ids.flip(1))  # another model, padding on the left
    assert len(caplog.records) == 2


def test_no_warning_without_cause(caplog):
    model = small()
    model(torch.tensor([[5, 6, 7], [8, 0, 9]]))  # an id 0 between words is a word
    model(torch.tensor([[5, 6, 0]]), torch.tensor([[1, 1, 0]]))
    model(torch.tensor([[5, 6, 0]]), torch.ones(1, 3))
    small(pad_token_id=None)(torch.tensor([[5, 6, 0]]))
    model(inputs_embeds=torch.zeros(1, 3, 24))
    assert not caplog.records


# Training

def test_a_new_model_is_in_training_mode_as_in_torch():
    assert BertModel(BertConfig(**SIZES)).training


@pytest.mark.parametrize("attentions", [False, True])
@pytest.mark.parametrize("which", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_each_dropout_acts_in_training_only(which, attentions):
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    ids = torch.arange(5, 15)[None]
    run = lambda model: model(ids, output_attentions=attentions).last_hidden_state
    model, plain = small(**rates | {which: 0.4}), small(**rates)
    assert torch.equal(run(model), run(model)) and torch.equal(run(model), run(plain))
    model.train(), plain.train()
    assert not torch.allclose(run(model), run(model)) and not torch.allclose(run(model), run(plain))
    assert torch.equal(run(plain), run(plain.eval()))


def test_dropout_sits_where_transformers_has_it():
    ours, theirs = twins(hidden_dropout_prob=0.3)
    seen = []
    for model in (ours, theirs):
        seen.append({})
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Dropout) and not name.endswith("self.dropout"):  # ours is a function there
                module.register_forward_hook(lambda module, given, result, name=name, seen=seen[-1]: seen.update({name: given[0]}))
        model(torch.tensor([[5, 6, 7]]))
    assert list(seen[0]) == list(seen[1]) and len(seen[0]) == 5
    for name, given in seen[0].items(): torch.testing.assert_close(given, seen[1][name])
    assert {module.p for module in ours.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


def test_attention_dropout_scales_what_it_keeps():
    model = small(attention_probs_dropout_prob=0.4, hidden_dropout_prob=0.0).train()
    with torch.no_grad(): dropped = model(torch.arange(5, 25)[None] % 60, output_attentions=True).attentions[0]
    model.eval()
    with torch.no_grad(): kept = model(torch.arange(5, 25)[None] % 60, output_attentions=True).attentions[0]
    assert 0.3 < (dropped == 0).float().mean() < 0.5
    torch.testing.assert_close(dropped[dropped != 0], (kept / 0.6)[dropped != 0])


def test_fresh_weights_have_the_right_spread():
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=400, hidden_size=96, num_hidden_layers=2, num_attention_heads=4, intermediate_size=200,
                                 initializer_range=0.05, pad_token_id=7))
    assert len(list(model.parameters())) == 5 + 2 * 16 + 2
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name: assert (parameter == (1 if name.endswith("weight") else 0)).all(), name
        elif name.endswith("bias"): assert (parameter == 0).all(), name
        elif "token_type" not in name:
            assert abs(parameter.std().item() / 0.05 - 1) < 0.05 and abs(parameter.mean().item()) < 0.005, name
            assert parameter.abs().max() > 0.12, f"{name} is cut off"
    words = model.embeddings.word_embeddings.weight
    assert (words[7] == 0).all() and (words[torch.arange(400) != 7].abs().sum(1) > 0).all()


def test_two_new_models_differ_and_a_seed_repeats():
    build = lambda seed: (torch.manual_seed(seed), BertModel(BertConfig(**SIZES)))[1].encoder.layer[0].attention.self.query.weight
    assert torch.equal(build(1), build(1)) and not torch.equal(build(1), build(2))


def test_a_model_can_be_trained():
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES)).train()
    head = torch.nn.Linear(24, 2)
    ids = torch.randint(1, 60, (16, 8))
    labels = (ids[:, 0] > 30).long()
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(head(model(ids).pooler_output), labels)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


# What comes back

def test_output_is_readable_in_four_ways():
    output = small()(torch.tensor([[5, 6, 7]]), output_hidden_states=True)
    assert output.last_hidden_state.shape == (1, 3, 24) and output.pooler_output.shape == (1, 24)
    assert output[0] is output["last_hidden_state"] is output.last_hidden_state
    assert output[1] is output["pooler_output"] is output.pooler_output
    assert output[-1] is output[2] is output.hidden_states and len(output.hidden_states) == 3
    last, pooled, states = output.to_tuple()
    assert output[:2][0] is last is states[-1] and output[:2][1] is pooled
    assert list(output) == ["last_hidden_state", "pooler_output", "hidden_states"] and len(output) == 3
    assert "attentions" not in output and output.attentions is None
    with pytest.raises(KeyError): output["attentions"]
    with pytest.raises(IndexError): output[3]
    with pytest.raises(AttributeError): output.logits


def test_without_pooler_the_output_is_none():
    model = BertModel(BertConfig(**SIZES), add_pooling_layer=False).eval()
    output = model(torch.tensor([[5, 6]]))
    assert output.pooler_output is None and len(output) == 1 and not any("pooler" in key for key in model.state_dict())


def test_submodules_have_the_names_of_transformers():
    ours, theirs = small(), reference()
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name in ("embeddings.LayerNorm", "encoder.layer.0.attention.self.query", "encoder.layer.1.output.dense", "pooler.dense"):
        assert type(ours.get_submodule(name)) is type(theirs.get_submodule(name))
    assert ours.num_parameters() == theirs.num_parameters() and ours.dtype == theirs.dtype and ours.device == theirs.device


def test_layers_give_their_output_to_hooks():
    model, seen = small(), []
    model.encoder.layer[0].attention.self.query.register_forward_hook(lambda module, given, result: seen.append(result.shape))
    model(torch.tensor([[5, 6, 7]]))
    assert seen == [(1, 3, 24)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_and_is_near(dtype):
    ids, mask = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    full, half = small(seed=1), small(seed=1).to(dtype)
    a, b = full(ids, mask), half(ids, mask, output_attentions=True)
    assert b.last_hidden_state.dtype == b.pooler_output.dtype == half.dtype == dtype
    assert (a.last_hidden_state - b.last_hidden_state.float()).abs().max() < 0.15 * a.last_hidden_state.abs().max()


def test_auto_model_builds_from_a_config():
    model = AutoModel.from_config(BertConfig(**SIZES))
    assert type(model) is BertModel and model.training
    with pytest.raises(TypeError, match="AutoModel.from_pretrained.*AutoModel.from_config"): AutoModel(BertConfig(**SIZES))


# The genuine checkpoint

SENTENCES = [
    "Hello!", "Cool.", "Nice!", "", "The quick brown fox jumps over the lazy dog.",
    "A BERT model gives one vector for each token; sentence vectors are their mean.",
    "Übung macht den Meister, sagte die Großmutter.", "今天天气很好", "naïve café résumé 1,234.56 €", "😀 :-) #hashtag @user",
    "Once upon a time there was a very long sentence, which went on and on, and on, " * 12,
]


@pytest.fixture(scope="module")
def genuine(minilm):
    "Return tokenizer and model of the genuine checkpoint, by name, and transformers' model."
    name = "sentence-transformers/all-MiniLM-L6-v2"
    return AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name), transformers.BertModel.from_pretrained(minilm).eval()


@pytest.mark.parametrize("attentions", [False, True])
def test_minilm_agrees(genuine, attentions):
    tokenizer, ours, theirs = genuine
    assert not ours.training and ours.dtype == torch.float32 and ours.config._name_or_path == "sentence-transformers/all-MiniLM-L6-v2"
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, max_length=128, return_tensors="pt")
    assert inputs["input_ids"].shape == (len(SENTENCES), 128)
    theirs.set_attn_implementation("eager" if attentions else "sdpa")
    with torch.no_grad():
        a = ours(**inputs, output_hidden_states=True, output_attentions=attentions)
        b = theirs(**inputs, output_hidden_states=True, output_attentions=attentions)
    assert len(a.hidden_states) == 7
    compare(a, b, inputs["attention_mask"].bool(), 1e-5)


def test_minilm_sentence_vectors_agree_with_sentence_transformers(genuine, minilm):
    from sentence_transformers import SentenceTransformer
    tokenizer, ours, _ = genuine
    expected = torch.tensor(SentenceTransformer(str(minilm), device="cpu").encode(SENTENCES, show_progress_bar=False))
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad(): states = ours(**inputs).last_hidden_state
    mean = states.sum(1) / inputs["attention_mask"].sum(1, keepdim=True)  # padding is zero already
    assert (torch.cosine_similarity(mean, expected) > 0.99999).all()


# Inputs that do not fit

IDS = torch.tensor([[5, 6, 7], [8, 9, 10]])
ONES = torch.ones(2, 3, dtype=torch.long)


@pytest.mark.parametrize("inputs, kind, words", [
    (dict(input_ids=IDS[0]), ValueError, ["input_ids", "(3,)", "(texts, tokens)", "[None]"]),
    (dict(input_ids=IDS[None]), ValueError, ["input_ids", "(1, 2, 3)", "(texts, tokens)"]),
    (dict(input_ids=IDS.tolist()), TypeError, ["input_ids", "list", "torch.tensor"]),
    (dict(input_ids={"input_ids": IDS}), TypeError, ["input_ids", "dict", "model(**inputs)"]),
    (dict(input_ids=IDS.float()), TypeError, ["input_ids", "torch.float32", "torch.long"]),
    (dict(input_ids=IDS > 6), TypeError, ["input_ids", "torch.bool", "torch.long"]),
    (dict(input_ids=IDS + 53), ValueError, ["input_ids", "63", "0 … 59", "tokenizer"]),
    (dict(input_ids=IDS - 6), ValueError, ["input_ids", "-1", "0 … 59"]),
    (dict(input_ids=torch.ones(1, 21, dtype=torch.long)), ValueError, ["21 tokens", "20 positions", "truncation=True", "max_length=20"]),
    (dict(input_ids=IDS[:, :0]), ValueError, ["input_ids", "(2, 0)"]),
    (dict(), ValueError, ["input_ids", "inputs_embeds"]),
    (dict(input_ids=IDS, inputs_embeds=torch.zeros(2, 3, 24)), ValueError, ["input_ids", "inputs_embeds", "not both"]),
    (dict(inputs_embeds=torch.zeros(3, 24)), ValueError, ["inputs_embeds", "(3, 24)", "(texts, tokens, 24)"]),
    (dict(inputs_embeds=torch.zeros(2, 3, 25)), ValueError, ["inputs_embeds", "25", "24"]),
    (dict(inputs_embeds=torch.zeros(1, 21, 24)), ValueError, ["21 tokens", "20 positions"]),
    (dict(input_ids=IDS, attention_mask=torch.ones(2, 4)), ValueError, ["attention_mask", "(2, 4)", "(2, 3)"]),
    (dict(input_ids=IDS, attention_mask=torch.ones(1, 3)), ValueError, ["attention_mask", "(1, 3)", "(2, 3)"]),
    (dict(input_ids=IDS, attention_mask=torch.ones(2, 1, 1, 3)), ValueError, ["attention_mask", "(2, 1, 1, 3)", "(2, 3)"]),
    (dict(input_ids=IDS, attention_mask=ONES.tolist()), (TypeError, ValueError), ["attention_mask", "list", "tensor"]),
    (dict(input_ids=IDS, attention_mask=(1.0 - ONES) - torch.tensor([0, 0, 1e4])), ValueError, ["attention_mask", "-10000", "1", "0"]),
    (dict(input_ids=IDS, token_type_ids=ONES * 2), ValueError, ["token_type_ids", "2", "0 … 1"]),
    (dict(input_ids=IDS, token_type_ids=ONES[:, :2]), ValueError, ["token_type_ids", "(2, 2)", "(2, 3)"]),
    (dict(input_ids=IDS, token_type_ids=ONES.float()), TypeError, ["token_type_ids", "torch.float32", "torch.long"]),
    (dict(input_ids=IDS, position_ids=ONES * 20), ValueError, ["position_ids", "20", "0 … 19"]),
    (dict(input_ids=IDS, position_ids=ONES - 2), ValueError, ["position_ids", "-1", "0 … 19"]),
    (dict(input_ids=IDS, position_ids=torch.arange(4)), ValueError, ["position_ids", "(4,)", "(2, 3)"]),
    (dict(input_ids=IDS, position_ids=[0, 1, 2]), TypeError, ["position_ids", "list"]),
])
def test_wrong_input_is_named(inputs, kind, words):
    with pytest.raises(kind) as error: small()(**inputs)
    for word in words: assert word in str(error.value)


def test_an_empty_batch_is_no_mistake():
    output = small()(IDS[:0], output_attentions=True)
    assert output.last_hidden_state.shape == (0, 3, 24) and output.pooler_output.shape == (0, 24)


def test_the_longest_input_fits():
    assert small()(torch.full((1, 20), 5)).last_hidden_state.shape == (1, 20, 24)


@pytest.mark.parametrize("given", ["bert-base-cased", dict(SIZES), None])
def test_a_model_needs_a_config(given):
    with pytest.raises(TypeError, match="config"): BertModel(given)
