"Pipelines: the same answers as transformers' for all five tasks, and messages for what can't be answered."

import itertools
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import ROOT

import tinybert
from tinybert import pipeline
from tinybert.pipelines import ALIASES, PIPELINES, STRATEGIES, Pipeline, find_spans, keywords, length_batches

sys.path.insert(0, str(ROOT / "tests/data"))
import question_answering
from checkpoints import VOCABULARY, draw_text, save_checkpoint

LABELS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
NAMES = dict(id2label=LABELS)
TEXTS = [draw_text(words, seed) for seed, words in enumerate([3, 8, 1, 12, 5, 20])]
LONG = [draw_text(words, seed) for seed, words in enumerate([200, 3, 60])]
AWKWARD = ["Zoë Müller-Lüdenscheidt lives in São Paulo.", "é", "東京 is the 首都 of 日本!", "I ❤️ New-York 🏙️.", "d'Artagnan's  friends\nwere\there", "",
           "  leading spaces and #hash ##ing [UNK] ...", "Antidisestablishmentarianism, supercalifragilistic…", "İstanbul ﬁne ½"]


def same(ours, theirs, path: str = "") -> None:
    "Check that two answers are of one form, with the same numbers to 1e-5."
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key in theirs: same(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list) and len(ours) == len(theirs), path
        for index, (one, other) in enumerate(zip(ours, theirs)): same(one, other, f"{path}[{index}]")
    elif isinstance(theirs, (float, np.floating)): assert type(ours) is float and abs(ours - theirs) < 2e-6 + 1e-5 * abs(theirs), path
    else: assert type(ours) is type(theirs) and ours == theirs, path


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Models as small as these lose more time waiting for a second thread than it saves."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    "Return a function that saves a small random checkpoint, once for each kind."
    made = {}

    def make(kind: str, **settings) -> Path:
        key = kind, str(settings)
        if key not in made: made[key] = save_checkpoint(tmp_path_factory.mktemp(kind), kind, **settings)
        return made[key]
    return make


@pytest.fixture(scope="module")
def both(checkpoint):
    "Return a function that gives tinybert's and transformers' pipeline for a small checkpoint."
    def make(task: str, kind: str, options: dict = {}, **settings) -> tuple:
        folder = checkpoint(kind, **settings)
        return pipeline(task, model=folder, **options), transformers.pipeline(task, model=str(folder), device="cpu", **options)
    return make


# The same answers

CALLS = {
    "fill-mask": [(["[MASK] of " + text for text in TEXTS], {}), ("the [MASK].", {}), (["the [MASK]."], {}), ("[MASK] in [MASK], old", {}),
                  (["[MASK] in [MASK]", "a [MASK]"], {"top_k": 2}), ("the [MASK] king", {"targets": ["king", "queen", "##ba", "babaro"]}),
                  ("the [MASK]", {"targets": "king", "top_k": 9}), ("a [MASK] " + LONG[0], {"tokenizer_kwargs": {"truncation": True}})],
    "text-classification": [(inputs, options) for inputs in (
        TEXTS, TEXTS[0], TEXTS[:1], {"text": TEXTS[0]}, {"text": TEXTS[0], "text_pair": TEXTS[1]},
        [{"text": TEXTS[0], "text_pair": TEXTS[1]}, {"text": TEXTS[2], "text_pair": "a"}])
        for options in ({}, {"top_k": None}, {"top_k": 1}, {"function_to_apply": "none", "top_k": 2}, {"function_to_apply": "SIGMOID"})] + [([LONG[0], "a"], {"truncation": True, "max_length": 30, "padding": True})],
    "token-classification": [(inputs, {"aggregation_strategy": strategy} | options) for strategy in STRATEGIES for inputs, options in (
        (TEXTS, {}), (TEXTS[1], {}), (TEXTS[:1], {}), (AWKWARD, {}), (TEXTS, {"ignore_labels": []}), (TEXTS, {"ignore_labels": ["PER", "B-PER"]}),
        ([text.split() for text in TEXTS], {"is_split_into_words": True}), (TEXTS[1].split(), {"is_split_into_words": True, "delimiter": "--"}),
        ([LONG[0].split()], {"is_split_into_words": True} | ({"stride": 7} if strategy != "none" else {})), (LONG, {}), *((LONG, {"stride": stride}) for stride in (0, 5, 20) if strategy != "none"))],
    "feature-extraction": [(TEXTS, {}), (TEXTS[0], {}), (TEXTS[:1], {}), (LONG, {"truncation": True}),
                           (TEXTS[0], {"tokenize_kwargs": {"add_special_tokens": False}})],
}
MODELS = [("fill-mask", "BertForMaskedLM", {}), ("feature-extraction", "BertModel", {}), ("token-classification", "BertForTokenClassification", NAMES),
          *(("text-classification", "BertForSequenceClassification", settings) for settings in (
              dict(id2label={0: "no", 1: "yes"}), dict(num_labels=1), dict(num_labels=4), dict(num_labels=3, problem_type="multi_label_classification"),
              dict(num_labels=1, problem_type="regression")))]


