"""Set up the cells of each page: the setup cell, from settings.ini, brings what the page imports and a machine lacks,
and the code that draws a picture is folded."""

import ast, json, re, textwrap
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

from tools.course import ROOT, address, write

FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # the first is JupyterLab's, the second Colab's
BASE = ("tinybert", "fastcore", "matplotlib")  # for every page: checks and pictures need the last two
KNOWN = """\
#| hide
# Written by tools/setup_cells.py: installs what this page imports, where it's missing.
from importlib.metadata import version
from importlib.util import find_spec

needed = {{
{needed}
}}
missing = [package for name, package in needed.items() if not find_spec(name)]
if missing:  # the torch and the numpy that are here stay as they are
    kept = [f"{{name}}=={{version(name)}}" for name in ("torch", "numpy") if find_spec(name)]
    packages = " ".join(f'"{{package}}"' for package in missing + kept)
    %pip install -q {{packages}}
    if not all(map(find_spec, needed)): raise ImportError("pip, just above, says what is wrong.")"""
UNKNOWN = """\
#| hide
# Written by tools/setup_cells.py: says what to do where an import would fail.
from importlib.util import find_spec

if missing := [name for name in (
    {needed}
) if not find_spec(name)]:
    raise ImportError(f"There's no {{', '.join(missing)}} here: run `make lab` in the folder "
                      "that has the course's Makefile, and open this page there.")"""


def pages() -> list[Path]:
    "Return the notebooks of the course and of the package."
    return sorted(path for path in (ROOT / "nbs").rglob("*.ipynb")
                  if not any(part.startswith((".", "_")) for part in path.relative_to(ROOT).parts))


def imported(notebook: dict) -> set[str]:
    "Return the first part of each module's name that a notebook's code imports."
    names = set()
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code": continue
        code = re.sub(r"(?m)^(\s*)[%!].*", r"\1pass", "".join(cell["source"]))
        for node in ast.parse(code).body:  # an import below an `if` is optional
            if isinstance(node, ast.Import): names |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom): names.add(node.module.partition(".")[0])
    return names


def packages() -> dict[str, str]:
    "Return the packages of the extras in pyproject.toml: module → what pip is to install."
    extras = (Requirement(line) for line in requires("tinybert") if "extra ==" in line)
    return {each.name.replace("-", "_"): f"{each.name}{each.specifier}" for each in extras}


def setup_cell(notebook: dict) -> str:
    "Return the code of a notebook's setup cell."
    offered, used = packages(), imported(notebook)
    names = [*BASE, *sorted(used & offered.keys() - set(BASE))]
    listed = ", ".join(f'"{name}"' for name in names)
    if not (source := address("install")): return UNKNOWN.format(needed=textwrap.fill(listed, 84).replace("\n", "\n    "))
    wanted = offered | {"tinybert": f"tinybert @ {source}"}
    return KNOWN.format(needed="\n".join(f'    "{name}": "{wanted[name]}",' for name in names))


def with_setup(notebook: dict) -> dict:
    "Return a notebook whose first code cell is its setup cell."
    cells = [cell for cell in notebook["cells"] if cell["id"] != "setup"]
    first = next(n for n, cell in enumerate(cells) if cell["cell_type"] == "code")
    cell = {"cell_type": "code", "execution_count": None, "id": "setup", "metadata": {}, "outputs": [],
            "source": setup_cell({"cells": cells}).splitlines(keepends=True)}
    return {**notebook, "cells": [*cells[:first], cell, *cells[first:]]}


def with_folds(notebook: dict) -> dict:
    "Return a notebook that folds in JupyterLab and Colab what the site leaves out: code that draws, hidden cells."
    def folded(cell: dict) -> dict:
        aside = cell["cell_type"] == "code" and re.search(r"(?m)^#\| (echo: false|hide)$", "".join(cell["source"]))
        return {**cell, "metadata": cell["metadata"] | FOLDED} if aside else cell
    return {**notebook, "cells": [folded(cell) for cell in notebook["cells"]]}


def main():
    for path in pages():
        notebook = with_folds(with_setup(json.loads(path.read_text(encoding="utf-8"))))
        write(path, json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__": main()
