"The lessons have their form: title, goals, quiz, exercises, summary; the words and the widths."

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, ROOT, read

LESSONS = sorted(path.stem for path in (ROOT / "nbs/course").glob("*.ipynb"))
# There is nothing to practise on a list of errata.
WITHOUT_EXERCISES = {lesson for lesson in LESSONS if "errata" in lesson}


@cache
def page(name: str) -> list[dict]:
    "Return the cells of a notebook, their source as one string."
    return [{**cell, "source": "".join(cell["source"])} for cell in read(ROOT / name)["cells"]]


def cells(lesson: str) -> list[dict]: return page(f"nbs/course/{lesson}.ipynb")


def code_of(lesson: str) -> list[dict]:
    return [cell for cell in cells(lesson) if cell["cell_type"] == "code"]


def statements(source: str) -> list[ast.stmt]: return ast.parse(source).body


def is_import(node: ast.stmt) -> bool: return isinstance(node, (ast.Import, ast.ImportFrom))


def only_imports(cell: dict) -> bool:
    if cell["cell_type"] != "code" or "%" in cell["source"]: return False
    found = statements(cell["source"])
    return bool(found) and all(map(is_import, found))


def headings(lesson: str) -> list[str]:
    "Return the headings of the second level."
    return [cell["source"].strip() for cell in cells(lesson) if cell["source"].startswith("## ")]


def below(lesson: str, heading: str) -> list[dict]:
    "Return the cells from a heading of the second level to the next."
    sources = [cell["source"].strip() for cell in cells(lesson)]
    assert sources.count(f"## {heading}") == 1, f"one cell that is the heading ## {heading}"
    start = sources.index(f"## {heading}") + 1
    ends = [n for n in range(start, len(sources)) if sources[n].startswith("## ")]
    return cells(lesson)[start:min(ends, default=None)]


def shown(cell: dict) -> str:
    "Return what a code cell shows as text."
    texts = [output.get("data", {}).get("text/plain", output.get("text", ""))
             for output in cell["outputs"]]
    return "".join(map("".join, texts))


# The form of a lesson

@pytest.mark.parametrize("lesson", LESSONS)
def test_begins_with_title_goals_setup_and_imports(lesson):
    title, goals, setup, imports = cells(lesson)[:4]
    assert re.fullmatch(r"# [^\n]+\n\n> [^\n]+\.", title["source"]), "a title and a promise"
    assert 3 <= len(re.findall(r"(?m)^- ", goals["source"])) <= 5, "three to five goals"
    assert re.search(r"\*\*Before", goals["source"]), "prerequisites"
    assert re.search(r"\]\([^)]+\)", goals["source"]), "with a link"
    assert re.search(r"\*\*Time:\*\* about \d+ minutes", goals["source"])
    assert setup["id"] == "setup"
    assert only_imports(imports)


@pytest.mark.parametrize("lesson", LESSONS)
def test_ends_with_quiz_exercises_and_summary(lesson):
    last = ["## Quiz", "## Exercises", "## Summary"]
    if lesson in WITHOUT_EXERCISES and "## Exercises" not in headings(lesson): del last[1]
    assert headings(lesson)[-len(last):] == last
    questions = "\n".join(cell["source"] for cell in below(lesson, "Quiz"))
    numbers = re.findall(r"(?m)^\*\*(\d)\.\*\* ", questions)
    assert numbers in (["1", "2", "3"], ["1", "2", "3", "4"]), "three or four questions, **1.** …"
    fold = r"<details><summary>Answer</summary>\n\n.+?\n\n</details>"
    answers = re.findall(fold, questions, flags=re.S)
    assert len(answers) == len(numbers) == questions.count("<details>"), "an answer to each, folded"
    summary = "\n".join(cell["source"] for cell in below(lesson, "Summary"))
    assert len(re.findall(r"(?m)^- ", summary)) >= 3
    following = LESSONS[LESSONS.index(lesson) + 1:][:1]
    assert all(f"]({name}.ipynb)" in summary for name in following), f"a link to {following}"


@pytest.mark.parametrize("lesson", LESSONS)
def test_imports_the_package_as_a_learner_does(lesson):
    for cell in code_of(lesson):
        assert not re.search(r"(?m)^#\| *(export|default_exp)", cell["source"])
        assert not re.search(r"sys\.path\b|chdir|%cd", cell["source"]), cell["source"]
    assert any("tinybert" in cell["source"] for cell in cells(lesson) if only_imports(cell))


# What the setup cell brings, and what comes with it. The errata compare with transformers.
BROUGHT = {"tinybert", "fastcore", "matplotlib", "torch", "huggingface_hub", "safetensors",
           "tokenizers", "IPython", *sys.stdlib_module_names}


