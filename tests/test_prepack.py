"Prepacked weights: the same numbers, and nothing else that shows: not in training, in files, in copies, nor to tracers."

import copy
import io
import pickle

import pytest
import torch
from conftest import FAMILY_SIZES, draw_batch, randomise, same_state, small
from torch import nn
from torch.testing import assert_close

import tinybert.prepacking
from tinybert import AutoModel, AutoTokenizer, BertModel, embed, prepack
from tinybert.heads import HEADS
from tinybert.prepacking import PackedLinear, can_pack

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
needs_bfloat16 = pytest.mark.skipif(not can_pack(torch.bfloat16), reason="needs a processor with bfloat16")


def close(a, b): assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.fixture
def calls(monkeypatch):
    "Return a list to which each multiplication by oneDNN adds the weight that it works with; what is left out is ordinary."
    calls, pack = [], PackedLinear.pack
    monkeypatch.setattr(PackedLinear, "pack", lambda self: (calls.append(self.weight), pack(self))[1])
    return calls


def linear(inputs: int = 6, outputs: int = 5, **options) -> PackedLinear:
    "Return a prepacked map which has a copy of its weight already."
    module = prepack(nn.Linear(inputs, outputs, **options))
    with torch.no_grad(): module(torch.ones(1, inputs, dtype=module.weight.dtype))
    assert module.packed is not None
    return module


@torch.no_grad()
def check(module: nn.Linear, *shape: int) -> None:
    "Check that a map gives what its weight says now."
    x = torch.randn(*(shape or (3, module.in_features)))
    assert_close(module(x), nn.functional.linear(x, module.weight, module.bias), rtol=1e-5, atol=1e-5)


# The same numbers

def test_the_genuine_checkpoint_gives_the_same(minilm, calls):
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm)
    texts = ["Hello!", "The bridge broke because it was too old.", "nice " * 100]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad(): before = model(**inputs)
    vectors = embed(model, tokenizer, texts)
    assert prepack(model) is model
    with torch.no_grad(): after = model(**inputs)
    close(after.last_hidden_state, before.last_hidden_state)
    close(after.pooler_output, before.pooler_output)
    close(embed(model, tokenizer, texts), vectors)
    assert len(calls) == 2 * (6 * 6 + 1)


@pytest.mark.parametrize("model_type, task", [*((model_type, "MaskedLM") for model_type in FAMILY_SIZES), ("bert", "SequenceClassification"),
                                              ("modernbert", "TokenClassification"), ("roberta", "QuestionAnswering")])
def test_models_of_all_families_give_the_same(calls, model_type, task):
    "Also with heads, and with maps that have no bias (ModernBERT)."
    model = HEADS[model_type, task](HEADS[model_type, task].config_class(**FAMILY_SIZES[model_type]))
    model, inputs = randomise(model, 0, 0.2).eval(), draw_batch(model.config)
    with torch.no_grad(): before, after = model(**inputs), prepack(model)(**inputs)
    assert all(type(module) is not nn.Linear for module in model.modules()) and len(calls) >= 10
    for a, b in zip(after.to_tuple(), before.to_tuple()): close(a, b)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (3, 6), (1, 6), (0, 6), (2, 3, 6), (2, 0, 6), (2, 1, 3, 6)])
def test_inputs_of_any_shape(shape, bias, calls):
    module = linear(bias=bias)
    check(module, *shape)
    assert len(calls) == 2


@pytest.mark.parametrize("make", [lambda: torch.randn(6, 3).t(), lambda: torch.randn(8, 12)[1::2, ::2], lambda: torch.randn(1, 6).expand(4, 6),
                                  lambda: torch.randn(4, 1).expand(4, 6), lambda: torch.randn(40)[3:21].view(3, 6),
                                  lambda: torch.randn(3, 2, 6).transpose(0, 1)])
def test_inputs_that_lie_scattered(make, calls):
    module, x = linear(), make()
    with torch.no_grad(): close(module(x), nn.functional.linear(x, module.weight, module.bias))
    assert len(calls) == 2


