"The site without Quarto: what it's told, what stands on its pages, and how they fit a screen."

import os
import re
import shutil
import subprocess
from dataclasses import is_dataclass
from functools import cache

import pytest
import yaml
from fastcore.nbio import read_nb
from nbdev.processors import FilterDefaults
from test_notebooks import NOTEBOOKS, ROOT, read
from test_repository import settings  # noqa: F401 (a fixture)

import tinybert.encoding
import tinybert.view
from tools import course, pages, setup_cells

QUARTO = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))


# Addresses

def leaves(value) -> list:
    "Return all values of a tree of dictionaries and lists."
    if isinstance(value, dict): value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def test_an_unknown_repository_leaves_no_empty_address(settings):
    assert course.address("site") == "" and pages.urls() == {} and "](course/batches.html.md): " in pages.llms()
    known = leaves(pages.site())
    assert all(known) and not [text for text in known if "://" in str(text) or text == "/"]
    assert set(pages.site()["website"]) == {"title", "description"}


def test_a_known_repository_gives_all_addresses(settings):
    settings["repo"] = "somebody/my.course"
    website = pages.site()["website"]
    assert website["site-url"] == "https://somebody.github.io/my.course"
    assert website["repo-url"] == "https://github.com/somebody/my.course"
    assert (website["repo-branch"], website["repo-subdir"]) == ("main", "nbs")
    assert "edit" in website["repo-actions"] and website["open-graph"]["image"] == "/card.png", "from every folder"
    assert all(leaves(pages.site())) and website["title"] == "My course"


def test_the_repository_that_is_building_counts_for_the_site_but_not_for_the_package(settings, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "environment/course")
    assert pages.site()["website"]["site-url"] == "https://environment.github.io/course"
    assert pages.urls() == {}


def test_a_site_may_have_an_address_of_its_own(settings):
    settings["site"] = "https://course.example.org/"
    website = pages.site()["website"]
    assert website["site-url"] == "https://course.example.org" and "repo-url" not in website


def test_addresses_of_the_package_are_written_once_and_removed_again(settings):
    plain = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    plain = re.sub(r"\[project\.urls\]\n(?:.*=.*\n)*\n", "", plain)
    assert pages.with_urls(plain) == plain
    settings["repo"] = "somebody/course"
    written = pages.with_urls(plain)
    section = written.partition("[project.urls]\n")[2].partition("\n\n[")[0]
    assert dict(line.split(" = ") for line in section.splitlines()) == {
        "Homepage": '"https://somebody.github.io/course"', "Repository": '"https://github.com/somebody/course"',
        "Issues": '"https://github.com/somebody/course/issues"',
        "Changelog": '"https://github.com/somebody/course/blob/main/CHANGELOG.md"'}
    assert pages.with_urls(written) == written
    settings["repo"] = ""
    assert pages.with_urls(written) == plain


def test_addresses_of_the_package_are_current():
    project = pages.PROJECT.read_text(encoding="utf-8")
    assert pages.with_urls(project) == project, "run make export"


def test_language_models_find_each_page_and_its_promise(settings):
    settings["repo"] = "somebody/course"
    text = pages.llms()
    assert text.startswith("# My course\n\n> ") and "\n\n## The course\n\n- [Models](" in text
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(lines) == len(NOTEBOOKS) and all(re.fullmatch(r"- \[.+\]\(https://.+\)(: .+)?", line) for line in lines)
    assert [line for line in lines if "https://somebody.github.io/course/course/batches.html.md): " in line]


