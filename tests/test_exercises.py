"""Every exercise keeps what it promises: its answer passes, its mistakes are told apart, its wrong
answers fail, and its hints and its solution can be shown. The data is in the lessons' modules."""

import importlib
import inspect
import re
from functools import cache

import pytest
from test_course import LESSONS, WITHOUT_EXERCISES, asked, defined, shown

from tinybert.course import check
from tinybert.course.check import (EXERCISES, LESSONS as MODULES, Exercise, Question, find, judge,
                                   judge_answer, paragraphs, short, solution)


@cache
def exercises(module: str) -> list[Exercise | Question]:
    "Return the exercises that a lesson's module makes."
    members = vars(importlib.import_module(f"tinybert.course.{module}")).values()
    return [member for member in members if isinstance(member, (Exercise, Question))]


ALL = {exercise.name: exercise for module in MODULES for exercise in exercises(module)}
FUNCTIONS = [exercise for exercise in ALL.values() if isinstance(exercise, Exercise)]
QUESTIONS = [exercise for exercise in ALL.values() if isinstance(exercise, Question)]


def each(exercises: list, attribute: str = ""):
    "Return a parametrization by exercises, or by the entries of one of their collections."
    pairs = [(exercise, entry) for exercise in exercises
             for entry in (getattr(exercise, attribute) if attribute else [None])]
    name = lambda entry: getattr(entry, "__name__", short(entry)[:30])
    params = [pytest.param(*pair[:1 + bool(attribute)], id=f"{pair[0].name}-{name(pair[1])}"
                           if attribute else pair[0].name) for pair in pairs]
    return pytest.mark.parametrize("exercise, entry" if attribute else "exercise", params)


def is_prose(text: str) -> bool:
    "Tell whether a text is one line of sentences; the first may begin with a name such as `dim=1`."
    begins = text[:1].isupper() or not text.split(" ")[0].isalpha()
    return bool(re.fullmatch(r"\S.*[.?!]", text)) and begins


# The lessons and the modules

def test_there_is_a_module_for_each_lesson():
    assert [lesson.partition("_")[2] for lesson in LESSONS
            if lesson not in WITHOUT_EXERCISES] == list(MODULES)


