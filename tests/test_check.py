"The check of an exercise: what it compares, what it says about a wrong answer, hints, solutions."

import functools
import importlib
import inspect
import os
import statistics
import struct
from collections import Counter
from pathlib import Path

import numpy
import pytest
import torch
import torch.nn.functional as F
from conftest import run_python
from torch.nn.functional import softmax

from tinybert import BertConfig, BertModel, course
from tinybert.course.check import (EXERCISES, Exercise, check, difference, exercise, hint, judge,
                                   judge_answer, question, short, solution)


def an_exercise(name, answer, inputs, mistakes, without=()) -> Exercise:
    "Return an exercise whose mistakes are given by their messages, as lambdas."
    answer.__name__ = name
    made = Exercise(answer, inputs, without, ("Look at it.", "Mend it."))
    del EXERCISES[name]
    for message, function in mistakes.items():
        function.__doc__ = message
        made.mistake(function)
    return made


DOUBLE = an_exercise("double", lambda numbers: numbers * 2,
                     lambda: [(torch.tensor(row),) for row in ([0., 0.], [1., 2.], [3., 4.])],
                     {"It squares.": lambda numbers: numbers**2,
                      "It adds two.": lambda numbers: numbers + 2})


def verdict(function): return judge(DOUBLE, function)


def test_a_right_answer_passes():
    result = verdict(lambda numbers: numbers + numbers)
    assert result.passed and result and not result.cause
    assert repr(result) == "double: passed, on 3 inputs."


def test_all_inputs_must_agree():
    result = verdict(lambda numbers: numbers * 2 if numbers[0] < 3 else numbers)
    assert not result.passed and not result
    assert repr(result).splitlines()[:4] == [
        "double: not yet, on input 3 of 3", "  input     numbers = tensor (2,) float32 [3, 4]",
        "  yours     tensor (2,) float32 [3, 4]", "  expected  tensor (2,) float32 [6, 8]"]


NO_PATH = "the result is None; expected Tensor. Does every path through the function return"
ARGUMENTS = "the result is right, but not what the call does to its arguments: "


@pytest.mark.parametrize("function, cause", [
    (lambda numbers: print(), NO_PATH),
    (lambda numbers: (numbers * 2, print())[1], NO_PATH),
    (lambda numbers: numbers**2, "It squares."),
    (lambda numbers: numbers + 2, "It adds two."),
    (lambda numbers: (numbers * 2).tolist(), "the result is of the type list; expected Tensor."),
    (lambda numbers: numbers[None] * 2, "the result has the shape (1, 2); expected (2,)."),
    (lambda numbers: numbers.double() * 2,
     "the result has the dtype torch.float64; expected torch.float32."),
    (lambda numbers: numbers * 2 / (numbers != 0), "the result has nan in it"),
    (lambda numbers: numbers * 2 + torch.tensor([0, 1]),
     "1 of 2 values of the result differ, the first at (1,): 1.0; expected 0.0."),
    (lambda numbers: numbers.mul_(2),
     f"{ARGUMENTS}2 of 2 values of the argument numbers differ"),
    (lambda: print(), "TypeError: "),
])
def test_cause(function, cause):
    assert verdict(function).cause.startswith(cause), verdict(function)


def test_an_exception_is_shown_with_its_line():
    def double(numbers):
        factor = [2]
        return numbers * factor[1]
    result = verdict(double)
    where = "in line 3 of your function: return numbers * factor[1]"
    assert result.cause == f"IndexError: list index out of range, {where}"
    assert "\n  yours     raises IndexError\n" in repr(result), "its words are in the cause alone"


def test_an_exception_below_is_shown_with_the_learners_line():
    def double(numbers):
        return numbers * statistics.mean([])
    where = ", in line 2 of your function: return numbers * statistics.mean([])"
    assert verdict(double).cause.endswith(where)


def test_the_learner_cannot_spoil_the_inputs():
    kept = torch.tensor([1., 2.])
    total = an_exercise("total", lambda numbers: numbers.sum().item(), lambda: [(kept,)],
                        {"Wrong.": lambda numbers: 0.0})
    assert not judge(total, lambda numbers: numbers.mul_(0).sum().item()).passed
    assert kept.tolist() == [1, 2] and judge(total, total.answer).passed