def test_the_card_is_as_large_as_other_sites_show_it(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "CARD", tmp_path / "card.png")
    pages.draw_card()
    header = pages.CARD.read_bytes()[:24]
    assert (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")) == (1200, 630)


@pytest.mark.parametrize("changed", ["settings.ini", "tools/pages.py", "pyproject.toml", "GITHUB_REPOSITORY"])
def test_pages_are_built_anew_after_a_change_of_what_is_in_all_of_them(changed, tmp_path):
    "With programs that do nothing: make alone decides whether the processed pages are thrown away."
    for name in ("Makefile", "settings.ini", "pyproject.toml", "constraints.txt", "tools/course.py", "tools/pages.py", "tools/minilm.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = {"quarto": "", "nbdev-docs": "mkdir -p _proc && touch _proc/page", "pip": "",
                "python": '[ "$2" != tools.pages ] || { mkdir -p nbs; echo "$GITHUB_REPOSITORY" > new; '
                          "cmp -s new nbs/site.yml || cp new nbs/site.yml; rm new; }"}
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name, does in programs.items():
        program = tmp_path / ".venv/bin" / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    (tmp_path / ".venv/.installed").touch()

    def is_kept(changed: str = "", repo: str = "a/b") -> bool:
        "Build with processed pages that are newer than all files but one; tell whether they're still there."
        sign = tmp_path / "_proc/sign"
        sign.parent.mkdir(exist_ok=True)
        sign.touch()
        for path in tmp_path.rglob("*"): os.utime(path, (1000, 1000))
        for path, time in ((".venv/.installed", 2000), ("_proc", 3000), (changed, 4000)):
            if path: os.utime(tmp_path / path, (time, time))
        env = {**os.environ, "PATH": f"{tmp_path}/.venv/bin:{os.environ['PATH']}", "PYTHON": "true", "GITHUB_REPOSITORY": repo}
        subprocess.run(["make", "docs"], cwd=tmp_path, env=env, check=True, capture_output=True)
        return sign.exists()

    is_kept()
    assert is_kept(), "a second build processes nothing again"
    assert not (is_kept(repo="c/d") if changed == "GITHUB_REPOSITORY" else is_kept(changed))


# What Quarto is told

def listed(contents: list) -> list:
    "Return the sidebar's entries."
    return [entry for item in contents for entry in (listed(item["contents"]) if "section" in item else [item])]


def test_the_sidebar_numbers_the_lessons_as_they_are_taught():
    entries = [entry for entry in listed(QUARTO["website"]["sidebar"]["contents"]) if "course/" in str(entry)]
    assert "course/errata.ipynb" in entries
    numbered = {entry["href"]: entry["text"] for entry in entries if isinstance(entry, dict)}
    expected = {}
    for path in sorted((ROOT / "nbs/course").glob("[0-9]*.ipynb")):
        title = "".join(read(path)["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
        expected[f"course/{path.name}"] = f"{int(path.name[:2])} {title}"
    assert numbered == expected


def test_quarto_is_told_what_a_reader_expects():
    website, page = QUARTO["website"], QUARTO["format"]["html"]
    assert website["search"] and website["page-navigation"]
    assert page["code-overflow"] == "wrap" and page["respect-user-color-scheme"] and page["code-tools"]["toggle"]
    assert (ROOT / "nbs" / website["favicon"]).read_text(encoding="utf-8").startswith("<svg")
    assert all(leaf or leaf is False for leaf in leaves(QUARTO))


def test_the_404_page_leads_on():
    "It's shown at any address, so its links begin at the site's root."
    links = re.findall(r"\]\(/([^)]+)\)", (ROOT / "nbs/404.md").read_text(encoding="utf-8"))
    assert len(links) >= 3 and [link for link in links if not (ROOT / "nbs" / link).exists()] == []


# Pages

@cache
def processed(name: str) -> list:
    "Return a page's cells as nbdev gives them to Quarto."
    notebook = read_nb(ROOT / name)
    FilterDefaults()(notebook)
    return notebook.cells


def markdown(cell) -> str:
    "Return the Markdown of a cell or of its output."
    texts = [output["data"].get("text/markdown", "") for output in cell.get("outputs", []) if "data" in output]
    return "".join(map("".join, texts)) if cell.cell_type == "code" else cell.source


@pytest.mark.parametrize("given, expected", [
    ("x:torch.Tensor, y:list[tinybert.unpadding.Group]", "x:Tensor, y:list[Group]"),
    ("layer:torch.nn.modules.sparse.Embedding", "layer:nn.Embedding"), ("p:torch.nn.parameter.Parameter", "p:nn.Parameter"),
    ("folder:str | os.PathLike", "folder:str | PathLike"), ("f:collections.abc.Callable[[__main__.A], int]", "f:Callable[[A], int]"),
    ("dtype:torch.dtype, p:float=0.1", "dtype:torch.dtype, p:float=0.1"),
    ("x:torch.Tensor, # as `transformers.BertModel` does", "x:Tensor, # as `transformers.BertModel` does")])
def test_types_are_written_as_in_the_source(given, expected):
    assert pages.short_types(given) == expected


def test_an_entry_of_reference_begins_with_its_heading():
    entry = pages.Reference(tinybert.BertModel.forward)._repr_markdown_()
    assert entry.startswith("### BertModel.forward\n\n```python\n") and "Tensor" in entry
    assert not re.search(r"torch\.Tensor|torch\.nn\.|tinybert\.\w+\.[A-Z]|__main__", entry)


@pytest.mark.parametrize("kind, fields", [
    (tinybert.view.Cell, ["text:str, # what's written in it", "shade:float=0.0, # how blue it is, from 0 to 1"]),
    (tinybert.encoding.CharSpan, ["start:int, # index of its first character", "end:int, # index after its last character"])])
def test_an_entry_of_a_named_tuple_has_its_fields(kind, fields):
    entry = pages.Reference(kind)._repr_markdown_()
    assert [line.strip() for line in entry.split("(\n")[1].split("\n)")[0].splitlines()] == fields
    assert not is_dataclass(kind), "it passes for one only while its entry is made"


def test_sources_are_folded():
    cells = processed("nbs/02_attention.ipynb")
    sources = [cell.source for cell in cells if cell.cell_type == "code" and "#| exports" in cell.source]
    assert len(sources) > 5 and all("#| code-fold: true" in source for source in sources)
    assert not any("code-fold: show" in cell.source for cell in cells)


@pytest.mark.parametrize("name", ["nbs/14_view.ipynb", "nbs/02_attention.ipynb"])
def test_what_code_shows_brings_no_script_from_another_host(name):
    "Quarto adds require.js and jQuery to a page with an output of the type text/html, but not for a raw block."
    shown = [output["data"] for cell in processed(name) for output in cell.get("outputs", []) if "data" in output]
    raw = [data["text/markdown"] for data in shown if data.get("text/markdown", "").startswith("````{=html}\n<")]
    assert raw and not any("text/html" in data for data in shown) and all(block.endswith(">\n````") for block in raw)
    drawn = [block for block in raw if "tinybert-picture" in block]
    assert drawn and all("<svg role=" in block and "<img" not in block for block in drawn)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_code_that_draws_and_hidden_cells_are_folded_in_jupyterlab_and_in_colab(name):
    "The tool that folds them changes nothing else."
    notebook = read(ROOT / name)
    assert setup_cells.with_folds(notebook) == notebook, "run make export"
    for cell in notebook["cells"]:
        source, folds = "".join(cell["source"]), cell["metadata"].keys() & {"jupyter", "cellView"}
        aside = cell["cell_type"] == "code" and re.search(r"(?m)^#\| (echo: false|hide)$", source)
        assert folds == {"jupyter", "cellView"} if aside else folds <= {"jupyter"}, cell["id"]
        if folds: assert cell["metadata"]["jupyter"] == {"source_hidden": True} and (aside or source.startswith("#| hide\n"))


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if "#| hub" in (ROOT / name).read_text(encoding="utf-8")])
def test_cells_for_the_network_are_marked(name):
    "They say what to expect, and Run all goes on after them; no other cell may fail unseen."
    for cell in read(ROOT / name)["cells"]:
        if cell["cell_type"] != "code": continue
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        expected = re.match(r"#\| hub: ([a-z][^:\n]{30,}[^.\n])\n", source)
        assert bool(expected) == source.startswith("#| hub") == (tags == ["raises-exception"]), f"{name}: {source}"
        if "#| hub" in source: assert "transformers." not in source, "its error isn't one line"


def test_cells_for_the_network_are_boxes_on_the_site():
    cells = processed("nbs/course/06_families.ipynb")
    tops = [index for index, cell in enumerate(cells) if "Run this with a network" in cell.source]
    assert len(tops) == 3
    for index in tops:
        top, cell, bottom = cells[index:index + 3]
        assert re.fullmatch(r'::: \{\.callout-note title="Run this with a network"\}\nThis cell \w[^\n]+\.', top.source)
        assert cell.cell_type == "code" and "from_pretrained" in cell.source and "#|" not in cell.source
        assert bottom.source == ":::"


def test_without_a_network_a_notebook_shows_one_line_and_goes_on(tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (
        "from tinybert import AutoTokenizer", 'AutoTokenizer.from_pretrained("bert-base-cased", local_files_only=True)', "6 * 7")])
    notebook.cells[1].source = notebook.cells[1].source.replace("local_files_only", f"cache_dir={str(tmp_path)!r}, local_files_only")
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    error, = [output for output in notebook.cells[1].outputs if output.output_type == "error"]
    assert len(error.traceback) == 1 and "\n" not in error.traceback[0]
    assert error.traceback[0].startswith("HubUnreachable: 'bert-base-cased' is no folder here")
    assert notebook.cells[2].outputs[0].data["text/plain"] == "42"


