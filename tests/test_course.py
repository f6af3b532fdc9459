"The lessons have their form, and every exercise refuses the stub, takes the solution and names each known mistake."

import ast
import inspect
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from test_notebooks import ROOT, read

from tinybert.check import EXERCISES, check, judge
from tools import course

LESSONS = sorted(path.stem for path in (ROOT / "nbs/course").glob("*.ipynb"))
WITHOUT_EXERCISES = {lesson for lesson in LESSONS if "errata" in lesson}  # there is nothing to practise on it


@cache
def cells(lesson: str) -> list[dict]:
    "Return the cells of a lesson, their source as one string."
    return [{**cell, "source": "".join(cell["source"])} for cell in read(ROOT / f"nbs/course/{lesson}.ipynb")["cells"]]


def statements(source: str) -> list[ast.stmt]: return ast.parse(source).body


def only_imports(cell: dict) -> bool:
    return cell["cell_type"] == "code" and "%" not in cell["source"] and bool(statements(cell["source"])) and all(
        isinstance(statement, (ast.Import, ast.ImportFrom)) for statement in statements(cell["source"]))


def below(lesson: str, heading: str) -> list[dict]:
    "Return the cells from a heading of the second level to the next."
    sources = [cell["source"].strip() for cell in cells(lesson)]
    assert sources.count(f"## {heading}") == 1, f"{lesson}: one cell that is the heading ## {heading}"
    start = sources.index(f"## {heading}") + 1
    return cells(lesson)[start:next((n for n in range(start, len(sources)) if sources[n].startswith("## ")), None)]


def shown(cell: dict) -> str:
    "Return what a code cell shows as text."
    return "".join("".join(output.get("data", {}).get("text/plain", output.get("text", ""))) for output in cell["outputs"])


# The form of a lesson

@pytest.mark.parametrize("lesson", LESSONS)
def test_begins_with_title_goals_setup_and_imports(lesson):
    title, goals, setup, imports = cells(lesson)[:4]
    assert re.fullmatch(r"# [^\n]+\n\n> [^\n]+\.", title["source"]), "a title and a promise of one line"
    assert 3 <= len(re.findall(r"(?m)^- ", goals["source"])) <= 5, "three to five goals"
    assert re.search(r"\*\*Before", goals["source"]) and re.search(r"\]\([^)]+\)", goals["source"]), "prerequisites with a link"
    assert re.search(r"\*\*Time:\*\* about \d+ minutes", goals["source"])
    assert setup["cell_type"] == "code" and setup["source"] == course.setup_cell()
    assert only_imports(imports)


@pytest.mark.parametrize("lesson", LESSONS)
def test_ends_with_quiz_exercises_and_summary(lesson):
    headings = [cell["source"].strip() for cell in cells(lesson) if cell["source"].startswith("## ")]
    expected = ["## Quiz", "## Exercises", "## Summary"]
    assert headings[-3:] == expected or (lesson in WITHOUT_EXERCISES and headings[-2:] == ["## Quiz", "## Summary"])
    questions = "\n".join(cell["source"] for cell in below(lesson, "Quiz"))
    numbers = re.findall(r"(?m)^\*\*(\d)\.\*\* ", questions)
    assert numbers in (["1", "2", "3"], ["1", "2", "3", "4"]), "three or four questions, **1.** …"
    answers = re.findall(r"<details><summary>Answer</summary>\n\n.+?\n\n</details>", questions, flags=re.S)
    assert len(answers) == len(numbers) == questions.count("<details>"), "an answer to each, folded"
    summary = "\n".join(cell["source"] for cell in below(lesson, "Summary"))
    assert len(re.findall(r"(?m)^- ", summary)) >= 3
    following = LESSONS[LESSONS.index(lesson) + 1:][:1]
    assert all(f"]({name}.ipynb)" in summary for name in following), f"a link to {following}"


@pytest.mark.parametrize("lesson", LESSONS)
def test_imports_the_package_as_a_learner_does(lesson):
    for cell in cells(lesson):
        if cell["cell_type"] != "code": continue
        assert not re.search(r"(?m)^#\| *(export|default_exp)", cell["source"]), "a lesson exports nothing"
        assert not re.search(r"sys\.path\b|chdir|%cd", cell["source"]), cell["source"]
    assert any("tinybert" in cell["source"] for cell in cells(lesson) if only_imports(cell))