def test_an_argument_may_change_where_the_answer_changes_it():
    config = BertConfig(vocab_size=3, hidden_size=4, num_hidden_layers=1, num_attention_heads=1,
                        intermediate_size=4)
    ready = an_exercise("ready", lambda model: model.eval(), lambda: [(BertModel(config),)],
                        {"Wrong.": lambda model: model})
    assert judge(ready, lambda model: model.train(False)).passed
    assert judge(ready, lambda model: model).cause == "Wrong."


def test_random_numbers_are_the_same_in_each_call_and_outside_undisturbed():
    noise = an_exercise("noise", lambda n: torch.randn(n), lambda: [(3,), (4,)],
                        {"Wrong.": lambda n: torch.rand(n)})
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert judge(noise, lambda n: torch.randn(n)).passed and torch.equal(torch.rand(2), expected)
    before = judge(noise, torch.rand).text
    torch.manual_seed(2)
    assert judge(noise, torch.rand).text == before


# The answer that is not there yet

def documented(numbers):
    "Return the doubles."
    ...


def half_done(numbers):
    doubled = ...
    return doubled


@pytest.mark.parametrize("function", [
    documented, half_done, lambda numbers: ..., lambda numbers: None, torch.no_grad()(documented)])
def test_an_unanswered_stub_gets_a_prompt_and_no_value(function):
    text = "double: write your answer in place of `...`, then run this cell again."
    assert verdict(function).text == text and not verdict(function) and not verdict(function).cause


def test_a_stub_costs_no_inputs():
    def refuse(): raise AssertionError
    assert "in place of" in judge(an_exercise("double", lambda n: n, refuse, {}), documented).text


# Which mistake is named

NEXT = an_exercise("following", lambda n: n + 1, lambda: [(0,), (1,), (2,)],
                   {"Always two.": lambda n: 2, "Doubled.": lambda n: n * 2})


def test_a_mistake_is_named_that_agrees_on_all_inputs():
    assert judge(NEXT, lambda n: n * 2).cause == "Doubled."
    assert judge(NEXT, lambda n: 2).cause == "Always two."


@pytest.mark.parametrize("function, cause", [
    (lambda n: 2 if n == 0 else n + 1, "the result is 2; expected 1."),
    (lambda n: 0, "the result is 0; expected 1."),
    (lambda n: n * 2 if n < 2 else 5, "the result is 0; expected 1."),
])
def test_no_mistake_is_named_that_agrees_only_where_it_is_wrong_or_by_chance(function, cause):
    assert judge(NEXT, function).cause == cause


def test_a_wrong_type_is_no_mistake_that_gives_the_same_number():
    text = "the result is of the type float; expected int."
    assert judge(NEXT, lambda n: float(n * 2)).cause == text
    result = judge(NEXT, lambda n: float(n + 1))
    assert "\n  yours     1.0\n  expected  1\n" in repr(result) and result.cause == text


def test_agreement_goes_both_ways():
    half = an_exercise("half", lambda n: n / 2, lambda: [(1,), (3,)],
                       {"Doubled.": lambda n: n * 2.})
    assert judge(half, lambda n: n + n + 0.).cause == "Doubled."
    assert judge(half, lambda n: n + n).cause == "the result is 2.0; expected 0.5."


def test_a_mistake_may_give_nan_but_nan_alone_is_no_mistake():
    root = an_exercise("root", lambda n: n**2 / (n + 1),
                       lambda: [(torch.tensor([0., 1.]),), (torch.tensor([2.]),)],
                       {"It divides by n.": lambda n: n**2 * (n + 1) / n})
    assert judge(root, lambda n: n**2 * (n + 1) / n).cause == "It divides by n."
    assert judge(root, lambda n: n * torch.nan).cause.startswith("the result has nan in it")
    assert difference(float("nan"), float("nan")) == ""


def counting(**changes) -> Exercise:
    "Return an exercise on the weights of a layer; each change is a mistake of its name."
    answer = lambda width, neurons: width**2 + neurons + 4 * width
    mistakes = {f"{name}.": lambda width, neurons, change=change: answer(width, neurons) + change(
        width, neurons) for name, change in changes.items()}
    return an_exercise("count", answer, lambda: [(4, 6), (10, 30)], mistakes)


