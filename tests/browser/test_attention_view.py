"The view of attention as a reader uses it: mouse, keyboard, light and dark, phone, several on a page, and without scripts."

import re

import pytest
import torch
from pages import DESKTOP, PHONE, ROOT, contrast, luminance, over, what_is_cut_off
from playwright.sync_api import expect

from tinybert import AutoModel, AutoTokenizer, show_attention
from tinybert.view import AttentionView

ATTACK = "<script>alert(1)</script>"
MODES = {  # how a page says that it's dark → body's attributes, and the page's own style
    "light": ("", ""),
    "media": ("", "@media (prefers-color-scheme: dark) { body { background: #181818; color: #e0e0e0; } }"),
    "quarto": ('class="quarto-dark"', ".quarto-dark { background: #222; color: #fff; }"),
    "jupyterlab": ('data-jp-theme-light="false"', "[data-jp-theme-light=false] { background: #111; color: rgba(255, 255, 255, .87); }"),
}


def page_of(*views: AttentionView, mode: str = "light") -> str:
    "Return a page with views on it, with rules that would spoil them if they got in."
    attributes, style = MODES[mode]
    spoil = "button, td, th, p, span { color: lime; font-size: 40px; float: right; } table { display: none; } canvas { border: 9px solid; }"
    return (f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<style>body {{ margin: 12px auto; max-width: 900px; padding: 0 12px; }} img {{ max-width: 100%; }} {spoil} {style}</style>"
            f"<body {attributes}>{'<hr>'.join(view._repr_html_() for view in views)}<p class=after>After.</p>")


def rounded(weights: torch.Tensor) -> torch.Tensor:
    "Round weights as a view does, so that two that become equal stay in their order."
    return (weights * 255).round() / 255


def make(tokens: str | list[str], layers: int = 3, heads: int = 4, seed: int = 0, **options) -> AttentionView:
    "Return a view of random weights."
    tokens = tokens.split() if isinstance(tokens, str) else tokens
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(layers, heads, len(tokens), len(tokens), generator=generator)
    return AttentionView(tokens, rounded(scores.softmax(dim=-1)), **options)


@pytest.fixture(scope="module")
def river() -> AttentionView:
    name = "tinybert-mini"
    view = show_attention(AutoModel.from_pretrained(name), AutoTokenizer.from_pretrained(name), "We sat on the bank of the river.",
                          layer=0, head=1)
    view.weights = rounded(view.weights)
    return view


def token(view, text: str): return view.get_by_role("radiogroup", name="Token that attends").get_by_role("radio", name=text)


def head(view, name: str): return view.get_by_role("radio", name=name, exact=True)


def open_table(view) -> None:
    "Unfold the table of weights."
    view.get_by_text("Weights as a table").click()
    view.get_by_role("table").wait_for()


def best(view: AttentionView, weights: torch.Tensor, at: int) -> str:
    "Return what the view says about a token."
    order = weights[at].sort(descending=True, stable=True)
    return f"{view.tokens[at]} → " + ", ".join(
        f"{view.tokens[other]} {weight:.2f}" for weight, other in zip(order.values[:5].tolist(), order.indices[:5].tolist()))


def says(view, expected: str) -> None:
    "Check what a view says: words exactly, numbers to a hundredth."
    view.locator(".says").wait_for()
    numbers = re.compile(r"\d+\.\d\d")
    found = view.locator(".says").inner_text()
    assert numbers.sub("", found) == numbers.sub("", expected)
    assert all(abs(float(a) - float(b)) < 0.011 for a, b in zip(numbers.findall(found), numbers.findall(expected), strict=True))


# Using it

def test_pointing_at_a_token_shows_where_it_attends(open_page, shoot, river):
    page = open_page(page_of(river))
    view = page.locator(".tinybert-attention")
    at = river.tokens.index("bank")
    token(view, "bank, position").hover()
    says(view, best(river, river.weights[0, 1], at))
    expect(token(view, "bank, position")).to_have_attribute("aria-checked", "true")
    expect(view.get_by_role("radio", checked=True)).to_have_count(2)  # a head and a token
    shades = [float(value) for value in view.locator(".line button").evaluate_all(
        "all => all.map(button => button.style.getPropertyValue('--shade'))")]
    torch.testing.assert_close(torch.tensor(shades), 0.75 * river.weights[0, 1, at].sqrt(), rtol=0, atol=0.05)
    expect(view.locator("img")).not_to_be_visible()
    shoot(page)


def test_a_click_chooses_a_head_and_means_are_means(open_page):
    view = make("[CLS] a b c [SEP]")
    shown = (page := open_page(page_of(view))).locator(".tinybert-attention")
    expect(shown.locator(".what")).to_have_text("Mean of all layers and heads")
    for name, weights in {"layer 2, head 3": view.weights[2, 3], "layer 1, mean of its heads": view.weights[1].mean(0),
                          "mean of all layers and heads": view.weights.mean((0, 1)), "layer 0, head 0": view.weights[0, 0]}.items():
        head(shown, name).click()
        token(shown, "b, position 2").hover()
        expect(shown.locator(".what")).to_have_text(name[0].upper() + name[1:])
        says(shown, best(view, weights, 2))
    assert len(page.query_selector_all(".tinybert-attention")) == 1


