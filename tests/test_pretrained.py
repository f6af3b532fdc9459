"What all models have in common: tied weights under either name, and Auto classes that only choose."

import pytest
import safetensors.torch
import torch
import transformers
from conftest import (draw_batch, family_twins, our_class, randomise, same_state, their_class,
                      their_config, their_model)

import tinybert
from tinybert import AutoConfig, AutoModel
from tinybert import auto as auto_classes
from tinybert.heads import ENCODERS, FAMILIES, HEADS
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


# State dictionaries as torch writes them

ALL = [*((model_type, "") for model_type in FAMILIES), *HEADS]
EACH = pytest.mark.parametrize("model_type, task", ALL)
EACH_HEAD = pytest.mark.parametrize("model_type, task", list(HEADS))
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def build(model_type: str, task: str = "", seed: int = 3, **settings):
    "Return a small model of ours with random weights, in training mode."
    config = AutoConfig.from_dict(their_config(model_type, **settings).to_dict())
    return randomise(our_class(model_type, task)(config), seed, 0.2)


def prefixed(model, prefix: str) -> dict:
    "Return a model's weights under names that begin with what a wrapper adds."
    return {prefix + name: weight for name, weight in model.state_dict().items()}


WRITERS = {
    "torch.save": lambda model, folder: torch.save(
        model.state_dict(), folder / "pytorch_model.bin"),
    "save_file": lambda model, folder: safetensors.torch.save_file(
        model.state_dict(), folder / "model.safetensors"),
    "save_model": lambda model, folder: safetensors.torch.save_model(
        model, str(folder / "model.safetensors")),
    **{prefix: lambda model, folder, prefix=prefix: torch.save(
        prefixed(model, prefix), folder / "pytorch_model.bin")
       for prefix in ("module.", "_orig_mod.", "module._orig_mod.")}}


@pytest.mark.parametrize("writer", WRITERS)
@EACH
def test_our_own_names_are_read_as_they_are(tmp_path, caplog, model_type, task, writer):
    model = build(model_type, task)
    model.config.save_pretrained(tmp_path)
    WRITERS[writer](model, tmp_path)
    found, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    same_state(found, model)
    assert not any(report.values()) and not caplog.records


@EACH
def test_a_state_dictionary_is_taken_instead_of_a_file(model_type, task):
    model = build(model_type, task)
    found = type(model).from_pretrained(None, config=model.config, state_dict=model.state_dict())
    same_state(found, model)
    theirs = their_model(model_type, task, 4, deviation=0.1)
    config = AutoConfig.from_dict(theirs.config.to_dict())
    given = {name: weight.clone() for name, weight in theirs.state_dict().items()}
    ours = type(model).from_pretrained(None, config=config, state_dict=given)
    with torch.no_grad():
        for weight in ours.parameters(): weight.zero_()  # the given ones stay
    for name, weight in theirs.state_dict().items(): assert torch.equal(given[name], weight)


@EACH_HEAD
def test_the_encoder_of_our_own_names_fits_and_is_fitted(tmp_path, model_type, task):
    whole, encoder = build(model_type, task), build(model_type, seed=5)
    found = our_class(model_type).from_pretrained(
        None, config=whole.config, state_dict=whole.state_dict(), add_pooling_layer=False)
    expected = whole.base_model.state_dict()
    for name, weight in found.state_dict().items(): assert torch.equal(weight, expected[name])
    found = type(whole).from_pretrained(
        None, config=whole.config, state_dict=encoder.state_dict()).base_model.state_dict()
    expected = encoder.state_dict()
    for name, weight in found.items(): assert torch.equal(weight, expected[name])


def test_without_a_name_there_is_nothing_to_read():
    with pytest.raises(TypeError, match="neither a folder nor a name"):
        tinybert.BertModel.from_pretrained(None)
    with pytest.raises(TypeError, match="neither a folder nor a name"):
        tinybert.BertModel.from_pretrained(None, config=build("bert").config)