def test_two_mistakes_at_once_are_named():
    count = counting(Biases=lambda w, n: -n, Norms=lambda w, n: -4 * w, Square=lambda w, n: w**2)
    both = judge(count, lambda width, neurons: width**2)
    assert both.cause == "Two mistakes at once. Biases. Norms."
    assert [mistake.__doc__ for mistake in both.mistakes] == ["Biases.", "Norms."]
    assert "expected" in judge(count, lambda width, neurons: width**2 + 1).cause


def test_two_mistakes_are_not_named_if_two_others_could_be_meant():
    changes = {name: lambda w, n, more=more: more for more, name in enumerate("abcd", 1)}
    count = counting(**changes)
    cause = lambda more: judge(count, lambda w, n: count.answer(w, n) + more).cause
    assert cause(5).startswith("the result") and cause(7) == "Two mistakes at once. c. d."


def test_two_mistakes_are_not_named_if_one_of_them_is_right_somewhere_or_of_another_type():
    count = counting(Some=lambda w, n: n - 6, Norms=lambda w, n: -4 * w)
    right = count.answer
    both = lambda width, neurons: right(width, neurons) + neurons - 6 - 4 * width
    assert judge(count, both).cause.startswith("the result is 22; expected 38")
    count = counting(Biases=lambda w, n: -n, Norms=lambda w, n: -4 * w)
    assert "expected int" in judge(count, lambda width, neurons: float(width**2)).cause


# Files

@pytest.fixture
def files(tmp_path) -> Exercise:
    "An exercise on a file and a folder that stay the same for the whole session."
    (tmp_path / "one.bin").write_bytes(struct.pack("<Q", 7))
    for index in range(3): (tmp_path / f"folder/{index}/text").mkdir(parents=True)
    (tmp_path / "folder/0/text/a.txt").write_text("a")
    (tmp_path / "folder/1/link").symlink_to("../0/text/a.txt")
    return an_exercise("number", lambda path, folder: struct.unpack("<Q", path.read_bytes())[0],
                       lambda: [(tmp_path / "one.bin", tmp_path / "folder")],
                       {"Always zero.": lambda path, folder: 0})


def emptied(path: Path, folder: Path) -> int:
    with open(path, "wb") as file: return file.write(b"")


def deleted(path: Path, folder: Path) -> int:
    path.unlink()
    return 7


def littered(path: Path, folder: Path) -> int:
    (folder / "0/junk.txt").write_text("junk")
    return 7


@pytest.mark.parametrize("function, cause", [
    (emptied, "the result is 0; expected 7."),
    (deleted, f"{ARGUMENTS}the argument path has 0 entries; expected 1. Missing: 'one.bin'."),
    (littered, f"{ARGUMENTS}the argument folder has 3 entries; expected 2. "
               "Not expected: 'folder/0/junk.txt'."),
])
def test_files_are_copies_and_compared_afterwards(files, function, cause):
    for _ in range(2):  # also the second time
        result = judge(files, function)
        assert not result.passed and result.cause == cause and "\n  expected  7\n" in repr(result)
    assert judge(files, lambda path, folder: 0).cause == "Always zero."
    assert judge(files, lambda path, folder: path.read_bytes()[0]).passed


def test_links_in_a_folder_stay_links(files):
    assert judge(files, lambda path, folder: 7 * (folder / "1/link").is_symlink()).passed


def test_small_files_and_folders_are_shown_and_no_folder_of_this_machine(files, tmp_path):
    result = judge(files, lambda path, folder: (folder / "none").read_text())
    text = " ".join(repr(result).split())
    assert f"path = …/one.bin, 8 bytes: {(tmp_path / 'one.bin').read_bytes()}" in text
    assert "folder = …/folder, a folder with 2 files" in text and str(tmp_path) not in text
    assert "No such file or directory: '…/folder/none', in line 1 of your function" in text
    assert "yours …/0 expected 7" in " ".join(
        repr(judge(files, lambda path, folder: folder / "0")).split())


# What a call may not leave behind, or use

