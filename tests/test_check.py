"The check of an exercise: what it compares, and what it says when an answer is wrong."

import statistics

import pytest
import torch

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
    (lambda numbers: ..., "no answer yet: the function returns Ellipsis"),
    (lambda numbers: numbers**2, "It squares."),
    (lambda numbers: numbers + 2, "It adds two."),
    (lambda numbers: (numbers * 2).tolist(), "the result is of the type list; expected Tensor."),
    (lambda numbers: numbers[None] * 2, "the result has the shape (1, 2); expected (2,)."),
    (lambda numbers: numbers.double() * 2, "the result has the dtype torch.float64; expected torch.float32."),
    (lambda numbers: numbers * 2 / (numbers != 0), "the result has nan in it"),
    (lambda numbers: numbers * 2 + torch.tensor([0, 1]), "1 of the 2 numbers of the result differ, the first at (1,): 1, expected 0."),
    (lambda numbers: numbers.mul_(2), "2 of the 2 numbers of the argument numbers, which a call must leave as it is, differ"),
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
    assert "  yours     raises IndexError: list index out of range" in repr(result)


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


def test_the_mistake_that_agrees_on_most_inputs_is_named():
    exercise = Exercise(lambda n: n + 1, lambda: [(0,), (1,), (2,)], {"Always two.": lambda n: 2 if n else 0, "Doubled.": lambda n: n * 2})
    assert judge("next", exercise, lambda n: n * 2).cause == "Doubled."
    assert judge("next", exercise, lambda n: 2 if n else 0).cause == "Always two."


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
    ({"a": 1}, {"b": 1}, "has no entry 'b'"), (torch.tensor(1), 1, "of the type Tensor; expected int"), (0.3, 0.4, "is 0.3; expected 0.4"),
    (torch.tensor([30522]), torch.tensor([30521]), "1 of the 1 numbers"), (torch.tensor([True]), torch.tensor([False]), "True, expected False"),
    (ValueError("a"), ValueError("b"), "is"), (float("nan"), 1.0, "is nan; expected 1"), ([[1], [2]], [[1], [3]], "the result[1][0] is 2"),
])
def test_not_the_same(given, expected, text):
    assert text in difference(given, expected)


def test_short_forms_show_no_machine_and_stay_short(tmp_path):
    assert short(tmp_path / "hub") == "…/hub" and " at 0x" not in short(object())
    assert short(list(range(1000))).endswith("…") and len(short("a" * 1000)) == 200
    assert short(torch.zeros(3, 4)).endswith("]]") and short(torch.zeros(3, 5)) == "tensor (3, 5) float32"
    assert short(BertConfig(hidden_size=24)) == "BertConfig(hidden_size=24)"


def test_wrong_use_of_check_raises():
    def neerest(vectors, number): ...
    with pytest.raises(ValueError, match="no exercise 'neerest'. Did you mean 'nearest'"): check(neerest)
    for wrong in (3, None, torch.ones(2), "nearest"):
        with pytest.raises(TypeError, match=f"the function itself, not a {type(wrong).__name__}"): check(wrong)


def test_check_looks_the_exercise_up():
    def nearest(vectors, number): return 2
    assert check(nearest).text == judge("nearest", EXERCISES["nearest"], nearest).text
