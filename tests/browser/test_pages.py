"""Every page in every edition, as a reader without any other host sees it."""

import re

import nbformat
import pytest

from .axe import WAYS, violations
from .conftest import CONFIG, PAGES, ROOT

HAN = re.compile(r"[\u4e00-\u9fff]")
LANG = {"zh": "zh-CN", "en": "en", "both": "zh-CN"}
STICKING_OUT = """() => [...document.querySelectorAll("body *")]
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(node).position !== "fixed")
  .filter((node) => {
    for (let up = node.parentElement; up; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible") return false;
    return true;
  }).map((node) => node.outerHTML.slice(0, 120))"""

# Firefox reports such a part of a formula as invalid markup, and nobody knows what a voice makes of it.
ILL_FORMED = """() => Object.entries({ msub: 2, msup: 2, msubsup: 3, munder: 2, mover: 2, munderover: 3, mfrac: 2, mroot: 2 })
  .flatMap(([name, parts]) => [...document.querySelectorAll(name)].filter((node) => node.children.length !== parts))
  .map((node) => node.outerHTML)"""
LOOSE_PUNCTUATION = r"""() => [...document.querySelectorAll(".bd-article .math")].filter((node) => !node.closest(".together"))
  .filter((node) => [[node.nextSibling, /^[，。；：、！？）”,.;:!?)]/], [node.previousSibling, /[（“(]$/]]
    .some(([beside, mark]) => beside?.nodeType === Node.TEXT_NODE && mark.test(beside.data)))
  .map((node) => node.parentElement.textContent)"""

every_page = pytest.mark.parametrize("path", PAGES)


class Pages:
    """One class an edition, so that two processes share the work."""

    edition = None

    @every_page
    def test_page(self, visit, path):
        page = visit(f"{self.edition}/{path}.html")
        assert page.problems == []
        check_language(page, self.edition)
        check_mathematics(page, path)
        check_pictures(page)
        check_sliders(page)
        check_colours(page)
        check_colab(page, path)
        check_width(page)
        assert page.problems == []
        # At the end, for it takes the page apart. The editions share their colours and their narrow layout.
        assert violations(page, WAYS if self.edition == "zh" else WAYS[:1]) == []


class TestChinese(Pages):
    edition = "zh"


class TestEnglish(Pages):
    edition = "en"


class TestBoth(Pages):
    edition = "both"


def check_language(page, edition):
    assert page.locator("html").get_attribute("lang") == LANG[edition]
    titles = page.locator(".bd-article :is(h1, h2, h3, summary):visible").all_inner_texts()
    assert titles
    if edition == "en":
        assert not [title for title in titles if HAN.search(title)]
    if edition == "zh":
        assert not [title for title in titles if " · " in title]
    # A docstring, in an entry of the API reference, is English in every edition: see test_reference.py.
    for other in {"zh": ["en"], "en": ["zh"]}.get(edition, []):
        assert page.locator(f".bd-article [lang={other}]:not(dfn, bdi, dl.py *):visible").count() == 0
    if edition == "both":
        titles = ":is(h1, h2, h3, h4, summary) *"  # only their second half is marked: see test_editions.py
        zh, en = (page.locator(f".bd-article [lang={language}]:not(bdi, dl.py *, {titles})").count() for language in ("zh", "en"))
        assert zh == en > 0


def check_mathematics(page, path):
    if is_notebook(path):  # in the API reference formulas come from rules and docstrings
        assert bool(page.locator(".katex").count()) == ("$" in markdown(path))
    assert page.locator(".katex-error").count() == 0
    assert page.evaluate(ILL_FORMED) == []
    assert not [name for name in scripts(page) if re.search("katex|mathjax", name, re.I)]
    assert "$" not in prose(page)  # nothing was left undrawn
    assert page.evaluate(LOOSE_PUNCTUATION) == []
    beside = page.locator(".together")  # no line begins with the comma after a formula
    assert beside.count() > 0 or not path.startswith(("foundations/", "algorithms/", "schedulers/", "own/", "scale/"))
    assert beside.evaluate_all("all => all.every((formula) => formula.getClientRects().length === 1)")


def check_pictures(page):
    """Every picture is there and is described; Sphinx alone would write its file's name."""
    pictures = page.locator(".bd-article img")
    texts = pictures.evaluate_all("all => all.map((image) => image.alt)")
    assert all(len(text) >= 8 and ".png" not in text for text in texts), texts
    pictures.evaluate_all("all => Promise.all(all.map((image) => { image.loading = 'eager'; return image.decode(); }))")
    assert all(pictures.evaluate_all("all => all.map((image) => image.naturalWidth > 0)"))


def check_sliders(page):
    """Moving a slider by the keyboard changes what its output shows."""
    sliders = page.locator(".cell_output input[type=range]")
    for index in range(sliders.count()):
        slider = sliders.nth(index)
        slider.focus()
        seen = {drawing(slider)}
        for key in ("End", "Home"):
            page.keyboard.press(key)
            page.wait_for_timeout(50)  # a drawing may wait for the next frame
            seen.add(drawing(slider))
        assert len(seen) >= 2, slider.evaluate("node => node.outerHTML")


def check_colours(page):
    """The button goes round light, dark and the system's choice."""
    seen = set()
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        seen.add(page.evaluate("[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor].join()"))
    assert len(seen) == 2, seen


def check_colab(page, path):
    """The button opens this page's notebook, and the notebook exists; what is no notebook has no button."""
    buttons = page.locator('.article-header-buttons a[href*="colab.research.google.com"]')
    if not is_notebook(path):
        assert buttons.count() == 0
        return
    repository = CONFIG["repository"]
    project = repository["url"].removeprefix("https://github.com/")
    notebook = f"{repository['path_to_book']}/{path}.ipynb"
    address = f"https://colab.research.google.com/github/{project}/blob/{repository['branch']}/{notebook}"
    assert buttons.count() == 1 and buttons.get_attribute("href") == address
    assert (ROOT / notebook).exists()


def check_width(page):
    """Nothing sticks out of the window, with every solution open and all that is far down laid out (see book.css)."""
    page.add_style_tag(content=".far { content-visibility: visible !important; }")
    page.locator(".bd-article details").evaluate_all("all => all.forEach((node) => { node.open = true; })")
    for width in (360, 768, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(STICKING_OUT) == [], width


@every_page
def test_the_page_is_whole_without_scripts(visit, path):
    page = visit(f"zh/{path}.html", java_script_enabled=False)
    assert page.problems == []
    if is_notebook(path):
        assert bool(page.locator(".katex-html").count()) == ("$" in markdown(path))
    assert page.locator(".edition-switch a:visible").count() == 3


def drawing(slider):
    """What the output around a slider shows: its marks, and the pixels of its canvases."""
    return slider.evaluate("""node => {
      const output = node.closest(".cell_output");
      const marks = [...output.querySelectorAll("svg")].map((svg) => svg.innerHTML);
      const pixels = [...output.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL());
      return [...marks, ...pixels].join();
    }""")


def prose(page):
    """The words outside of code and formulas."""
    return page.locator(".bd-article").evaluate("""node => {
      const copy = node.cloneNode(true);
      copy.querySelectorAll(".katex, pre, code, .cell_output, script").forEach((part) => part.remove());
      return copy.textContent;
    }""")


def scripts(page):
    return page.locator("script[src]").evaluate_all("all => all.map((script) => script.src)")


def is_notebook(path):
    return (ROOT / "book" / f"{path}.ipynb").exists()


def markdown(path):
    notebook = nbformat.read(ROOT / "book" / f"{path}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
