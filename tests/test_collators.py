"Data collators: the batches and masks of transformers, and errors that name the column."

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
import transformers as tf
from conftest import FAMILY_SIZES, our_class
from torch.utils.data import DataLoader

from tinybert import AutoTokenizer
from tinybert.collators import (
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    DefaultDataCollator,
    default_data_collator,
    find_words,
    mask_tokens,
)

TEXTS = [
    "The bridge broke.",
    "unaffable tokenization, naïve café",
    "Hi",
    "a [MASK] and a [SEP] within a text",
    "",
]
CLASSES = [
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    DefaultDataCollator,
]


@pytest.fixture(scope="module")
def loaded(minilm):
    "Return our tokenizer, and transformers', with which our collators work too."
    return {
        "ours": AutoTokenizer.from_pretrained(minilm),
        "theirs": tf.AutoTokenizer.from_pretrained(minilm),
    }


@pytest.fixture
def theirs(loaded):
    loaded["theirs"].padding_side = "right"
    return loaded["theirs"]


@pytest.fixture(params=["ours", "theirs"])
def tokenizer(request, loaded):
    loaded[request.param].padding_side = "right"
    return loaded[request.param]


def examples(tokenizer, **columns) -> list[dict]:
    "Return encoded texts, and further columns, each with one value a text or made of a row of ids."
    rows = [dict(tokenizer(text)) for text in TEXTS]
    for name, values in columns.items():
        for index, row in enumerate(rows):
            row[name] = values(row["input_ids"]) if callable(values) else values[index]
    return rows


def same(ours, theirs) -> None:
    "Check that two batches have the same names, with the same values of the same type."
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        assert type(ours[name]) is type(expected) and ours[name].dtype == expected.dtype, name
        assert ours[name].tolist() == expected.tolist(), name


@pytest.mark.parametrize("ours", CLASSES)
def test_arguments_are_those_of_transformers(ours):
    found, expected = (
        inspect.signature(kind).parameters for kind in (ours, getattr(tf, ours.__name__))
    )
    assert {name: value.default for name, value in found.items()} == {
        name: value.default for name, value in expected.items()
    }
    assert list(found) == list(expected)


# Padding

LABELS = {
    "int": [1, 0, 2, 1, 0],
    "float": [0.5, 1.0, 0.0, 2.0, -1.0],
    "lists": [[0.0, 1.0]] * 5,
    "numpy": list(np.arange(5)),
    "tensors": list(torch.arange(5)),
    "bool": [True, False, True, True, False],
}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["label", "label_ids", "labels", "other"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pad_to_multiple_of": 8},
        {"padding": "max_length", "max_length": 30},
        {"padding": "longest"},
        {"padding": "max_length", "max_length": 30, "pad_to_multiple_of": 8},
    ],
)
def test_padding(tokenizer, theirs, options, name, side):
    tokenizer.padding_side = theirs.padding_side = side
    for labels in LABELS.values():
        features = examples(tokenizer, **{name: labels})
        expected = tf.DataCollatorWithPadding(theirs, **options)(copy.deepcopy(features))
        same(DataCollatorWithPadding(tokenizer, **options)(features), expected)


def test_columns_instead_of_rows(tokenizer, theirs):
    "A slice of a data set is a dictionary of lists."
    columns = {**tokenizer(TEXTS), "label": [1, 0, 1, 0, 1]}
    same(
        DataCollatorWithPadding(tokenizer)(columns),
        tf.DataCollatorWithPadding(theirs)(dict(columns)),
    )


@pytest.mark.parametrize("return_tensors", ["pt", "np"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["label", "labels", None])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pad_to_multiple_of": 8},
        {"padding": "max_length", "max_length": 30},
        {"label_pad_token_id": -1},
    ],
)
@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_labels_of_tokens(tokenizer, theirs, options, name, side, return_tensors, form):
    features = examples(
        tokenizer, **({name: lambda ids: form([id % 7 for id in ids])} if name else {})
    )
    tokenizer.padding_side = theirs.padding_side = side
    options = options | {"return_tensors": return_tensors}
    expected = tf.DataCollatorForTokenClassification(theirs, **options)(copy.deepcopy(features))
    same(DataCollatorForTokenClassification(tokenizer, **options)(features), expected)


# Without padding

