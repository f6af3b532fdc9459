"Every notebook runs, and its page shows what its code prints."

import json
import math
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "nbs").rglob("*.ipynb")
                   if not any(part[0] in "._" for part in path.relative_to(ROOT).parts))


def copy_project(folder: Path) -> Path:
    "Copy what nbdev and the tools need, so that a test may write there."
    for name in ("pyproject.toml", "settings.ini", "_quarto.yml", "README.md"):
        if (ROOT / name).exists(): shutil.copy(ROOT / name, folder)
    skip = shutil.ignore_patterns("__pycache__", ".*", "nbdev.yml", "site.yml", "card.png", "llms.txt")
    for name in ("nbs", "tinybert", "tools"): shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=skip)
    return folder


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess:
    "Run one of the environment's programs in a copy of the project, with the copy's modules."
    env = {name: value for name, value in os.environ.items()
           if name not in ("IN_TEST", "HF_HUB_OFFLINE", "GITHUB_REPOSITORY")}
    # Two run at a time: with more threads than cores, those of small models wait for each other.
    env = {"HF_HOME": str(ROOT / ".cache/huggingface"), "OMP_NUM_THREADS": "1", **env,
           "PYTHONPATH": str(folder), **variables}
    program = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run([program, *command[1:]], cwd=folder, env=env, capture_output=True, text=True)


def read(path: Path) -> dict:
    "Return a notebook."
    return json.loads(path.read_text(encoding="utf-8"))


# Comparing

ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]+")
DATA = re.compile(r"[A-Za-z0-9+/]{200,}=*")  # base64, of a picture or of rounded weights
DRAWING = re.compile(r'(?s)<svg role="img" (aria-label="[^"]*").*?</svg>')  # of tinybert.drawing: its text counts
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\b(?:nan|inf)\b")


def shown(cell: dict) -> list[tuple[str, str]]:
    "Return kind and text of all that a cell shows; a picture counts without its content."
    items = []
    for output in cell.get("outputs", []):
        if "data" in output:
            items += [(kind, "".join(data) if kind.startswith("text/") else "") for kind, data in sorted(output["data"].items())]
        else: items.append((output.get("name", "error"), "".join(output.get("text", output.get("evalue", "")))))
    return items


def close(stored: str, fresh: str, rtol: float = 1e-3, atol: float = 1e-4) -> bool:
    "Compare two numbers: integers (ids, shapes, counts) exactly, others within the tolerance."
    if stored == fresh: return True
    if any(text.lstrip("+-").isdigit() for text in (stored, fresh)): return False
    a, b = float(stored), float(fresh)
    return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= atol + rtol * abs(a)


def same_text(stored: str, fresh: str) -> bool:
    "Compare numbers pairwise and the text between them exactly, but for white space, addresses, base64 and drawings."
    stored, fresh = (DATA.sub("", ADDRESS.sub("", DRAWING.sub(r"\1", text))) for text in (stored, fresh))
    words = [[" ".join(piece.split()) for piece in NUMBER.split(text)] for text in (stored, fresh)]
    return words[0] == words[1] and all(map(close, NUMBER.findall(stored), NUMBER.findall(fresh)))


def same(stored: dict, fresh: dict) -> bool:
    "Tell whether two cells show the same."
    old, new = shown(stored), shown(fresh)
    return [kind for kind, _ in old] == [kind for kind, _ in new] and all(same_text(a, b) for (_, a), (_, b) in zip(old, new))


