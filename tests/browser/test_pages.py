"Pages as readers see them, in JupyterLab's look and in the site's: desktop and phone, light and dark."

import pytest
from pages import DESKTOP, PHONE, PICTURES, ROOT, pictures, site_page, viewer_page, what_is_cut_off

LESSONS = sorted((ROOT / "nbs/course").glob("*.ipynb"))
PACKAGE = [ROOT / f"nbs/{name}.ipynb" for name in ("index", "02_attention", "06_families", "14_view", "api", "trouble")]
CASES = [(viewer_page, path) for path in LESSONS] + [(site_page, path) for path in LESSONS + PACKAGE]


@pytest.mark.parametrize("look, path", [pytest.param(look, path, id=f"{look.__name__}-{path.stem}") for look, path in CASES])
def test_a_page_fits_its_screen(open_page, shoot, look, path):
    faults = []
    for theme in "light", "dark":
        page = open_page(look(path, theme), color_scheme=theme)
        page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
        broken = page.locator("img").evaluate_all("all => all.filter(one => !one.naturalWidth).map(one => one.alt)")
        faults += [(theme, "a picture that doesn't load", alt) for alt in broken]
        for size in DESKTOP, PHONE:
            page.set_viewport_size(dict(zip(("width", "height"), size)))
            cells = page.locator(".jp-Cell, .cell").evaluate_all(PICTURES)
            faults += [(theme, size[0], "cut off", what) for what in what_is_cut_off(page)]
            faults += [(theme, size[0], "no picture", name) for name in pictures(path) - {name for name, seen, _ in cells if seen}]
            faults += [(theme, size[0], "a picture without words", name) for name, _, said in cells if not said]
            if (theme, size) in (("light", DESKTOP), ("dark", PHONE)): shoot(page, f"{theme}-{size[0]}")
    assert faults == []


WIDE = """<p><img width="1600" height="400" src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="></p>
<h3>{long}</h3><p>Some text with <code>{long}</code> in it.</p><pre><code>{long} = {long}</code></pre><table><tr>{cells}</tr></table>"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_page_scrolls_sideways(open_page, size):
    "With more than any page has, in the theme's styles: pictures shrink, code and headings wrap, tables scroll in themselves."
    wide = WIDE.format(long="x" * 400, cells="<td>ModernBertForSequenceClassification</td>" * 12)
    styles = (ROOT / "nbs/styles.css").read_text(encoding="utf-8")
    page = open_page(f"<!doctype html><style>body {{ margin: 8px }} code {{ white-space: pre }} {styles}</style><main>{wide}</main>", size)
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    for name in "img", "pre", "table": assert page.locator(name).bounding_box()["width"] <= size[0] - 16
    assert page.locator("table").evaluate("node => node.scrollWidth") > size[0]
    assert what_is_cut_off(page) == []