def test_state_of_the_program_is_put_back(tmp_path):
    def double(numbers):
        os.chdir(tmp_path)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return numbers * 2
    before = os.getcwd()
    try:
        assert verdict(double).passed and os.getcwd() == before
        assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    finally:
        os.chdir(before), torch.set_default_dtype(torch.float32), torch.set_grad_enabled(True)


def test_an_exit_is_an_exception_like_others():
    cause = verdict(lambda numbers: exit(3)).cause
    assert cause.startswith("SystemExit: 3, in line 1 of your function: ")


@pytest.mark.parametrize("function", [
    lambda x: F.softmax(x, -1), lambda x: torch.nn.Softmax(-1)(x), lambda x: softmax(x, -1)])
def test_forbidden_functions_raise_for_the_learner_alone(function):
    name, original = "torch.nn.functional.softmax", F.softmax
    weights = an_exercise("weights", lambda x: F.softmax(x, -1), lambda: [(torch.ones(2),)],
                          {"Wrong dim.": lambda x: F.softmax(x, 0) * 2}, without=(name,))
    refused = f"this exercise asks you to do without {name}, in line 1 of your function"
    assert judge(weights, function).cause.startswith(f"RuntimeError: {refused}")
    assert judge(weights, weights.answer).passed and judge(weights, weights).passed
    assert judge(weights, *weights.mistakes).cause == "Wrong dim."
    assert F.softmax is original is softmax
    assert judge(weights, lambda x: x.exp() / x.exp().sum()).passed
    assert judge(weights, lambda x: 2 * x.exp() / x.exp().sum()).cause == "Wrong dim."


@pytest.fixture
def known(monkeypatch):
    "Let `check` know the exercise `double` and a question alone, without the lessons' modules."
    shape = question("shape", (2, 3), {(3, 2): "Texts first."}, ("Look.", "Mend."), "Because.")
    for name, value in {"double": DOUBLE, "shape": shape}.items():
        monkeypatch.setitem(EXERCISES, name, value)
    for table in ("HINTED", "REMEDIES"): monkeypatch.setattr(engine, table, Counter())


engine = inspect.getmodule(check)


def test_check_within_the_function_is_refused(known):
    def double(numbers): return check(double)
    for _ in range(2):  # it is refused within, and not afterwards
        assert check(double).cause.startswith(
            "RuntimeError: check is called by a function that is being checked. "
            "Call it below the function, in line 1")


# How it is written

def helper(numbers):
    "Raise in the second line."
    return numbers.nope


def test_the_line_of_a_helper_has_its_name():
    cause = verdict(lambda numbers: helper(numbers)).cause
    assert cause.endswith(", in line 3 of helper: return numbers.nope")


def test_the_line_in_a_comprehension_or_below_a_decorator_is_that_of_the_function():
    def double(numbers):
        return sum(
            number.nope for number in numbers)
    where = ", in line 2 of your function: return sum("
    assert where in verdict(double).cause

    @functools.wraps(double)
    def wrapped(numbers): return double(numbers)
    assert where in verdict(wrapped).cause
    assert where in verdict(torch.no_grad()(double)).cause


@pytest.mark.parametrize("error, cause", [
    (AssertionError(), "AssertionError, in line"),
    (TypeError("torch.long."), "TypeError: torch.long, in line"),
    (ValueError("one\n   two"), "ValueError: one two, in line"),
    (struct.error("short"), "struct.error: short, in line"),
])
def test_exceptions_read_well(error, cause):
    def double(numbers): raise error
    assert verdict(double).cause.startswith(cause)
    assert len(repr(verdict(double)).splitlines()) in (5, 6)


def test_rows_are_wrapped_and_keep_the_table():
    for value in ("word\n" * 10 + "a b " * 1000, ValueError("a b " * 1000)):
        lines = repr(verdict(lambda numbers: value)).splitlines()
        assert all(len(line) <= 88 for line in lines) and len(lines) < 15
        assert all(line.startswith("  ") for line in lines[1:])


