"Read settings.ini, fill in its addresses, and put the course's links on its pages."

import os, re, subprocess, sys
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
LABELS = {"forum": "Ask a question", "colab": "Open in Colab", "studio_lab": "Open in Studio Lab"}
ELSEWHERE = ("colab", "studio_lab", "install")  # they bring a page and its package together: only settings.ini counts


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


def address(
    setting: str,  # an address in settings.ini, such as "colab"
    notebook: str | Path = "",  # path below the root of the repository, such as nbs/00_config.ipynb
) -> str:
    "Return an address, without a slash at its end, or an empty string if it needs a repository and none is known."
    chosen, path = settings(), Path(notebook)
    name = chosen["repo"] if setting in ELSEWHERE else repo()
    if not name and re.search(r"\{(repo|owner|name)\}", chosen[setting]): return ""
    owner, _, short = name.partition("/")
    values = {"repo": name, "owner": owner, "name": short, "branch": chosen["branch"], "title": chosen["title"],
              "path": path.as_posix(), "page": path.stem}
    return chosen[setting].format(**{key: quote(value) for key, value in values.items()}).rstrip("/")


def links(
    notebook: str | Path,  # path below the root of the repository
) -> str:
    "Return the Markdown line of links for a page, without those that need a repository while none is known."
    urls = {label: address(setting, notebook) for setting, label in LABELS.items()}
    return " · ".join(f"[{label}]({url})" for label, url in urls.items() if url)


def write(path: Path, text: str):
    "Write a file only if that changes it, so that make does nothing again for nothing."
    if path.exists() and path.read_text(encoding="utf-8") == text: return
    path.write_text(text, encoding="utf-8", newline="\n")