@pytest.mark.parametrize("task, kind, settings", MODELS)
def test_answers_are_those_of_transformers(task, kind, settings, both):
    ours, theirs = both(task, kind, **settings)
    for inputs, options in CALLS[task]: same(ours(inputs, **options), theirs(inputs, **options), f"{options}")


@pytest.mark.parametrize("task, kind, settings, options, inputs", [
    ("text-classification", "BertForSequenceClassification", dict(num_labels=4), {"top_k": 2}, [TEXTS, TEXTS[0], {"text": "a"}]),
    ("ner", "BertForTokenClassification", NAMES, {"aggregation_strategy": "max", "stride": 9}, [TEXTS, LONG[0]]),
    ("fill-mask", "BertForMaskedLM", {}, {"top_k": 3, "targets": ["king", "queen"]}, ["the [MASK]"]),
    ("feature-extraction", "BertModel", {}, {"truncation": True}, [LONG[0]])])
def test_options_given_once_hold_for_all_calls(task, kind, settings, options, inputs, both):
    ours, theirs = both(task, kind, options, **settings)
    for each in inputs: same(ours(each), theirs(each))


def test_feature_tensors_are_those_of_transformers(both):
    ours, theirs = both("feature-extraction", "BertModel")
    for one, other in zip(ours(TEXTS, return_tensors=True), theirs(TEXTS, return_tensors=True)):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def save_byte_level(folder: Path) -> Path:
    "Save a small random RoBERTa for tokens, with a byte-level tokenizer that cuts most words into pieces."
    from tokenizers import ByteLevelBPETokenizer
    backend = ByteLevelBPETokenizer()
    backend.train_from_iterator(TEXTS + AWKWARD, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    backend.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer", "model_max_length": 60}')
    config = tinybert.RobertaConfig(vocab_size=backend.get_vocab_size(), hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=40,
                                    max_position_embeddings=62, type_vocab_size=1, pad_token_id=1, id2label=LABELS)
    for kind in ("TokenClassification", "MaskedLM"):
        (folder / kind).mkdir()
        torch.manual_seed(3)
        model = getattr(tinybert, f"RobertaFor{kind}")(config)
        with torch.no_grad(): [parameter.mul_(10) for name, parameter in model.named_parameters() if parameter.dim() == 2]
        model.save_pretrained(folder / kind)
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json"): (folder / kind / name).write_bytes((folder / name).read_bytes())
    return folder


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
def test_words_without_a_mark_for_pieces(tmp_path):
    "Byte-level tokens have no ##, so a word ends where there's a space."
    folder = save_byte_level(tmp_path)
    ours, theirs = (make("ner", model=str(folder / "TokenClassification")) for make in (pipeline, transformers.pipeline))
    for inputs, options in CALLS["token-classification"]:
        if "stride" not in options or options["stride"]: same(ours(inputs, **options), theirs(inputs, **options), f"{options}")
    ours, theirs = (make("fill-mask", model=str(folder / "MaskedLM")) for make in (pipeline, transformers.pipeline))
    for text in ("the<mask> king", ["a<mask> of<mask>"], "<mask>"): same(ours(text), theirs(text))
    for targets in ("king", ["Ġking", "Ġof", " of"]): same(ours("the<mask>", targets=targets), theirs("the<mask>", targets=targets))


def test_real_vocabulary_on_awkward_texts(minilm, tmp_path):
    "Names cut by the tokenizer of all-MiniLM-L6-v2, with every strategy."
    from tinybert import AutoTokenizer
    AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path)
    config = tinybert.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, id2label=LABELS)
    torch.manual_seed(4)
    model = tinybert.BertForTokenClassification(config)
    with torch.no_grad(): [parameter.mul_(20) for parameter in model.parameters() if parameter.dim() == 2]
    model.save_pretrained(tmp_path)
    ours, theirs = pipeline("ner", model=tmp_path), transformers.pipeline("ner", model=str(tmp_path), device="cpu")
    assert "##hard" in str(ours.tokenizer.tokenize("Lüdenscheidt hard")) or any("##" in token for token in ours.tokenizer.tokenize("Lüdenscheidt"))
    for strategy in STRATEGIES:
        same(ours(AWKWARD, aggregation_strategy=strategy, ignore_labels=[]), theirs(AWKWARD, aggregation_strategy=strategy, ignore_labels=[]), strategy)