def differences(stored: dict, fresh: dict) -> list[str]:
    "Describe each cell of a notebook that does not show what it prints."
    found = []
    for index, (old, new) in enumerate(zip(stored["cells"], fresh["cells"], strict=True)):
        if same(old, new): continue
        lines = [line for line in "".join(old["source"]).splitlines() if line.strip() and not line.startswith("#|")]
        texts = ["\n".join(f"    [{kind}] {text.rstrip()}" for kind, text in shown(cell)) or "    nothing" for cell in (old, new)]
        found.append(f"cell {index}: {lines[0] if lines else ''}\n  stored:\n{texts[0]}\n  fresh:\n{texts[1]}")
    return found


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> tuple[Path, dict[str, subprocess.CompletedProcess]]:
    """Run all notebooks once, each in a process of its own, as a reader's kernel is; in a copy where no output is stored,
    so that a cell that is skipped shows nothing."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    for name in NOTEBOOKS:
        notebook = read(folder / name)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code": cell["outputs"] = []
        (folder / name).write_text(json.dumps(notebook), encoding="utf-8")
    with ThreadPoolExecutor(2) as pool:
        return folder, dict(zip(NOTEBOOKS, pool.map(lambda name: run(folder, "nbdev-test", name, "--save"), NOTEBOOKS)))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_page_shows_what_its_code_prints(name, executed):
    folder, results = executed
    if results[name].returncode: pytest.fail(f"{name} does not run:\n{results[name].stderr[-5000:]}", pytrace=False)
    if found := differences(read(ROOT / name), read(folder / name)):
        pytest.fail("\n".join([f"{name} shows what its code does not print; see it and run make outputs", *found]), pytrace=False)


# The comparison itself

def cell(*outputs: dict, source: str = "#| hide\nf(x)") -> dict:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def text(value: str) -> dict: return {"output_type": "execute_result", "data": {"text/plain": [value]}}


def stream(value: str, name: str = "stdout") -> dict: return {"output_type": "stream", "name": name, "text": [value]}


def picture(data: str) -> dict: return {"output_type": "display_data", "data": {"image/png": data, "text/plain": ["<Figure>"]}}


@pytest.mark.parametrize("stored, fresh", [
    (text("tensor([[ 0.1234, -1.0000]])"), text("tensor([[0.1235, -1.0001]])")),
    (text("0.0500"), text("0.0501")),
    (text("tensor([0.0000])"), text("tensor([-0.0000])")),
    (text("4.1e-07"), text("2.2e-08")),
    (text("a   b\n c"), text("a b c")),
    (text("<object>"), text("<object at 0x7f00aa>")),
    (stream("nan inf"), stream("nan inf")),
    (picture("AAAA"), picture("BBBB")),
    (text(f'<img src="{"AAAA" * 60}==">'), text(f'<img src="{"BBBB" * 60}">')),
    (text('<svg role="img" aria-label="A line" x="1">a</svg>'), text('<svg role="img" aria-label="A line" x="2">b</svg>')),
])
def test_equal_outputs_pass(stored, fresh):
    assert same(cell(stored), cell(fresh))


@pytest.mark.parametrize("stored, fresh", [
    ([text("loss 0.1234")], [text("loss 0.1254")]),
    ([text("tensor([101, 7592])")], [text("tensor([101, 7593])")]),
    ([text("(2, 3)")], [text("(2, 3, 4)")]),
    ([text("12 3")], [text("123")]),
    ([text('<svg role="img" aria-label="A line">a</svg>')], [text('<svg role="img" aria-label="A bar">a</svg>')]),
    ([text("1.5")], [text("-1.5")]),
    ([text("1.5")], [text("nan")]),
    ([text("inf")], [text("1.5")]),
    ([text("a cat")], [text("a dog")]),
    ([text("True")], []),
    ([], [text("True")]),
    ([stream("a")], [stream("a"), text("b")]),
    ([stream("a")], [stream("a", "stderr")]),
    ([picture("AAAA")], [text("<Figure>")]),
    ([text('<img src="AAAA">')], [text('<img src="BBBB">')]),
])
def test_different_outputs_fail(stored, fresh):
    assert not same(cell(*stored), cell(*fresh))


def test_a_difference_names_its_cell():
    stored, fresh = ({"cells": [cell(), cell(text(value))]} for value in ("1.5", "2.5"))
    assert differences(stored, stored) == []
    assert differences(stored, fresh) == ["cell 1: f(x)\n  stored:\n    [text/plain] 1.5\n  fresh:\n    [text/plain] 2.5"]


# Cells

EXPORT = re.compile(r"#\| export")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_has_the_id_of_a_heading_or_of_a_definition(name):
    "The site gives all three as anchors of a page, and an anchor must be there once."
    anchors, ids = set(), []
    for cell in read(ROOT / name)["cells"]:
        source = "".join(cell["source"])
        ids.append(cell["id"].lower())
        if cell["cell_type"] == "code": anchors |= set(re.findall(r"(?m)^(?:def|class) (\w+)", source.lower()))
        else: anchors |= {re.sub(r"[^\w\s-]", "", heading).strip().replace(" ", "-")
                          for heading in re.findall(r"(?m)^#+ (.+)", source.lower())}
    assert len(ids) == len(set(ids)) and not anchors & set(ids)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_exported_cells_are_short(name):
    for cell in read(ROOT / name)["cells"]:
        lines = [line for line in cell["source"] if not line.startswith("#|")]
        if EXPORT.match("".join(cell["source"])): assert len(lines) <= 40, cell["id"]
