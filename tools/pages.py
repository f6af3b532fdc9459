"Prepare the site: its addresses, what stands around a page's cells, the look of an entry of reference."

import json, pkgutil, re, sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import yaml
from fastcore.docments import MarkdownRenderer
from fastcore.nbio import mk_cell
from nbdev.config import get_config

from tools import course
from tools.course import ROOT, write

SITE, CARD, LLMS = ROOT / "nbs/site.yml", ROOT / "nbs/card.png", ROOT / "nbs/llms.txt"
PROJECT = ROOT / "pyproject.toml"


# Addresses

def site() -> dict:
    "Return what Quarto should know of the repository and of the site's address, without an empty one."
    config = get_config(ROOT)
    website = {"title": course.settings()["title"], "description": config.description}
    if url := course.address("site"):
        card = {"image": f"/{CARD.name}", "image-alt": f"{website['title']}: {config.description}"}
        website |= {"site-url": url, "open-graph": card, "twitter-card": card | {"card-style": "summary_large_image"}}
    if name := course.repo():
        website |= {"repo-url": f"https://github.com/{name}", "repo-branch": course.settings()["branch"],
                    "repo-subdir": config.nbs_path.name, "repo-actions": ["edit", "source", "issue"]}
    resources = [LLMS.name, CARD.name] if url else [LLMS.name]
    return {"project": {"output-dir": config.doc_path.name, "resources": resources}, "website": website}


def urls() -> dict[str, str]:
    "Return the addresses that PyPI shows; settings.ini alone decides, so that they are the same on every machine."
    name = course.settings()["repo"]
    if not name: return {}
    source = f"https://github.com/{name}"
    return {"Homepage": course.address("site"), "Repository": source, "Issues": f"{source}/issues",
            "Changelog": f"{source}/blob/{course.settings()['branch']}/CHANGELOG.md"}


def with_urls(project: str) -> str:
    "Return the text of pyproject.toml with these addresses, or without the section while there are none."
    project = re.sub(r"\[project\.urls\]\n(?:.*=.*\n)*\n", "", project)
    if not (known := {label: url for label, url in urls().items() if url}): return project
    lines = "".join(f"{label} = {json.dumps(url)}\n" for label, url in known.items())
    return project.replace("[project.optional-dependencies]", f"[project.urls]\n{lines}\n[project.optional-dependencies]", 1)


def entry(page: str) -> str:
    "Return a line of llms.txt: a page's title, the address of its Markdown, and what it promises."
    path = ROOT / "nbs" / page
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb": text = "".join(json.loads(text)["cells"][0]["source"])
    title, promise = re.match(r"(?:# |---\ntitle: )(.*)\s+(?:(?:> |description: )(.*))?", text).groups()
    html = re.sub(r"\b\d+_", "", Path(page).with_suffix(".html").as_posix())  # as nbdev names it
    address = f"{html}.md" if path.suffix == ".ipynb" else html
    return f"- [{title}]({'/'.join(filter(None, (course.address('site'), address)))})" + f": {promise}" * bool(promise)


def llms() -> str:
    "Return what language models read first (llmstxt.org): the pages of the sidebar."
    sidebar = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    lines = [f"# {course.settings()['title']}", f"> {get_config(ROOT).description}"]
    for part in sidebar:
        if isinstance(part, str): continue  # the home page, which says the same at length
        pages = [page if isinstance(page, str) else page["href"] for page in part["contents"]]
        lines += [f"## {part['section']}", "\n".join(map(entry, pages))]
    return "\n\n".join(lines) + "\n"


def draw_card():
    "Draw the picture that other sites show beside a link to this one."
    from matplotlib.figure import Figure
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="#14213d")
    figure.text(0.07, 0.6, course.settings()["title"], color="white", size=80, weight="bold")
    figure.text(0.07, 0.32, get_config(ROOT).description, color="#e5e5e5", size=26, wrap=True)
    figure.savefig(CARD)


# Pages

