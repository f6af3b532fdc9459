"The config: its fields, its print form, its JSON, and what it refuses."

import copy
import itertools
import json
import pickle

import pytest
import torch
import transformers
from conftest import FAMILY_SIZES, their_config

from tinybert import AutoConfig, BertConfig, BertForSequenceClassification, BertModel

# What transformers' to_dict has beside BERT's own settings: how its library runs, and labels of heads.
NOT_OF_BERT = {"transformers_version", "architectures", "output_hidden_states", "return_dict", "dtype", "chunk_size_feed_forward",
               "is_encoder_decoder", "id2label", "label2id", "problem_type", "_name_or_path", "output_attentions"}
# The five lines that the section shows, in its order.
SECTION = ['"hidden_size": 768', '"intermediate_size": 3072', '"max_position_embeddings": 512', '"num_attention_heads": 12',
           '"num_hidden_layers": 12']


def write(folder, settings) -> None:
    "Write a config.json, from a dict or as text."
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(settings if isinstance(settings, str) else json.dumps(settings), encoding="utf-8")


def test_print_form_is_the_sections(capsys):
    print(BertConfig())
    printed = capsys.readouterr().out
    assert printed.startswith("BertConfig {\n") and printed.rstrip().endswith("\n}")
    settings = json.loads(printed.removeprefix("BertConfig "))
    assert list(settings) == sorted(settings)
    lines = [line.strip(" ,") for line in printed.splitlines()]
    assert [line for line in lines if line in SECTION] == SECTION
    assert all(line.startswith('  "') for line in printed.rstrip().splitlines()[1:-1])


def test_fields_and_defaults_are_those_of_transformers():
    ours, theirs = BertConfig().to_dict(), transformers.BertConfig().to_dict()
    assert ours.keys() - theirs.keys() == {"tinybert_version"}
    assert theirs.keys() - ours.keys() <= NOT_OF_BERT
    for name in ours.keys() & theirs.keys(): assert ours[name] == theirs[name] and type(ours[name]) is type(theirs[name]), name


def test_settings_become_attributes():
    config = BertConfig(hidden_size=48, num_attention_heads=4, hidden_act="relu")
    assert (config.hidden_size, config.num_attention_heads, config.hidden_act) == (48, 4, "relu")
    assert config.num_hidden_layers == 12 and config.model_type == "bert"
    with pytest.raises(TypeError): BertConfig(100)  # names only, as there are too many to count


@pytest.mark.parametrize("wrong, nearest", [("hidden_sise", "hidden_size"), ("num_hidden_layer", "num_hidden_layers"),
                                            ("n_attention_heads", "num_attention_heads"), ("vocabsize", "vocab_size")])
def test_unknown_keyword_names_the_nearest(wrong, nearest):
    with pytest.raises(TypeError, match=f"BertConfig has no setting '{wrong}'.*'{nearest}'"): BertConfig(**{wrong: 12})


def test_unknown_keyword_far_from_all_lists_them():
    with pytest.raises(TypeError, match="'zzz'.*vocab_size.*hidden_act"): BertConfig(zzz=1)


def test_misspelt_override_of_a_checkpoint_is_refused(tmp_path):
    write(tmp_path, BertConfig().to_dict())
    with pytest.raises(TypeError, match="'hidden_act'"): BertConfig.from_pretrained(tmp_path, hiden_act="relu")


@pytest.mark.parametrize("settings, words", [
    (dict(hidden_size=100, num_attention_heads=12), ["hidden_size is 100", "num_attention_heads is 12", "multiple"]),
    (dict(vocab_size=0), ["vocab_size is 0", "from 1 up"]),
    (dict(hidden_size=-12), ["hidden_size is -12"]),
    (dict(num_hidden_layers="12"), ["num_hidden_layers is '12'", "whole number"]),
    (dict(num_attention_heads=2.0), ["num_attention_heads is 2.0"]),
    (dict(intermediate_size=None), ["intermediate_size is None"]),
    (dict(max_position_embeddings=0), ["max_position_embeddings is 0"]),
    (dict(type_vocab_size=0), ["type_vocab_size is 0"]),
    (dict(num_hidden_layers=True), ["num_hidden_layers is True"]),
    (dict(is_decoder=True), ["is_decoder is True", "False"]),
    (dict(add_cross_attention=True), ["add_cross_attention is True"]),
])
def test_what_cannot_be_built_is_refused(settings, words):
    with pytest.raises(ValueError) as error: BertConfig(**settings)
    for word in words: assert word in str(error.value)


def test_padding_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="pad_token_id"): BertModel(BertConfig(vocab_size=50, hidden_size=12, pad_token_id=50))


def test_a_setting_changed_afterwards_is_checked_by_the_model():
    config = BertConfig()
    config.hidden_size = 100
    with pytest.raises(ValueError, match="hidden_size is 100"): BertModel(config)


