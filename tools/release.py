"Check that a tag's version, settings, pages and changes belong together, and print its release notes."

import json, re, sys

import tinybert
from tools.course import ROOT, settings
from tools.setup_cells import pages, with_setup


def notes(changes: str, version: str) -> str:
    "Return a version's part of CHANGELOG.md, or an empty string if it isn't there or isn't released."
    found = re.search(rf"(?ms)^## {re.escape(version)}$(.*?)(?=^## |\Z)", changes)
    return found[1].strip() if found else ""


def problems(tag: str) -> list[str]:
    "Return what has to be mended before this tag can be released."
    version, chosen = tinybert.__version__, settings()
    found = []
    if tag != f"v{version}": found.append(f"the tag is {tag}, the version in tinybert/__init__.py {version}")
    if not chosen["repo"]: found.append("settings.ini names no repo")
    if chosen["branch"] != tag: found.append(f"settings.ini has branch = {chosen['branch']}; its pages are to install {tag}")
    if not notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version):
        found.append(f"CHANGELOG.md has no part with the heading ## {version}")
    texts = {page: json.loads(page.read_text(encoding="utf-8")) for page in pages()}
    if stale := [page.name for page, page_cells in texts.items() if with_setup(page_cells) != page_cells]:
        found.append(f"{len(stale)} pages have another setup cell, {stale[0]} for one: run make outputs")
    return found


def main(tag: str) -> None:
    if found := problems(tag): raise SystemExit("\n".join(f"release: {problem}" for problem in found))
    print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tinybert.__version__))


if __name__ == "__main__": main(*sys.argv[1:])