# What didn't fit

@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
@EACH_FAMILY
def test_a_head_of_another_size_is_made_new_if_asked(tmp_path, caplog, model_type, task):
    theirs = their_model(model_type, task, num_labels=3)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"\(3.*num_labels"):
        our_class(model_type, task).from_pretrained(tmp_path, num_labels=5)
    options = dict(num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    ours, report = our_class(model_type, task).from_pretrained(tmp_path, **options)
    _, expected = their_class(model_type, task).from_pretrained(tmp_path, **options)
    for found in (report, expected): assert not found["missing_keys"]
    assert report["mismatched_keys"] == {
        (name, tuple(given), tuple(wanted)) for name, given, wanted in expected["mismatched_keys"]}
    assert ours(IDS).logits.shape[-1] == 5 and "new and random" in caplog.text
    for part in ours.head:  # what fits is kept
        for name, weight in ours.get_submodule(part).named_parameters():
            assert weight.isfinite().all() and not weight.is_meta, name
    ours.save_pretrained(tmp_path / "new")
    same_state(type(ours).from_pretrained(tmp_path / "new"), ours)


def test_only_a_head_may_be_of_another_size(tmp_path):
    their_model("bert", "SequenceClassification").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="word_embeddings.weight has the shape"):
        tinybert.BertForSequenceClassification.from_pretrained(
            tmp_path, vocab_size=70, ignore_mismatched_sizes=True)


@EACH_FAMILY
def test_the_loading_info_has_the_keys_of_transformers(tmp_path, model_type):
    theirs = their_model(model_type, "MaskedLM")
    theirs.save_pretrained(tmp_path)
    for task in ("", "MaskedLM", "TokenClassification"):
        expected = their_class(model_type, task).from_pretrained(
            tmp_path, output_loading_info=True)[1]
        try: model, found = our_class(model_type, task).from_pretrained(
            tmp_path, output_loading_info=True)
        except ValueError as error:  # ModernBERT's heads begin alike
            assert model_type == "modernbert" and "lacks" in str(error)
            continue
        assert type(model) is our_class(model_type, task) and found.keys() >= expected.keys()
        missing = {name for name in expected["missing_keys"] if "pooler" not in name}
        assert set(found["missing_keys"]) == missing
        assert not found["mismatched_keys"] and not found["error_msgs"]


# Gradient checkpointing

