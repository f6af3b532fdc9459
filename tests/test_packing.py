"""Packing: with and without padding in the layers a model gives the same numbers, forward and backward, for any mask."""

import pytest
import torch
from conftest import FAMILY_SIZES, randomise
from torch.testing import assert_close

from tinybert import BertConfig, BertForSequenceClassification, BertModel
from tinybert.heads import ENCODERS, FAMILIES
from tinybert.unpadding import Packing

MASKS = {
    "right": [[1, 1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]],
    "left": [[0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1]],
    "both sides, equally long": [[0, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1]],
    "holes": [[1, 0, 1, 1, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1, 1]],
    "an empty row": [[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]],
    "only empty rows": [[0] * 7, [0] * 7, [0] * 7],
    "one token": [[1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]],
    "no padding": [[1] * 7] * 3,
}
MASKS |= {f"random {seed}": (torch.rand(5, 9, generator=torch.Generator().manual_seed(seed)) < 0.3 + 0.1 * seed).long().tolist()
          for seed in range(6)}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 0.1}


def model_of(model_type: str, dtype: torch.dtype = torch.float64, **settings) -> torch.nn.Module:
    "Return a small encoder with random weights, the same at each call."
    config = FAMILIES[model_type].config_class(**FAMILY_SIZES[model_type] | settings)
    return randomise(ENCODERS[model_type](config), 0, 0.1 if dtype == torch.bfloat16 else 0.3).to(dtype).eval()