def test_of_a_larger_tensor_the_first_row_that_differs_is_shown():
    table = an_exercise("table", lambda n: torch.arange(60.).view(3, 4, 5), lambda: [(1,)], {})
    change = torch.zeros(3, 4, 5)
    change[1, 2, 3] = 1
    text = repr(judge(table, lambda n: torch.arange(60.).view(3, 4, 5) + change))
    start = "tensor (3, 4, 5) float32, row (1, 2) is"
    assert f"\n  yours     {start} [30.0, 31.0, 32.0, 34.0, 34.0]\n" in text
    assert f"\n  expected  {start} [30.0, 31.0, 32.0, 33.0, 34.0]\n" in text


NAN = float("nan")


@pytest.mark.parametrize("given, expected", [
    (1, 1), (1, 1.0), (0.1 + 0.2, 0.3), ([1, (2, "a")], [1, (2, "a")]), (torch.Size([2]), (2,)),
    ({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-6}), (float("inf"), float("inf")),
    (torch.tensor([NAN]), torch.tensor([NAN])), (torch.tensor([True]), torch.tensor([True])),
    (torch.ones(2, requires_grad=True) * 2, torch.ones(2) * 2), (ValueError("a"), ValueError("a")),
    (torch.ones(2).bfloat16(), torch.ones(2).bfloat16()),
])
def test_the_same(given, expected):
    assert difference(given, expected) == ""


@pytest.mark.parametrize("given, expected, text", [
    (1.0, 1, "of the type float; expected int"), (True, 1, "of the type bool; expected int"),
    ("1", 1, "of the type str; expected int"), ([1], (1,), "of the type list; expected tuple"),
    ([1, 2], [1], "has 2 entries; expected 1"), ([1, 2], [1, 3], "the result[1] is 2; expected 3"),
    ({"a": 1}, {"b": 1}, "have the expected entries. Missing: 'b'. Not expected: 'a'."),
    (torch.tensor(1), 1, "of the type Tensor; expected int. It holds one number"),
    (numpy.int64(3), 3, "of the type int64; expected int. It holds one number"),
    (torch.tensor([30522]), torch.tensor([30521]), "the result is 30522; expected 30521."),
    (torch.tensor([True]), torch.tensor([False]), "is True; expected False"),
    (torch.tensor(2.515), torch.tensor(2.098), "the result is 2.515; expected 2.098."),
    (0.3, 0.4, "is 0.3; expected 0.4"), (NAN, 1.0, "has nan in it"),
    (1e39, 2e39, "the result is 1e+39; expected 2e+39."),
    (ValueError("a"), ValueError("b"), "is"), ([[1], [2]], [[1], [3]], "the result[1][0] is 2"),
    ([[1], [2]], ([1], [2]), "of the type list; expected tuple."),
    (["b", "a"], ["a", "b"], "the right entries in another order."),
    ((None, []), ([], []), "the result[0] is None; expected list."),
    (["a", "b", "c"], ["d", "a"], "3 entries; expected 2. Missing: 'd'. Not expected: 'b', 'c'."),
    (["a", "c"], ["a", "d"], "the result[1] is 'c'; expected 'd'."),
    ({"a": 1, "b": 2}, {"a": 1}, "has 2 entries; expected 1. Not expected: 'b'."),
    (b"aa", b"a", "the result is b'aa'; expected b'a'."),
    (ValueError("a"), KeyError("a"), "of the type ValueError; expected KeyError."),
])
def test_not_the_same(given, expected, text):
    assert text in difference(given, expected)


def test_an_object_is_not_compared_with_itself():
    class Large:
        def __eq__(self, other): raise AssertionError

        def __deepcopy__(self, memo): return self
    large = Large()
    size = an_exercise("size", lambda large, n: n, lambda: [(large, 1)], {})
    assert difference([large], [large]) == "" and judge(size, lambda large, n: 1).passed


def test_short_forms_show_no_machine_and_stay_short():
    assert short(Path("/somewhere/hub").absolute()) == "…/hub"
    assert short(Path("1_Pooling/config.json")) == "Path('1_Pooling/config.json')"
    assert " at 0x" not in short(object()) and short(list(range(1000))).endswith("…")
    assert len(short("a" * 1000)) == 500 and short("a\nb") == r"'a\nb'"


