"tools/prepack.py: the same numbers, never a stale weight, and nothing that shows elsewhere."

import pytest
import torch
from conftest import draw_batch, small
from torch import nn
from torch.testing import assert_close

from tinybert import AutoModel, AutoTokenizer, embed
from tools.prepack import PrepackedLinear, can_prepack, prepack

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")


def close(a: torch.Tensor, b: torch.Tensor) -> None: assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.fixture
def calls(monkeypatch):
    "Return a list that grows by one entry with each multiplication by oneDNN."
    calls, original = [], PrepackedLinear.prepack
    monkeypatch.setattr(PrepackedLinear, "prepack",
                        lambda self: (calls.append(self.weight), original(self))[1])
    return calls


def linear(inputs: int = 6, outputs: int = 6, **options) -> PrepackedLinear:
    "Return a layer that already has a copy of its weight."
    module = prepack(nn.Linear(inputs, outputs, **options))
    with torch.no_grad(): module(torch.ones(1, inputs))
    assert module.prepacked is not None
    return module


@torch.no_grad()
def check(module: nn.Linear, *shape: int) -> None:
    "Check that a layer computes with the weight that it has now."
    x = torch.randn(shape or (3, module.in_features))
    close(module(x), nn.functional.linear(x, module.weight, module.bias))


def test_minilm_gives_the_same(minilm, calls):
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm)
    texts = ["Hello!", "The bridge broke because it was too old.", "nice " * 100]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    vectors = embed(model, tokenizer, texts)
    with torch.no_grad(): before, after = model(**inputs), prepack(model)(**inputs)
    close(after.last_hidden_state, before.last_hidden_state)
    close(after.pooler_output, before.pooler_output)
    close(embed(model, tokenizer, texts), vectors)
    assert len(calls) == 2 * (6 * 6 + 1)


@pytest.mark.skipif(not can_prepack(torch.bfloat16), reason="needs a processor with bfloat16")
def test_bfloat16_is_close(calls):
    model = small().bfloat16()
    inputs = draw_batch(model.config)
    with torch.no_grad(): before, after = model(**inputs)[0], prepack(model)(**inputs)[0]
    assert after.dtype == torch.bfloat16 and len(calls) == 13
    assert_close(after, before, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (3, 6), (0, 6), (2, 0, 6), (2, 1, 3, 6)])
def test_inputs_of_any_shape(shape, bias, calls):
    check(linear(bias=bias), *shape)
    assert len(calls) == 2


@pytest.mark.parametrize("x", [torch.randn(3, 7), torch.tensor(1.0), torch.randn(3, 6).double(),
                               torch.randn(3, 6, device="meta")])
def test_a_wrong_input_has_the_ordinary_message(x):
    with torch.no_grad():
        with pytest.raises(RuntimeError) as expected: nn.Linear(6, 6)(x)
        with pytest.raises(RuntimeError) as found: linear()(x)
    assert str(found.value) == str(expected.value)


# A stale weight is the one danger of a copy

CHANGES = {
    "mul_": lambda module: module.weight.mul_(2),
    "a view": lambda module: module.weight.view(-1)[3:].zero_(),
    "detached": lambda module: module.weight.detach().mul_(2),
    "load_state_dict": lambda module: module.load_state_dict(nn.Linear(6, 6).state_dict()),
    "assign": lambda module: module.load_state_dict(nn.Linear(6, 6).state_dict(), assign=True),
    "new parameter": lambda module: setattr(module, "weight", nn.Parameter(torch.randn(6, 6))),
    "same memory": lambda module: setattr(module, "weight", nn.Parameter(module.weight.detach().T)),
    "new data": lambda module: setattr(module.weight, "data", torch.randn(6, 6)),
    "there and back": lambda module: (module.double().weight.mul_(2), module.float()),
    "new bias": lambda module: setattr(module, "bias", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_weight_is_seen(change):
    module = linear()
    with torch.no_grad(): CHANGES[change](module)
    check(module)


def test_an_unchanged_weight_is_copied_once():
    module = linear()
    first = module.prepacked
    for _ in range(3): check(module)
    assert module.prepacked is first


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_training_renews_the_copy(options):
    "Fused optimizers change weights without counting it."
    module = linear()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5, **options)
    for _ in range(3):
        before = module.weight.detach().clone()
        module(torch.randn(3, 6)).square().sum().backward()
        optimizer.step()
        assert (module.weight - before).abs().max() > 0.01
        check(module)


def test_a_weight_made_in_inference_mode_is_never_copied(calls):
    "torch doesn't count the changes of such a weight."
    with torch.inference_mode():
        module = prepack(nn.Linear(6, 6))
        check(module)
        module.weight.mul_(3)
        check(module)
    assert calls == []


@pytest.mark.filterwarnings("ignore")  # a tracer notes each `if`, and that it is deprecated
@pytest.mark.parametrize("trace", [lambda m, x: torch.export.export(m, (x,)).module(),
                                   lambda m, x: torch.jit.trace(m, x, check_trace=False)])
def test_tracers_record_the_ordinary_layer(trace, calls):
    model, x = prepack(nn.Sequential(nn.Linear(6, 5))), torch.randn(3, 6)
    with torch.no_grad():
        expected = model(x)
        assert len(calls) == 1
        close(trace(model, x)(x), expected)
    assert len(calls) == 1
