"The check of an exercise: what it compares, and what it says when an answer is wrong."

import functools
import os
import statistics
import struct
from pathlib import Path

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch.nn.functional import softmax

from tinybert.check import EXERCISES, Exercise, check, difference, judge, short
from tinybert.config import BertConfig
from tinybert.model import BertModel

DOUBLE = Exercise(lambda numbers: numbers * 2, lambda: [(torch.zeros(2),), (torch.tensor([1., 2.]),), (torch.tensor([3., 4.]),)],
                  {"It squares.": lambda numbers: numbers**2, "It adds two.": lambda numbers: numbers + 2})


def verdict(function): return judge("double", DOUBLE, function)


def test_a_right_answer_passes():
    result = verdict(lambda numbers: numbers + numbers)
    assert result.passed and result and not result.cause and repr(result) == "double: passed, on 3 inputs."


def test_all_inputs_must_agree():
    result = verdict(lambda numbers: numbers * 2 if numbers[0] < 3 else numbers)
    assert not result.passed and not result and repr(result).startswith("double: not yet, on input 3 of 3\n")
    assert repr(result).splitlines()[1:4] == ["  input     numbers = tensor (2,) float32 [3, 4]", "  yours     tensor (2,) float32 [3, 4]",
                                              "  expected  tensor (2,) float32 [6, 8]"]


@pytest.mark.parametrize("function, cause", [
    (lambda numbers: None, "no answer yet: the function returns None"),
    (lambda numbers: print(), "the result is None; expected Tensor. Does every way through the function end in `return …`?"),
    (lambda numbers: (numbers * 2, print())[1], "the result is None; expected Tensor."),
    (lambda numbers: ..., "no answer yet: the function returns Ellipsis"),
    (lambda numbers: numbers**2, "It squares."),
    (lambda numbers: numbers + 2, "It adds two."),
    (lambda numbers: (numbers * 2).tolist(), "the result is of the type list; expected Tensor."),
    (lambda numbers: numbers[None] * 2, "the result has the shape (1, 2); expected (2,)."),
    (lambda numbers: numbers.double() * 2, "the result has the dtype torch.float64; expected torch.float32."),
    (lambda numbers: numbers * 2 / (numbers != 0), "the result has nan in it"),
    (lambda numbers: numbers * 2 + torch.tensor([0, 1]), "1 of the 2 numbers of the result differ, the first at (1,): 1.0; expected 0.0."),
    (lambda numbers: numbers.mul_(2), "the result is right, but not what the call does to its arguments: 2 of the 2 numbers of the argument numbers differ"),
    (lambda: None, "TypeError: "),
])
def test_cause(function, cause):
    assert verdict(function).cause.startswith(cause), verdict(function)


def test_an_exception_is_shown_with_its_line():
    def double(numbers):
        factor = [2]
        return numbers * factor[1]
    result = verdict(double)
    assert result.cause == "IndexError: list index out of range, in line 3 of your function: return numbers * factor[1]"
    assert "\n  yours     raises IndexError\n" in repr(result), "the words stand once, in the cause"


def test_an_exception_below_is_shown_with_the_learners_line():
    def double(numbers):
        return numbers * statistics.mean([])
    assert verdict(double).cause.endswith(", in line 2 of your function: return numbers * statistics.mean([])")


def test_the_learner_cannot_spoil_the_inputs():
    kept = torch.tensor([1., 2.])
    exercise = Exercise(lambda numbers: numbers.sum().item(), lambda: [(kept,)], {"Wrong.": lambda numbers: 0.0})
    assert not judge("total", exercise, lambda numbers: numbers.mul_(0).sum().item()).passed
    assert kept.tolist() == [1, 2] and judge("total", exercise, exercise.answer).passed


def test_an_argument_may_change_where_the_answer_changes_it():
    exercise = Exercise(lambda model: model.eval(), lambda: [(BertModel(BertConfig(vocab_size=3, hidden_size=4, num_hidden_layers=1,
                        num_attention_heads=1, intermediate_size=4)),)], {"Wrong.": lambda model: model})
    assert judge("ready", exercise, lambda model: model.train(False)).passed
    assert judge("ready", exercise, lambda model: model).cause == "Wrong."