def gradients(model, batch: dict, **options) -> list:
    "Return the gradients of a training pass, with dropout of one seed."
    model.zero_grad()
    torch.manual_seed(7)
    answer = model.train()(**batch, **options).to_tuple()[0]
    answer.square().sum().backward()
    return [None if weight.grad is None else weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("options", [{}, {"output_hidden_states": True},
                                     {"output_attentions": True}],
                         ids=["plain", "states", "weights"])
@EACH_FAMILY
def test_checkpointing_changes_no_gradient(model_type, options, monkeypatch):
    model = build(model_type, "TokenClassification")
    batch, runs = draw_batch(model.config), []
    layers = [part for part in model.modules() if hasattr(part, "checkpointing")]
    assert layers and model.supports_gradient_checkpointing and not model.is_gradient_checkpointing
    for layer in layers: layer.register_forward_pre_hook(lambda *given: runs.append(1))
    expected, once = gradients(model, batch, **options), len(runs)
    ways = [None] if model_type == "mpnet" or options else [None, {"use_reentrant": True}]
    for given in ways:  # MPNet's bias is computed outside its layers, for all of them
        runs.clear()
        model.gradient_checkpointing_enable(given)
        model.enable_input_require_grads()
        assert model.is_gradient_checkpointing
        torch.testing.assert_close(gradients(model, batch, **options), expected)
        assert len(runs) == 2 * once  # each layer ran twice
        model.disable_input_require_grads()
    model.eval()
    runs.clear()
    with torch.no_grad(): model(**batch)
    assert len(runs) == once
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    runs.clear()
    gradients(model, batch)
    assert len(runs) == once


@EACH_FAMILY
def test_frozen_embeddings_pass_gradients_on(model_type):
    model = build(model_type, "SequenceClassification")
    model.requires_grad_(False)
    assert not model(IDS).logits.requires_grad
    model.enable_input_require_grads()
    seen = []
    model.get_input_embeddings().register_forward_hook(lambda *given: seen.append(given[2]))
    model(IDS).logits.sum().backward()
    assert seen[0].requires_grad and seen[0].grad.any()
    model.disable_input_require_grads()
    assert not model(IDS).logits.requires_grad


@EACH
def test_parameters_are_counted_as_in_transformers(model_type, task):
    ours, theirs = build(model_type, task), their_model(model_type, task)
    for model in (ours, theirs): model.get_input_embeddings().requires_grad_(False)
    for trainable in (False, True):
        assert (ours.num_parameters(only_trainable=trainable)
                == theirs.num_parameters(only_trainable=trainable))
    if task == "MaskedLM" and model_type in ("xlm-roberta", "camembert"):
        return  # transformers finds their tied matrix under the decoder's name, and counts it
    assert ours.num_parameters(exclude_embeddings=True) == theirs.num_parameters(
        exclude_embeddings=True)


# Another vocabulary

@pytest.mark.parametrize("task, rows", [("", 70), ("MaskedLM", 55), ("MaskedLM", 70)])
@EACH_FAMILY
def test_a_resized_model_is_one_of_transformers(tmp_path, model_type, task, rows):
    ours, theirs = family_twins(tmp_path / "old", model_type, task, dtype=torch.float32,
                                deviation=0.1)
    before = ours.get_input_embeddings().weight.detach().clone()
    embeddings = ours.resize_token_embeddings(rows)
    assert embeddings is ours.get_input_embeddings() and embeddings.weight.shape[0] == rows
    assert ours.config.vocab_size == rows and embeddings.weight.requires_grad
    kept = min(rows, 60)
    assert torch.equal(embeddings.weight[:kept], before[:kept])
    if rows > 60: torch.testing.assert_close(embeddings.weight[60:], before.mean(0).expand(10, -1))
    assert embeddings.padding_idx == theirs.get_input_embeddings().padding_idx
    ours.save_pretrained(tmp_path / "new")
    loaded, report = their_class(model_type, task).from_pretrained(
        tmp_path / "new", output_loading_info=True)
    assert not any(report.values()) and loaded.config.vocab_size == rows
    same_state(our_class(model_type, task).from_pretrained(tmp_path / "new"), ours)
    ids = torch.tensor([[4, 5, rows - 1]])
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).to_tuple()[0], loaded(ids)[0], rtol=1e-4, atol=1e-4)
    ours.train()(ids).to_tuple()[0].square().sum().backward()
    assert embeddings.weight.grad[rows - 1].any()
    if task != "MaskedLM": return
    decoder = ours.get_output_embeddings()
    assert decoder.weight is embeddings.weight and decoder.out_features == rows
    with torch.no_grad():
        old = theirs(torch.tensor([[4, 5]])).logits[..., :kept]
        new = ours.eval()(torch.tensor([[4, 5]])).logits[..., :kept]
    torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)


def test_sizes_of_a_vocabulary():
    model = build("bert", "MaskedLM")
    weights = model.get_input_embeddings().weight.detach().clone()
    assert model.resize_token_embeddings().num_embeddings == 60
    assert model.resize_token_embeddings(pad_to_multiple_of=64).num_embeddings == 64
    assert model.resize_token_embeddings(65, pad_to_multiple_of=8).num_embeddings == 72
    assert torch.equal(model.get_input_embeddings().weight[:60], weights)
    fresh = model.resize_token_embeddings(200, mean_resizing=False).weight[72:]
    assert 0.015 < fresh.std() < 0.025
    assert model(IDS).logits.shape[-1] == 200 and len(model.lm_head.bias) == 200
    model.get_input_embeddings().requires_grad_(False)
    assert not model.resize_token_embeddings(80).weight.requires_grad
    for wrong in (0, -1, 3.5, "80"):
        with pytest.raises(ValueError, match="new_num_tokens is"):
            model.resize_token_embeddings(wrong)


