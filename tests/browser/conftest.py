"A real browser: Debian's Chromium, driven by Playwright, which downloads none. Screenshots go to `build/browser`."

import os
import shutil

import pytest
from pages import DESKTOP, SHOTS
from playwright.sync_api import Error, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # milliseconds, as for everything else: the machine may be busy
BUILT = "'DecompressionStream' in window === false || [...document.querySelectorAll('.tinybert-attention')].every(view => view.shadowRoot)"


@pytest.fixture(scope="session")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "There's no Chromium on the path: apt-get install chromium"
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses to run as root
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    "Return a function that shows HTML or a server's page; in the end nothing may have gone wrong and no other host been asked."
    contexts, trouble = [], []

    def make(html: str = "", size: tuple[int, int] = DESKTOP, server: str = "", **options) -> Page:
        contexts.append(context := browser.new_context(viewport=dict(zip(("width", "height"), size)), **options))
        page, own = context.new_page(), ("data:", "about:", *((server, f"blob:{server}") if server else ()))
        counts = ("error",) if server else ("error", "warning")  # JupyterLab warns of its own plugins
        page.on("console", lambda message: trouble.append(message.text) if message.type in counts else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: trouble.append(request.url) if not request.url.startswith(own) else None)
        if html: page.set_content(html)
        if html and options.get("java_script_enabled", True): page.wait_for_function(BUILT)  # views unpack their weights meanwhile
        return page

    yield make
    for context in contexts: context.close()
    assert trouble == []


@pytest.fixture
def shoot(request):
    "Return a function that keeps a screenshot under the test's name."
    def save(page: Page, name: str = "") -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{request.node.name}{name and f'-{name}'}.jpg"
        for left in (2, 1, 0):  # "Unable to capture screenshot", says Chromium now and then if the machine is busy
            try: return page.screenshot(path=path, full_page=True, type="jpeg", quality=70)
            except Error:
                if not left: raise
                page.wait_for_timeout(1000)
    return save