def test_random_numbers_are_the_same_in_each_call_and_outside_undisturbed():
    exercise = Exercise(lambda n: torch.randn(n), lambda: [(3,), (4,)], {"Wrong.": lambda n: torch.rand(n)})
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert judge("noise", exercise, lambda n: torch.randn(n)).passed and torch.equal(torch.rand(2), expected)
    before = judge("noise", exercise, torch.rand).text
    torch.manual_seed(2)
    assert judge("noise", exercise, torch.rand).text == before


# Which mistake is named

NEXT = Exercise(lambda n: n + 1, lambda: [(0,), (1,), (2,)], {"Always two.": lambda n: 2, "Doubled.": lambda n: n * 2})


def test_a_mistake_is_named_that_agrees_on_all_inputs():
    assert judge("next", NEXT, lambda n: n * 2).cause == "Doubled." and judge("next", NEXT, lambda n: 2).cause == "Always two."


def test_no_mistake_is_named_for_what_agrees_only_where_it_is_wrong_or_by_chance():
    assert judge("next", NEXT, lambda n: 2 if n == 0 else n + 1).cause == "the result is 2; expected 1."
    assert judge("next", NEXT, lambda n: 0).cause == "the result is 0; expected 1."
    assert judge("next", NEXT, lambda n: n * 2 if n < 2 else 5).cause == "the result is 0; expected 1."


def test_a_wrong_type_is_no_mistake_that_gives_the_same_number():
    result = judge("next", NEXT, lambda n: float(n * 2))
    assert result.cause == "the result is of the type float; expected int."
    result = judge("next", NEXT, lambda n: float(n + 1))
    assert "\n  yours     1.0\n  expected  1\n" in repr(result) and result.cause == "the result is of the type float; expected int."


def test_a_mistake_may_give_nan_but_nan_alone_is_no_mistake():
    root = Exercise(lambda n: n**2 / (n + 1), lambda: [(torch.tensor([0., 1.]),), (torch.tensor([2.]),)],
                    {"It divides by n.": lambda n: n**2 * (n + 1) / n})
    assert judge("root", root, lambda n: n**2 * (n + 1) / n).cause == "It divides by n."
    assert judge("root", root, lambda n: n * torch.nan).cause.startswith("the result has nan in it")
    assert difference(float("nan"), float("nan")) == ""


# Files

@pytest.fixture
def files(tmp_path) -> Exercise:
    "An exercise on a file and a folder that stay the same for the whole session."
    (tmp_path / "one.bin").write_bytes(struct.pack("<Q", 7))
    for number in range(3): (tmp_path / f"folder/{number}/text").mkdir(parents=True)
    (tmp_path / "folder/0/text/a.txt").write_text("a")
    (tmp_path / "folder/1/link").symlink_to("../0/text/a.txt")
    return Exercise(lambda path, folder: struct.unpack("<Q", path.read_bytes())[0], lambda: [(tmp_path / "one.bin", tmp_path / "folder")],
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
    (deleted, "the result is right, but not what the call does to its arguments: the argument path has 0 entries; expected 1. Missing: 'one.bin'."),
    (littered, "the result is right, but not what the call does to its arguments: the argument folder has 3 entries; expected 2. Not expected: 'folder/0/junk.txt'."),
])
def test_files_are_copies_and_compared_afterwards(files, function, cause):
    for _ in range(2):  # also the second time
        result = judge("number", files, function)
        assert not result.passed and result.cause == cause and "\n  expected  7\n" in repr(result)
    assert judge("number", files, lambda path, folder: 0).cause == "Always zero."
    assert judge("number", files, lambda path, folder: path.read_bytes()[0]).passed


def test_links_in_a_folder_stay_links(files):
    assert judge("number", files, lambda path, folder: 7 * (folder / "1/link").is_symlink()).passed


