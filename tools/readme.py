"Write README.md from nbs/index.ipynb, or with --check tell whether it is current."

import posixpath, re, sys

import nbformat
from fastcore.nbio import nb2str
from nbconvert import MarkdownExporter
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics, filter_stream_, hide_, hide_line, rm_export, rm_header_dash, strip_ansi

from tools.course import ROOT, links

INDEX, README = ROOT / "nbs/index.ipynb", ROOT / "README.md"
NOTE = '<!-- Written by tools/readme.py from nbs/index.ipynb: edit the notebook, then run "make readme". -->'
BADGES = "<!-- links -->"  # ends the line that depends on where the repository lives, which --check leaves out


def from_root(target: str) -> str:
    "Turn a link that holds in nbs/ into one that holds at the root."
    if re.match(r"[a-z]+:|#|/", target): return target
    return posixpath.normpath(posixpath.join("nbs", target))


def notebook():
    "Return the index as nbformat's notebook, without directives and hidden cells."
    procs = [hide_line, filter_stream_, strip_ansi, rm_header_dash, rm_export, clean_magics, hide_]
    nb = nbformat.reads(nb2str(NBProcessor(INDEX, procs, process=True).nb), as_version=4)
    nb.metadata["language_info"] = {"name": "python"}  # nbdev-clean strips it; the exporter marks code with it
    for cell in nb.cells:  # GitHub runs no script of a README
        if "outputs" in cell: cell.outputs = [each for each in cell.outputs if "text/html" not in each.get("data", {})]
    kinds = {kind for cell in nb.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    if any(kind.startswith("image/") for kind in kinds):
        raise SystemExit("readme: a cell of nbs/index.ipynb draws a picture; save it below nbs/ and show it as ![text](file)")
    return nb


def render() -> str:
    "Return the text of README.md."
    nb = notebook()
    target = r'(?<=\]\()[^)\s]+|(?<=src=")[^"]+|(?<=href=")[^"]+'
    for cell in nb.cells:
        if cell.cell_type == "markdown": cell.source = re.sub(target, lambda found: from_root(found[0]), cell.source)
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines())).strip()
    line = links(INDEX.relative_to(ROOT))
    if line: text = re.sub(r"^# .*$", lambda m: f"{m[0]}\n\n{line} {BADGES}", text, count=1, flags=re.M)
    return f"{NOTE}\n\n{text}\n"


def without_badges(text: str) -> str:
    "Drop the line of links."
    return re.sub(rf"\n.*{BADGES}\n", "", text)


def check():
    "Stop with status 1 when README.md is not what the notebook gives."
    old = README.read_text(encoding="utf-8") if README.exists() else ""
    if without_badges(old) != without_badges(render()): raise SystemExit("readme: README.md is stale: run make readme")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]: check()
    else: README.write_text(render(), encoding="utf-8")
