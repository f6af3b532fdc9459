"ready_to_serve's engines that compile: the same numbers in each family that they claim, and clear words about the rest."

import copy
import sys
from importlib.util import find_spec

import pytest
import torch
from conftest import FAMILY_SIZES, draw_batch
from test_packing import MASKS
from test_serving import change_input, close, make, replace_query, watch

from tinybert.heads import ENCODERS
from tinybert.model import BertEncoder
from tinybert.serving import CompiledEncoder, can_multiply, ready_to_serve

pytestmark = pytest.mark.skipif(not can_multiply(torch.float32), reason="needs oneDNN")
CLAIMED = [name for name in FAMILY_SIZES if (ENCODERS[name].encoder_class if name != "modernbert" else None) is BertEncoder]
COMPILED = ["inductor", pytest.param("openvino", marks=pytest.mark.skipif(not find_spec("openvino"), reason="needs OpenVINO"))]


@pytest.fixture(scope="module", params=COMPILED)
def pair(request):
    "Return a BERT, and what an engine made of it: compiling takes many seconds."
    model = make("bert", num_hidden_layers=2, max_position_embeddings=512)
    return model, ready_to_serve(model, request.param)


def test_claimed_families():
    assert CLAIMED == ["bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"]


@pytest.mark.parametrize("mask", MASKS)
def test_any_mask_gives_the_same(pair, mask):
    model, served = pair
    assert isinstance(served.encoder, CompiledEncoder) and type(served) is type(model)
    mask = torch.tensor(MASKS[mask])
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(): expected = model(ids, mask)
    found = served(ids, mask)  # without no_grad: there are no gradients
    close(found, expected)
    assert not found.last_hidden_state.requires_grad and not found.last_hidden_state[mask == 0].any()
    with torch.inference_mode(): close(served(ids, mask), expected)


@pytest.mark.parametrize("lengths", [(512,), (512, 1, 300), (1,), (1, 1), (3, 3, 3)])
def test_long_texts_and_single_tokens(pair, lengths):
    model, served = pair
    batch = draw_batch(model.config, lengths=lengths)
    with torch.no_grad(): close(served(**batch), model(**batch))


def test_vectors_no_texts_and_autocast(pair):
    (model, served), vectors = pair, torch.randn(5, 2, 16).transpose(0, 1)
    with torch.no_grad():
        close(served(inputs_embeds=vectors), model(inputs_embeds=vectors))
        close(served(torch.zeros(0, 4).long()), model(torch.zeros(0, 4).long()))
    batch = draw_batch(model.config)
    with torch.autocast("cpu", torch.bfloat16): found = served(**batch).last_hidden_state
    torch.testing.assert_close(found.float(), served(**batch).last_hidden_state, rtol=0.05, atol=0.05)


def test_its_numbers_are_its_own(pair):
    model, served = pair
    batch, bias = draw_batch(model.config), model.encoder.layer[0].output.dense.bias
    before = served(**batch).last_hidden_state
    with torch.no_grad(): bias += 1
    assert torch.equal(served(**batch).last_hidden_state, before)
    with torch.no_grad(): bias -= 1


def test_what_it_cannot_return_is_refused(pair, tmp_path):
    model, served = pair
    batch = draw_batch(model.config)
    for asked in ("output_hidden_states", "output_attentions"):
        with pytest.raises(ValueError, match='output_hidden_states, output_attentions or unpad = False, call ready_to_serve with engine="fused"'):
            served(**batch, **{asked: True})
    served.unpad = False
    with pytest.raises(ValueError, match="takes padding out"): served(**batch)
    served.unpad = True
    for change in (served.encoder.half, served.encoder.double):
        with pytest.raises(RuntimeError, match="can't be changed"): change()
    with pytest.raises(RuntimeError, match="it only answers"): served.train()(**batch)
    served.eval()
    with pytest.raises(RuntimeError, match="it only answers"): served(inputs_embeds=torch.randn(1, 3, 16, requires_grad=True))
    with pytest.raises(ValueError, match="weights don't go together"): served.save_pretrained(tmp_path)


@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("model_type", CLAIMED)
def test_every_claimed_family_made_in_inference_mode(model_type, engine, caplog):
    layers = "n_layers" if model_type == "distilbert" else "num_hidden_layers"
    with torch.inference_mode():  # its weights are inference tensors
        model = make(model_type, **{layers: 1})  # compiles sooner than three
        batch = draw_batch(model.config)
        expected, served = model(**batch), ready_to_serve(model, engine)
    assert [record.message for record in caplog.records if record.name == "tinybert"] == ["ready_to_serve: 1 of 1 encoders are compiled, in float32."]
    close(served(**batch), expected)


@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("model_type", [name for name in FAMILY_SIZES if name not in CLAIMED])
def test_other_families_are_refused(model_type, engine):
    with pytest.raises(ValueError, match=f"'{engine}' needs a BertEncoder .* has none. Use engine=\"fused\""):
        ready_to_serve(make(model_type), engine)


@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("change", [replace_query, watch, change_input, torch.nn.Module.double])
def test_an_encoder_that_computes_something_else_is_refused(change, engine):
    model = make("bert")
    change(model)
    with pytest.raises(ValueError, match="without hooks or adapters"): ready_to_serve(model, engine)


def test_an_unknown_engine_is_named():
    with pytest.raises(ValueError, match="engine is 'onnx'; choose one of fused, inductor, openvino"): ready_to_serve(make("bert"), "onnx")


@pytest.mark.parametrize("engine", COMPILED)
def test_bfloat16_stays_as_close_as_the_model_itself(engine):
    if not can_multiply(torch.bfloat16): pytest.skip("needs a processor with bfloat16")
    exact = make("bert", num_hidden_layers=1)
    batch = draw_batch(exact.config)
    with torch.no_grad():
        expected, model = exact(**batch).last_hidden_state, copy.deepcopy(exact).bfloat16()
        plain = (model(**batch).last_hidden_state.float() - expected).abs().max()
    found = ready_to_serve(model, engine)(**batch)
    assert found.last_hidden_state.dtype == found.pooler_output.dtype == torch.bfloat16
    assert (found.last_hidden_state.float() - expected).abs().max() < 2 * plain


def test_openvino_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match="pip install openvino"): ready_to_serve(make("bert"), "openvino")
