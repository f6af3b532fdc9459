"ready_to_serve: the same numbers in every family, nothing of the model changed, and a clear word about what it can't do."

import gc
import weakref

import pytest
import torch
from conftest import FAMILY_SIZES, draw_batch, our_class, randomise, small
from test_packing import MASKS
from torch import nn
from torch.testing import assert_close

from tinybert import AutoModel, AutoTokenizer, BertConfig, embed
from tinybert.heads import HEADS
from tinybert.model import ACTIVATIONS, BertLayer
from tinybert.serving import FUSED, can_multiply, ready_to_serve

pytestmark = pytest.mark.skipif(not can_multiply(torch.float32), reason="needs oneDNN")
half = pytest.param(torch.bfloat16, marks=pytest.mark.skipif(not can_multiply(torch.bfloat16), reason="needs a processor with bfloat16"))
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 0.05}


def make(model_type: str, task: str = "", dtype: torch.dtype = torch.float32, **settings) -> nn.Module:
    "Return a small model with random weights, the same at each call."
    model_class = our_class(model_type, task)
    config = model_class.config_class(**FAMILY_SIZES[model_type] | settings)
    return randomise(model_class(config), 0, 0.1).to(dtype).eval()


def close(found, expected, dtype: torch.dtype = torch.float32) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        for a, b in zip(*([value] if isinstance(value, torch.Tensor) else value for value in (found[name], expected[name])), strict=True):
            assert a.dtype == b.dtype
            assert_close(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def fused(model: nn.Module) -> tuple[int, int]:
    "Return how many layers are fused, and how many aren't."
    return tuple(sum(isinstance(part, tuple(kinds)) for part in model.modules()) for kinds in (FUSED.values(), FUSED))


# The same numbers

@pytest.mark.parametrize("dtype", [torch.float32, half])
@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_every_family_gives_the_same_for_any_mask(model_type, dtype, caplog):
    model = make(model_type, dtype=dtype)
    served = ready_to_serve(model)
    layers = 1 if model_type == "albert" else 3  # ALBERT has one, used three times
    assert fused(served) == (layers, 0) and type(served) is type(model)
    assert caplog.messages == [f"ready_to_serve: {layers} of {layers} layers are fused, in {str(dtype)[6:]}."]
    for mask in MASKS.values():
        mask = torch.tensor(mask)
        ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(1))
        for model.unpad in (True, False):
            served.unpad = model.unpad
            with torch.no_grad(): expected = model(ids, mask, output_hidden_states=True)
            found = served(ids, mask, output_hidden_states=True)  # without no_grad: there are no gradients
            close(found, expected, dtype)
            assert not found.last_hidden_state.requires_grad and not found.last_hidden_state[mask == 0].any()


@pytest.mark.parametrize("model_type, task", HEADS)
def test_every_head_gives_the_same(model_type, task):
    model = make(model_type, task)
    batch = draw_batch(model.config)
    if task == "MultipleChoice": batch = {name: value[:, None].expand(-1, 2, -1) for name, value in batch.items()}
    with torch.no_grad(): close(ready_to_serve(model)(**batch), model(**batch))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("model_type, name", [("bert", "hidden_act"), ("modernbert", "hidden_activation")])
def test_every_activation_function_is_fused(model_type, name, activation):
    model = make(model_type, **{name: activation})
    served = ready_to_serve(model)
    assert fused(served) == (3, 0)
    batch = draw_batch(model.config)
    with torch.no_grad(): close(served(**batch), model(**batch))


@pytest.mark.parametrize("biases", [False, True])
def test_modernbert_with_and_without_biases_in_blocks_and_with_weights(biases):
    model = make("modernbert", attention_bias=biases, mlp_bias=biases, norm_bias=biases)
    batch = draw_batch(model.config, lengths=(29, 17, 1))
    with torch.no_grad():
        for attentions in (False, True): close(ready_to_serve(model)(**batch, output_attentions=attentions), model(**batch, output_attentions=attentions))


@pytest.mark.parametrize("lengths", [(512,), (512, 1, 300), (1,), (1, 1)])
def test_long_texts_and_single_tokens(lengths):
    model = small(max_position_embeddings=512)
    batch = draw_batch(model.config, lengths=lengths)
    with torch.no_grad(): close(ready_to_serve(model)(**batch), model(**batch))


def test_batches_of_vectors_and_without_texts():
    model = small()
    served, vectors = ready_to_serve(model), torch.randn(2, 5, 24)
    with torch.no_grad():
        close(served(inputs_embeds=vectors), model(inputs_embeds=vectors))
        close(served(torch.zeros(0, 4).long()), model(torch.zeros(0, 4).long()))


def test_the_genuine_checkpoint_gives_the_same_vectors(minilm, caplog):
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm)
    texts = ["Hello!", "The bridge broke because it was too old.", "nice " * 100]
    assert_close(embed(ready_to_serve(model), tokenizer, texts), embed(model, tokenizer, texts), rtol=1e-5, atol=1e-5)
    assert caplog.messages == ["ready_to_serve: 6 of 6 layers are fused, in float32."]


@pytest.mark.skipif(not can_multiply(torch.bfloat16), reason="needs a processor with bfloat16")
def test_the_genuine_checkpoint_in_bfloat16(minilm):
    tokenizer, texts = AutoTokenizer.from_pretrained(minilm), ["Hello!", "The bridge broke because it was too old.", "nice " * 100]
    served = ready_to_serve(AutoModel.from_pretrained(minilm, dtype=torch.bfloat16))
    cosines = (embed(served, tokenizer, texts) * embed(AutoModel.from_pretrained(minilm), tokenizer, texts)).sum(dim=1)
    assert cosines.min() > 0.999


