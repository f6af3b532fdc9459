"""The wheel in an environment that has only pip, and the setup cell that brings it there: from a page and a wheel that a
server on this machine has, with nothing of the checkout in sight."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import urllib.request
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import clean_environment
from test_notebooks import ROOT, read, same

import tinybert
from tools import course, setup_cells

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the environment is made of links")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    "Return the package's wheel, built from the files that belong to it, without a request."
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"): shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "tinybert", folder / "tinybert", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    result = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return next((folder / "dist").glob("*.whl"))


class Machine:
    "A machine of a notebook service: Python, pip, the packages that tinybert needs, and neither tinybert nor a network."
    def __init__(self, folder: Path):
        self.folder, self.python = folder, folder / "venv/bin/python"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        others = folder / "others"
        others.mkdir()
        for kind in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for path in Path(kind).iterdir():
                if not path.name.startswith(("tinybert", "__editable__", "pip")): (others / path.name).symlink_to(path)
        self.site = next((folder / "venv/lib").glob("python3*/site-packages"))
        self.run("-m", "pip", "uninstall", "-q", "-y", "setuptools")  # torch needs a newer one than Python 3.11 brings
        (self.site / "others.pth").write_text(f"{others}\n")

    def run(self, *arguments, check: bool = True, **variables: str) -> subprocess.CompletedProcess:
        "Run this machine's Python; pip may not look at any index."
        env = clean_environment(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1",
                                HF_HUB_OFFLINE="1", HOME=str(self.folder), IPYTHONDIR=str(self.folder / "ipython"))
        del env["PYTHONPATH"]
        result = subprocess.run([self.python, *map(str, arguments)], env=env | variables, cwd=self.folder,
                                capture_output=True, text=True, timeout=300)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def has(self, *names: str) -> str:
        "Return which of these modules and versions of packages are there."
        code = """if True:
            import sys
            from importlib.metadata import version
            from importlib.util import find_spec
            print(*(f"{name}={version(name)}" for name in sys.argv[1:] if find_spec(name)))"""
        return self.run("-c", code, *names).stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Machine: return Machine(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def machine(built):
    "Return a machine without tinybert, however the last test left it."
    built.run("-m", "pip", "uninstall", "-q", "-y", "tinybert")
    assert built.has("tinybert") == "" and built.has("fastcore")
    return built


@pytest.fixture
def site(tmp_path, wheel):
    "Serve a folder, with the wheel where a repository's branch would be; return the folder, its address and the requests."
    (tmp_path / "owner/course/v1").mkdir(parents=True)
    shutil.copy(wheel, tmp_path / "owner/course/v1")
    requests = []
    handler = type("Handler", (SimpleHTTPRequestHandler,), {"log_request": lambda self, *_: requests.append(self.path)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(monkeypatch, site, wheel) -> dict:
    "Settings of a course whose repository is known, at the address of the server."
    pattern = site[1] + "/{repo}/{branch}/" + wheel.name
    settings = course.settings() | {"repo": "owner/course", "branch": "v1", "install": pattern}
    monkeypatch.setattr(course, "settings", lambda: settings)
    return settings


def run_cell(machine: Machine, source: str) -> subprocess.CompletedProcess:
    "Run a cell in IPython; the status tells whether it raised an error."
    code = """if True:
        import sys
        from IPython.core.interactiveshell import InteractiveShell
        sys.exit(not InteractiveShell.instance().run_cell(sys.argv[1]).success)"""
    return machine.run("-c", code, source, check=False)


def test_wheel_holds_everything_that_the_package_has(wheel):
    ours = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / "tinybert").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        assert {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name} == ours


def test_python_m_tinybert(machine, wheel, tmp_path):
    machine.run("-m", "pip", "install", "-q", wheel)
    printed = machine.run("-m", "tinybert", HF_HOME=str(tmp_path / "home")).stdout
    assert tinybert.__version__ in printed and str(tmp_path / "home/hub") in printed
    assert printed.splitlines()[-1] == "'the president of the united states.'"


NOTEBOOK = """if True:
    import sys, nbclient, nbformat
    page = nbformat.read(sys.argv[1], as_version=4)
    nbclient.NotebookClient(page, timeout=300, allow_errors=True).execute()
    nbformat.write(page, sys.argv[1])"""


def test_a_page_brings_its_own_package(machine, site, published, minilm):
    "The first lesson, from the server, in Jupyter: its first cells run, and show what the lesson shows."
    folder, url, requests = site
    stored = setup_cells.with_setup(read(ROOT / "nbs/course/01_models.ipynb"))
    (folder / "01_models.ipynb").write_text(json.dumps(stored), encoding="utf-8")
    with urllib.request.urlopen(f"{url}/01_models.ipynb") as answer: page = json.load(answer)
    code = [cell for cell in page["cells"] if cell["cell_type"] == "code"][:6]
    probe = {**code[0], "id": "probe", "source": "import sys, tinybert\nsys.prefix, tinybert.__file__"}
    again = {**code[0], "id": "again"}
    copy = machine.folder / "page.ipynb"
    copy.write_text(json.dumps({**page, "cells": [*code, again, probe]}), encoding="utf-8")
    machine.run("-c", NOTEBOOK, copy, HF_HOME=os.environ["HF_HOME"])
    *fresh, second, where = read(copy)["cells"]
    assert fresh[0]["id"] == "setup" and f"/owner/course/v1/{requests[-1].rpartition('/')[2]}" == requests[-1]
    for old, new in zip(code[1:], fresh[1:], strict=True): assert same(old, new), new
    assert second["outputs"] == [], "what is there isn't installed again"
    shown = "".join(where["outputs"][0]["data"]["text/plain"])
    assert str(machine.folder / "venv") in shown and str(machine.site / "tinybert") in shown and str(ROOT) not in shown


def test_a_page_without_repository_says_what_to_do_and_asks_nobody(machine, site, published):
    published["repo"] = ""
    cell = setup_cells.setup_cell(read(ROOT / "nbs/course/01_models.ipynb"))
    assert "pip" not in cell
    result = run_cell(machine, cell)
    assert result.returncode == 1 and site[2] == []
    assert "There's no tinybert here: run `make lab` in the folder" in result.stdout


def test_a_machine_keeps_its_torch_and_its_numpy(machine, published):
    "Where they are too old for the package, pip says so, and nothing is installed."
    old = {"torch": "2.9.0+cu126", "numpy": "1.26.4"}
    for name, version in old.items():
        info = machine.site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    try:
        expected = "torch=2.9.0+cu126 numpy=1.26.4"
        assert machine.has(*old) == expected
        result = run_cell(machine, setup_cells.setup_cell(read(ROOT / "nbs/course/01_models.ipynb")))
        assert result.returncode == 1 and "pip, just above, says what is wrong" in result.stdout
        assert "Cannot install tinybert==0.1.0 and torch==2.9.0" in result.stdout + result.stderr
        assert machine.has(*old, "tinybert") == expected
    finally:
        for name, version in old.items(): shutil.rmtree(machine.site / f"{name}-{version}.dist-info")