@needs_bfloat16
def test_bfloat16_is_close(calls):
    model = small().to(torch.bfloat16)
    inputs = draw_batch(model.config)
    with torch.no_grad(): before, after = model(**inputs).last_hidden_state, prepack(model)(**inputs).last_hidden_state
    assert after.dtype == torch.bfloat16 and len(calls) == 13
    assert_close(after, before, rtol=0.05, atol=0.05)


# Where the ordinary map is at work

@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_are_multiplied_as_ever(dtype, calls):
    module, x = prepack(nn.Linear(6, 5, dtype=dtype)), torch.randn(3, 6, dtype=dtype)
    with torch.no_grad(): assert torch.equal(module(x), nn.functional.linear(x, module.weight, module.bias))
    assert calls == []


def test_a_processor_without_bfloat16(calls, monkeypatch):
    monkeypatch.setattr(tinybert.prepacking, "can_pack", lambda dtype: dtype == torch.float32)
    with torch.no_grad(): prepack(nn.Linear(6, 5)).to(torch.bfloat16)(torch.randn(3, 6).to(torch.bfloat16))
    assert calls == []


def test_which_types_can_be_packed(monkeypatch):
    assert can_pack(torch.float32) and not any(map(can_pack, (torch.float64, torch.float16, torch.int64)))
    assert can_pack(torch.bfloat16) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(torch.float32)


def test_a_torch_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = nn.Sequential(nn.Linear(6, 5))
    with pytest.raises(RuntimeError, match="has no oneDNN, so weights cannot be prepacked. The model works without it"): prepack(model)
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize("x", [torch.randn(3, 7), torch.randn(3, 5), torch.randn(3), torch.tensor(1.0), torch.randn(3, 6).double(), torch.randn(3, 6).bfloat16(),
                               torch.ones(3, 6, dtype=torch.long), torch.randn(3, 6, device="meta")], ids=lambda x: f"{tuple(x.shape)} {x.dtype} {x.device}")
def test_a_wrong_input_has_the_ordinary_message(x):
    with torch.no_grad():
        with pytest.raises(RuntimeError) as expected: nn.Linear(6, 5)(x)
        with pytest.raises(RuntimeError) as found: linear()(x)
    assert str(found.value) == str(expected.value) and "primitive" not in str(found.value)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("sizes", [(0, 5), (6, 0)])
def test_a_map_of_nothing(sizes): check(prepack(nn.Linear(*sizes)))


def test_autocast_decides_the_type(calls):
    module = prepack(nn.Linear(6, 5))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16): assert module(torch.randn(3, 6)).dtype == torch.bfloat16
    assert calls == []


def test_inference_mode(calls):
    module, x = prepack(nn.Linear(6, 5)), torch.randn(3, 6)
    with torch.inference_mode(): close(module(x), nn.functional.linear(x, module.weight, module.bias))
    check(module)
    assert len(calls) == 2
    with torch.no_grad(): module.weight.mul_(3)
    with torch.inference_mode(): close(module(x), nn.functional.linear(x, module.weight, module.bias))


def test_weights_that_were_made_in_inference_mode(calls):
    "torch does not count their changes, so there can be no copy."
    with torch.inference_mode():
        module = prepack(nn.Linear(6, 5))
        check(module)
        module.weight.mul_(3)
        check(module)
    check(module)
    assert calls == []


# Gradients

def test_gradients_are_those_of_the_ordinary_model(calls):
    gradients, inputs = [], draw_batch(small().config)
    for change in (lambda model: model, prepack):
        model = change(small())
        with torch.no_grad(): model(**inputs)
        model(**inputs).last_hidden_state.sin().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert len(calls) == 13 and all(gradient is not None for gradient in gradients[1][:-2])
    for a, b in zip(*gradients): assert (a is None) == (b is None) and (a is None or torch.equal(a, b))


def test_a_gradient_for_the_input_alone():
    module, x = linear().requires_grad_(False), torch.randn(3, 6, requires_grad=True)
    module(x).sum().backward()
    close(x.grad, module.weight.sum(0).expand(3, 6))


