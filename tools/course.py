"Read settings.ini and put the course's links on its pages."

import os, re, subprocess, sys
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from urllib.parse import quote

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