@EACH
def test_embeddings_are_got_and_set_as_in_transformers(model_type, task):
    ours, theirs = build(model_type, task), their_model(model_type, task)
    found, expected = ours.get_output_embeddings(), theirs.get_output_embeddings()
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.weight is ours.get_input_embeddings().weight
        assert found.weight.shape == expected.weight.shape
        assert (found.bias is None) == (expected.bias is None)
    new = torch.nn.Embedding.from_pretrained(torch.randn(60, found.weight.shape[1] if found is not
                                             None else ours.get_input_embeddings().embedding_dim))
    ours.set_input_embeddings(new)
    assert ours.get_input_embeddings() is new
    if found is not None: assert ours.get_output_embeddings().weight is new.weight


# Options

@EACH_FAMILY
def test_a_model_without_a_pooler(tmp_path, model_type):
    model = build(model_type)
    model.save_pretrained(tmp_path)
    bare = our_class(model_type).from_pretrained(tmp_path, add_pooling_layer=False)
    assert bare(IDS).pooler_output is None and not any("pooler" in n for n in bare.state_dict())
    if model_type in ("electra", "distilbert", "modernbert"): return  # never had one
    assert our_class(model_type)(model.config, add_pooling_layer=False).pooler is None


def test_which_file_is_read(tmp_path):
    model = build("bert")
    model.save_pretrained(tmp_path)
    other = build("bert", seed=9)
    safetensors.torch.save_file(other.state_dict(), tmp_path / "model.safetensors")
    for choice, expected in ((None, other), (True, other), (False, model)):
        same_state(AutoModel.from_pretrained(tmp_path, use_safetensors=choice), expected)
    for name, choice in (("model.safetensors", True), ("pytorch_model.bin", False)):
        (tmp_path / name).unlink()
        with pytest.raises(OSError, match=f"has no weights .{name}"):
            AutoModel.from_pretrained(tmp_path, use_safetensors=choice)


ACCEPTED = [dict(torch_dtype=torch.float32), dict(torch_dtype="auto"), dict(device_map=None),
            dict(device_map="cpu"), dict(attn_implementation="sdpa"), dict(use_auth_token=None),
            dict(attn_implementation="eager"), dict(trust_remote_code=False),
            dict(low_cpu_mem_usage=True), dict(weights_only=True), dict(from_tf=False),
            dict(resume_download=None), dict(variant=None), dict(load_in_8bit=False),
            dict(dtype=None), dict(torch_dtype=None), dict(disable_mmap=True),
            dict(use_kernels=False), dict(tp_size=None)]


@pytest.mark.parametrize("option", ACCEPTED, ids=str)
def test_options_that_ask_for_nothing_else_are_understood(tmp_path, option):
    model = build("bert")
    model.save_pretrained(tmp_path)
    found = AutoModel.from_pretrained(tmp_path, **option)
    same_state(found, model)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("option, words", [
    (dict(device_map="auto"), "model.to"), (dict(attn_implementation="flash_attention_2"), "Leave"),
    (dict(trust_remote_code=True), "No code"), (dict(load_in_8bit=True), "bfloat16"),
    (dict(load_in_4bit=True), "bfloat16"), (dict(variant="fp16"), "model.safetensors"),
    (dict(from_tf=True), "Convert"), (dict(from_flax=True), "Convert"),
    (dict(tp_size=2), "model.to"), (dict(use_kernels=True), "Leave"),
    (dict(adapter_name="mine"), "peft"),
    (dict(weights_only=False), "tensors"), (dict(proxies={"https": "x"}), "HTTPS_PROXY")])
