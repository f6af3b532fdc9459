"What tests in a browser share: pages without Quarto, sizes, what a page cuts off, pictures, and contrast."

import base64
import html
import mimetypes
import re
from functools import cache
from pathlib import Path

import nbformat
from fastcore.nbio import read_nb
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbconvert.preprocessors import TagRemovePreprocessor
from nbdev.processors import FilterDefaults
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build/browser"
DESKTOP, PHONE = (1280, 900), (390, 844)

# What is wider than its place: it scrolls sideways by itself or ends in an ellipsis, else it's cut off. What only screen readers
# read is 1 pixel wide.
CUT = """() => {
    const cut = [];
    const visit = (node) => {
        for (const element of node.querySelectorAll('*')) {
            if (element.shadowRoot) visit(element.shadowRoot);
            const { overflowX, textOverflow, display } = getComputedStyle(element);
            const box = element.getBoundingClientRect();
            const name = `${element.tagName}.${element.getAttribute('class') ?? ''}`;
            if (element.ownerSVGElement) {
                const frame = element.ownerSVGElement.getBoundingClientRect();
                if (element.tagName === 'text' && box.width && (box.left < frame.left - 1 || box.right > frame.right + 1))
                    cut.push(`in a picture: ${element.textContent}`);
                continue;
            }
            if (box.width <= 1 || display === 'inline' || ['CANVAS', 'STYLE', 'SCRIPT'].includes(element.tagName)) continue;
            if (['IMG', 'svg'].includes(element.tagName) && (box.left < 0 || box.right > innerWidth + 1))
                cut.push(`${name}: from ${box.left} to ${box.right}`);
            if (!['auto', 'scroll'].includes(overflowX) && textOverflow !== 'ellipsis' && element.scrollWidth > element.clientWidth + 1 && element.clientWidth)
                cut.push(`${name}: ${element.scrollWidth} > ${element.clientWidth}`);
        }
    };
    visit(document);
    if (document.documentElement.scrollWidth > innerWidth) cut.push(`the page: ${document.documentElement.scrollWidth}`);
    return cut;
}"""

# Pictures that a reader can't see, or that have no words for a reader who can't see.
PICTURES = """cells => cells.map(cell => {
    const seen = [...cell.querySelectorAll('img, svg')].filter(picture => {
        const { width, height } = picture.getBoundingClientRect();
        return picture.checkVisibility() && width > 60 && height > 30 && picture.naturalWidth !== 0;
    });
    const said = seen.every(picture => picture.alt || picture.getAttribute('aria-label') || picture.querySelector('title')
        || picture.closest('[aria-label], [aria-hidden=true]'));
    return [cell.id, seen.length > 0, said];
})"""


def what_is_cut_off(page: Page) -> list[str]:
    "Return the elements whose content is wider than they are, and the page if it scrolls sideways."
    return page.evaluate(CUT)


# Pages

def with_pictures(page: str, folder: Path) -> str:
    "Return a page of a notebook in a folder with the picture files that it shows inside of it; raise OSError if there's none."
    def embed(match: re.Match) -> str:
        data = base64.b64encode((folder / match[2]).read_bytes()).decode()
        return f'{match[1]}src="data:{mimetypes.guess_type(match[2])[0]};base64,{data}"'
    return re.sub(r'(<img [^>]*?)src="(?!data:|https?:)([^"]+)"', embed, page)


def viewer_page(path: Path, theme: str) -> str:
    "Return a notebook as nbconvert writes it in JupyterLab's look, hidden code hidden as there."
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("jupyter", {}).get("source_hidden"): cell.metadata["tags"] = ["hidden"]
    nothing = "data:text/javascript,"  # the template would ask other hosts for scripts that render formulas and widgets
    exporter = HTMLExporter(template_name="lab", theme=theme, mathjax_url=nothing, require_js_url=nothing, jquery_url=nothing)
    exporter.register_preprocessor(TagRemovePreprocessor(remove_input_tags={"hidden"}), enabled=True)
    wraps = ("<style>.jp-Notebook pre { white-space: pre-wrap; } .jp-Cell { overflow-wrap: break-word; } "
             ".jp-OutputArea-child, .jp-OutputArea-output { display: block; overflow-x: auto; }</style>")
    page = exporter.from_notebook_node(notebook)[0].replace("</head>", wraps + "</head>", 1)  # the template cuts long lines off
    return with_pictures(page, path.parent)