@pytest.mark.parametrize("optimizer, options", [
    (torch.optim.SGD, {}), (torch.optim.SGD, {"foreach": True}), (torch.optim.SGD, {"fused": True}), (torch.optim.AdamW, {}),
    (torch.optim.AdamW, {"foreach": True}), (torch.optim.AdamW, {"fused": True}), (torch.optim.Adagrad, {"fused": True})])
def test_training_renews_the_copy(optimizer, options):
    "Fused optimizers change weights without counting it."
    module = linear()
    optimizer = optimizer(module.parameters(), lr=0.5, **options)
    for _ in range(3):
        before = module.weight.detach().clone()
        module(torch.randn(3, 6)).square().sum().backward()
        optimizer.step()
        assert (module.weight - before).abs().max() > 0.01
        check(module)


def test_training_ends_where_it_does_without(calls):
    weights = []
    for change in (lambda model: model, prepack):
        model, losses = change(small()), []
        optimizer, inputs = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True), draw_batch(model.config)
        for _ in range(3):
            loss = model(**inputs).last_hidden_state.square().mean()
            optimizer.zero_grad(), loss.backward(), optimizer.step()
            with torch.no_grad(): losses.append(model(**inputs).last_hidden_state.square().mean())
        weights.append([*model.state_dict().values(), *losses])
    assert len(calls) == 3 * 13
    for a, b in zip(*weights): close(a, b)


def test_a_pass_with_gradients_lets_go_of_the_copy():
    module = linear()
    module(torch.randn(3, 6))
    assert module.packed is None and module.packed_from is None


# The copy and its original