def test_unknown_activation_lists_the_known():
    with pytest.raises(ValueError, match="hidden_act is 'gellu'.*gelu, .*relu"):
        BertModel(BertConfig(hidden_act="gellu", hidden_size=12, num_hidden_layers=1, vocab_size=9))


def test_relative_positions_in_a_file_are_refused(tmp_path):
    write(tmp_path, {"model_type": "bert", "position_embedding_type": "relative_key"})
    with pytest.raises(ValueError, match="position_embedding_type is 'relative_key'.*'absolute'"): BertConfig.from_pretrained(tmp_path)
    write(tmp_path, {"model_type": "bert", "position_embedding_type": "absolute"})
    assert BertConfig.from_pretrained(tmp_path).position_embedding_type == "absolute"


def test_config_of_another_model_names_both(tmp_path):
    write(tmp_path, {"model_type": "roberta", "hidden_size": 24})
    with pytest.raises(ValueError, match="'roberta'.*'bert'"): BertConfig.from_pretrained(tmp_path)


def test_auto_config_picks_the_class_and_names_what_it_does_not_know(tmp_path):
    write(tmp_path, {"model_type": "bert", "hidden_size": 24})
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is BertConfig and config.hidden_size == 24
    write(tmp_path, {"model_type": "deberta-v2"})
    with pytest.raises(ValueError, match="'deberta-v2'.*knows bert"): AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(TypeError, match="AutoConfig.from_pretrained"): AutoConfig()


def test_unknown_keys_of_a_file_are_kept_and_written_back(tmp_path):
    extra = {"id2label": {"0": "good"}, "gradient_checkpointing": False, "task_specific": [1, {"a": None}]}
    write(tmp_path / "old", {"model_type": "bert", "hidden_size": 24, **extra})
    config = BertConfig.from_pretrained(tmp_path / "old")
    assert config.gradient_checkpointing is False
    config.save_pretrained(tmp_path / "new")
    written = json.loads((tmp_path / "new/config.json").read_text())
    assert extra.items() <= written.items()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["config.json"]


def test_overrides_replace_settings_of_a_file(tmp_path):
    write(tmp_path, {"model_type": "bert", "hidden_size": 24, "num_hidden_layers": 3})
    config = AutoConfig.from_pretrained(tmp_path, num_hidden_layers=1, hidden_dropout_prob=0.0)
    assert (config.hidden_size, config.num_hidden_layers, config.hidden_dropout_prob) == (24, 1, 0.0)
    with pytest.raises(ValueError, match="num_attention_heads is 5"): AutoConfig.from_pretrained(tmp_path, num_attention_heads=5)


def test_config_is_written_where_it_is_said_to_come_from(tmp_path):
    write(tmp_path, {"model_type": "bert", "_name_or_path": "somewhere/else", "tinybert_version": "0.0.0"})
    written = BertConfig.from_pretrained(tmp_path).to_dict()
    assert written["_name_or_path"] == str(tmp_path) and written["tinybert_version"] != "0.0.0"


def test_missing_config_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(OSError, match="has no config.json.*notes.txt"): BertConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["", '{"hidden_size": 768', "\0\0\0", "<html>not found</html>", "[1]", "null", "3"])
def test_damaged_config_names_the_file_and_the_cure(tmp_path, text):
    write(tmp_path, text)
    for config_class in (BertConfig, AutoConfig):
        with pytest.raises(OSError, match="config.json") as error: config_class.from_pretrained(tmp_path)
        assert "damaged" in str(error.value) and "force_download=True" in str(error.value)