# Question answering: transformers 5 has no such pipeline; its answers are stored beside `question_answering.py`.

@pytest.fixture(scope="module")
def oracles(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("oracles")
    question_answering.make(folder)
    return {name: pipeline("question-answering", model=folder / name) for name in [*question_answering.CHECKPOINTS, "trained"]}


STORED = json.loads(question_answering.ANSWERS.read_text(encoding="utf-8"))


def test_answers_to_questions_are_those_of_transformers(oracles):
    assert STORED["transformers"] == "4.57.6"
    for (name, call), expected in zip(question_answering.cases(), STORED["answers"], strict=True):
        same(oracles[name](**question_answering.with_texts(call)), expected, f"{name} {call}")


def test_a_long_context_is_read_to_its_end(oracles):
    tokenizer = oracles["random"].tokenizer
    assert len(tokenizer(question_answering.LONG)["input_ids"]) > 2000
    longest = [call for _, call in question_answering.cases() if call["context"] == "long"]
    assert len(longest) > 20 and any("max_seq_len" not in call for call in longest)


def test_a_trained_model_gives_sense(oracles):
    asked = list(question_answering.ASKED.values())
    answers = oracles["trained"](question=asked, context=question_answering.CONTEXTS["told"], handle_impossible_answer=True)
    assert [answer["answer"] for answer in answers] == ["the old river", "meno", ""]


def test_questions_come_in_every_form(oracles):
    oracle, context = oracles["random"], question_answering.CONTEXTS["medium"]
    question = question_answering.QUESTIONS[0]
    one = {"question": question, "context": context}
    expected = oracle(question=question, context=context)
    for answer in (oracle(question, context), oracle(question, context=context), oracle(one),
                   oracle([one]), oracle(question=[question], context=context)):
        assert answer == expected
    several = oracle([one, one | {"question": "kaba"}])
    same(several, list(oracle(each for each in [one, one | {"question": "kaba"}])))
    same(several, oracle(question=[question, "kaba"], context=context))
    assert len(several) == 2


def test_a_long_question_is_cut_when_asked(oracles):
    oracle, question = oracles["narrow"], draw_text(60, 3)
    with pytest.raises(ValueError, match="leaves -?[0-9]+ for the context .* max_question_len"): oracle(question=question, context="the old king")
    first = " ".join(question.split()[:3])
    words = len(oracle.tokenizer(first, add_special_tokens=False)["input_ids"])
    same(oracle(question=question, context="the old king", max_question_len=words), oracle(question=first, context="the old king"))


def test_no_answer(oracles):
    answer = oracles["random"](question="who", context="  \n ")
    assert answer == {"score": 0.0, "start": 0, "end": 0, "answer": ""}
    assert oracles["random"](question="who", context=" ", handle_impossible_answer=True)["score"] > 0.9


def test_spans_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    logits, allowed = torch.randn(2, 9, generator=generator), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 0]).bool()
    spans, no_answer = find_spans(logits, allowed, 100, 3)
    kept = [0, 3, 4, 5, 6, 7]
    start, end = ({place: value.item() for place, value in zip(kept, row[kept].softmax(0))} for row in logits)
    expected = {(i, j): start[i] * end[j] for i, j in itertools.product(kept[1:], kept[1:]) if i <= j < i + 3}
    assert {span[1:]: pytest.approx(span[0]) for span in spans} == expected and no_answer == pytest.approx(start[0] * end[0])
    assert [span[0] for span in spans] == sorted((span[0] for span in spans), reverse=True)