PLAIN = [
    [{"label": 1, "input_ids": [1, 2]}, {"label": 0, "input_ids": [3, 4]}],
    [{"label": 1.5, "x": [0.5, 2.0]}, {"label": 0, "x": [3.0, 4]}],
    [{"label_ids": [1, 2]}, {"label_ids": [3, 4]}],
    [{"label_ids": [1.0, 2]}, {"label_ids": [3, 4]}],
    [{"label_ids": torch.tensor([1, 2], dtype=torch.int32)}] * 2,
    [{"label": torch.tensor(1)}, {"label": torch.tensor(2)}],
    [{"label": np.int64(1)}, {"label": np.int64(0)}],
    [{"label": np.float32(1)}, {"label": np.float32(0.5)}],
    [{"label": 3, "label_ids": [1]}] * 2,
    [{"label": None, "label_ids": [1], "x": None, "y": [1]}] * 2,
    [{"label": True, "flag": False}] * 2,
    [{"text": "hello", "x": 1}] * 2,
    [{"x": np.eye(2)}] * 3,
    [{"x": np.arange(2, dtype=np.int32)}] * 3,
    [{"x": torch.eye(2, dtype=torch.float16)}] * 2,
    [{"labels": [1, 2]}, {"labels": [3, 4]}],
    [{"x": [[1, 2]], "y": 2}] * 2,
]


@pytest.mark.parametrize("features", PLAIN)
def test_without_padding(features):
    expected = tf.default_data_collator(features)
    same(default_data_collator(features), expected)
    same(DefaultDataCollator()(features), expected)
    found = DefaultDataCollator(return_tensors="np")(features)
    for name in expected:
        assert (
            isinstance(found[name], np.ndarray) and found[name].tolist() == expected[name].tolist()
        )
    same(DefaultDataCollator(return_tensors="np")(features, return_tensors="pt"), expected)


def test_objects_with_attributes():
    class Example:
        def __init__(self, label):
            self.label, self.x = label, [1, 2]

    features = [Example(1), Example(0)]
    same(default_data_collator(features), tf.default_data_collator(features))


# Masking


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mlm_probability": 0.5},
        {"mlm_probability": 1},
        {"mlm_probability": 0},
        {"mask_replace_prob": 1.0, "random_replace_prob": 0.0},
        {"mask_replace_prob": 0.0, "random_replace_prob": 1.0},
        {"mask_replace_prob": 0.3, "random_replace_prob": 0.7, "mlm_probability": 0.9},
        {"mask_replace_prob": 0.5, "random_replace_prob": 0},
        {"pad_to_multiple_of": 8},
    ],
)
@pytest.mark.parametrize("given", ["nothing", "special_tokens_mask", "ids", "tensors"])
def test_masks_are_those_of_transformers(tokenizer, theirs, options, given):
    "The same numbers, because random numbers are drawn in the same order."
    features = examples(tokenizer)
    if given == "special_tokens_mask":
        features = [dict(theirs(text, return_special_tokens_mask=True)) for text in TEXTS]
    if given == "ids":
        features = [row["input_ids"] for row in features]
    if given == "tensors":
        features = [torch.tensor(row["input_ids"]) for row in features]
    ours = DataCollatorForLanguageModeling(tokenizer, seed=7, **options)
    collator = tf.DataCollatorForLanguageModeling(theirs, seed=7, **options)
    for _ in range(3):  # the generator goes on
        found, expected = ours(copy.deepcopy(features)), collator(copy.deepcopy(features))
        if given in ("ids", "tensors"):
            assert found.pop("attention_mask").sum() == sum(map(len, features))
        same(found, expected)


def test_the_global_generator_counts_without_a_seed(tokenizer, theirs):
    batches = []
    for collator in (
        DataCollatorForLanguageModeling(tokenizer),
        tf.DataCollatorForLanguageModeling(theirs),
    ):
        torch.manual_seed(3)
        batches.append(collator(examples(tokenizer)))
    same(*batches)


@pytest.mark.parametrize("probability", [0, 0.5, 1])
def test_whole_words(tokenizer, theirs, probability):
    "transformers needs texts of one length here."
    rows = [
        dict(row)
        for row in (
            theirs(
                text,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
                padding="max_length",
                max_length=14,
            )
            for text in TEXTS
        )
    ]
    options = dict(
        whole_word_mask=True,
        mask_replace_prob=1,
        random_replace_prob=0,
        mlm_probability=probability,
        seed=3,
    )
    expected = tf.DataCollatorForLanguageModeling(theirs, **options)(copy.deepcopy(rows))
    same(DataCollatorForLanguageModeling(tokenizer, **options)(copy.deepcopy(rows)), expected)
    ragged = [
        dict(theirs(text, return_offsets_mapping=True, return_special_tokens_mask=True))
        for text in TEXTS
    ]
    batch = DataCollatorForLanguageModeling(tokenizer, **options | {"pad_to_multiple_of": 14})(
        ragged
    )
    assert batch["labels"].tolist() == expected["labels"].tolist()