BASE = """*, ::before, ::after { box-sizing: border-box; }
code { white-space: pre; } body { margin: 0; font: 17px/1.5 sans-serif; background: #fff; color: #343a40; } a { color: #2761e3; }
main { max-width: 920px; margin: auto; padding: 0 12px; } img, svg { vertical-align: middle; }
table { border-collapse: collapse; } td, th { padding: .5rem; border-bottom: 1px solid #8888; } pre { margin: 0 0 1rem; }
div.sourceCode { background: #8881; padding: .4rem; margin-bottom: 1rem; } .callout { border-left: 4px solid #2780e3; padding-left: 1rem; }
body.quarto-dark { background: #222; color: #fff; } .quarto-dark a { color: #00bc8c; }
.anchor-link { display: none; }"""


RAW = re.compile(r"(?s)````\{=html\}\n(.*)\n````")  # as tools.pages writes what code shows as HTML


def as_html(markdown: str) -> str:
    "Return Markdown as HTML, with Quarto's fenced divs."
    markdown = re.sub(r'(?m)^::: *\{\.([\w-]+)(?: title="(.+)")?\}$', r'\n<div class="callout \1"><b>\2</b>\n\n', markdown)
    return markdown2html(re.sub(r"(?m)^:::$", "\n</div>\n", markdown))


def output_html(output) -> str:
    "Return an output as HTML."
    if output.output_type == "stream": return f"<pre><code>{html.escape(''.join(output.text))}</code></pre>"
    data = {kind: "".join(value) for kind, value in output.data.items() if isinstance(value, (str, list))}
    if raw := RAW.fullmatch(data.get("text/markdown", "")): return raw[1]
    if "text/markdown" in data: return as_html(data["text/markdown"])
    return f"<pre><code>{html.escape(data['text/plain'])}</code></pre>"


def cell_html(cell) -> str:
    "Return a processed cell as HTML."
    if cell.cell_type == "raw": return "<h1>" + re.search(r"(?m)^title: (.+)$", cell.source)[1] + "</h1>"  # front matter
    if cell.cell_type == "markdown": return as_html(cell.source)
    says = {name: value.strip('"') for name, value in re.findall(r"(?m)^#\| *([\w-]+): *(.*)$", cell.source)}
    code = re.sub(r"(?m)^#\|.*\n?", "", cell.source).strip()
    outputs = "".join(map(output_html, cell.get("outputs", [])))
    source = f'<div class="sourceCode"><pre class="sourceCode python"><code>{html.escape(code)}</code></pre></div>'
    if "code-fold" in says: source = f"<details open><summary>{says['code-summary']}</summary>{source}</details>"
    if says.get("echo") == "false" or not code: source = ""
    if says.get("output") == "false": outputs = ""
    return f'<div class="cell" id="cell-id={cell.id}">{source}<div class="cell-output cell-output-display">{outputs}</div></div>'


@cache
def processed(path: Path) -> str:
    "Return a page's cells as nbdev processes them for the site, as HTML."
    notebook = read_nb(path)
    FilterDefaults()(notebook)
    return "".join(map(cell_html, notebook.cells))


def site_page(path: Path, theme: str) -> str:
    "Return a page of the site as far as that needs no Quarto: processed cells with the site's own styles."
    styles = BASE + (ROOT / "nbs/styles.css").read_text(encoding="utf-8")
    head = f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><style>{styles}</style>'
    return with_pictures(f'{head}<body class="quarto-{theme}"><main>{processed(path)}</main>', path.parent)


def has_picture(cell) -> bool:
    "Tell whether a cell's stored output is a picture."
    stored = [output.get("data", {}) for output in cell.get("outputs", [])]  # HTML without the class is a table or a view
    return any("tinybert-picture" in "".join(data.get("text/html", "")) for data in stored)


def pictures(path: Path) -> set[str]:
    "Return the cells of a notebook whose stored output is a picture."
    return {f"cell-id={cell.id}" for cell in read_nb(path).cells if has_picture(cell)}


# Colors

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