def test_links_stand_below_the_title(settings):
    settings["repo"] = "somebody/course"
    notebook = read_nb(ROOT / "nbs/course/errata.ipynb")
    pages.CourseLinks(notebook).end()
    assert re.fullmatch(r"::: \{\.course-links\}\n\[Ask a question\]\(https://\S+\) · .+\n:::", notebook.cells[1].source)


# Reference

def test_the_list_of_names_is_complete_and_leads_to_their_entries():
    table = "".join(markdown(cell) for cell in read_nb(ROOT / "nbs/api.ipynb").cells if cell.cell_type == "code")
    rows = re.findall(r"(?m)^\| \[(\w+)\]\((\S+\.ipynb)#(\w+)\) \| (.+) \| \[[\w ]+\]\((\S+\.ipynb)\) \|$", table)
    assert [row[0] for row in rows] == sorted(tinybert.__all__, key=str.lower) and len(rows) == len(table.splitlines()) - 2
    for name, page, anchor, summary, again in rows:
        assert anchor == name.lower() and page == again and len(summary) > 20
        shown = ["".join(cell["source"]) for cell in read(ROOT / "nbs" / page)["cells"] if "".join(cell["source"]).startswith("#| exports")]
        assert any(re.search(rf"(?m)^(class|def) {name}\b", source) for source in shown), f"{page} has no entry for {name}"