# Batches, order, inputs

def test_batches_change_nothing(checkpoint):
    for task, kind, settings in MODELS[:4]:
        pipe = pipeline(task, model=checkpoint(kind, **settings))
        texts = [f"[MASK] {text}" for text in TEXTS]
        expected = [pipe([text, text])[0] for text in texts]
        for size in (None, 1, 2, 100): same(pipe(texts, batch_size=size), expected)
        same(pipeline(task, model=pipe.model, tokenizer=pipe.tokenizer, batch_size=2)(texts), expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizers_side_of_padding_changes_nothing(side, checkpoint):
    pipe = pipeline("ner", model=checkpoint("BertForTokenClassification", **NAMES))
    expected = pipe(TEXTS)
    pipe.tokenizer.padding_side = side
    same(pipe(TEXTS), expected)


def test_columns_and_generators_are_inputs(checkpoint):
    import datasets
    import pandas
    pipe = pipeline("sentiment-analysis", model=checkpoint("BertForSequenceClassification", num_labels=4))
    expected = pipe(TEXTS)
    column = datasets.Dataset.from_dict({"text": TEXTS})["text"]
    for inputs in (tuple(TEXTS), np.array(TEXTS), pandas.Series(TEXTS), column): assert pipe(inputs) == expected
    stream = pipe(text for text in TEXTS)
    assert iter(stream) is stream and list(stream) == expected
    assert pipe([]) == [] and list(pipe(iter([]))) == []


def test_a_generator_is_read_as_it_is_needed(checkpoint):
    pipe, read = pipeline("sentiment-analysis", model=checkpoint("BertForSequenceClassification", num_labels=4)), []
    endless = (read.append(index) or "the king" for index in itertools.count())
    stream = pipe(endless, batch_size=1)
    next(stream), next(stream)
    assert len(read) == 2


def test_batches_have_windows_of_one_length():
    batches = list(length_batches([30, 2, 29, 3, 31], 2))
    assert sorted(index for batch in batches for index in batch) == [0, 1, 2, 3, 4]
    assert batches == [[4, 0], [2, 3], [1]]


# Making one

def test_every_task_has_its_class_and_every_class_its_name():
    assert {task: kind.__name__ for task, kind in PIPELINES.items()} == {
        "fill-mask": "FillMaskPipeline", "text-classification": "TextClassificationPipeline", "token-classification": "TokenClassificationPipeline",
        "question-answering": "QuestionAnsweringPipeline", "feature-extraction": "FeatureExtractionPipeline"}
    from transformers.pipelines import TASK_ALIASES
    assert ALIASES.items() <= TASK_ALIASES.items()


def test_the_function_stays_a_function():
    import tinybert.pipelines  # noqa: F401
    assert callable(tinybert.pipeline) and tinybert.pipeline is pipeline and type(tinybert.pipelines).__name__ == "module"


def test_a_checkpoint_by_name_or_as_objects(checkpoint):
    folder = checkpoint("BertForTokenClassification", **NAMES)
    model, tokenizer = tinybert.AutoModelForTokenClassification.from_pretrained(folder), tinybert.AutoTokenizer.from_pretrained(folder)
    config = tinybert.AutoConfig.from_pretrained(folder)
    expected = pipeline("ner", str(folder))(TEXTS)
    for pipe in (pipeline("ner", model, tokenizer=tokenizer), pipeline("token-classification", model=model, tokenizer=folder),
                 pipeline("ner", folder, config), pipeline("ner", folder, str(folder)), PIPELINES["token-classification"](model=model, tokenizer=tokenizer)):
        same(pipe(TEXTS), expected)
    assert pipeline("ner", folder, dtype="bfloat16").model.dtype == torch.bfloat16
    assert pipeline("ner", folder, torch_dtype=torch.float16).model.dtype == torch.float16
    for model_kwargs in ({"dtype": "bfloat16"}, {"torch_dtype": torch.bfloat16}):
        assert pipeline("ner", folder, model_kwargs=model_kwargs).model.dtype == torch.bfloat16
    named = pipeline("ner", folder, model_kwargs={"id2label": {n: f"L{n}" for n in range(5)}})
    assert named("the king", ignore_labels=[])[0]["entity"][0] == "L"


@pytest.mark.parametrize("task, kind, settings", MODELS[:4])
def test_half_precision(task, kind, settings, checkpoint):
    folder = checkpoint(kind, **settings)
    answers = pipeline(task, model=folder, dtype="bfloat16")(["[MASK] of the king", "the [MASK]"])
    assert len(answers) == 2
    if task == "text-classification": assert abs(answers[0]["score"] - pipeline(task, model=folder)("[MASK] of the king")[0]["score"]) < 0.05


@pytest.mark.parametrize("options", [dict(framework="pt"), dict(device="cpu"), dict(device=-1), dict(device=torch.device("cpu")), dict(device_map="cpu"),
                                     dict(device_map={"": "cpu"}), dict(use_fast=True), dict(trust_remote_code=False), dict(num_workers=0),
                                     dict(binary_output=False), dict(device_map="auto"), dict(feature_extractor=None), dict(model_kwargs={}), dict(token=None)])
def test_options_that_ask_for_what_happens_anyway(options, checkpoint):
    pipe = pipeline("fill-mask", model=checkpoint("BertForMaskedLM"), **options)
    assert len(pipe("a [MASK]")) == 5


def test_texts_are_cut_to_the_models_limit_where_the_tokenizer_knows_none(checkpoint):
    for task, kind, options in (("text-classification", "BertForSequenceClassification", {"truncation": True}), ("feature-extraction", "BertModel", {"truncation": True}),
                                ("fill-mask", "BertForMaskedLM", {"tokenizer_kwargs": {"truncation": True}})):
        pipe = pipeline(task, checkpoint(kind, id2label={0: "no", 1: "yes"}))
        expected = pipe("[MASK] " + LONG[0], **options)
        pipe.tokenizer.model_max_length = 10**30
        pipe = type(pipe)(pipe.model, pipe.tokenizer)
        assert pipe.max_length == 64
        same(pipe("[MASK] " + LONG[0], **options), expected)


def test_wrapped_models(checkpoint):
    peft = pytest.importorskip("peft")
    folder = checkpoint("BertForSequenceClassification", num_labels=4)
    tokenizer = tinybert.AutoTokenizer.from_pretrained(folder)
    model = tinybert.BertForSequenceClassification.from_pretrained(folder)
    expected = pipeline("sentiment-analysis", model, tokenizer=tokenizer)(TEXTS)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"], r=2)).eval()
    same(pipeline("sentiment-analysis", wrapped, tokenizer=tokenizer)(TEXTS), expected)


def test_a_class_of_ones_own(checkpoint):
    class Loud(PIPELINES["text-classification"]):
        def postprocess(self, windows, *, top_k="", function_to_apply=None, mark="!"):
            answer = super().postprocess(windows, top_k=top_k, function_to_apply=function_to_apply)
            return answer | {"label": answer["label"] + mark}

    pipe = pipeline("sentiment-analysis", checkpoint("BertForSequenceClassification", num_labels=4), pipeline_class=Loud, mark="?!")
    assert pipe("the king")[0]["label"].endswith("?!") and "mark" in keywords(pipe.postprocess)


# What can't be answered

def test_a_checkpoint_without_the_head_is_refused(checkpoint):
    folder = checkpoint("BertModel")
    with pytest.raises(ValueError, match="wasn't trained for token-classification: it lacks .*classifier"): pipeline("ner", folder)
    with pytest.raises(ValueError, match="wasn't trained for question-answering"): pipeline("question-answering", checkpoint("BertForMaskedLM"))
    pipeline("feature-extraction", checkpoint("BertForMaskedLM"))


MISTAKES = [
    (ValueError, "no task 'fill_mask'. Did you mean 'fill-mask'?", lambda make, tok: pipeline("fill_mask", make("BertForMaskedLM"))),
    (ValueError, "no task 'summarization'.*This package has fill-mask, ", lambda make, tok: pipeline("summarization", make("BertForMaskedLM"))),
    (ValueError, "no task None", lambda make, tok: pipeline(None, make("BertForMaskedLM"))),
    (ValueError, "no default model for ner: give model=", lambda make, tok: pipeline("ner")),
    (TypeError, "tokenizer is None; give that of the same checkpoint", lambda make, tok: pipeline("fill-mask", load(make("BertForMaskedLM"), "MaskedLM"))),
    (TypeError, "ner.*|token-classification needs a model with the head ForTokenClassification, but this one is a BertForMaskedLM.*AutoModelForToken",
     lambda make, tok: pipeline("ner", load(make("BertForMaskedLM"), "MaskedLM"), tokenizer=tok)),
    (TypeError, "takes an encoder without a head, but this model is a BertForMaskedLM. Give its model.encoder",
     lambda make, tok: pipeline("feature-extraction", load(make("BertForMaskedLM"), "MaskedLM"), tokenizer=tok)),
    (ValueError, "The model is in training mode", lambda make, tok: pipeline("fill-mask", load(make("BertForMaskedLM"), "MaskedLM").train(), tokenizer=tok)("a [MASK]")),
    (ValueError, "dtype: only for loading, but the model is loaded already",
     lambda make, tok: pipeline("fill-mask", load(make("BertForMaskedLM"), "MaskedLM"), tokenizer=tok, dtype="float16")),
    (ValueError, "revision: only for loading, but the model is loaded already",
     lambda make, tok: pipeline("fill-mask", load(make("BertForMaskedLM"), "MaskedLM"), tokenizer=tok, revision="main")),
    (ValueError, "dtype: given twice, also in model_kwargs",
     lambda make, tok: pipeline("ner", make("BertForMaskedLM"), dtype="auto", model_kwargs={"dtype": "auto"})),
    (TypeError, "dtype is given twice, once by its older name",
     lambda make, tok: pipeline("ner", make("BertForMaskedLM"), dtype="auto", torch_dtype="auto")),
    (ValueError, "framework is 'tf'; expected one of None, 'pt'", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), framework="tf")),
    (ValueError, "trust_remote_code is True", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), trust_remote_code=True)),
    (ValueError, "device is 1.5; give one device", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), device=1.5)),
    (ValueError, "device and device_map are given", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), device=-1, device_map="cpu")),
    (ValueError, "device is {.bert.*give one device for the whole model", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), device_map={"bert": 0, "classifier": 1})),
    (TypeError, "fill-mask has no option 'topk'; write top_k=… instead", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), topk=3)),
    (TypeError, "fill-mask has no option 'top_kk'. Did you mean 'top_k'?", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"))("a", top_kk=3)),
    (TypeError, "has no option 'return_all_scores'; write top_k=None", lambda make, tok: classify(make)("a", return_all_scores=True)),
    (TypeError, "has no option 'grouped_entities'; write aggregation_strategy='simple'", lambda make, tok: name(make)("a", grouped_entities=True)),
    (ValueError, "the text 'the king' has no \\[MASK\\]: write it", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"))("the king")),
    (ValueError, "Input 1: the text 'the king' has no", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"))(["a [MASK]", "the king"])),
    (ValueError, "top_k is 0; expected a whole number from 1 up", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"))("a [MASK]", top_k=0)),
    (ValueError, "targets is \\[' '\\]: there isn't a single token in it", lambda make, tok: pipeline("fill-mask", make("BertForMaskedLM"), targets=[" "])),
    (TypeError, "Input 1: a text is None; expected a str. A pair is", lambda make, tok: classify(make)(["a", None])),
    (TypeError, "Input 0: a text is \\['a', 'b'\\]; expected a str. A pair is {'text': …", lambda make, tok: classify(make)([["a", "b"]])),
    (TypeError, "a pair of texts has no part 'pair'", lambda make, tok: classify(make)({"text": "a", "pair": "b"})),
    (TypeError, "the input is 3; give one text, or several in a list", lambda make, tok: classify(make)(3)),
    (ValueError, "Input 0: The text has [0-9]+ tokens; this checkpoint takes 64. Cut it with truncation=True", lambda make, tok: classify(make)([LONG[0]])),
    (ValueError, "function_to_apply is 'tanh'; expected one of 'sigmoid', 'softmax', 'none'", lambda make, tok: classify(make)("a", function_to_apply="tanh")),
    (ValueError, "aggregation_strategy is 'last'; expected one of 'none', 'simple'", lambda make, tok: name(make, aggregation_strategy="last")),
    (ValueError, "stride joins the entities of overlapping windows", lambda make, tok: name(make)("a", stride=3)),
    (ValueError, "stride", lambda make, tok: name(make)(LONG[0], stride=64, aggregation_strategy="simple")),
    (TypeError, "a text is 3; expected a str", lambda make, tok: name(make)([["a", 3]], is_split_into_words=True)),
    (ValueError, "give question=… and context=…", lambda make, tok: ask(make)(question="who")),
    (ValueError, "give question=… and context=…", lambda make, tok: ask(make)(question="who", context=["a", "b"])),
    (ValueError, "give question=… and context=…", lambda make, tok: ask(make)({"question": "a", "context": "b"}, {"question": "c", "context": "d"})),
    (TypeError, "multiple values for argument 'question'", lambda make, tok: ask(make)({"question": "a", "context": "b"}, question="c")),
    (ValueError, "2 questions, but 1 contexts", lambda make, tok: ask(make)(question=["who", "what"], context=["a"])),
    (ValueError, "the question or its context is empty", lambda make, tok: ask(make)(question="who", context="")),
    (TypeError, "Input 1: a text is None; expected a str. An input is {'question'", lambda make, tok: ask(make)([{"question": "a", "context": "b"}, {"question": "a"}])),
    (TypeError, "a question has no part 'text'", lambda make, tok: ask(make)({"question": "a", "text": "b"})),
    (ValueError, "max_answer_len is 0", lambda make, tok: ask(make)(question="who", context="a", max_answer_len=0)),
    (ValueError, "a window of 20 tokens .* leaves 16 for the context beside a question of 1; doc_stride is 20",
     lambda make, tok: ask(make)(question="who", context="a", max_seq_len=20, doc_stride=20)),
    (ValueError, "batch_size is 0; expected a whole number", lambda make, tok: name(make, batch_size=0)(["a"])),
    (ValueError, "truncation is given twice", lambda make, tok: pipeline("feature-extraction", make("BertModel"))("a", truncation=True, tokenize_kwargs={"truncation": True})),
]


def load(folder: Path, task: str): return getattr(tinybert, f"AutoModelFor{task}").from_pretrained(folder)
def classify(make, **options): return pipeline("text-classification", make("BertForSequenceClassification", num_labels=4), **options)
def name(make, **options): return pipeline("ner", make("BertForTokenClassification", **NAMES), **options)
def ask(make, **options): return pipeline("question-answering", make("BertForQuestionAnswering"), **options)


@pytest.mark.parametrize("kind, message, run", MISTAKES, ids=[message[:50] for _, message, _ in MISTAKES])
def test_mistakes_are_named(kind, message, run, checkpoint):
    tokenizer = tinybert.AutoTokenizer.from_pretrained(checkpoint("BertForMaskedLM"))
    with pytest.raises(kind, match=message): run(checkpoint, tokenizer)


def test_what_is_surprising_is_logged(checkpoint, caplog):
    caplog.set_level(logging.WARNING, logger="tinybert")
    name(checkpoint)(LONG[:1])
    pipeline("fill-mask", checkpoint("BertForMaskedLM"))("a [MASK]", targets=["babaro", "king", " "])
    if not torch.accelerator.is_available(): name(checkpoint, device=0)
    text = caplog.text
    assert "a text was cut after 64 tokens; stride=… reads all of it" in text
    assert "the target 'babaro' isn't a single token" in text and "the target ' ' has no token; left out" in text and "king" not in text
    assert torch.accelerator.is_available() or "device=0: this machine has only its CPU" in text


def test_nothing_is_left_behind(checkpoint):
    "Two calls at once, with other options, don't disturb each other."
    from concurrent.futures import ThreadPoolExecutor
    pipe = name(checkpoint)
    options = [dict(aggregation_strategy=strategy, stride=stride) for strategy in STRATEGIES[1:] for stride in (None, 5)]
    expected = [pipe(LONG, **each) for each in options]
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda each: pipe(LONG, **each), options * 3))
    same(found, expected * 3)


def test_labels_come_from_the_config(checkpoint):
    assert classify(checkpoint)("the king")[0]["label"].startswith("LABEL_")
    assert {token["entity"] for tokens in name(checkpoint)(TEXTS) for token in tokens} <= set(LABELS.values()) - {"O"}
    assert len(VOCABULARY) == len(set(VOCABULARY))


def test_the_base_class_says_what_a_task_adds():
    assert {"preprocess", "postprocess"} <= {method for kind in PIPELINES.values() for method in vars(kind)} and Pipeline.task == ""