def test_words_become_masked_whole(tokenizer, theirs):
    collator = DataCollatorForLanguageModeling(
        tokenizer, whole_word_mask=True, seed=0, mlm_probability=0.5
    )
    assert (collator.mask_replace_prob, collator.random_replace_prob) == (1, 0)
    row = dict(theirs("unaffable tokenization unaffable", return_offsets_mapping=True))
    parts = [ids for ids in row["input_ids"]]
    found = {
        tuple(collator([copy.deepcopy(row)])["labels"][0].ne(-100).tolist()) for _ in range(200)
    }
    words = theirs("unaffable tokenization unaffable").word_ids()
    assert len(found) == 8 and len(parts) > 5
    for chosen in found:
        assert len({(word, mark) for word, mark in zip(words, chosen)}) == 4  # None and three words


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_offsets_of_any_form(tokenizer, theirs, form):
    "As a data set returns them, also with format numpy or torch; without whole words, they go."
    rows = [dict(theirs(text, return_offsets_mapping=True)) for text in TEXTS]
    given = [{name: form(values) for name, values in row.items()} for row in copy.deepcopy(rows)]
    for options in ({}, {"whole_word_mask": True}):
        collators = [
            DataCollatorForLanguageModeling(tokenizer, seed=3, **options) for _ in range(2)
        ]
        expected = collators[0](rows)
        assert "offset_mapping" not in expected
        same(collators[1](given), expected)


def test_words_are_found_by_their_offsets():
    offsets = torch.tensor([[[0, 0], [0, 2], [2, 4], [5, 6], [0, 0]]])
    assert find_words(offsets, torch.tensor([[1, 0, 0, 0, 1]])).tolist() == [[-1, 1, 1, 2, -1]]


def test_nothing_special_is_ever_masked(tokenizer):
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=1.0)
    batch, plain = (
        collator(examples(tokenizer)),
        DataCollatorWithPadding(tokenizer)(examples(tokenizer)),
    )
    special = torch.isin(plain["input_ids"], torch.tensor([0, 100, 101, 102, 103]))
    assert batch["labels"].eq(-100).equal(special) and batch["input_ids"][special].equal(
        plain["input_ids"][special]
    )
    assert batch["attention_mask"].equal(plain["attention_mask"])


@pytest.mark.parametrize(
    "p, replace, random", [(0.15, 0.8, 0.1), (0.4, 0.5, 0.3), (0.3, 0, 1), (0.2, 1, 0)]
)
def test_the_fractions_are_those_that_were_asked_for(p, replace, random):
    ids = torch.full((200, 1000), 3)
    masked, labels = mask_tokens(
        ids,
        torch.zeros_like(ids),
        9,
        10**6,
        mlm_probability=p,
        mask_replace_prob=replace,
        random_replace_prob=random,
        generator=torch.Generator().manual_seed(0),
    )
    chosen = labels != -100
    became = [
        (masked[chosen] == 9),
        (masked[chosen] != 9) & (masked[chosen] != 3),
        masked[chosen] == 3,
    ]
    found = [chosen.float().mean(), *(part.float().mean() for part in became)]
    assert torch.tensor(found).allclose(
        torch.tensor([p, replace, random, 1 - replace - random]), atol=0.01
    )
    assert (
        labels[chosen].unique().tolist() == [3]
        and masked[~chosen].unique().tolist() == [3]
        and ids.unique().tolist() == [3]
    )


# In loops


def test_in_a_data_loader(tokenizer):
    rows = examples(tokenizer)
    collator = DataCollatorForLanguageModeling(tokenizer, seed=5, mlm_probability=0.5)
    collator(rows)  # the main process's generator must not travel to the workers
    apart = [
        DataCollatorForLanguageModeling(tokenizer, seed=5 + worker, mlm_probability=0.5)
        for worker in range(2)
    ]
    loader = DataLoader(rows * 2, batch_size=5, collate_fn=collator, num_workers=2)
    for batch, alone in zip(loader, apart, strict=True):
        same(batch, alone(rows))


@pytest.mark.parametrize("kind", CLASSES[:3])
def test_a_collator_can_be_pickled(tokenizer, kind):
    rows = examples(
        tokenizer, **({"labels": lambda ids: ids} if kind is not CLASSES[2] else {"label": [1] * 5})
    )
    options = {"seed": 3} if kind is CLASSES[0] else {}
    same(
        pickle.loads(pickle.dumps(kind(tokenizer, **options)))(rows),
        kind(tokenizer, **options)(rows),
    )


