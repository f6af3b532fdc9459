"The config: its fields, its print form, its JSON, and what it refuses."

import copy
import json
import pickle

import pytest
import transformers

from tinybert import AutoConfig, BertConfig, BertModel

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
