"""ModernBERT: the same numbers as transformers, both directions on disk, padding, and clear words about what does not fit."""

import json
import random

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.models.modernbert import modeling_modernbert as reference

from tinybert.modernbert import ModernBertConfig, ModernBertModel, SlidingWindow, inputs_by_kind
from tinybert.unpadding import Packing

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
SEEDS = range(16)
SIZES = dict(vocab_size=60, hidden_size=24, intermediate_size=20, num_hidden_layers=4, num_attention_heads=3, local_attention=4,
             max_position_embeddings=40, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)


def exact_rotation(q, k, cos, sin, unsqueeze_dim=1):
    "Rotate as transformers does, but without its way through float32, so that float64 can be compared in float64."
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return q * cos + reference.rotate_half(q) * sin, k * cos + reference.rotate_half(k) * sin


@pytest.fixture
def exact(monkeypatch): monkeypatch.setattr(reference, "apply_rotary_pos_emb", exact_rotation)


def draw_config(seed: int) -> dict:
    "Return settings drawn by a seed."
    rng = random.Random(seed)
    heads, layers = rng.choice([1, 2, 3, 4]), rng.randint(1, 6)
    settings = SIZES | dict(
        vocab_size=rng.randint(20, 90), num_attention_heads=heads, hidden_size=heads * 2 * rng.randint(1, 8), num_hidden_layers=layers,
        intermediate_size=rng.randint(3, 40), local_attention=rng.choice([1, 2, 4, 4, 5, 6]), norm_eps=rng.choice([1e-5, 1e-2]),
        norm_bias=bool(seed & 1), attention_bias=bool(seed & 2), mlp_bias=bool(seed & 4),
        hidden_activation=rng.choice(["gelu", "silu", "gelu_new"]))
    if seed % 3 == 1: settings["layer_types"] = [rng.choice(["full_attention", "sliding_attention"]) for _ in range(layers)]
    if seed % 3 == 2: settings["rope_parameters"] = {
        "full_attention": {"rope_type": "default", "rope_theta": 50.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 7.0}}
    return settings


def randomise(model: torch.nn.Module, seed: int, deviation: float) -> torch.nn.Module:
    "Set all weights, biases and norms too, to random numbers that depend on the seed alone."
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * deviation + name.endswith("norm.weight"))
    return model