def as_exported(sym):
    "Return the package's own class or function for one that a page has just defined, whose comments have no file."
    from tinybert._modidx import d
    name = getattr(sym, "__qualname__", "")
    homes = [module for module, names in d["syms"].items() if f"{module}.{name}" in names]
    return pkgutil.resolve_name(f"{homes[0]}:{name}") if homes and sym.__module__ == "__main__" else sym


def short_types(signature: str) -> str:
    "Write types as the source does: `Tensor`, `nn.Module`, `Path`; comments stay as they are."
    def shorten(code: str) -> str:
        code = re.sub(r"\btorch\.nn\.(?:\w+\.)*(?=[A-Z])", "nn.", code)
        return re.sub(r"\b(?!nn\.)(?:\w+\.)+(?=[A-Z])", "", code)
    lines = [line.partition(" # ") for line in signature.split("\n")]
    return "\n".join(shorten(code) + mark + comment for code, mark, comment in lines)


class Reference(MarkdownRenderer):
    "Render an entry of `show_doc`: the heading first, so that the site lists it, and no line number."
    def __init__(self, sym, **options):
        sym = as_exported(sym)
        # fastcore reads the fields of dataclasses only, so a NamedTuple passes for one while its entry is made.
        is_tuple = hasattr(sym, "_fields")
        with patch.object(sym, "__dataclass_fields__", {}, create=True) if is_tuple else nullcontext():
            super().__init__(sym, **options)

    def _repr_markdown_(self) -> str:
        text = re.sub(r"```python\n.*?\n```", lambda found: short_types(found[0]), super()._repr_markdown_(), flags=re.S)
        return f"{'#' * self.title_level} {self.nm}\n\n{text}"


def raw_html(html: str) -> str:
    "Return HTML as a raw block, without a picture's PNG. As an output of its own, it brings scripts from another host."
    html = re.sub(r'(?s)(<div class="tinybert-picture"><style>.*?</style>)<img [^>]*>', r"\1", html)
    return f"````{{=html}}\n{html}\n````"


class CourseLinks:
    "Put the line of links under a page's title, fold sources, box the cells for the network, make nbdev's links relative."
    def __init__(self, nb):
        self.nb, self.path = nb, Path(nb.path_).resolve().relative_to(ROOT)

    def end(self):
        cells = []
        for cell in self.nb.cells:
            if cell.cell_type == "markdown": cell.source = self.mend(cell.source)
            else: cell.source = cell.source.replace("#| code-fold: show\n#| code-summary: \"Exported source\"",
                                                    "#| code-fold: true\n#| code-summary: \"Source\"")
            for data in (output["data"] for output in cell.get("outputs", []) if "data" in output):
                if "text/markdown" in data: data["text/markdown"] = self.mend("".join(data["text/markdown"]))
                if "text/html" in data: data["text/markdown"] = raw_html("".join(data.pop("text/html")))
            cells += self.boxed(cell)
        if line := course.links(self.path):  # cell 0 is the title, as front matter
            cells.insert(1, mk_cell(f"::: {{.course-links}}\n{line}\n:::", "markdown"))
        self.nb.cells = cells

    def boxed(self, cell) -> list:
        "Return a cell, in a box that says what to expect if it's one for the network, which shows no output here."
        expected = (getattr(cell, "directives_", None) or {}).get("hub")
        if expected is None: return [cell]
        cell.source = re.sub(r"(?m)^#\| hub\b.*\n", "", cell.source)
        top = f'::: {{.callout-note title="Run this with a network"}}\nThis cell {expected}.'
        return [mk_cell(top, "markdown"), cell, mk_cell(":::", "markdown")]

    def mend(self, markdown: str) -> str:
        "Make links from the site's root relative to the page."
        return re.sub(r"\]\(/(?=[\w/.-]+\.html)", "](" + "../" * (len(self.path.parts) - 2), markdown)


if __name__ == "__main__":
    if "--project" in sys.argv[1:]: write(PROJECT, with_urls(PROJECT.read_text(encoding="utf-8")))
    else:
        write(SITE, yaml.safe_dump(site(), sort_keys=False, allow_unicode=True))
        write(LLMS, llms())
        if course.address("site"): draw_card()