def test_small_files_and_folders_are_shown_and_no_folder_of_this_machine(files, tmp_path):
    text = " ".join(repr(judge("number", files, lambda path, folder: (folder / "none").read_text())).split())
    assert f"path = …/one.bin, 8 bytes: {(tmp_path / 'one.bin').read_bytes()}" in text
    assert "folder = …/folder, a folder with 2 files" in text
    assert "No such file or directory: '…/folder/none', in line 1 of your function" in text and str(tmp_path) not in text


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
    assert verdict(lambda numbers: exit(3)).cause.startswith("SystemExit: 3, in line 1 of your function: ")


@pytest.mark.parametrize("function", [lambda x: F.softmax(x, -1), lambda x: torch.nn.Softmax(-1)(x), lambda x: softmax(x, -1)])
def test_forbidden_functions_raise_for_the_learner_alone(function):
    exercise = Exercise(lambda x: F.softmax(x, -1), lambda: [(torch.ones(2),)], {"Wrong dim.": lambda x: F.softmax(x, 0) * 2},
                        forbidden=("torch.nn.functional.softmax",))
    original = F.softmax
    cause = judge("shares", exercise, function).cause
    assert cause.startswith("RuntimeError: this exercise asks you to do without torch.nn.functional.softmax, in line 1 of your function")
    assert judge("shares", exercise, exercise.answer).passed and judge("shares", exercise, exercise.mistakes["Wrong dim."]).cause == "Wrong dim."
    assert F.softmax is original is softmax and judge("shares", exercise, lambda x: x.exp() / x.exp().sum()).passed
    assert judge("shares", exercise, lambda x: 2 * x.exp() / x.exp().sum()).cause == "Wrong dim."


def test_check_within_the_function_is_refused():
    def nearest(vectors, number): return check(nearest)
    for _ in range(2):  # it is refused within, and not afterwards
        assert check(nearest).cause.startswith("RuntimeError: check is called by a function that is being checked. Call it below the function, in line 1")


# How it is written

def helper(numbers):
    "Raise in the second line."
    return numbers.nope


def test_the_line_of_a_helper_has_its_name():
    assert verdict(lambda numbers: helper(numbers)).cause.endswith(", in line 3 of helper: return numbers.nope")


def test_the_line_in_a_comprehension_or_below_a_decorator_is_that_of_the_function():
    def double(numbers):
        return sum(
            number.nope for number in numbers)
    assert ", in line 2 of your function: return sum(" in verdict(double).cause

    @functools.wraps(double)
    def wrapped(numbers): return double(numbers)
    assert ", in line 2 of your function: return sum(" in verdict(wrapped).cause
    assert ", in line 2 of your function: return sum(" in verdict(torch.no_grad()(double)).cause


@pytest.mark.parametrize("error, cause", [
    (AssertionError(), "AssertionError, in line"), (TypeError("torch.long."), "TypeError: torch.long, in line"),
    (ValueError("one\n   two"), "ValueError: one two, in line"), (struct.error("short"), "struct.error: short, in line"),
])
def test_exceptions_read_well(error, cause):
    def double(numbers): raise error
    assert verdict(double).cause.startswith(cause) and len(repr(verdict(double)).splitlines()) == 5


def test_rows_are_wrapped_and_keep_the_table():
    text = repr(verdict(lambda numbers: "word\n" * 10 + "a b " * 1000))
    assert all(len(line) <= 110 for line in text.splitlines()) and len(text.splitlines()) < 12
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_of_a_larger_tensor_the_first_row_that_differs_is_shown():
    exercise = Exercise(lambda n: torch.arange(60.).view(3, 4, 5), lambda: [(1,)], {"Wrong.": lambda n: 0})
    change = torch.zeros(3, 4, 5)
    change[1, 2, 3] = 1
    text = repr(judge("table", exercise, lambda n: torch.arange(60.).view(3, 4, 5) + change))
    assert "\n  yours     tensor (3, 4, 5) float32, row (1, 2) is [30.0, 31.0, 32.0, 34.0, 34.0]\n" in text
    assert "\n  expected  tensor (3, 4, 5) float32, row (1, 2) is [30.0, 31.0, 32.0, 33.0, 34.0]\n" in text