@pytest.mark.parametrize("value, text", [
    (torch.zeros(5, 5), "tensor (5, 5) float32"), (2.0, "2.0"), (-3.0, "-3.0"), (1e-9, "1e-09"),
    (torch.zeros(1, 2), "tensor (1, 2) float32 [[0, 0]]"), ((2,), "(2,)"), ([], "[]"),
    ((torch.tensor([1, 2]), {"a": torch.tensor(3.5)}),
     "(tensor (2,) int64 [1, 2], {'a': tensor () float32 3.5})"),
    (numpy.ones((2, 2)), "array([[1., 1.], [1., 1.]])"), (float("-inf"), "-inf"),
])
def test_short_form(value, text):
    assert short(value) == text


# Questions

@pytest.mark.parametrize("given, answer", [
    ((2, 3), (2, 3)), ([2, 3], (2, 3)), (torch.Size([2, 3]), (2, 3)),
    (torch.tensor([2, 3]), (2, 3)), ("B", "b"), (" b ", "b"), (2, 2.0), (2.0, 2),
    (torch.tensor(2), 2), (0.1 + 0.2, 0.3), ("BertModel", "bertmodel"), (True, True),
    ([[1], [2]], ((1,), (2,))),
])
def test_an_answer_may_be_written_in_several_ways(given, answer):
    asked = question("asked", answer, {}, ("", ""), "Because.")
    del EXERCISES["asked"]
    assert judge_answer(asked, given).text == "asked: passed.\n  why       Because."


SHAPE = dict(answer=(2, 3), reasons={(3, 2): "Texts first.", 6: "It has 6 numbers."})
CHOICE = dict(answer="b", reasons={"a": "No.", "c": "No!"})


@pytest.mark.parametrize("facts, given, cause", [
    (SHAPE, (3, 2), "Texts first."), (SHAPE, [3, 2], "Texts first."), (SHAPE, 6, "It has 6"),
    (SHAPE, (2, 3, 4), "your answer has 3 entries; expected 2."),
    (SHAPE, (2, 4), "(2, 4) is not the answer."), (SHAPE, None, "your answer is None"),
    (SHAPE, 5, "your answer is of the type int; expected tuple."),
    (CHOICE, "A", "No."), (CHOICE, "d", "Choose one of 'a', 'b', 'c'."), (CHOICE, 2, "Choose"),
    (dict(answer=0.5, reasons={}), 3, "3 is not the answer."),
    (dict(answer=3, reasons={}), 0.5, "your answer is of the type float; expected int."),
    (dict(answer=1, reasons={}), True, "your answer is of the type bool; expected int."),
])
def test_a_wrong_prediction_gets_its_reason_and_never_the_answer(facts, given, cause):
    asked = question("asked", **facts, hints=("", ""), why="Because.")
    del EXERCISES["asked"]
    result = judge_answer(asked, given)
    assert not result and result.cause.startswith(cause), result
    assert "Because" not in result.text
    assert facts is CHOICE or short(asked.answer) not in result.text


def test_a_question_without_an_answer_gets_a_prompt(known):
    text = "shape: write your answer in place of `...`, then run this cell again."
    assert check("shape", ...).text == text


# What a learner calls

def test_check_finds_the_exercise_by_its_name(known):
    def double(numbers): return numbers + numbers
    assert check(double).text == check("double", double).text == "double: passed, on 3 inputs."
    assert check("shape", [2, 3]).passed


def test_a_misspelt_name_suggests_the_nearest(known):
    def dubble(numbers): ...
    for call in (lambda: check(dubble), lambda: check("dubble", 1), lambda: hint("dubble"),
                 lambda: solution("dubble")):
        with pytest.raises(ValueError, match="no exercise 'dubble'. Did you mean 'double'"): call()


@pytest.mark.parametrize("call, message", [
    ((3,), "given: int"), ((None,), "given: NoneType"), ((torch.ones(2),), "given: Tensor"),
    (("double",), r"double is a function. Check it with check\(double\)."),
    (("double", 3), r"double is a function. Check it with check\(double\)."),
    (("shape",), r'shape is a question. Check it with check\("shape", answer\).'),
    ((helper, 3, 4), "Check it with"),
])
def test_wrong_use_of_check_raises(known, monkeypatch, call, message):
    monkeypatch.setitem(EXERCISES, "helper", DOUBLE)
    with pytest.raises(TypeError, match=message): check(*call)