def inputs_of(model: torch.nn.Module, mask: list) -> dict:
    mask = torch.tensor(mask)
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(1))
    kinds = getattr(model.config, "type_vocab_size", 0)
    return {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": ids % kinds} if kinds else {})


def both(model: torch.nn.Module, inputs: dict) -> tuple[tuple, tuple]:
    "Return hidden states and gradients of a model with and without packing."
    results = []
    for unpad in (True, False):
        model.unpad = unpad
        model.zero_grad()
        output = model(**inputs, output_hidden_states=True)
        loss = sum((vectors.double() * torch.arange(1, 1 + vectors.shape[-1])).sin().sum() for vectors in output.hidden_states)
        if output.get("pooler_output") is not None: loss = loss + output.pooler_output.double().square().sum()
        loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
        results.append(([*output.hidden_states, *([output["pooler_output"]] if "pooler_output" in output else [])], gradients))
    return results


def compare(model: torch.nn.Module, mask: list) -> None:
    (packed, packed_gradients), (padded, padded_gradients) = both(model, inputs := inputs_of(model, mask))
    tolerance = TOLERANCE[model.dtype]
    for a, b in zip(packed, padded, strict=True):
        assert_close(a, b, rtol=tolerance, atol=tolerance)
        if a.dim() == 3: assert (a[~inputs["attention_mask"].bool()] == 0).all() and (b[~inputs["attention_mask"].bool()] == 0).all()
    for name, gradient in padded_gradients.items():
        scale = gradient.abs().max().clamp(min=1).item()  # a gradient is a sum over many tokens
        mine = packed_gradients.get(name, torch.zeros_like(gradient))  # a batch of nothing but padding uses no weight
        assert_close(mine, gradient, rtol=10 * tolerance, atol=10 * tolerance * scale, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_both_paths_agree_in_float64(model_type, mask):
    dtype = torch.float32 if model_type == "modernbert" else torch.float64  # its rotations are of float32
    compare(model_of(model_type, dtype), MASKS[mask])


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_paths_agree_in_other_types(dtype, mask):
    compare(model_of("bert", dtype), MASKS[mask])


@pytest.mark.parametrize("mask", MASKS)
def test_rows_do_not_depend_on_the_batch(mask):
    "The packed path against each text alone, without any padding: a reference that shares no packing."
    model = model_of("bert")
    inputs = inputs_of(model, MASKS[mask])
    together = model(**inputs).last_hidden_state
    for row, real in enumerate(inputs["attention_mask"].bool()):
        if not real.any(): continue
        places = torch.arange(len(real))[real] - real.int().argmax()
        alone = model(inputs["input_ids"][row, real][None], token_type_ids=inputs["token_type_ids"][row, real][None],
                      position_ids=places[None]).last_hidden_state
        assert_close(together[row, real], alone[0], rtol=1e-10, atol=1e-10)


def test_positions_and_vectors_may_be_given():
    model, mask = model_of("bert"), torch.tensor(MASKS["holes"])
    vectors, places = torch.randn(3, 7, 16, dtype=torch.float64), torch.arange(7).flip(0).expand(3, 7)
    results = []
    for model.unpad in (True, False): results.append(model(attention_mask=mask, inputs_embeds=vectors, position_ids=places).last_hidden_state)
    assert_close(*results, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(results[0], model(attention_mask=mask, inputs_embeds=vectors).last_hidden_state)


def test_layers_see_no_padding():
    model, seen = model_of("bert"), []
    for name in ("embeddings.LayerNorm", "encoder.layer.0.attention.self.query", "encoder.layer.2.output.LayerNorm"):
        model.get_submodule(name).register_forward_hook(lambda module, given, result: seen.append(tuple(result.shape)))
    model(**inputs_of(model, MASKS["right"]))
    assert seen == [(14, 16)] * 3
    seen.clear()
    model.unpad = False
    model(**inputs_of(model, MASKS["right"]))
    assert seen == [(3, 7, 16)] * 3


def test_attention_works_on_groups_without_mask(monkeypatch):
    seen, attend = [], torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention",
                        lambda query, key, value, mask, dropout: (seen.append((tuple(query.shape), mask)), attend(query, key, value, mask, dropout))[1])
    model = model_of("bert", num_hidden_layers=1)
    model(**inputs_of(model, MASKS["both sides, equally long"]))
    model(**inputs_of(model, MASKS["right"]))
    model(**inputs_of(model, MASKS["no padding"]))
    assert seen == [((3, 2, 3, 8), None), ((1, 2, 2, 8), None), ((1, 2, 5, 8), None), ((1, 2, 7, 8), None), ((3, 2, 7, 8), None)]


@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_attentions_come_back_in_the_rectangle(model_type):
    model = model_of(model_type, torch.float32)
    inputs = inputs_of(model, MASKS["holes"])
    output = model(**inputs, output_attentions=True)
    assert output.attentions[0].shape == (3, 2, 7, 7)
    assert_close(output.last_hidden_state, model(**inputs).last_hidden_state, rtol=1e-5, atol=1e-5)


def test_packing_is_undone_by_unpacking():
    for mask in map(torch.tensor, MASKS.values()):
        packing = Packing(mask, mask.shape)
        vectors = torch.randn(*mask.shape, 4)
        assert_close(packing.unpack(packing.pack(vectors)), vectors * mask[:, :, None], rtol=0, atol=0)
        assert sum(group.size * group.length for group in packing.groups) == (mask.sum() if packing.index is not None else mask.numel())


def test_distances_count_columns():
    mask = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]])
    group, = Packing(mask, mask.shape).groups
    assert group.distances()[:, 0].tolist() == [[0, 2, 3], [0, 1, 2], [0, 1, 2]]
    group, = Packing(mask[1:], mask[1:].shape).groups
    assert group.distances().tolist() == [[[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]]


def test_the_switch_of_a_head_is_that_of_its_encoder():
    model = randomise(BertForSequenceClassification(BertConfig(**FAMILY_SIZES["bert"])), 0).eval()
    inputs = inputs_of(model, MASKS["right"])
    packed = model(**inputs).logits
    model.unpad = False
    assert model.bert.unpad is False and model.unpad is False
    assert_close(model(**inputs).logits, packed, rtol=1e-5, atol=1e-5)


def test_a_class_of_models_can_be_switched_and_a_switch_is_no_setting(tmp_path):
    model = model_of("bert", torch.float32)
    model.unpad = False
    model.save_pretrained(tmp_path)
    assert "unpad" not in (tmp_path / "config.json").read_text() and BertModel.from_pretrained(tmp_path).unpad


def test_dropout_works_on_packed_tokens():
    model = model_of("bert", torch.float32, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5).train()
    inputs = inputs_of(model, MASKS["right"])
    torch.manual_seed(0)
    a, b = model(**inputs).last_hidden_state, model(**inputs).last_hidden_state
    assert not torch.equal(a, b) and (a[~inputs["attention_mask"].bool()] == 0).all()


# Tracers: shapes must not depend on the data

class Last(torch.nn.Module):
    "Return a tensor: tracers do not know a ModelOutput."
    def __init__(self, model: torch.nn.Module): super().__init__(); self.model = model
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor: return self.model(ids, mask).last_hidden_state


@pytest.mark.filterwarnings("ignore")  # a tracer notes each `if`, and that it is deprecated
@pytest.mark.parametrize("model_type", ["bert", "mpnet", "modernbert"])
@pytest.mark.parametrize("trace", [lambda model, inputs: torch.export.export(model, inputs).module(), torch.jit.trace], ids=["export", "trace"])
def test_tracers_keep_the_padding(trace, model_type):
    model = model_of(model_type, torch.float32)
    given = {name: (inputs["input_ids"], inputs["attention_mask"])
             for name in ("right", "left", "holes") for inputs in [inputs_of(model, MASKS[name])]}
    traced = trace(Last(model), given["right"])
    for inputs in given.values(): assert_close(traced(*inputs), model(*inputs).last_hidden_state, rtol=1e-4, atol=1e-4)


def test_a_compiled_model_gives_the_same():
    model = model_of("bert", torch.float32)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for mask in ("right", "left"):
        inputs = inputs_of(model, MASKS[mask])
        with torch.no_grad(): assert_close(compiled(**inputs).last_hidden_state, model(**inputs).last_hidden_state, rtol=1e-5, atol=1e-5)


# A graphics card

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_graphics_card_gives_the_same(dtype):
    tolerance = 1e-4 if dtype == torch.float32 else 0.15
    for mask in MASKS.values():
        model = model_of("bert", torch.float32)
        inputs = inputs_of(model, mask)
        expected = model(**inputs).last_hidden_state
        found = model.to("cuda", dtype)(**{name: value.cuda() for name, value in inputs.items()}).last_hidden_state
        assert_close(found.float().cpu(), expected, rtol=tolerance, atol=tolerance * max(1, expected.abs().max().item()))