@pytest.mark.parametrize("given, expected", [
    (1, 1), (1, 1.0), (0.1 + 0.2, 0.3), ([1, (2, "a")], [1, (2, "a")]), (torch.Size([2]), (2,)), ({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-6}),
    (torch.tensor([float("nan")]), torch.tensor([float("nan")])), (torch.tensor([True]), torch.tensor([True])), (float("inf"), float("inf")),
    (torch.ones(2, requires_grad=True) * 2, torch.ones(2) * 2), (torch.ones(2).bfloat16(), torch.ones(2).bfloat16()), (ValueError("a"), ValueError("a")),
])
def test_the_same(given, expected):
    assert difference(given, expected) == ""


@pytest.mark.parametrize("given, expected, text", [
    (1.0, 1, "of the type float; expected int"), (True, 1, "of the type bool; expected int"), ("1", 1, "of the type str; expected int"),
    ([1], (1,), "of the type list; expected tuple"), ([1, 2], [1], "has 2 entries; expected 1"), ([1, 2], [1, 3], "the result[1] is 2; expected 3"),
    ({"a": 1}, {"b": 1}, "has not the expected names. Missing: 'b'. Not expected: 'a'."), (torch.tensor(1), 1, "of the type Tensor; expected int"), (0.3, 0.4, "is 0.3; expected 0.4"),
    (torch.tensor([30522]), torch.tensor([30521]), "the result is 30522; expected 30521."), (torch.tensor([True]), torch.tensor([False]), "is True; expected False"),
    (ValueError("a"), ValueError("b"), "is"), (float("nan"), 1.0, "is nan; expected 1"), ([[1], [2]], [[1], [3]], "the result[1][0] is 2"),
    (torch.tensor(2.515), torch.tensor(2.098), "the result is 2.515; expected 2.098."), (torch.tensor(1), 1, "Tensor; expected int. `.item()` makes one of it."),
    (numpy.int64(3), 3, "int64; expected int. `.item()` makes"), ([[1], [2]], ([1], [2]), "expected tuple. `return a, b` makes a tuple."),
    (["b", "a"], ["a", "b"], "the right entries in another order."), ((None, []), ([], []), "the result[0] is None; expected list."),
    (["a", "b", "c"], ["a", "d"], "has 3 entries; expected 2. Missing: 'd'. Not expected: 'b', 'c'."), (["a", "c"], ["a", "d"], "the result[1] is 'c'; expected 'd'."),
    ({"a": 1, "b": 2}, {"a": 1}, "has 2 entries; expected 1. Not expected: 'b'."), (b"aa", b"a", "the result has other bytes than expected: 2 instead of 1."),
])
def test_not_the_same(given, expected, text):
    assert text in difference(given, expected)


def test_short_forms_show_no_machine_and_stay_short():
    assert short(Path("/somewhere/hub").absolute()) == "…/hub" and short(Path("1_Pooling/config.json")) == "Path('1_Pooling/config.json')"
    assert " at 0x" not in short(object()) and short(list(range(1000))).endswith("…") and len(short("a" * 1000)) == 500
    assert short(torch.zeros(4, 6)).endswith("]]") and short(torch.zeros(5, 5)) == "tensor (5, 5) float32"
    assert short((torch.tensor([1, 2]), {"a": torch.tensor(3.5)})) == "(tensor (2,) int64 [1, 2], {'a': tensor () float32 3.5})"
    assert short((2,)) == "(2,)" and short(2.0) == "2.0" and short(-3.0) == "-3.0" and short(1e-9) == "1e-09" and short("a\nb") == r"'a\nb'"
    assert short(numpy.ones((2, 2))) == "array (2, 2) float64 [[1, 1], [1, 1]]" and short(numpy.int64(3)) == "int64 3"
    assert short(BertConfig(hidden_size=24)) == "BertConfig(hidden_size=24)"


def test_wrong_use_of_check_raises():
    def neerest(vectors, number): ...
    with pytest.raises(ValueError, match="no exercise 'neerest'. Did you mean 'nearest'"): check(neerest)
    for wrong in (3, None, torch.ones(2), "nearest"):
        with pytest.raises(TypeError, match=f"the function itself, not a {type(wrong).__name__}"): check(wrong)


def test_check_looks_the_exercise_up():
    def nearest(vectors, number): return 2
    assert check(nearest).text == judge("nearest", EXERCISES["nearest"], nearest).text