CHANGES = {
    "mul_": lambda module: module.weight.mul_(2),
    "one number": lambda module: module.weight[0, 0].fill_(9),
    "a view": lambda module: module.weight.view(-1)[3:].zero_(),
    "detached": lambda module: module.weight.detach().mul_(2),
    "load_state_dict": lambda module: module.load_state_dict(nn.Linear(6, 6).state_dict()),
    "load_state_dict(assign)": lambda module: module.load_state_dict(nn.Linear(6, 6).state_dict(), assign=True),
    "new parameter": lambda module: setattr(module, "weight", nn.Parameter(torch.randn(6, 6))),
    "new parameter, same memory": lambda module: setattr(module, "weight", nn.Parameter(module.weight.detach().t())),
    "new data": lambda module: setattr(module.weight, "data", torch.randn(6, 6)),
    "init": lambda module: nn.init.normal_(module.weight),
    "there and back": lambda module: (module.double().weight.mul_(2), module.float()),
    "tied": lambda module: setattr(module, "weight", nn.Linear(6, 6).weight),
    "bias": lambda module: module.bias.add_(1),
    "new bias": lambda module: setattr(module, "bias", None),
    "share_memory": lambda module: module.share_memory(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_weight_is_seen(change):
    module = linear(6, 6)
    with torch.no_grad(): CHANGES[change](module)
    check(module)


def test_an_unchanged_weight_is_copied_once():
    module = linear()
    copy = module.packed
    for _ in range(3): check(module)
    assert module.packed is copy


def test_another_type_and_back(calls):
    model, inputs = prepack(small()), draw_batch(small().config)
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        for dtype in (torch.float64, torch.bfloat16, torch.float32):
            found = model.to(dtype)(**inputs).last_hidden_state
            assert found.dtype == dtype
            assert_close(found.float(), expected, rtol=0.2, atol=0.2)
    assert len(calls) == (3 if can_pack(torch.bfloat16) else 2) * 13


def test_two_maps_of_one_weight():
    first, second = linear(6, 6), linear(6, 6)
    second.weight = first.weight
    check(second)
    with torch.no_grad(): first.weight.mul_(2)
    check(first), check(second)


def test_prepacking_twice_changes_nothing(calls):
    module = linear()
    copy = module.packed
    assert prepack(prepack(module)) is module and module.packed is copy
    check(module)


def test_only_plain_linear_maps_are_changed():
    class Own(nn.Linear):
        def forward(self, input): return super().forward(input) + 1
    model = prepack(nn.Sequential(Own(6, 6), nn.LayerNorm(6), nn.Linear(6, 6), nn.Embedding(6, 6)))
    assert [type(module) for module in model] == [Own, nn.LayerNorm, PackedLinear, nn.Embedding]


def test_hooks_fire():
    model, seen = nn.Sequential(nn.Linear(6, 5)), []
    model[0].register_forward_pre_hook(lambda module, given: seen.append("before"))
    prepack(model)[0].register_forward_hook(lambda module, given, result: seen.append("after") or result + 1)
    with torch.no_grad(): close(model(torch.zeros(1, 6)), model[0].bias[None] + 1)
    assert seen == ["before", "after"]


# Files and copies

def test_files_are_the_same(tmp_path):
    plain, model = small(), prepack(small())
    with torch.no_grad(): model(**draw_batch(model.config))
    same_state(model, plain)
    plain.save_pretrained(tmp_path / "plain"), model.save_pretrained(tmp_path / "packed")
    for name in ("config.json", "pytorch_model.bin"):
        a, b = ((tmp_path / folder / name) for folder in ("plain", "packed"))
        if name == "config.json": assert a.read_text() == b.read_text()
        else: assert torch.load(a).keys() == torch.load(b).keys()
    same_state(BertModel.from_pretrained(tmp_path / "packed"), plain)
    model.load_state_dict(small(seed=1).state_dict())
    inputs = draw_batch(model.config)
    with torch.no_grad(): close(model(**inputs).last_hidden_state, small(seed=1)(**inputs).last_hidden_state)


def through_torch(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), through_torch], ids=["deepcopy", "pickle", "save"])
def test_a_duplicate_stands_alone(duplicate, calls):
    model, inputs = prepack(small()), draw_batch(small().config)
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        other = duplicate(model)
        packed = [module for module in other.modules() if isinstance(module, PackedLinear)]
        assert len(packed) == 13 and all(module.packed is None and not {"packed", "packed_from"} & vars(module).keys() for module in packed)
        assert torch.equal(other(**inputs).last_hidden_state, expected)
        for parameter in other.parameters(): parameter.zero_()
        assert not other(**inputs).last_hidden_state.any()
        assert torch.equal(model(**inputs).last_hidden_state, expected)
    assert len(calls) == 4 * 13


# Tracers

class Last(nn.Module):
    "Return a tensor: tracers do not know a ModelOutput."
    def __init__(self, model: nn.Module): super().__init__(); self.model = model
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor: return self.model(ids, mask).last_hidden_state


@pytest.mark.filterwarnings("ignore")  # a tracer notes each `if`, and that it is deprecated
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("trace", [lambda model, inputs: torch.export.export(model, inputs).module(),
                                   lambda model, inputs: torch.jit.trace(model, inputs, check_trace=False),
                                   lambda model, inputs: torch.compile(model, backend="aot_eager", fullgraph=True)], ids=["export", "trace", "compile"])
def test_tracers_take_the_ordinary_map(trace, used, calls):
    model = prepack(small())
    inputs = draw_batch(model.config, segments=False)
    given = inputs["input_ids"], inputs["attention_mask"]
    with torch.no_grad():
        expected = small()(*given).last_hidden_state
        if used: model(*given)
        calls.clear()
        traced = trace(Last(model), given)
        assert_close(traced(*given), expected, rtol=1e-4, atol=1e-4)
        assert calls == [] and all((module.packed is not None) == used for module in model.modules() if isinstance(module, PackedLinear))
        close(model(*given).last_hidden_state, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphics_card_multiplies_as_ever(calls):
    model, inputs = prepack(small()), draw_batch(small().config)
    with torch.no_grad(): expected = model(**inputs).last_hidden_state
    calls.clear()
    with torch.no_grad(): found = model.to("cuda")(**{name: value.cuda() for name, value in inputs.items()}).last_hidden_state
    assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
    assert calls == []