def test_hints_come_in_two_steps(known):
    more = 'For the next step, call hint("double") again.'
    assert repr(hint("double")) == f"Look at it.\n{more}"
    assert [repr(hint(DOUBLE)), repr(hint("double"))] == ["Mend it.", "Mend it."]
    assert [repr(hint("shape")).splitlines()[0], repr(hint("shape"))] == ["Look.", "Mend."]


def test_the_second_step_is_the_remedy_of_the_recognized_mistake(known):
    @exercise(inputs=DOUBLE.inputs, hints=("Look.", "Mend."))
    def tripled(numbers): return numbers * 3

    @tripled.mistake
    def squares(numbers):
        """It
        squares.

        Multiply
        by 3.
        """
        return numbers**2

    try:
        right, wrong = tripled.answer, lambda numbers: numbers**2
        assert check("tripled", wrong).cause == "It squares."
        assert repr(hint("tripled")).startswith("Look.\n")
        assert repr(hint("tripled")) == "Multiply by 3."
        check("tripled", right)
        assert repr(hint("tripled")) == "Mend."
    finally: del EXERCISES["tripled"]


@exercise(inputs=DOUBLE.inputs, without=("torch.add",), hints=("", ""))
def thrice(
    numbers: torch.Tensor,  # any shape
) -> torch.Tensor:
    """Three times the same is the same
    as times three.
    """
    # a comment stays
    return numbers * 3


del EXERCISES["thrice"]


def test_solution_is_the_source_without_decorator_and_docstring_and_then_why(known, monkeypatch):
    monkeypatch.setitem(EXERCISES, "thrice", thrice)
    source = ("def thrice(\n    numbers: torch.Tensor,  # any shape\n) -> torch.Tensor:\n"
              "    # a comment stays\n    return numbers * 3")
    why = "Three times the same is the same as times three."
    assert repr(solution("thrice")) == f"{source}\n\n{why}"
    assert solution(thrice)._repr_markdown_() == f"```python\n{source}\n```\n\n{why}"
    assert repr(solution("shape")) == "answer = (2, 3)\n\nBecause."


def test_an_exercise_is_still_a_function():
    assert thrice(2) == 6 and thrice.__name__ == "thrice"
    assert list(inspect.signature(thrice).parameters) == ["numbers"]


# The package

def test_importing_the_course_loads_nothing():
    printed = run_python("import sys, tinybert.course; print('torch' in sys.modules)")
    assert printed.strip() == "False"


@pytest.mark.parametrize("first", ["", "tinybert.course.check", "tinybert.course.models"])
def test_check_is_the_function_whatever_was_imported_before(first):
    printed = run_python(f"""if True:
        import {first or 'sys'}
        from tinybert.course import check, hint, solution
        import tinybert.course
        print(*map(callable, (check, hint, solution, tinybert.course.check)))""")
    assert printed.split() == ["True"] * 4


def test_the_lessons_modules_are_imported_when_they_are_needed():
    printed = run_python("""if True:
        import sys
        from tinybert.course import check
        try: check("nearst", 1)
        except ValueError as error: print(error)
        print([name for name in sys.modules if name.startswith("tinybert.course.")])""")
    assert "Did you mean 'nearest'?" in printed
    for lesson in engine.LESSONS:
        importlib.import_module(f"tinybert.course.{lesson}")
        assert f"'tinybert.course.{lesson}'" in printed


def test_an_exercise_of_ones_own_is_not_replaced_by_a_lessons():
    printed = run_python("""if True:
        from tinybert.course.check import EXERCISES, LESSONS, find, question
        mine = question("nearest", 1, {}, ("", ""), "")
        try: find("nothing")
        except ValueError: print(len(EXERCISES) > len(LESSONS), find("nearest") is mine)""")
    assert printed.split() == ["True", "True"]


def test_names_of_the_course():
    assert set(course.__all__) <= set(dir(course)) and course.check is check
    with pytest.raises(AttributeError, match="no attribute 'chek'"): course.chek