def twins(settings: dict, seed: int = 0, attention: str = "sdpa", dtype=torch.float64, deviation: float = 0.3) -> tuple:
    "Return a tinybert and a transformers model with the same random weights."
    config = transformers.ModernBertConfig(**settings, attn_implementation=attention)
    theirs = randomise(transformers.ModernBertModel(config).to(dtype), seed, deviation).eval()
    ours = ModernBertModel(ModernBertConfig(**settings)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def draw_inputs(seed: int, settings: dict) -> tuple[dict, torch.Tensor]:
    "Return inputs drawn by a seed, longer than the window, and where the real tokens are."
    rng, generator = random.Random(seed + 100), torch.Generator().manual_seed(seed)
    texts, tokens = rng.randint(1, 4), rng.randint(12, 30)
    inputs = {"input_ids": torch.randint(1, settings["vocab_size"], (texts, tokens), generator=generator)}
    real = torch.ones(texts, tokens, dtype=torch.long)
    if seed % 4:
        for row in range(texts): real[row, rng.randint(1, tokens):] = 0
        if seed % 4 == 3: real = real.flip(1)
        inputs["attention_mask"] = real
    if seed % 4 == 2: inputs["position_ids"] = torch.randint(0, 40, (texts, tokens), generator=generator)
    if seed % 5 == 4: inputs["inputs_embeds"] = torch.randn(texts, tokens, settings["hidden_size"], generator=generator,
                                                            dtype=torch.float64).where(inputs.pop("input_ids")[:, :, None] > 0, 0)
    return inputs, real.bool()


def for_theirs(inputs: dict) -> dict:
    "Let transformers count positions from the first real token, as we do: equal but for rounding, and float64 shows that."
    if "position_ids" in inputs or "attention_mask" not in inputs: return inputs
    return inputs | {"position_ids": (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)}


def compare(ours, theirs, real: torch.Tensor, atol: float, attentions=None) -> None:
    "Check all outputs at real tokens, and that ours are exactly 0 elsewhere."
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for a, b in zip([ours.last_hidden_state, *ours.hidden_states], [theirs.last_hidden_state, *theirs.hidden_states]):
        torch.testing.assert_close(a[real], b[real], rtol=atol, atol=atol)
        assert (a[~real] == 0).all()
    if attentions is None: return
    assert len(ours.attentions) == len(attentions)
    for a, b in zip(ours.attentions, attentions):
        queries = real[:, None, :].expand(a.shape[:3])
        torch.testing.assert_close(a[queries], b[queries], rtol=1e-5, atol=1e-5)  # transformers takes the softmax in float32
        torch.testing.assert_close(a[queries].sum(-1), torch.ones_like(a[queries].sum(-1)))
        assert (a[~queries] == 0).all() and (a.transpose(2, 3)[~queries] == 0).all()


@pytest.mark.parametrize("dtype, deviation, atol", [(torch.float64, 0.3, 1e-10), (torch.float32, 0.1, 2e-5)])
@pytest.mark.parametrize("seed", SEEDS)
def test_outputs_agree(seed, dtype, deviation, atol, exact):
    settings, attentions = draw_config(seed), bool(seed // 2 % 2)
    ours, theirs = twins(settings, seed, "sdpa", dtype, deviation)
    inputs, real = draw_inputs(seed, settings)
    inputs = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    with torch.no_grad():
        a = ours(**inputs, output_hidden_states=True, output_attentions=attentions)
        b = theirs(**for_theirs(inputs), output_hidden_states=True)
        c = None
        if attentions and dtype == torch.float32:  # in float64 its eager form gives nan: a mask of -1.8e308 is cast to float32
            theirs.set_attn_implementation("eager")
            c = theirs(**for_theirs(inputs), output_hidden_states=True, output_attentions=True)
            compare(a, c, real, atol)
    assert (a.attentions is not None) == attentions
    compare(a, b, real, atol, c and c.attentions)


def test_draws_cover_what_they_should():
    drawn = [draw_config(seed) for seed in SEEDS]
    assert {settings["num_hidden_layers"] for settings in drawn} == set(range(1, 7))
    for name in ("norm_bias", "attention_bias", "mlp_bias"): assert {settings[name] for settings in drawn} == {False, True}
    assert {kind for settings in drawn for kind in ModernBertConfig(**settings).layer_types} == {"full_attention", "sliding_attention"}
    given = [draw_inputs(seed, settings)[0] for seed, settings in zip(SEEDS, drawn)]
    assert all(any(name in inputs for inputs in given) for name in ("input_ids", "inputs_embeds", "attention_mask", "position_ids"))


def test_transformers_as_it_is_agrees_in_float32():
    settings = draw_config(5)
    for seed in range(4):  # the last has padding on the left, and rotations know distances only
        ours, theirs = twins(settings, seed, dtype=torch.float32, deviation=0.1)
        inputs, real = draw_inputs(seed, settings)
        with torch.no_grad(): compare(ours(**inputs, output_hidden_states=True), theirs(**inputs, output_hidden_states=True), real, 2e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_agree(seed, exact):
    settings = draw_config(seed)
    ours, theirs = twins(settings, seed)
    inputs, real = draw_inputs(seed, settings)
    weights = torch.randn(*real.shape, settings["hidden_size"], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for model in (ours, theirs): (model(**for_theirs(inputs)).last_hidden_state * weights)[real].sum().backward()
    theirs = dict(theirs.named_parameters())
    assert theirs.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        expected = theirs[name].grad
        if expected is None: assert parameter.grad is None or not parameter.grad.any(); continue
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-9, msg=lambda text: f"{name}: {text}")


# Padding

@pytest.mark.parametrize("attentions", [False, True])
def test_padding_on_either_side_changes_nothing(attentions):
    ours, _ = twins(SIZES)
    ids, pad = torch.randint(1, 60, (2, 9), generator=torch.Generator().manual_seed(0)), torch.zeros(2, 11, dtype=torch.long)
    run = lambda *inputs: ours(*inputs, output_hidden_states=True, output_attentions=attentions)
    with torch.no_grad():
        alone = run(ids)
        for padded, columns in ((torch.cat([pad, ids], 1), slice(11, 20)), (torch.cat([ids, pad], 1), slice(0, 9))):
            output = run(padded, (padded != 0).long())
            for a, b in zip(output.hidden_states, alone.hidden_states):
                torch.testing.assert_close(a[:, columns], b, rtol=1e-10, atol=1e-10)
                assert not a.masked_fill((padded != 0)[:, :, None], 0).any()


@pytest.mark.parametrize("attentions", [False, True])
def test_a_row_of_padding_only_is_zero_and_does_no_harm(attentions):
    ours, _ = twins(SIZES)
    ids, mask = torch.randint(1, 60, (2, 14), generator=torch.Generator().manual_seed(0)), torch.zeros(2, 14, dtype=torch.long)
    mask[0, :3] = 1
    output = ours(ids, mask, output_hidden_states=True, output_attentions=attentions)
    assert all((states[1] == 0).all() and states.isfinite().all() for states in output.hidden_states)
    if attentions: assert all((weights[1] == 0).all() for weights in output.attentions)
    torch.testing.assert_close(output.last_hidden_state[:1], ours(ids[:1], mask[:1]).last_hidden_state)
    output.last_hidden_state.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())


# Blocks of sliding-window attention

WINDOWS = (1, 2, 3, 4, 6, 7, 10, 16)
LENGTHS = {window: sorted({1, 2, *(border + more for border in (max(window // 2, 1), 2 * (window // 2), 6 * (window // 2))
                                   for more in (-1, 0, 1, 2) if 0 < border + more <= 40)}) for window in WINDOWS}


def draw_ragged(window: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    "Return ids of texts below, at and above the borders of blocks, and a mask of some kind."
    lengths, generator = torch.tensor(LENGTHS[window] + [40]), torch.Generator().manual_seed(window)
    ids = torch.randint(3, 60, (len(lengths), 40), generator=generator)
    mask = (torch.arange(40) < lengths[:, None]).long()
    if kind == "left": mask = mask.flip(1)
    if kind == "holes": mask = mask * (torch.rand(mask.shape, generator=generator) < 0.6)
    if kind == "an empty row": mask[1] = 0
    return ids, mask


@pytest.mark.parametrize("kind", ["right", "left", "holes", "an empty row"])
@pytest.mark.parametrize("window", WINDOWS)
def test_blocks_agree_with_transformers_and_with_the_whole_matrix(window, kind):
    ours, theirs = twins(SIZES | dict(local_attention=window), window, dtype=torch.float32, deviation=0.1)
    ids, mask = draw_ragged(window, kind)
    real = mask.bool()
    with torch.no_grad():
        expected = theirs(ids, mask).last_hidden_state[real]
        dense = ours(ids, mask, output_attentions=True).last_hidden_state  # weights are a whole matrix, so this path is the other one
        for ours.unpad in (True, False):
            found = ours(ids, mask).last_hidden_state
            torch.testing.assert_close(found[real], expected, rtol=2e-5, atol=2e-5)
            torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-5)
            assert (found[~real] == 0).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_text_alone_is_the_same_as_in_a_batch(window):
    ours, _ = twins(SIZES | dict(local_attention=window))
    ids, mask = draw_ragged(window, "right")
    with torch.no_grad():
        together = ours(ids, mask).last_hidden_state
        for row, length in enumerate(mask.sum(1).tolist()):
            torch.testing.assert_close(ours(ids[row:row + 1, :length]).last_hidden_state[0], together[row, :length], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("window", (2, 6))
def test_gradients_through_blocks_are_those_of_the_whole_matrix(window):
    ours, _ = twins(SIZES | dict(local_attention=window))
    ids, mask = draw_ragged(window, "an empty row")
    gradients = []
    for unpad, attentions in ((True, False), (False, False), (True, True)):
        ours.unpad = unpad
        ours.zero_grad()
        ours(ids, mask, output_attentions=attentions).last_hidden_state.sin().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in ours.parameters()])
    for other in gradients[:2]: torch.testing.assert_close(other, gradients[2], rtol=1e-9, atol=1e-9)


def test_the_blocks_are_used():
    assert len({length for lengths in LENGTHS.values() for length in lengths}) > 20
    packing = Packing(None, (2, 20))
    by_kind = inputs_by_kind(ModernBertConfig(**SIZES), packing, torch.arange(20))
    assert type(by_kind["sliding_attention"][0]) is SlidingWindow and by_kind["full_attention"][0] is packing
    for T in (1, 2, 3): assert inputs_by_kind(ModernBertConfig(**SIZES), short := Packing(None, (2, T)), torch.arange(T))["sliding_attention"][0] is short
    assert type(inputs_by_kind(ModernBertConfig(**SIZES), Packing(None, (2, 4)), torch.arange(4))["sliding_attention"][0]) is SlidingWindow


def test_a_batch_without_texts_has_no_vectors():
    ours, _ = twins(SIZES)
    assert ours(torch.zeros(0, 9).long()).last_hidden_state.shape == (0, 9, 24)


class Elements(TorchDispatchMode):
    "Count the elements of all tensors that operations return."
    def __init__(self): super().__init__(); self.total = self.largest = 0

    def __torch_dispatch__(self, operation, types, given=(), options=None):
        result = operation(*given, **options or {})
        for tensor in tree_leaves(result):
            if not isinstance(tensor, torch.Tensor) or operation.is_view: continue
            self.total, self.largest = self.total + tensor.numel(), max(self.largest, tensor.numel())
        return result


def elements(model: ModernBertModel, tokens: int) -> Elements:
    with torch.no_grad(), Elements() as counted: model(torch.arange(tokens)[None] % 50 + 5)
    return counted


def test_memory_grows_with_the_length_and_not_with_its_square():
    model = ModernBertModel(ModernBertConfig(**SIZES | dict(max_position_embeddings=2048, local_attention=8))).eval()
    short, long = elements(model, 1024), elements(model, 2048)
    assert long.total < 2.01 * short.total and long.largest < 2.01 * short.largest
    assert long.largest < 2048**2 / 20  # no table with a row and a column for each token


# Training

def test_fresh_weights_are_drawn_as_in_transformers():
    settings = SIZES | dict(vocab_size=400, hidden_size=96, intermediate_size=200, num_attention_heads=4, initializer_range=0.05,
                            initializer_cutoff_factor=1.5, norm_bias=True, attention_bias=True, mlp_bias=True)
    torch.manual_seed(0)
    ours, theirs = ModernBertModel(ModernBertConfig(**settings)), transformers.ModernBertModel(transformers.ModernBertConfig(**settings))
    theirs = dict(theirs.named_parameters())
    assert ours.training and {name: p.shape for name, p in ours.named_parameters()} == {name: p.shape for name, p in theirs.items()}
    for name, parameter in ours.named_parameters():
        if parameter.dim() < 2: assert torch.equal(parameter, theirs[name]), name; continue
        deviation = 0.05 / (8**0.5 if name.endswith("Wo.weight") else 1)
        assert abs(parameter.std().item() / theirs[name].std().item() - 1) < 0.05, name
        assert 1.4 * deviation < parameter.abs().max() <= 1.5 * deviation, name


@pytest.mark.parametrize("which", ["attention_dropout", "embedding_dropout", "mlp_dropout"])
def test_each_dropout_acts_in_training_only(which):
    ids = torch.arange(5, 25)[None]
    torch.manual_seed(0)
    model = ModernBertModel(ModernBertConfig(**SIZES | {which: 0.4})).eval()
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
    model.train()
    assert not torch.allclose(model(ids).last_hidden_state, model(ids).last_hidden_state)


# Files

@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 7])
def test_transformers_reads_what_we_write(tmp_path, seed, safe):
    settings = draw_config(seed)
    ours, _ = twins(settings, seed, dtype=torch.float32, deviation=0.1)
    ours.save_pretrained(tmp_path, safe_serialization=safe)
    theirs, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == "ModernBertModel" and not any(info.values())
    inputs, real = draw_inputs(0, settings)
    with torch.no_grad(): compare(ours(**inputs, output_hidden_states=True), theirs(**inputs, output_hidden_states=True), real, 2e-5)
    for name in ModernBertConfig(**settings).to_dict().keys() - {"tinybert_version", "transformers_version"}:
        assert getattr(theirs.config, name) == getattr(ours.config, name, ours.config.model_type), name


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 7])
def test_we_read_what_transformers_writes(tmp_path, seed, safe):
    settings = draw_config(seed)
    _, theirs = twins(settings, seed, dtype=torch.float32, deviation=0.1)
    theirs.save_pretrained(tmp_path)
    if not safe:
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    ours = ModernBertModel.from_pretrained(tmp_path)
    assert not ours.training
    inputs, real = draw_inputs(0, settings)
    with torch.no_grad(): compare(ours(**inputs, output_hidden_states=True), theirs(**inputs, output_hidden_states=True), real, 2e-5)


