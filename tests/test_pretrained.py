"What all models have in common: tied weights under either name, and Auto classes that only choose."

import pytest
import safetensors.torch
import torch
from conftest import our_class, their_config, their_model

import tinybert
from tinybert import AutoConfig, AutoModel
from tinybert import auto as auto_classes
from tinybert.heads import ENCODERS, FAMILIES
from tinybert.pretrained import to_theirs

EACH_FAMILY = pytest.mark.parametrize("model_type", list(FAMILIES))
AUTO = [getattr(auto_classes, name) for name in auto_classes.__all__ if name.startswith("AutoModel")]


# Tied weights

def only_the_decoder(folder, model_type: str, task: str = "MaskedLM") -> torch.Tensor:
    "Write a masked-LM checkpoint whose word embeddings have the decoder's name alone; return them."
    their_model(model_type, task, 5, deviation=0.1).save_pretrained(folder)
    state = safetensors.torch.load_file(folder / "model.safetensors")
    model_class, family = our_class(model_type, task), FAMILIES[model_type]
    decoder = to_theirs("lm_head.decoder.weight", model_class.renames)
    words = to_theirs(f"{family.prefix}.{ENCODERS[model_type].word_embeddings}.weight", model_class.renames)
    assert decoder != words and words in state
    state[decoder] = state.pop(words).clone()
    safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return state[decoder]


@EACH_FAMILY
def test_word_embeddings_are_found_under_the_decoders_name(tmp_path, caplog, model_type):
    words = only_the_decoder(tmp_path, model_type)
    whole = our_class(model_type, "MaskedLM").from_pretrained(tmp_path)
    assert torch.equal(whole.get_input_embeddings().weight, words) and not caplog.records
    encoder = our_class(model_type).from_pretrained(tmp_path)
    assert torch.equal(encoder.get_input_embeddings().weight, words)
    assert len(caplog.records) == 1 and "left out" in caplog.text  # the rest of the head
    for key, weight in encoder.state_dict().items(): assert torch.equal(weight, whole.encoder.state_dict()[key]), key


def test_pretraining_finds_them_too(tmp_path, caplog):
    words = only_the_decoder(tmp_path, "bert", "PreTraining")
    model = tinybert.BertForPreTraining.from_pretrained(tmp_path)
    assert torch.equal(model.get_input_embeddings().weight, words) and not caplog.records


@EACH_FAMILY
def test_an_untied_decoder_matters_only_to_a_masked_lm_head(tmp_path, model_type):
    theirs = their_model(model_type, "MaskedLM", 6, deviation=0.1, tie_word_embeddings=False)
    theirs.save_pretrained(tmp_path)
    config = AutoConfig.from_dict(their_config(model_type).to_dict())  # says that they are tied
    with pytest.raises(ValueError, match="lm_head.decoder.weight differs from its .*word embeddings"):
        our_class(model_type, "MaskedLM").from_pretrained(tmp_path, config=config)
    words = theirs.get_input_embeddings().weight
    for task in ("", "TokenClassification"):
        model = our_class(model_type, task).from_pretrained(tmp_path, config=config)
        assert torch.equal(model.get_input_embeddings().weight, words)


# Auto classes

@pytest.mark.parametrize("auto", AUTO)
def test_auto_classes_are_no_models_and_only_choose(auto):
    assert not issubclass(auto, torch.nn.Module) and not hasattr(auto, "forward")
    public = {name for name in dir(auto) if not name.startswith("_")}
    assert public == {"class_for", "classes", "config_class", "from_config", "from_pretrained"}
    assert auto.classes and all(issubclass(model, tinybert.PreTrainedModel) for model in auto.classes.values())


def test_auto_config_is_no_config():
    assert not issubclass(AutoConfig, tinybert.PreTrainedConfig)
    assert {name for name in dir(AutoConfig) if not name.startswith("_")} == {"from_dict", "from_pretrained"}


def test_auto_model_takes_a_config_of_ones_own(tmp_path):
    config = AutoConfig.from_dict(their_config("roberta").to_dict())
    AutoModel.from_config(config).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, config=config, hidden_dropout_prob=0.25)
    assert type(model) is tinybert.RobertaModel and model.config.hidden_dropout_prob == 0.25
    assert config.hidden_dropout_prob != 0.25
    with pytest.raises(TypeError, match="config is a dict; give what AutoConfig returns"): AutoModel.from_config(config.to_dict())
