"""What a page moves, what holds up its first line, how soon it stands, and whether it jumps.

The time is the clock's, or the page's own part of it where the machine has other work to do (see
slow.py), and the best of some loads; ``python -m benchmarks.pages`` tells both.
"""

import re
from html.parser import HTMLParser

import pytest

from . import slow
from .conftest import EDITIONS, PAGES, ROOT, SITE

WEIGHT = 600e3  # bytes before the pictures
SHIFT = 0.05
SOON, LOADS = 1000, 10  # ms, and of how many loads one has to make it
HEAVY = {"algorithms/nesterov": "en", "algorithms/adamw": "both", "algorithms/adam": "zh", "scale/zero": "both", "intro": "zh"}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
FONTS = re.compile(r"url\(([^)]*\.woff2)\)")

SELECTORS = """css => {
  const sheet = new CSSStyleSheet(), found = [];
  const walk = (rules) => [...rules].forEach((rule) => { if (rule.selectorText) found.push(rule.selectorText); if (rule.cssRules) walk(rule.cssRules); });
  sheet.replaceSync(css);
  walk(sheet.cssRules);
  return found;
}"""

every_page = pytest.mark.parametrize("path", PAGES)
every_edition = pytest.mark.parametrize("edition", EDITIONS)


class Page(HTMLParser):
    """The elements of a page that ask for something."""

    def __init__(self, file):
        super().__init__()
        self.elements, self.file = [], file
        self.feed(file.read_text(encoding="utf8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def asked(self, address):
        return (self.file.parent / address.split("?")[0]).resolve()


@pytest.fixture(scope="module")
def address():
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    with slow.serve(SITE) as address:
        yield address


@pytest.mark.parametrize("path", HEAVY)
def test_a_page_is_light_and_nothing_jumps(browser, address, path):
    """On a busy machine a formula's font may come after the first line, and that moves a line: what every load shows is the page's."""
    loads = []
    while not loads or (loads[-1].shift >= SHIFT and len(loads) < 3):
        loads.append(slow.load(browser, f"{address}/{HEAVY[path]}/{path}.html"))
    assert loads[-1].words < WEIGHT and loads[-1].shift < SHIFT, loads


@pytest.mark.parametrize("path", HEAVY)
def test_the_first_screen_stands_within_a_second(browser, address, path):
    times = []
    while not times or (times[-1] > SOON and len(times) < LOADS):
        found = slow.load(browser, f"{address}/{HEAVY[path]}/{path}.html", slow.SLOWER)
        times.append(min(found.clock, found.blame))
    assert times[-1] <= SOON, times


@pytest.mark.parametrize("path", HEAVY)
def test_nothing_jumps_on_a_phone(browser, address, path):
    assert slow.load(browser, f"{address}/{HEAVY[path]}/{path}.html", **PHONE).shift < SHIFT


@every_page
@every_edition
def test_what_a_page_asks_for(edition, path):
    """One sheet and nothing else holds up the first line; pictures keep their room; the whole is light."""
    page = Page(SITE / edition / f"{path}.html")
    head = [link for link in page.all("link") if link["rel"] == "stylesheet"]
    scripts = [script for script in page.all("script") if "src" in script]
    assert len(head) == 1
    assert len(scripts) == 1 and "defer" in scripts[0]
    for picture in page.all("img"):
        if "_images/" in picture["src"]:
            assert picture["loading"] == "lazy" and int(picture["width"]) > 0 and int(picture["height"]) > 0
    sheet = page.asked(head[0]["href"])
    files = [page.file, sheet, *(page.asked(script["src"]) for script in scripts)]
    fonts = [sheet.parent / name for name in FONTS.findall(sheet.read_text(encoding="utf8"))]
    preloaded = [page.asked(link["href"]) for link in page.all("link") if link["rel"] == "preload"]
    assert set(preloaded) <= set(fonts)
    weight = sum(len(slow.zipped(file)) for file in files) + sum(len(slow.zipped(font)) for font in preloaded)
    assert weight < WEIGHT / 2  # the other half is for what a page draws in other fonts, and adds by itself


def test_the_sheet_keeps_every_rule_of_ours(visit):
    """PurgeCSS takes away what no page needs; a lone ``:focus-visible`` it takes for such."""
    page = visit("zh/intro.html")
    selectors = lambda sheet: set(page.evaluate(SELECTORS, sheet.read_text(encoding="utf8")))
    ours = set.union(*(selectors(sheet) for sheet in (ROOT / "book" / "_static").glob("*.css")))
    assert ours - set.union(*(selectors(SITE / edition / "_static" / "style.css") for edition in EDITIONS)) == set()