def test_symptoms_are_those_that_the_page_prints():
    cells = read(ROOT / "nbs/trouble.ipynb")["cells"]
    printed = "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))
    rows = re.findall(r"(?m)^\| (.+) \| \[(.+)\]\(#", "".join(cells[1]["source"]))
    pieces = [piece for symptom, _ in rows for piece in re.findall(r"`([^`]+)`", symptom)]
    assert len(pieces) >= 14 and [piece for piece in pieces if piece not in printed] == []
    headings = ["".join(cell["source"]).removeprefix("## ") for cell in cells if "".join(cell["source"]).startswith("## ")]
    assert [heading for _, heading in rows] == headings[:-1]
    for cell in cells:
        if cell["id"].endswith("-why") and "**Why.**" in (text := "".join(cell["source"])): assert "**What helps.**" in text


# Fitting a screen

STYLES = re.sub(r"/\*.*?\*/", "", (ROOT / "nbs/styles.css").read_text(encoding="utf-8"), flags=re.S)


def rules() -> dict[str, dict[str, str]]:
    "Return the styles by their selectors, without those for some screens alone."
    found = re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}", "", STYLES))
    styles = {}
    for names, body in found:
        for name in names.split(","): styles.setdefault(name.strip(), {}).update(re.findall(r"([\w-]+): ([^;]+);", body))
    return styles


def test_styles_keep_pictures_tables_and_code_within_the_page():
    "What tests/browser looks at, for machines without a browser."
    styles = rules()
    assert styles["main table col"]["width"] == "auto !important", "else dashes decide"
    assert styles["main img"]["max-width"] == "100%" and styles["main table"]["overflow-x"] == "auto"
    assert styles["main pre code"]["white-space"] == "pre-wrap" and styles["main pre"]["overflow-wrap"] == "anywhere"


def luminance(color: str) -> float:
    "Return the relative luminance of #rgb or #rrggbb, as WCAG 2 defines it."
    digits = color.removeprefix("#")
    parts = [int(part, 16) / 255 for part in (re.findall("..", digits) if len(digits) == 6 else [2 * digit for digit in digits])]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_text_on_dark_pages_has_the_contrast_that_people_need():
    assert contrast("#000", "#ffffff") == pytest.approx(21) and contrast("#6c757d", "#222222") < 4.5
    colored = {name: style for name, style in rules().items() if "quarto-dark" in name and "color" in style}
    assert len(colored) >= 4
    for name, style in colored.items(): assert contrast(style["color"], style.get("background", "#222")) >= 4.5, name
