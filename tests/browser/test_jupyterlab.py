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
from pages import DESKTOP, PICTURES, ROOT, has_picture
from playwright.sync_api import expect

LONG = 240_000  # milliseconds: the kernel imports torch, perhaps on a busy machine
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


def without_outputs(path) -> list:
    "Take the outputs out of a notebook's file and return its cells as they were."
    notebook = nbformat.read(path, as_version=4)
    cells = [cell.copy() for cell in notebook.cells]
    for cell in notebook.cells:
        if cell.cell_type == "code": cell.outputs = []
    nbformat.write(notebook, path)
    return cells


def is_hidden(cell) -> bool: return cell.metadata.get("jupyter", {}).get("source_hidden", False)


def run_all(page, address: str, name: str, count: int) -> None:
    "Open a notebook of so many cells, run all by the menu, and save it."
    page.goto(f"{address}/lab/tree/{name}")
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(count, timeout=LONG)
    idle = page.get_by_text(re.compile(r"\| Idle$"))  # in the bar at the bottom; before, it says Connecting and the like
    idle.wait_for()
    prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt")  # a hidden cell's placeholder has an empty one of another class
    for _ in range(10):  # a click does nothing as long as the notebook isn't ready for its kernel
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        try: expect(prompts.first).not_to_have_text("[ ]:", timeout=20_000)
        except AssertionError: continue
        break
    expect(prompts.first).to_have_text(re.compile(r"\[\d+\]"), timeout=LONG)
    expect(prompts.filter(has_text="[*]")).to_have_count(0, timeout=LONG)  # all done, or stopped by an error
    idle.wait_for()
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-DockPanel-tabBar .jp-mod-dirty")).to_have_count(0, timeout=LONG)


def test_run_all_cells(jupyterlab, open_page, shoot):  # pages close before the server stops
    (address, folder), name = jupyterlab, "course/01_models.ipynb"
    stored = without_outputs(folder / name)
    page = open_page(server=address)
    page.set_default_timeout(LONG)
    run_all(page, address, name, len(stored))
    cells = nbformat.read(folder / name, as_version=4).cells

    # What the kernel says
    assert [cell.id for cell in cells] == [cell.id for cell in stored]
    assert {cell.id for cell in stored if cell.get("outputs")} <= {cell.id for cell in cells if cell.get("outputs")}
    failed = [(cell, output) for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"]
    wanted = [cell.id for cell in cells if "raises-exception" in cell.metadata.get("tags", [])]
    assert [cell.id for cell, _ in failed] == wanted
    for _, error in failed:
        assert len(error.traceback) == 1 and re.fullmatch(r"HubUnreachable: '[\w-]+' .+", error.traceback[0])
    assert not re.search(r"TqdmWarning|IProgress|\d+%\|", str([cell.get("outputs") for cell in cells]))

    # What a reader sees
    page.evaluate("document.activeElement.blur()")
    panel = page.locator(".jp-WindowedPanel-outer")
    height = panel.evaluate("node => node.scrollHeight")
    page.set_viewport_size({"width": DESKTOP[0], "height": min(height + 200, 16_000)})  # the whole notebook on one screenshot
    panel.evaluate("node => node.scrollTo(0, 0)")
    for theme in "light", "dark":
        page.emulate_media(color_scheme=theme)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", str(theme == "light").lower(), timeout=LONG)
        shown = page.locator(".jp-Notebook .jp-Cell")
        drawn = [seen for _, seen, _ in shown.evaluate_all(PICTURES)]
        assert [cell.id for cell, seen in zip(stored, drawn, strict=True) if has_picture(cell) and not seen] == []
        code = shown.evaluate_all("all => all.map(cell => !!cell.querySelector('.jp-InputArea-editor')?.checkVisibility())")
        assert [cell.id for cell, visible in zip(cells, code, strict=True) if visible == is_hidden(cell) and cell.cell_type == "code"] == []
        assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0
        shoot(page, theme)