@pytest.mark.parametrize("inside", [False, True])
def test_a_model_made_in_inference_mode_is_fused_too(inside):
    batch = draw_batch(BertConfig(**FAMILY_SIZES["bert"]))
    with torch.inference_mode():
        model = make("bert")
        expected = model(**batch).last_hidden_state
        if inside: served = ready_to_serve(model)
    if not inside: served = ready_to_serve(model)
    assert fused(served) == (3, 0)
    assert_close(served(**batch).last_hidden_state, expected, rtol=2e-5, atol=2e-5)
    with torch.inference_mode(): assert_close(served(**batch).last_hidden_state, expected, rtol=2e-5, atol=2e-5)


def test_autocast_changes_nothing_but_the_precision():
    model = small()
    batch = draw_batch(model.config)
    served = ready_to_serve(model)
    with torch.autocast("cpu", torch.bfloat16): found = served(**batch).last_hidden_state
    assert_close(found.float(), served(**batch).last_hidden_state, rtol=0.05, atol=0.05)


# The model stays as it is

def test_nothing_of_the_model_changes():
    model = small()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    names = {name: type(part) for name, part in model.named_modules()}
    served = ready_to_serve(model)
    served.config, served.unpad = None, False
    served.register_forward_hook(lambda *given: 1 / 0)
    assert names == {name: type(part) for name, part in model.named_modules()} and model.unpad and model.config
    for name, weight in model.state_dict().items(): assert torch.equal(weight, before[name]), name
    model.train()(**draw_batch(model.config)).last_hidden_state.sum().backward()
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if "pooler" not in name)
    assert not served.training


def test_embeddings_are_shared_and_old_layers_are_freed():
    model = small()
    address, layer = model.embeddings.word_embeddings.weight.data_ptr(), weakref.ref(model.encoder.layer[0])
    model = ready_to_serve(model)
    gc.collect()
    assert layer() is None and model.embeddings.word_embeddings.weight.data_ptr() == address


def test_a_copy_of_a_copy_is_the_same():
    model = small()
    served, batch = ready_to_serve(ready_to_serve(model)), draw_batch(model.config)
    assert fused(served) == (2, 0)
    with torch.no_grad(): close(served(**batch), model(**batch))


# What isn't fused, and what a copy can't do

class Doubled(nn.Linear):
    "Stand for an adapter or a quantized layer: a linear layer that computes something else."
    def forward(self, given): return 2 * super().forward(given)


def replace_query(model): model.encoder.layer[1].attention.self.query.__class__ = Doubled
def watch(model): model.encoder.layer[1].output.dense.register_forward_hook(lambda module, given, result: 2 * result)
def change_input(model): model.encoder.layer[1].register_forward_pre_hook(lambda module, given: (2 * given[0], given[1]))
def other_activation(model): model.encoder.layer[1].intermediate.activation = torch.sin
def own_layer(model): model.encoder.layer[1].__class__ = type("OwnLayer", (BertLayer,), {"forward": lambda self, states, packing: states + 1})


@pytest.mark.parametrize("change", [replace_query, watch, change_input, other_activation, own_layer])
def test_a_layer_that_computes_something_else_stays(change, caplog):
    model, batch = small(), draw_batch(small().config)
    change(model)
    served = ready_to_serve(model)
    assert fused(served) == (1, 1) and "1 of 2 layers are fused, in float32. The other 1" in caplog.text
    with torch.no_grad(): close(served(**batch), model(**batch))


def test_a_dtype_that_onednn_lacks_is_named(caplog):
    model, batch = small().double(), draw_batch(small().config)
    served = ready_to_serve(model)
    assert fused(served) == (0, 2) and caplog.messages == [
        "ready_to_serve: 0 of 2 layers are fused, in float64. The other 2 stay as they were: oneDNN doesn't multiply float64 on this processor."]
    assert_close(served(**batch).last_hidden_state, model(**batch).last_hidden_state)


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"training mode.*Call model.eval\(\) first"): ready_to_serve(small().train())


@pytest.mark.filterwarnings("ignore")  # a tracer notes each `if`, and that it is deprecated
@pytest.mark.parametrize("use", [
    lambda model, ids: model.train()(ids), lambda model, ids: model(inputs_embeds=torch.randn(1, 3, 24, requires_grad=True)),
    lambda model, ids: torch.jit.trace(model, ids, strict=False)], ids=["train", "gradients", "trace"])
def test_what_a_copy_cannot_do_is_an_error(use):
    with pytest.raises(RuntimeError, match="ready to serve: it only answers"): use(ready_to_serve(small()), torch.ones(1, 3).long())


@pytest.mark.parametrize("change", [lambda model: model.double(), lambda model: model.bfloat16(), lambda model: model.to("meta")])
def test_a_copy_cannot_be_changed(change):
    with pytest.raises(RuntimeError, match="can't be changed. Change the model that it was made from"): change(ready_to_serve(small()))


def test_a_change_that_changes_nothing_is_fine(tmp_path):
    model, batch = small(), draw_batch(small().config)
    with torch.no_grad(): close(ready_to_serve(model).to("cpu").float()(**batch), model(**batch))


def test_a_copy_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="Nothing is written"): ready_to_serve(small()).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