def test_every_thumbnail_has_its_own_weights(open_page):
    view = make("[CLS] a b c d [SEP]", layers=2, heads=3)
    shown = open_page(page_of(view)).locator(".tinybert-attention")
    read = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data].filter((_, at) => at % 4 == 3)"""
    for layer in range(2):
        for one in range(3):
            alpha = torch.tensor(head(shown, f"layer {layer}, head {one}").locator("canvas").evaluate(read)).view(6, 6) / 255
            torch.testing.assert_close(alpha, view.weights[layer, one].sqrt(), rtol=0, atol=0.06)


def test_the_keyboard_reaches_all(open_page):
    view = make("[CLS] a b c [SEP]", layer=1, head=1)
    page = open_page(page_of(view))
    shown = page.locator(".tinybert-attention")
    page.keyboard.press("Tab")
    expect(head(shown, "layer 1, head 1")).to_be_focused()
    for key, name in (("ArrowRight", "layer 1, head 2"), ("ArrowUp", "layer 0, head 2"), ("ArrowUp", "layer 0, head 2"),
                      ("ArrowRight", "layer 0, head 3"), ("ArrowRight", "layer 0, mean of its heads"),
                      ("ArrowRight", "layer 0, mean of its heads"), ("ArrowLeft", "layer 0, head 3"), ("ArrowDown", "layer 1, head 3"),
                      ("ArrowDown", "layer 2, head 3"), ("ArrowDown", "mean of all layers and heads"),
                      ("ArrowDown", "mean of all layers and heads"), ("ArrowUp", "layer 2, mean of its heads")):
        page.keyboard.press(key)
        expect(head(shown, name)).to_be_focused()
        expect(shown.locator(".what")).to_have_text(name[0].upper() + name[1:])
    page.keyboard.press("Tab")
    expect(token(shown, "a, position 1")).to_be_focused()
    for key, name in (("ArrowRight", "b, position 2"), ("ArrowLeft", "a, position 1"), ("ArrowUp", "[CLS], position 0"),
                      ("ArrowLeft", "[CLS], position 0"), ("ArrowDown", "a, position 1")):
        page.keyboard.press(key)
        expect(token(shown, name)).to_be_focused()
    says(shown, best(view, view.weights[2].mean(0), 1))
    page.keyboard.press("Tab")  # on to the table
    page.keyboard.press("Enter")
    expect(shown.get_by_role("table")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")  # the view holds nobody


def test_the_table_has_all_weights_of_the_token(open_page):
    view = make("[CLS] a b c [SEP]", layer=0, head=2)
    shown = open_page(page_of(view)).locator(".tinybert-attention")
    open_table(shown)
    for at in (3, 0):
        token(shown, f"{view.tokens[at]}, position").hover()
        table = shown.get_by_role("table", name=f"Where {view.tokens[at]} (position {at}) attends: layer 0, head 2")
        table.wait_for()
        assert table.get_by_role("columnheader").all_inner_texts() == ["position", "token", "weight"]
        assert table.get_by_role("rowheader").all_inner_texts() == view.tokens
        weights = [float(row.get_by_role("cell").all_inner_texts()[1]) for row in table.get_by_role("row").all()[1:]]
        torch.testing.assert_close(torch.tensor(weights), view.weights[0, 2, at], rtol=0, atol=0.008)


def test_pointing_into_the_matrix_shows_a_pair(open_page):
    view = make("[CLS] a b c [SEP]", layer=0, head=2)
    shown = open_page(page_of(view)).locator(".tinybert-attention")
    box = shown.locator(".field").bounding_box()
    shown.locator(".field").hover(position={"x": box["width"] * 3.5 / 5, "y": box["height"] * 1.5 / 5})
    says(shown, f"a → c {view.weights[0, 2, 1, 3]:.2f}")
    expect(token(shown, "a, position 1")).to_have_attribute("aria-checked", "true")


def test_the_texts_of_a_pair_have_a_line_each(open_page):
    view = make("[CLS] a [SEP] b c [SEP]", second=3)
    shown = open_page(page_of(view)).locator(".tinybert-attention")
    assert [line.get_by_role("radio").all_inner_texts() for line in shown.locator(".line").all()] == [
        ["[CLS]", "a", "[SEP]"], ["b", "c", "[SEP]"]]


# On any page

def test_several_views_do_not_touch_each_other_or_the_page(open_page, shoot):
    first, second = make("[CLS] a b [SEP]", layer=0, head=0), make("[CLS] c d e [SEP]", seed=1, layer=1, head=1)
    page = open_page(page_of(first, second, first))
    views = page.locator(".tinybert-attention")
    before = page.locator(".after").evaluate("node => JSON.stringify(getComputedStyle(node))")
    head(views.nth(1), "layer 2, head 2").click()
    token(views.nth(1), "d, position 2").hover()
    says(views.nth(1), best(second, second.weights[2, 2], 2))
    for n in (0, 2):
        expect(views.nth(n).locator(".what")).to_have_text("Layer 0, head 0")
        says(views.nth(n), best(first, first.weights[0, 0], 1))
    assert page.locator(".after").evaluate("node => JSON.stringify(getComputedStyle(node))") == before
    assert views.nth(0).locator(".line button").first.evaluate("node => getComputedStyle(node).fontSize") == "14px"
    shoot(page)


def test_text_is_shown_and_does_not_run(open_page):
    shown = open_page(page_of(make(["[CLS]", ATTACK, '" onload="alert(2)', "$x$", "[SEP]"]))).locator(".tinybert-attention")
    token(shown, ATTACK).hover()
    assert shown.locator(".line button").nth(1).inner_text() == ATTACK
    open_table(shown)
    assert shown.get_by_role("rowheader").all_inner_texts()[1] == ATTACK  # and no dialog: see open_page


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("mode", MODES)
def test_colors_can_be_told_apart_in_light_and_dark(open_page, shoot, river, mode, size):
    weights = river.weights.clone()
    weights[0, 1, 1] = 0
    weights[0, 1, 1, 2] = 1  # the darkest shade there is
    view = AttentionView(river.tokens, weights, layer=0, head=1)
    page = open_page(page_of(view, mode=mode), size, color_scheme="light" if mode == "light" else "dark")
    shown = page.locator(".tinybert-attention")
    says(shown, best(view, weights[0, 1], 1))
    read = lambda place, name: [float(part) for part in re.findall(r"[\d.]+", place.evaluate(f"node => getComputedStyle(node).{name}"))]
    body = page.locator("body")
    ground = over(read(body, "backgroundColor") if mode != "light" else [255, 255, 255], [255, 255, 255])
    assert (luminance(ground) < 0.1) == (mode != "light")
    for place in (shown.locator(".what"), shown.locator(".says"), shown.locator("summary"), shown.locator(".map span").nth(1)):
        assert contrast(over(read(place, "color"), ground), ground) >= 7
    for button in shown.locator(".line button").all():
        behind = over(read(button, "backgroundColor"), ground)
        assert contrast(over(read(button, "color"), behind), behind) >= 4.5
    for place, name in ((shown.locator(".line [aria-checked=true]"), "outlineColor"), (shown.locator(".field i"), "outlineColor")):
        assert contrast(read(place, name), ground) >= 3
    shoot(page)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("layers, heads, count", [(6, 12, 11), (12, 12, 30), (6, 3, 128), (24, 16, 5)])
def test_nothing_is_cut_off(open_page, shoot, size, layers, heads, count):
    tokens = ["[CLS]", "Donaudampfschifffahrtsgesellschaftskapitän" * 2, *(f"word{n}" for n in range(count - 3)), "[SEP]"]
    page = open_page(page_of(make(tokens, layers, heads)), size)
    open_table(page.locator(".tinybert-attention"))
    assert what_is_cut_off(page) == []
    shoot(page)


def test_without_scripts_the_picture_is_there(open_page, shoot):
    page = open_page(page_of(make("[CLS] a b [SEP]", layer=0, head=0)), java_script_enabled=False)
    picture = page.get_by_role("img", name="layer 0, head 0")
    expect(picture).to_be_visible()
    assert picture.bounding_box()["width"] > 600
    shoot(page)


def test_an_old_browser_keeps_the_picture(browser, open_page):
    page = open_page("<script>delete window.DecompressionStream</script>" + page_of(make("[CLS] a b [SEP]")))
    expect(page.get_by_role("img", name="Attention weights")).to_be_visible()


def test_128_tokens_and_72_heads(open_page, shoot):
    tokens = ["[CLS]", *(f"word{n}" for n in range(126)), "[SEP]"]
    view = make(tokens, 6, 12, layer=5, head=11)
    page = open_page(page_of(view))
    shown = page.locator(".tinybert-attention")
    token(shown, "word125, position").hover()
    says(shown, best(view, view.weights[5, 11], 126))
    head(shown, "layer 0, head 0").click()
    says(shown, best(view, view.weights[0, 0], 126))
    shoot(page)


def test_the_page_of_this_module(open_page, shoot):
    "The notebook as nbconvert writes it, with its stored outputs."
    from nbconvert import HTMLExporter
    body, _ = HTMLExporter(template_name="basic").from_filename(str(ROOT / "nbs/14_view.ipynb"))
    style = "body { max-width: 900px; margin: auto; padding: 8px; } pre { white-space: pre-wrap; overflow-wrap: anywhere; } img { max-width: 100%; height: auto; }"
    for size in DESKTOP, PHONE:
        page = open_page(f'<!doctype html><meta name="viewport" content="width=device-width"><style>{style}</style>{body}', size)
        expect(page.locator(".tinybert-attention .map")).to_have_count(2)
        expect(page.locator("table").first).to_be_visible()
        assert what_is_cut_off(page) == []
        shoot(page, f"{size[0]}")