@pytest.mark.parametrize("lesson", LESSONS)
def test_imports_only_what_the_setup_cell_brings(lesson):
    brought = BROUGHT | ({"transformers"} if lesson in WITHOUT_EXERCISES else set())
    for cell in filter(only_imports, cells(lesson)):
        for node in statements(cell["source"]):
            names = [name.name for name in node.names]
            if isinstance(node, ast.ImportFrom): names = [node.module]
            assert {name.partition(".")[0] for name in names} <= brought


def test_the_errata_say_that_they_need_transformers():
    for lesson in WITHOUT_EXERCISES: assert "`transformers`" in cells(lesson)[1]["source"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_headings_and_imports_have_cells_of_their_own(lesson):
    for cell in cells(lesson)[1:]:
        if cell["cell_type"] == "markdown":
            assert not re.search(r"\A#+ .*\n+\S", cell["source"]), cell["source"]
        elif cell["id"] != "setup" and not only_imports(cell):
            code = re.sub(r"(?m)^(\s*)%.*", r"\1pass", cell["source"])
            assert not any(map(is_import, statements(code))), cell["source"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_cells_that_need_the_network_are_the_last_of_their_subsection(lesson):
    after_hub = False
    for cell in cells(lesson):
        if cell["source"].startswith("#") and cell["cell_type"] == "markdown": after_hub = False
        elif cell["cell_type"] == "code":
            is_hub = cell["source"].startswith("#| hub")
            assert is_hub or not after_hub, f"after a cell that is skipped: {cell['source']}"
            assert not is_hub or not cell["outputs"]
            after_hub = is_hub


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_pictures_have_a_text_and_both_colors(name):
    for cell in page(name):
        for data in (output["data"] for output in cell.get("outputs", []) if "data" in output):
            html = "".join(data.get("text/html", ""))
            assert "image/png" not in data or "tinybert-" in html, f"{cell['id']}: draw it by tinybert.drawing"
            for alt in re.findall(r'<img alt="([^"]*)"', html): assert len(alt) >= 40, cell["id"]
            assert html.count("<svg") <= html.count('<svg role="img" aria-label="'), cell["id"]


# Words and widths

COURSE = [name for name in NOTEBOOKS if re.match("nbs/(course|exercises)/", name)]
# Words that were this course's own, beside the field's: scores and weights, position, padding, …
PRIVATE = re.compile(
    r"attention shares?|\b(?:its|the|their|a|no) shares?\b|\bshares? (?:of|that|for)\b"
    r"|\b(?:its|the|their|a) fits?\b|\bfits? (?:of|between)\b|\bfits (?:and|are)\b"
    r"|\blinear maps?\b|\bfillers?\b|\bword tables?\b|\b(?:padded|padding|real|masked) places?\b"
    r"|\bplaces of\b|\bby lot\b|\bsomebody\b|\bnobody\b|\bmakes of\b|\bstands? for\b", re.I)


@pytest.mark.parametrize("name", COURSE)
def test_speaks_the_fields_language(name):
    found = {cell["id"]: PRIVATE.findall(cell["source"]) for cell in page(name)}
    assert not {cell: words for cell, words in found.items() if words}


def is_visible(cell: dict) -> bool:
    folded = cell["metadata"].get("jupyter", {}).get("source_hidden")
    return not folded and not re.search(r"(?m)^#\| *(hide|echo: false)", cell["source"])


def too_wide(source: str, limit: int) -> list[str]:
    "Return the lines of code above a limit; a picture's text is one line, but no code."
    return [line for line in source.splitlines()
            if len(line) > limit and not re.match(r"#\| code-summary:", line)]


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_code_that_a_learner_sees_is_88_columns_wide(lesson):
    for cell in filter(is_visible, code_of(lesson)):
        assert not too_wide(cell["source"], 88)


def files_with_code() -> list[str]:
    "Return the notebooks and the package's Python files that aren't made from notebooks."
    files = [path for path in (ROOT / "tinybert").rglob("*.py")
             if not re.match(r"[^\n]*\n*# A(?i:utogenerated)", path.read_text(encoding="utf-8"))]
    return [*NOTEBOOKS, *sorted(str(path.relative_to(ROOT)) for path in files)]


@pytest.mark.parametrize("name", files_with_code())
def test_no_line_of_code_is_above_100_columns(name):
    if name.endswith(".py"): sources = [(ROOT / name).read_text(encoding="utf-8")]
    else:  # a setup cell is as wide as the name of the repository makes it
        sources = [cell["source"] for cell in page(name) if cell["cell_type"] == "code" and cell["id"] != "setup"]
    assert not [line for source in sources for line in too_wide(source, 100)]


# The exercises

@dataclass(frozen=True)
class Asked:
    "One exercise as a lesson asks it."
    title: str
    tasks: list[dict]
    stub: dict
    checked: dict

    @property
    def arguments(self) -> list[ast.expr]: return statements(self.checked["source"])[-1].value.args

    @property
    def name(self) -> str:
        "Return the name of the exercise: check(name) or check(\"name\", answer)."
        return ast.unparse(self.arguments[0]).strip("'")

    @property
    def target(self) -> str:
        "Return what the stub defines: check(target) or check(\"name\", target)."
        return ast.unparse(self.arguments[-1])


@cache
def asked(lesson: str) -> list[Asked]:
    "Return the exercises of a lesson: the cells from one ### heading to the next."
    if "## Exercises" not in headings(lesson): return []
    part = below(lesson, "Exercises")
    starts = [n for n, cell in enumerate(part) if cell["source"].startswith("### ")]
    pieces = [part[start:end] for start, end in zip(starts, [*starts[1:], None])]
    return [Asked(piece[0]["source"], piece[1:-2], *piece[-2:]) for piece in pieces]


EACH = [pytest.param(lesson, exercise, id=f"{lesson}-{n}")
        for lesson in LESSONS for n, exercise in enumerate(asked(lesson), 1)]


def defined(lesson: str, source: str, name: str):
    "Run the lesson's imports and then this source, and return what it defines by this name."
    space = {}
    for cell in filter(only_imports, cells(lesson)): exec(cell["source"], space)
    exec(source, space)
    return space[name]


@pytest.mark.parametrize("lesson", LESSONS)
def test_has_three_to_eight_exercises_in_order(lesson):
    titles = [exercise.title for exercise in asked(lesson)]
    assert 3 <= len(titles) <= 8 or lesson in WITHOUT_EXERCISES
    numbers = [re.match(r"### Exercise (\d+): \S", title)[1] for title in titles]
    assert numbers == [str(n) for n in range(1, len(titles) + 1)]


@pytest.mark.parametrize("lesson", [lesson for lesson in LESSONS if asked(lesson)])
def test_says_at_the_head_of_the_exercises_how_to_get_help(lesson):
    introduction = below(lesson, "Exercises")[0]["source"]
    for function in ("hint", "solution"):
        called = set(re.findall(rf'`{function}\("(\w+)"\)`', introduction))
        assert called and called <= {exercise.name for exercise in asked(lesson)}


@pytest.mark.parametrize("lesson, exercise", EACH)
def test_exercise_has_its_form(lesson, exercise):
    assert all(task["cell_type"] == "markdown" for task in exercise.tasks)
    assert re.search(r"Difficulty ★{1,3}, \d+ minutes\.$", exercise.tasks[-1]["source"])
    stub, = statements(exercise.stub["source"])
    if isinstance(stub, ast.FunctionDef):
        assert ast.get_docstring(stub) and stub.returns
        assert all(argument.annotation for argument in stub.args.args), "the stub is typed"
        assert [ast.unparse(line) for line in stub.body[1:]] == ["..."]
        assert exercise.checked["source"] == f"check({stub.name})"
    else:
        target, = stub.targets
        assert isinstance(target, ast.Name) and ast.unparse(stub.value) == "..."
        assert exercise.checked["source"] == f'check("{exercise.name}", {target.id})'


@pytest.mark.parametrize("lesson", LESSONS)
def test_holds_no_answer(lesson):
    "Run all would put a solution on the page in the place of what the learner wrote."
    checked = [exercise.checked for exercise in asked(lesson)]
    for cell in code_of(lesson):
        assert 'code-summary: "Solution"' not in cell["source"]
        assert not re.search(r"\b(solution|hint)\(", cell["source"]), cell["source"]
        assert ": not yet" not in shown(cell) and "\n  expected  " not in shown(cell)
        if re.search(r"\bcheck\(", cell["source"]): assert cell in checked, cell["source"]


def test_the_map_lists_every_lesson_with_its_minutes():
    table = "\n".join(cell["source"] for cell in page("nbs/index.ipynb"))
    row = r"(?m)^\| \[([^\]]+)\]\(course/(\w+)\.ipynb\) \| .* \| (\d+) \|$"
    expected = []
    for lesson in LESSONS:
        title, goals = (cell["source"] for cell in cells(lesson)[:2])
        minutes = re.search(r"\*\*Time:\*\* about (\d+) minutes", goals)[1]
        expected.append((re.match(r"# (.+)", title)[1], lesson, minutes))
    assert re.findall(row, table) == expected