def test_other_options_say_what_to_write(tmp_path, option, words):
    build("bert").save_pretrained(tmp_path)
    (name, value), = option.items()
    for kind in (AutoModel, tinybert.BertModel, AutoConfig):
        with pytest.raises(ValueError, match=f"{name} is .*{words}"):
            kind.from_pretrained(tmp_path, **option)


def test_an_older_name_of_the_type(tmp_path):
    build("bert").half().save_pretrained(tmp_path)
    for dtype, expected in (("auto", torch.float16), (torch.bfloat16, torch.bfloat16)):
        assert AutoModel.from_pretrained(tmp_path, torch_dtype=dtype).dtype == expected
    with pytest.raises(TypeError, match="dtype is given twice"):
        AutoModel.from_pretrained(tmp_path, dtype="auto", torch_dtype="auto")


def test_options_of_saving(tmp_path):
    model, other = build("bert", "MaskedLM"), build("bert", "MaskedLM", seed=8)
    model.save_pretrained(tmp_path / "none", is_main_process=False)
    assert not (tmp_path / "none").exists()
    model.save_pretrained(tmp_path, is_main_process=True, save_function=torch.save,
                          state_dict=other.state_dict())
    same_state(type(model).from_pretrained(tmp_path), other)


def test_a_loss_of_what_is_inside_can_be_checkpointed():
    model = build("bert")
    batch = draw_batch(model.config)

    def found():
        model.zero_grad()
        output = model(**batch, output_hidden_states=True, output_attentions=True)
        inner = (*output.hidden_states, *output.attentions)
        sum(state.square().sum() for state in inner).backward()
        return [weight.grad for weight in model.parameters()]

    model.eval()
    expected = found()
    model.train().gradient_checkpointing_enable()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout): part.p = 0.0
    for layer in model.encoder.layer: layer.attention.self.dropout = 0.0
    torch.testing.assert_close(found(), expected)


# What is saved can be loaded

@pytest.mark.parametrize("change", [dict(num_labels=5), dict(num_hidden_layers=2),
                                    dict(vocab_size=70), dict(intermediate_size=48)], ids=str)
def test_a_config_that_no_longer_fits_its_weights_is_not_saved(tmp_path, change):
    model = build("bert", "SequenceClassification")
    model.save_pretrained(tmp_path)
    for name, value in change.items(): setattr(model.config, name, value)
    with pytest.raises(ValueError, match="config and .* weights don't go together.*Nothing is"):
        model.save_pretrained(tmp_path)
    assert type(model).from_pretrained(tmp_path).config.num_labels == 2  # the old one is whole


@pytest.mark.parametrize("name", [name for name in auto_classes.__all__ if "Tokenizer" in name])
def test_tokenizers_by_name_are_explicit_choices(tmp_path, name):
    tokens = ["<s>", "<pad>", "</s>", "[UNK]", "<unk>", "<mask>", "[PAD]", "[CLS]", "[SEP]",
              "[MASK]", "bank", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    ours = getattr(tinybert, name)
    if ours.facts and "vocab.txt" not in ours.facts.files:
        with pytest.raises(OSError, match="has no tokenizer that can be used"):
            ours.from_pretrained(tmp_path)
        return
    ends = ("<s>", "</s>") if name == "MPNetTokenizer" else ("[CLS]", "[SEP]")
    expected = [ends[0], "bank", "##s", ends[1]]
    assert ours.from_pretrained(tmp_path).tokenize("Banks", add_special_tokens=True) == expected
    if name == "AutoTokenizer": return  # transformers' needs a config
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    assert theirs.convert_ids_to_tokens(theirs("Banks")["input_ids"]) == expected