def test_config_that_is_no_text_is_damaged_too(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00{}")
    with pytest.raises(OSError, match="config.json is damaged"): BertConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
def test_copies_are_equal_and_apart(duplicate):
    config = BertConfig.from_dict({"hidden_size": 24, "num_attention_heads": 3, "extra": 1})
    other = duplicate(config)
    assert other == config and repr(other) == repr(config) and other.extra == 1
    other.hidden_size = 36
    assert other != config and config.hidden_size == 24


def test_transformers_reads_ours(tmp_path):
    config = BertConfig(hidden_size=24, num_attention_heads=3, hidden_act="relu", layer_norm_eps=1e-5, pad_token_id=3)
    config.save_pretrained(tmp_path)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(theirs) is transformers.BertConfig
    for name, value in config.to_dict().items(): assert getattr(theirs, name) == value, name


def test_ours_reads_transformers(tmp_path):
    theirs = transformers.BertConfig(hidden_size=24, num_attention_heads=3, num_labels=3, hidden_dropout_prob=0.2)
    theirs.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    for name in BertConfig().to_dict().keys() - {"tinybert_version"}: assert getattr(config, name) == getattr(theirs, name), name
    assert config.id2label == theirs.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"} and config.num_labels == 3


# Labels that belong together, whatever is set and in which order

ABC, NAMES = {0: "a", 1: "b", 2: "c"}, {"a": 0, "b": 1, "c": 2}
SMALL = dict(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
             intermediate_size=8)
VALUES = {"num_labels": 5, "id2label": ABC, "label2id": {"p": 0, "q": 1, "r": 2}}
ORDERS = [names for count in (1, 2, 3) for names in itertools.permutations(VALUES, count)]


def numbered(count: int) -> dict[int, str]: return {n: f"LABEL_{n}" for n in range(count)}


def linked(config) -> bool:
    "Tell whether a config's labels say the same three times."
    inverse = {name: number for number, name in config.id2label.items()}
    return config.num_labels == len(config.id2label) and config.label2id == inverse


@pytest.mark.parametrize("start", [{}, dict(id2label={0: "no", 1: "yes"}), dict(num_labels=4)])
@pytest.mark.parametrize("names", ORDERS, ids="-".join)
def test_labels_follow_the_last_that_was_set(tmp_path, names, start):
    config = BertConfig(**SMALL, **start)
    for name in names: setattr(config, name, VALUES[name])
    last = {"num_labels": numbered(5), "id2label": ABC, "label2id": {0: "p", 1: "q", 2: "r"}}
    assert config.id2label == last[names[-1]] and linked(config)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    ours = BertForSequenceClassification.from_pretrained(tmp_path)
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path)
    for model in (ours, theirs):
        assert model.config.id2label == config.id2label and linked(model.config)
        assert model.classifier.out_features == config.num_labels


@pytest.mark.parametrize("settings, expected", [
    ({}, numbered(2)), (dict(num_labels=2), numbered(2)), (dict(num_labels=1), numbered(1)),
    (dict(num_labels=3), numbered(3)), (dict(id2label={"0": "a", "1": "b", "2": "c"}), ABC),
    (dict(id2label=ABC, label2id=NAMES), ABC), (dict(label2id=NAMES), ABC),
    (dict(label2id={"a": "0", "b": "1", "c": "2"}), ABC), (dict(id2label=None), numbered(2)),
    (dict(id2label=None, label2id=None, num_labels=4), numbered(4)),
    (dict(num_labels=None), numbered(2)), (dict(num_labels=None, id2label=ABC), ABC),
    (dict(id2label={}, label2id={}), numbered(2)), (dict(id2label={}, num_labels=3), numbered(3)),
    (dict(num_labels=3, label2id=NAMES), ABC), (dict(num_labels=3, id2label=ABC), ABC),
    (dict(num_labels=2, id2label=ABC), ABC), (dict(id2label={2: "c", 0: "a", 1: "b"}), ABC),
], ids=str)
def test_labels_of_a_file(tmp_path, settings, expected):
    write(tmp_path, {"model_type": "bert", **SMALL, **settings})
    config = BertConfig.from_pretrained(tmp_path)
    assert config.id2label == expected and linked(config)
    assert AutoConfig.from_dict(json.loads(config.to_json_string())) == config


@pytest.mark.parametrize("given", [{}, dict(num_labels=3), dict(id2label={"0": "x", "1": "y"}),
                                   dict(label2id={"x": 0, "y": 1})], ids=str)
@pytest.mark.parametrize("overrides, expected", [
    (dict(num_labels=5), numbered(5)), (dict(id2label=ABC), ABC), (dict(label2id=NAMES), ABC),
    (dict(id2label=ABC, label2id=NAMES), ABC), (dict(num_labels=1), numbered(1)),
    (dict(num_labels=3, id2label=ABC, label2id=NAMES), ABC), (dict(id2label=None), None),
    (dict(num_labels=3, label2id=NAMES), ABC), (dict(num_labels=None), None)], ids=str)
def test_labels_that_are_overridden(tmp_path, given, overrides, expected):
    write(tmp_path, {"model_type": "bert", **SMALL, **given})
    config = BertConfig.from_pretrained(tmp_path, **overrides)
    assert linked(config)
    plain = BertConfig.from_pretrained(tmp_path)
    assert config.id2label == (plain.id2label if expected is None else expected)


def test_an_override_that_changes_nothing_keeps_the_names(tmp_path):
    write(tmp_path, {"model_type": "bert", **SMALL, "id2label": ABC})
    assert BertConfig.from_pretrained(tmp_path, num_labels=3).id2label == ABC


def test_two_names_for_one_thing_are_no_reason_to_shrink():
    config = BertConfig(id2label={0: "a", 1: "a", 2: "b"})
    config.label2id = {name: number for number, name in config.id2label.items()}
    assert config.num_labels == 3 and config.id2label == {0: "a", 1: "a", 2: "b"}
    with pytest.raises(ValueError, match="label2id is .*an id of its own"):
        BertConfig(label2id={"a": 0, "b": 0})


