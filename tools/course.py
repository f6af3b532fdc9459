"Read settings.ini and put the course's links on its pages."

import os, pkgutil, re, subprocess, sys
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from urllib.parse import quote
from fastcore.docments import MarkdownRenderer

ROOT = Path(__file__).resolve().parent.parent
LABELS = {"forum": "Ask a question", "colab": "Open in Colab", "studio_lab": "Open in Studio Lab"}
ELSEWHERE = ("colab", "studio_lab")  # where a page needs its setup cell, for which only settings.ini counts


def settings() -> dict[str, str]:
    "Return the course's settings."
    parser = ConfigParser(interpolation=None)
    parser.read_string((ROOT / "settings.ini").read_text(encoding="utf-8"))
    return dict(parser["course"])


def _remote() -> str:
    "Return owner/name of the git remote if it is on GitHub, else an empty string."
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try: url = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError: return ""  # no git on this machine
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", url)
    return found[1] if found else ""


@cache  # one line on the console, not one for each page
def repo() -> str:
    "Return owner/name: from settings.ini, else GITHUB_REPOSITORY, else the git remote, else an empty string."
    name = settings()["repo"] or os.environ.get("GITHUB_REPOSITORY") or _remote()
    if not name: print("course: no repository known, so pages get no links to it (settings.ini, repo)", file=sys.stderr)
    return name


def links(
    notebook: str | Path,  # path below the root of the repository, such as nbs/00_config.ipynb
) -> str:
    "Return the Markdown line of links for a page, without those that need a repository while none is known."
    chosen, path = settings(), Path(notebook)
    values = {"repo": repo(), "branch": chosen["branch"], "title": chosen["title"],
              "path": path.as_posix(), "page": path.stem}
    values = {name: quote(value) for name, value in values.items()}
    known = {label: chosen[key] for key, label in LABELS.items()
             if "{repo}" not in chosen[key] or (chosen["repo"] if key in ELSEWHERE else values["repo"])}
    return " · ".join(f"[{label}]({url.format(**values)})" for label, url in known.items() if url)


def as_exported(sym):
    "Return the package's own class or function for one that a page has just defined, whose comments have no file."
    from tinybert._modidx import d
    name = getattr(sym, "__qualname__", "")
    homes = [module for module, names in d["syms"].items() if f"{module}.{name}" in names]
    return pkgutil.resolve_name(f"{homes[0]}:{name}") if homes and sym.__module__ == "__main__" else sym


class Reference(MarkdownRenderer):
    "Render an entry of `show_doc`: the heading first, so that the site lists it, and no line number."
    def __init__(self, sym, **options): super().__init__(as_exported(sym), **options)

    def _repr_markdown_(self) -> str:
        return f"{'#' * self.title_level} {self.nm}\n\n{super()._repr_markdown_()}"


class CourseLinks:
    "Put the line of links under a page's title, and make nbdev's links relative."
    def __init__(self, nb):
        self.nb, self.path = nb, Path(nb.path_).resolve().relative_to(ROOT)

    def end(self):
        from fastcore.nbio import mk_cell
        for cell in self.nb.cells:
            if cell.cell_type == "markdown": cell.source = self.mend(cell.source)
            for data in (output["data"] for output in cell.get("outputs", []) if "data" in output):
                if "text/markdown" in data: data["text/markdown"] = self.mend("".join(data["text/markdown"]))
        line = links(self.path)
        if line: self.nb.cells.insert(1, mk_cell(line, "markdown"))  # cell 0 is the title, as front matter

    def mend(self, markdown: str) -> str:
        "Make links from the site's root relative to the page."
        return re.sub(r"\]\(/(?=[\w/.-]+\.html)", "](" + "../" * (len(self.path.parts) - 2), markdown)