# What the setup cell brings, and what comes with it. The errata compare with transformers.
BROUGHT = {"tinybert", "fastcore", "matplotlib", "torch", "huggingface_hub", "safetensors", "tokenizers", "IPython", *sys.stdlib_module_names}


@pytest.mark.parametrize("lesson", LESSONS)
def test_imports_only_what_the_setup_cell_brings(lesson):
    nodes = [node for cell in cells(lesson) if only_imports(cell) for node in statements(cell["source"])]
    names = {name for node in nodes for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])}
    assert {name.partition(".")[0] for name in names} <= BROUGHT | ({"transformers"} if lesson in WITHOUT_EXERCISES else set())


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("lesson", sorted(WITHOUT_EXERCISES))
def test_transformers_is_installed_where_it_is_missing_before_it_is_imported(lesson, missing, monkeypatch):
    sources = [cell["source"] for cell in cells(lesson) if cell["cell_type"] == "code"]
    imports = [n for n, source in enumerate(sources) if re.search(r"(?m)^(import|from) transformers\b", source)]
    install = next(n for n, source in enumerate(sources) if "%pip" in source and "transformers" in source)
    assert install < min(imports) and "`transformers`" in cells(lesson)[1]["source"], "the goals say that it is needed"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "transformers" and missing else name)
    space = {"installed": []}
    exec("from importlib.util import find_spec", space)  # as the setup cell above it does
    exec(sources[install].replace("%pip install -q ", "installed += "), space)
    assert "".join(space["installed"]) == ("transformers>=5" if missing else "")