def test_a_dictionary_changed_in_place_is_heeded(tmp_path):
    config = BertConfig(**SMALL)
    config.id2label[2] = "more"
    config.id2label[0] = "less"
    model = BertForSequenceClassification(config)
    assert model.classifier.out_features == 3 and linked(config)
    model.save_pretrained(tmp_path)
    loaded = BertForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "less", 1: "LABEL_1", 2: "more"} and linked(loaded.config)


@pytest.mark.parametrize("name", ["id2label", "label2id"])
@pytest.mark.parametrize("value", [["a", "b"], {}, "ab", 3, {"a": "b"}, {1.5: 1.5}, {-1: -1}])
def test_labels_that_are_no_dictionary_are_named(tmp_path, name, value):
    config = BertConfig()
    for build in (lambda: BertConfig(**{name: value}), lambda: setattr(config, name, value)):
        with pytest.raises(ValueError, match=f"{name} is .*dictionary"): build()
    assert config.num_labels == 2 and linked(config)


def test_ids_of_labels_may_be_text_but_become_numbers():
    config = BertConfig(id2label=ABC)
    config.label2id = {name: str(number) for name, number in NAMES.items()}
    assert config.id2label == ABC and config.label2id == NAMES


@pytest.mark.parametrize("value", [0, -1, "3", 2.0, True])
def test_a_number_of_labels_is_a_whole_number(value):
    config = BertConfig()
    for build in (lambda: BertConfig(num_labels=value),
                  lambda: setattr(config, "num_labels", value)):
        with pytest.raises(ValueError, match="num_labels is .*whole number from 1 up"): build()
    assert linked(config)


# Settings that change a result

FLAGS = ["output_hidden_states", "output_attentions", "return_dict"]


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_kept_and_written_if_it_matters(tmp_path, name):
    usual = BertConfig()
    assert getattr(usual, name) is (name == "return_dict")
    assert name not in json.loads(usual.to_json_string())
    other = BertConfig(**{name: name != "return_dict"})
    other.save_pretrained(tmp_path)
    for config in (BertConfig, transformers.AutoConfig):
        assert getattr(config.from_pretrained(tmp_path), name) is (name != "return_dict")
    write(tmp_path, {"model_type": "bert", name: None})  # as some files have it
    config = BertConfig.from_pretrained(tmp_path, **SMALL)
    output = BertModel(config)(torch.tensor([[5, 6]]))
    assert list(output) == ["last_hidden_state", "pooler_output"]
    for wrong in ("yes", 1, [True]):
        with pytest.raises(ValueError, match=f"{name} is .*True or False"):
            BertConfig(**{name: wrong})


@pytest.mark.parametrize("settings", [
    dict(quantization_config={"quant_method": "gptq"}), dict(pruned_heads={"0": [1]}),
    dict(is_decoder=True), dict(add_cross_attention=True), dict(is_encoder_decoder=True),
    dict(torchscript=True), dict(position_embedding_type="relative_key_query")], ids=str)
def test_a_setting_that_we_cannot_heed_is_refused(tmp_path, settings):
    write(tmp_path, {"model_type": "bert", **settings})
    (name, _), = settings.items()
    for config in (BertConfig, AutoConfig):
        with pytest.raises(ValueError, match=f"{name} is .* is supported"):
            config.from_pretrained(tmp_path)


@pytest.mark.parametrize("settings", [
    dict(quantization_config=None), dict(quantization_config={}), dict(pruned_heads={}),
    dict(pruned_heads=None), dict(is_decoder=False), dict(is_encoder_decoder=False),
    dict(torchscript=False), dict(chunk_size_feed_forward=0)], ids=str)
def test_a_setting_that_asks_for_nothing_is_no_obstacle(tmp_path, settings):
    write(tmp_path, {"model_type": "bert", **settings})
    assert BertConfig.from_pretrained(tmp_path) and AutoConfig.from_pretrained(tmp_path)


# One name for all families

COMMON = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2)


@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_common_names_are_understood_by_every_family(tmp_path, model_type):
    their_config(model_type).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, **COMMON)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    for name, value in COMMON.items():
        assert getattr(config, name) == value
        setattr(theirs, name, value)
    assert type(config)(**COMMON).num_hidden_layers == 1
    for name in theirs.attribute_map:
        known = theirs.attribute_map[name]
        if not hasattr(config, known): continue
        assert getattr(config, name) == getattr(config, known) == getattr(theirs, name)
        setattr(config, name, getattr(theirs, name))
        assert name not in json.loads(config.to_json_string())
    if model_type != "distilbert": return
    with pytest.raises(TypeError, match="one setting under two names"):
        type(config)(dim=8, hidden_size=8)
