"What tests in a browser share: sizes, what a page cuts off, and contrast."

from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build/browser"
DESKTOP, PHONE = (1280, 900), (390, 844)

CUT = """() => {
    const cut = [];
    const visit = (node, where) => {
        for (const element of node.querySelectorAll('*')) {
            if (element.shadowRoot) visit(element.shadowRoot, where);
            const { overflowX, display } = getComputedStyle(element);
            const box = element.getBoundingClientRect();
            if (!box.width || display === 'inline' || ['CANVAS', 'STYLE', 'SCRIPT'].includes(element.tagName)) continue;
            if (overflowX === 'visible' && element.scrollWidth > element.clientWidth + 1 && element.clientWidth)
                cut.push(`${element.tagName}.${element.className}: ${element.scrollWidth} > ${element.clientWidth}`);
        }
    };
    visit(document);
    if (document.documentElement.scrollWidth > innerWidth) cut.push(`the page: ${document.documentElement.scrollWidth}`);
    return cut;
}"""


def what_is_cut_off(page: Page) -> list[str]:
    "Return the elements whose content is wider than they are, and the page if it scrolls sideways."
    return page.evaluate(CUT)


def luminance(color: list[float]) -> float:
    "Return a color's relative luminance (WCAG 2.2)."
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (part / 255 for part in color)]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(one: list[float], other: list[float]) -> float:
    "Return the contrast of two colors (WCAG 2.2)."
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def over(color: list[float], ground: list[float]) -> list[float]:
    "Return a color with alpha on an opaque ground."
    alpha = color[3] if len(color) > 3 else 1
    return [alpha * a + (1 - alpha) * b for a, b in zip(color[:3], ground)]
