"The first lesson in JupyterLab, without a network: Run All Cells goes to the end, and all is there."

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from pages import DESKTOP, PICTURES, ROOT
from playwright.sync_api import expect

SETTINGS = {  # no news, and cells out of sight are in the page, too
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"adaptive-theme": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


@pytest.fixture
def jupyterlab(tmp_path):
    "Start JupyterLab in a copy of the notebooks, which has no outputs, and nobody's settings; return its address and the copy."
    copy = shutil.copytree(ROOT / "nbs", tmp_path / "nbs", ignore=shutil.ignore_patterns(".*", "_quarto.yml"))
    for name, settings in SETTINGS.items():
        path = tmp_path / f"settings/@jupyterlab/{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
           "PYTHONPATH": str(ROOT), "HF_HOME": os.environ["HF_HOME"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with socket.create_server(("127.0.0.1", 0)) as free: port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
               "--IdentityProvider.token=", f"--ServerApp.root_dir={copy}", "--LabApp.extension_manager=readonly"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=copy, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(address, server, tmp_path / "log")
            yield address, copy
        finally:
            server.terminate()
            server.wait(60)


def wait_for(address: str, server: subprocess.Popen, log) -> None:
    "Wait until a server answers."
    end = time.monotonic() + 120
    while True:
        try: return urllib.request.urlopen(f"{address}/api/status", timeout=10).close()
        except OSError: assert server.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def text_of(output) -> str:
    "Return all that an output says."
    return "".join(output.get("text", "")) + "".join(output.get("traceback", [])) + str(output.get("data", ""))


def test_run_all_cells(open_page, shoot, jupyterlab):
    address, copy = jupyterlab
    path = copy / "course/01_models.ipynb"
    stored = nbformat.read(path, as_version=4)
    bare = nbformat.from_dict(stored)
    for cell in bare.cells:
        if cell.cell_type == "code": cell.outputs = []
    nbformat.write(bare, path)
    page = open_page(server=address)
    page.set_default_timeout(120_000)
    page.goto(f"{address}/lab/tree/course/{path.name}")
    notebook = page.locator(".jp-Notebook")
    cells = notebook.locator(".jp-Cell")
    expect(cells).to_have_count(len(stored.cells), timeout=120_000)
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    idle.wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    expect(notebook.locator(".jp-CodeCell .jp-InputPrompt").last).to_have_text(re.compile(r"\[\d+\]"), timeout=240_000)
    idle.wait_for()
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-DockPanel-tabBar .jp-mod-dirty")).to_have_count(0, timeout=120_000)
    print(page.locator(".jp-Notification, .Toastify__toast").all_inner_texts())