@pytest.mark.parametrize("task", ["MaskedLM", "SequenceClassification", "TokenClassification"])
def test_in_a_trainer(minilm, tmp_path, task):
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    rows = examples(
        tokenizer,
        **{
            "MaskedLM": {},
            "SequenceClassification": {"label": [0, 1, 1, 0, 1]},
            "TokenClassification": {"labels": lambda ids: [id % 2 for id in ids]},
        }[task],
    )
    collator = {
        "MaskedLM": DataCollatorForLanguageModeling(tokenizer, seed=1),
        "SequenceClassification": DataCollatorWithPadding(tokenizer),
        "TokenClassification": DataCollatorForTokenClassification(tokenizer),
    }[task]
    kind = our_class("bert", task)
    model = kind(kind.config_class(**FAMILY_SIZES["bert"] | {"vocab_size": 30522}))
    arguments = tf.TrainingArguments(
        tmp_path,
        per_device_train_batch_size=2,
        num_train_epochs=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = tf.Trainer(
        model, arguments, train_dataset=rows, eval_dataset=rows, data_collator=collator
    )
    assert trainer.train().training_loss > 0 and trainer.evaluate()["eval_loss"] > 0


# What can't work


@pytest.mark.parametrize(
    "collate, features, error, message",
    [
        ("pad", [], ValueError, "A batch needs at least one example"),
        (
            "pad",
            ["Hello!"],
            TypeError,
            "The example at index 0 is 'Hello!'; expected a dictionary, such as a",
        ),
        ("pad", [{"text": "a"}], ValueError, "The examples have text, but no input_ids: encode"),
        (
            "pad",
            [{"input_ids": [1], "text": "Hello!"}],
            ValueError,
            "The column 'text' can't become a tensor: its first value is 'Hello!'",
        ),
        (
            "pad",
            [{"input_ids": [1], "words": ["a", "b"]}],
            ValueError,
            "The column 'words' can't become a tensor",
        ),
        (
            "pad",
            [{"input_ids": [1], "x": None}],
            ValueError,
            "The column 'x' can't become a tensor: its first value is 'None'",
        ),
        (
            "pad",
            [{"input_ids": [1], "labels": [1]}, {"input_ids": [1], "labels": [1, 2]}],
            ValueError,
            "'labels' can't .* pad it if its rows have",
        ),
        (
            "pad",
            [{"input_ids": [1], "label": 1}, {"input_ids": [1]}],
            ValueError,
            "The example at index 1 has input_ids, but the first one",
        ),
        (
            "token",
            [{"input_ids": [1, 2, 3], "labels": [1, 2]}],
            ValueError,
            "The example at index 0 has 3 tokens, but 2 labels. Give one",
        ),
        (
            "token",
            [{"input_ids": [1, 2], "labels": [1, 2]}, {"input_ids": [1], "labels": [1, 2]}],
            ValueError,
            "The example at index 1 has 1 tokens, but 2 labels",
        ),
        (
            "token",
            [{"input_ids": [1, 2], "labels": 1}],
            ValueError,
            "The example at index 0 has 2 tokens, but the label 1",
        ),
        (
            "default",
            [{"x": [1]}, {"x": [1, 2]}],
            ValueError,
            "The column 'x' can't become a tensor",
        ),
        (
            "default",
            [{"label": 1}, {"label": 0.5}],
            ValueError,
            "The column 'label' can't .* is a whole number, but others",
        ),
        (
            "whole",
            [{"input_ids": [101, 7592, 102]}],
            ValueError,
            "whole_word_mask needs to know where words begin",
        ),
    ],
)
def test_what_cannot_be_a_batch(tokenizer, collate, features, error, message):
    collator = {
        "pad": DataCollatorWithPadding(tokenizer),
        "token": DataCollatorForTokenClassification(tokenizer),
        "default": default_data_collator,
        "whole": DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True),
    }[collate]
    with pytest.raises(error, match=message):
        collator(features)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"mlm": False},
            "mlm=False is for models that predict the next token; this package has no decoders",
        ),
        ({"mlm_probability": 15}, "mlm_probability is 15; it must be a number from 0 to 1"),
        ({"mlm_probability": None}, "mlm_probability is None"),
        ({"mask_replace_prob": -1}, "mask_replace_prob is -1"),
        ({"random_replace_prob": 2}, "random_replace_prob is 2"),
        ({"mask_replace_prob": 0.8, "random_replace_prob": 0.3}, "are 1.1 together"),
        ({"seed": "x"}, "seed is 'x'"),
    ],
)
def test_options_of_masking_that_cannot_be(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        DataCollatorForLanguageModeling(tokenizer, **options)


def test_a_tokenizer_without_mask_token(theirs):
    tokenizer = copy.deepcopy(theirs)
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="The tokenizer has no mask_token"):
        DataCollatorForLanguageModeling(tokenizer)


@pytest.mark.parametrize("kind", CLASSES)
def test_other_tensors_are_refused(theirs, kind):
    collator = (
        kind(return_tensors="tf")
        if kind is DefaultDataCollator
        else kind(theirs, return_tensors="tf")
    )
    with pytest.raises(ValueError, match="return_tensors is 'tf'; expected one of 'pt', 'np'"):
        collator([{"input_ids": [101, 102], "labels": [1, 1]}])