@pytest.mark.parametrize("lesson", LESSONS)
def test_headings_and_imports_have_cells_of_their_own(lesson):
    for cell in cells(lesson)[1:]:
        if cell["cell_type"] == "markdown": assert not re.search(r"\A#+ .*\n+\S", cell["source"]), cell["source"]
        elif cell["source"] != course.setup_cell() and not only_imports(cell):
            code = re.sub(r"(?m)^(\s*)%.*", r"\1pass", cell["source"])
            assert not any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in statements(code)), cell["source"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_cells_that_need_the_network_stand_last_in_their_subsection(lesson):
    after_hub = False
    for cell in cells(lesson):
        if cell["source"].startswith("#") and cell["cell_type"] == "markdown": after_hub = False
        elif cell["cell_type"] == "code":
            is_hub = cell["source"].startswith("#| hub")
            assert is_hub or not after_hub, f"after a cell that is skipped: {cell['source']}"
            assert not is_hub or not cell["outputs"]
            after_hub = is_hub


@pytest.mark.parametrize("lesson", LESSONS)
def test_pictures_have_a_text(lesson):
    for cell in cells(lesson):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            assert re.search(r'(?m)^#\| fig-alt: ".{40,}"$', cell["source"]), cell["source"][:200]


# The exercises

@dataclass
class Asked:
    "One exercise as it stands in a lesson."
    title: str
    task: dict
    stub: dict
    checked: dict
    solution: dict

    @property
    def name(self) -> str: return statements(self.stub["source"])[-1].name


@cache
def asked(lesson: str) -> list[Asked]:
    "Return the exercises of a lesson."
    if lesson in WITHOUT_EXERCISES and "## Exercises" not in [cell["source"].strip() for cell in cells(lesson)]: return []
    part = below(lesson, "Exercises")
    starts = [n for n, cell in enumerate(part) if cell["source"].startswith("### Exercise ")]
    return [Asked(part[n]["source"], *part[n + 1:n + 5]) for n in starts]


ALL = [pytest.param(lesson, number, id=f"{lesson}-{number + 1}") for lesson in LESSONS for number in range(len(asked(lesson)))]


def defined(lesson: str, source: str, name: str):
    "Run the lesson's imports and then this source, and return the function of this name."
    space = {}
    for cell in cells(lesson):
        if only_imports(cell): exec(cell["source"], space)
    exec(source, space)
    return space[name]


@pytest.mark.parametrize("lesson", LESSONS)
def test_has_three_to_five_exercises(lesson):
    found = asked(lesson)
    assert 3 <= len(found) <= 5 or (lesson in WITHOUT_EXERCISES and len(found) <= 5)
    assert [re.match(r"### Exercise (\d+): \S", exercise.title)[1] for exercise in found] == [str(n + 1) for n in range(len(found))]


def test_the_lessons_have_the_exercises_of_the_table_each_once():
    assert sorted(exercise.name for lesson in LESSONS for exercise in asked(lesson)) == sorted(EXERCISES)


@pytest.mark.parametrize("lesson, number", ALL)
def test_exercise_has_its_form(lesson, number):
    exercise = asked(lesson)[number]
    assert re.search(r"Difficulty ★{1,3}, \d+ minutes\.$", exercise.task["source"])
    stub, = statements(exercise.stub["source"])
    assert isinstance(stub, ast.FunctionDef) and ast.get_docstring(stub) and stub.returns
    assert all(argument.annotation for argument in stub.args.args), "the stub is typed"
    assert [ast.unparse(line) for line in stub.body[1:]] == ["..."]
    assert exercise.checked["source"] == f"check({stub.name})"
    assert exercise.solution["source"].startswith('#| code-fold: true\n#| code-summary: "Solution"\n')
    assert exercise.solution["metadata"] == {"jupyter": {"source_hidden": True}}
    *_, call = statements(exercise.solution["source"])
    assert ast.unparse(call) == f"check({stub.name})"
    signatures = [list(inspect.signature(function).parameters) for function in (
        defined(lesson, exercise.stub["source"], stub.name), defined(lesson, exercise.solution["source"], stub.name),
        EXERCISES[stub.name].answer)]
    assert signatures[0] == signatures[1] == signatures[2]


@pytest.mark.parametrize("lesson, number", ALL)
def test_stub_fails(lesson, number):
    exercise = asked(lesson)[number]
    verdict = check(defined(lesson, exercise.stub["source"], exercise.name))
    assert not verdict.passed and verdict.cause.startswith("no answer yet") and verdict.cause in verdict.text
    assert shown(exercise.checked).startswith(f"{exercise.name}: not yet") and "no answer yet" in shown(exercise.checked)


@pytest.mark.parametrize("lesson, number", ALL)
def test_solution_passes(lesson, number):
    exercise = asked(lesson)[number]
    verdict = check(defined(lesson, exercise.solution["source"], exercise.name))
    assert verdict.passed, verdict
    assert shown(exercise.solution) == verdict.text == f"{exercise.name}: passed, on {len(EXERCISES[exercise.name].inputs())} inputs."


@pytest.mark.parametrize("name", EXERCISES)
def test_answer_of_the_table_passes(name):
    assert judge(name, EXERCISES[name], EXERCISES[name].answer).passed


def test_every_exercise_knows_a_mistake_and_tries_several_inputs():
    for name, exercise in EXERCISES.items():
        assert exercise.mistakes and len(exercise.inputs()) > 1, name


@pytest.mark.parametrize("name, message", [(name, message) for name in EXERCISES for message in EXERCISES[name].mistakes])
def test_mistake_is_named(name, message):
    verdict = judge(name, EXERCISES[name], EXERCISES[name].mistakes[message])
    assert not verdict.passed, "this mistake gives the right result on all inputs"
    assert verdict.cause == message and message in verdict.text
    assert message[0].isupper() and message.endswith("."), "a sentence to the learner"
    for part in ("input ", "yours ", "expected "): assert f"\n  {part}" in verdict.text


def test_the_map_lists_every_lesson_with_its_minutes():
    page = "\n".join("".join(cell["source"]) for cell in read(ROOT / "nbs/index.ipynb")["cells"])
    listed = re.findall(r"(?m)^\| \[([^\]]+)\]\(course/(\w+)\.ipynb\) \| .* \| (\d+) \|$", page)
    expected = [(re.match(r"# (.+)", cells(lesson)[0]["source"])[1], lesson,
                 re.search(r"\*\*Time:\*\* about (\d+) minutes", cells(lesson)[1]["source"])[1]) for lesson in LESSONS]
    assert listed == expected