def test_no_two_exercises_have_the_same_name():
    for name, exercise in ALL.items(): assert find(name) is exercise is EXERCISES[name]
    assert len(ALL) == sum(len(exercises(module)) for module in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_lesson_asks_the_exercises_of_its_module_each_once(module):
    lesson, = [lesson for lesson in LESSONS if lesson.endswith(f"_{module}")]
    names = [exercise.name for exercise in asked(lesson)]
    assert sorted(names) == sorted(exercise.name for exercise in exercises(module))
    assert any(isinstance(exercise, Question) for exercise in exercises(module))


# Functions to write

@each(FUNCTIONS)
def test_the_answer_passes_on_several_inputs(exercise):
    verdict = judge(exercise, exercise.answer)
    assert verdict.passed, verdict
    assert len(exercise.inputs()) > 1 and exercise.mistakes and exercise.right_answers


@each(FUNCTIONS, "mistakes")
def test_a_mistake_is_told_apart_from_all_others(exercise, entry):
    verdict = judge(exercise, entry)
    assert not verdict.passed, "this mistake gives the right result on all inputs"
    assert verdict.mistakes == (entry,), verdict
    assert verdict.cause == paragraphs(entry)[0] and is_prose(verdict.cause)
    assert len(paragraphs(entry)) <= 2 and all(map(is_prose, paragraphs(entry)))
    others = [other for other in exercise.mistakes if paragraphs(other)[0] == verdict.cause]
    assert others == [entry], "each mistake has a message of its own"


@each(FUNCTIONS, "wrong_answers")
def test_a_wrong_answer_fails_and_is_taken_for_no_mistake(exercise, entry):
    verdict = judge(exercise, entry)
    assert not verdict.passed and "in place of" not in verdict.text
    assert verdict.mistakes == () and verdict.cause, verdict
    assert inspect.getdoc(entry), "its docstring says what it is"


@each(FUNCTIONS, "right_answers")
def test_an_answer_in_another_style_passes(exercise, entry):
    assert (verdict := judge(exercise, entry)).passed, verdict


@each(FUNCTIONS)
def test_the_first_input_is_small_enough_to_be_shown(exercise):
    text = judge(exercise, lambda *arguments: 1j).text
    text = re.sub(r"\n {12}", " ", text)
    assert not re.search(r"tensor \([\d, ]+\) \w+(?! \[)\b$|…$", text, flags=re.M), text


def test_two_parts_that_are_both_forgotten_are_both_named():
    count = ALL["count_layer"]
    biases, norms = lambda width, neurons: 5 * width + neurons, lambda width, neurons: 4 * width
    both = lambda *sizes: count(*sizes) - biases(*sizes) - norms(*sizes)
    cause = judge(count, both).cause
    assert cause.startswith("Two mistakes at once.") and "biases" in cause and "norms" in cause


# Values to predict

@each(QUESTIONS)
def test_the_right_value_passes_and_says_why(exercise):
    verdict = judge_answer(exercise, exercise.answer)
    assert verdict.passed and exercise.why in " ".join(verdict.text.split())
    assert is_prose(exercise.why) and len(exercise.reasons) >= 2


@each(QUESTIONS, "reasons")
def test_a_wrong_value_gets_its_reason_and_not_the_answer(exercise, entry):
    verdict = judge_answer(exercise, entry)
    assert not verdict.passed and verdict.cause == exercise.reasons[entry]
    assert is_prose(verdict.cause)
    given_away = len(short(exercise.answer)) > 4 and short(exercise.answer) in verdict.cause
    assert not given_away, verdict


@each(QUESTIONS)
def test_a_value_without_a_reason_fails_and_doesnt_show_the_answer(exercise):
    verdict = judge_answer(exercise, 1j)
    assert not verdict.passed and verdict.cause
    assert isinstance(exercise.answer, str) or short(exercise.answer) not in verdict.text


# Hints and solutions

@each(ALL.values())
def test_a_hint_has_two_steps_and_the_first_is_without_code(exercise):
    first, second = exercise.hints
    assert first != second and is_prose(first) and is_prose(second)
    assert not re.search(r"\w\(.*\)|\w\[.*\]| = | @ |=\w", first), first


@each(ALL.values())
def test_the_solution_has_a_source_and_says_why(exercise):
    source, _, why = repr(solution(exercise.name)).rpartition("\n\n")
    start = f"def {exercise.name}(" if isinstance(exercise, Exercise) else "answer = "
    assert is_prose(why) and source.startswith(start) and '"""' not in source
    assert all(len(line) <= 100 for line in source.splitlines())


# As a lesson asks them

EACH = pytest.mark.parametrize("lesson, exercise", [
    pytest.param(lesson, exercise, id=f"{lesson}-{exercise.name}")
    for lesson in LESSONS for exercise in asked(lesson)])


@EACH
def test_the_stub_gets_the_prompt_that_the_page_shows(lesson, exercise):
    stub = defined(lesson, exercise.stub["source"], exercise.target)
    prompt = f"{exercise.name}: write your answer in place of `...`, then run this cell again."
    verdict = check(exercise.name, stub)
    assert not verdict and verdict.text == prompt == shown(exercise.checked)


@EACH
def test_the_solution_runs_in_the_lesson_and_passes_below_the_stubs_signature(lesson, exercise):
    known = ALL[exercise.name]
    if isinstance(known, Question): return
    source = repr(solution(exercise.name)).rpartition("\n\n")[0]
    function = defined(lesson, source, exercise.name)
    assert check(function), check(function)
    stub = defined(lesson, exercise.stub["source"], exercise.target)
    assert str(inspect.signature(stub)) == str(inspect.signature(function))