def test_the_encoder_is_read_out_of_a_model_with_a_head(tmp_path, caplog):
    config = transformers.ModernBertConfig(**SIZES)
    theirs = randomise(transformers.ModernBertForMaskedLM(config), 0, 0.1).eval()
    theirs.save_pretrained(tmp_path)
    ours = ModernBertModel.from_pretrained(tmp_path)
    ids = torch.randint(1, 60, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(): torch.testing.assert_close(ours(ids).last_hidden_state, theirs.model(ids).last_hidden_state, rtol=2e-5, atol=2e-5)
    assert len(caplog.records) == 1 and "head.dense.weight" in caplog.text


OLD = dict(model_type="modernbert", architectures=["ModernBertForMaskedLM"], global_attn_every_n_layers=2, global_rope_theta=500.0,
           local_rope_theta=20.0, position_embedding_type="absolute", layer_norm_eps=1e-5, gradient_checkpointing=False,
           torch_dtype="float32", reference_compile=True, transformers_version="4.47.0.dev0") | SIZES


@pytest.mark.parametrize("gone", [(), ("global_attn_every_n_layers",), ("local_rope_theta",), ("global_rope_theta",)])
def test_a_config_of_2024_means_the_same_here_and_there(tmp_path, gone):
    old = {name: value for name, value in OLD.items() if name not in gone}
    (tmp_path / "config.json").write_text(json.dumps(old))
    ours, theirs = ModernBertConfig.from_pretrained(tmp_path), transformers.ModernBertConfig.from_pretrained(tmp_path)
    assert ours.layer_types == theirs.layer_types and ours.rope_parameters == theirs.rope_parameters
    ours.save_pretrained(tmp_path / "new")
    again = transformers.ModernBertConfig.from_pretrained(tmp_path / "new")
    assert again.layer_types == theirs.layer_types and again.rope_parameters == theirs.rope_parameters


def test_defaults_are_those_of_transformers(tmp_path):
    ours, theirs = ModernBertConfig().to_dict(), transformers.ModernBertConfig().to_dict()
    for name in ours.keys() - {"tinybert_version"}: assert ours[name] == theirs[name], name


def test_fewer_layers_of_an_old_file(tmp_path):
    assert ModernBertConfig.from_dict(OLD, num_hidden_layers=2).layer_types == ["full_attention", "sliding_attention"]


@pytest.mark.parametrize("given", [{"full_attention": {"rope_theta": 50.0}}, {}])
def test_rope_parameters_may_be_incomplete(tmp_path, given):
    settings = SIZES | {"model_type": "modernbert", "rope_parameters": given}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert ModernBertConfig.from_pretrained(tmp_path).rope_parameters == transformers.ModernBertConfig.from_pretrained(tmp_path).rope_parameters


@pytest.mark.parametrize("settings, words", [
    (dict(rope_scaling={"rope_type": "linear", "factor": 2.0}), ["rope_scaling"]),
    (dict(rope_parameters={"full_attention": {"rope_type": "yarn", "rope_theta": 5.0}}), ["rope", "yarn"]),
    (dict(rope_parameters={"rope_theta": 5.0}), ["rope_parameters", "rope_theta"]),
    (dict(layer_types=["full_attention"]), ["layer_types", "1", "4"]),
    (dict(layer_types=["chunked_attention"] * 4), ["layer_types", "sliding_attention"]),
    (dict(hidden_size=60, num_attention_heads=4), ["15", "even"]),
    (dict(hidden_activation="gelu2"), ["hidden_activation", "gelu2"]),
    (dict(local_attention=-1), ["local_attention", "-1"]),
    (dict(attention_dropout=1.5), ["attention_dropout", "1.5"]),
    (dict(num_hidden_layers="4"), ["num_hidden_layers", "'4'"]),
])
def test_a_config_that_cannot_work_is_refused(settings, words):
    with pytest.raises(ValueError) as error: ModernBertModel(ModernBertConfig.from_dict(SIZES | settings))
    for word in words: assert word in str(error.value)


@pytest.mark.parametrize("inputs, words", [
    (dict(input_ids=torch.ones(1, 3).long(), token_type_ids=torch.zeros(1, 3).long()), ["token types", "token_type_ids"]),
    (dict(input_ids=torch.ones(1, 41).long()), ["41 tokens", "40"]),
    (dict(input_ids=torch.full((1, 3), 60)), ["input_ids", "60", "0 … 59"]),
    (dict(input_ids=torch.ones(1, 3).long(), attention_mask=torch.ones(1, 4)), ["attention_mask", "(1, 4)", "(1, 3)"]),
    (dict(input_ids=torch.ones(1, 3).long(), position_ids=torch.ones(3).long()), ["position_ids", "(3,)"]),
    (dict(inputs_embeds=torch.zeros(1, 3, 25)), ["inputs_embeds", "25", "24"]),
    (dict(), ["input_ids", "inputs_embeds"]),
])
def test_wrong_input_is_named(inputs, words):
    with pytest.raises(ValueError) as error: ModernBertModel(ModernBertConfig(**SIZES))(**inputs)
    for word in words: assert word in str(error.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_and_is_near(dtype):
    ours, _ = twins(SIZES, dtype=torch.float32, deviation=0.2)
    ids = torch.randint(1, 60, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(): full, half = ours(ids), ours.to(dtype)(ids, output_attentions=True)
    assert half.last_hidden_state.dtype == dtype
    assert (full.last_hidden_state - half.last_hidden_state.float()).abs().max() < 0.15 * full.last_hidden_state.abs().max()


def test_what_attention_returns_is_dropped_too():
    model = ModernBertModel(ModernBertConfig(**SIZES | dict(attention_dropout=0.4, attention_bias=True))).train()
    part, seen = model.layers[0].attn, []
    torch.nn.init.zeros_(part.Wo.weight), torch.nn.init.ones_(part.Wo.bias)  # it answers ones, whatever the weights
    part.register_forward_hook(lambda module, given, result: seen.append(result[0]))
    model(torch.arange(5, 45)[None])
    assert 0.3 < (seen[0] == 0).float().mean() < 0.5
