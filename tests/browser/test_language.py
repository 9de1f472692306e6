"""Each edition is whole in its language, down to the theme's own words; the switch keeps the place; search engines are told right."""

import functools
import gettext
import http.server
import re
import threading
import xml.etree.ElementTree as ElementTree
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from .conftest import CONFIG, EDITIONS, PAGES, ROOT, SITE, Quiet, watch

HAN = re.compile(r"[\u3400-\u9fff\u3000-\u303f\uff00-\uffef]")
SENTENCE = re.compile(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b")  # three English words in a row, none of them a name
WALKED = ["intro", "algorithms/adamw", "schedulers/warmup_lr", "notation", "glossary", "search", "genindex"]
BASE = CONFIG["html"]["baseurl"]

# What is shown, or said by a screen reader, and in which language it says to be; code, formulas, outputs and titles of papers are neither.
WORDS = """() => {
  const shown = [];
  const tell = (node, text) => text && text.trim() && shown.push([text.trim().replace(/\\s+/g, " "), node.closest("[lang]").lang.slice(0, 2), !!node.closest("dfn, bdi")]);
  const skipped = "script, style, noscript, .katex, pre, code, .cell_output, a.external, svg:not([role])";
  document.querySelectorAll("details").forEach((node) => { node.open = true; });
  for (const node of document.querySelectorAll("body, body *")) {
    if (node.closest(skipped)) continue;
    for (const name of ["title", "aria-label", "placeholder", "alt", "data-tooltip", "data-bs-original-title"]) tell(node, node.getAttribute(name));
    for (const child of node.childNodes) if (child.nodeType === 3) tell(node, child.data);
  }
  tell(document.documentElement, document.title);
  return shown;
}"""

needs_site = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built: run `make book`")


@pytest.mark.parametrize("path", WALKED)
def test_no_chinese_in_the_english_edition(visit, path):
    page = visit(f"en/{path}.html")
    words = page.evaluate(WORDS)
    assert len(words) > 30
    assert [text for text, lang, quoted in words if lang == "en" and HAN.search(text)] == []
    # The other language is there in the switch, which says so, and in the glossary's quoted terms.
    assert {text for text, lang, quoted in words if lang == "zh" and not quoted} <= {"中文", "中文版", "双语", "中英对照 · Bilingual"}


@pytest.mark.parametrize("edition", ["zh", "both"])
@pytest.mark.parametrize("path", WALKED)
def test_no_english_in_the_chinese_edition(visit, edition, path):
    page = visit(f"{edition}/{path}.html")
    words = page.evaluate(WORDS)
    assert len(words) > 30
    chinese = {text for text, lang, quoted in words if lang == "zh"}
    assert chinese & interface_words() == set()
    if edition == "zh":
        assert [text for text in chinese if SENTENCE.search(text)] == []
        assert {text for text, lang, quoted in words if lang == "en" and not quoted} <= {"EN", "English edition"}


@functools.cache
def interface_words():
    """The English words of the themes' interfaces, from their own catalogues and templates."""
    themes = [Path(find_spec(name).origin).parent for name in ("sphinx", "sphinx_book_theme", "pydata_sphinx_theme")]
    found = {"Toggle hidden content", "Main", "Page", "Toggle primary sidebar", "Toggle secondary sidebar", "Copy", "Copied!"}
    for theme in themes:
        for catalogue in theme.rglob("zh_CN/LC_MESSAGES/*.mo"):
            with catalogue.open("rb") as file:
                found |= {words for words in gettext.GNUTranslations(file)._catalog if isinstance(words, str)}
        for template in theme.rglob("theme/**/*.html"):
            found |= {two or one for one, two in re.findall(r"""_\((?:'([^']+)'|"([^"]+)")\)""", template.read_text(encoding="utf8"))}
    names = {"PDF", "Colab", "GitHub", "Python", "C", "C++", "JavaScript", "OptimBook", ""}
    return {words for words in found if not HAN.search(words)} - names


@needs_site
@pytest.mark.parametrize("path", PAGES)
def test_a_page_tells_search_engines_what_it_is(path):
    heads = {edition: head(edition, path) for edition in EDITIONS}
    for edition, text in heads.items():
        own = "zh" if edition == "both" else edition
        title = unescape(re.search(r"<title>(.*?)</title>", text)[1])
        described = unescape(re.search(r'<meta name="description" content="([^"]*)"', text)[1])
        assert title.endswith("— OptimBook") and bool(HAN.search(described)) == (own == "zh"), (title, described)
        assert edition != "en" or not HAN.search(title)
        assert edition != "zh" or " · " not in title
        assert 20 <= len(described) <= 160 and "\\" not in described and "Colab" not in described
        links = dict(re.findall(r'<link rel="alternate" hreflang="([^"]+)" href="([^"]+)"', text))
        pages = {lang: f"{BASE}{lang}/{path}.html" for lang in ("zh", "en")}
        assert links == {**pages, "x-default": pages["en"]}
        assert re.findall(r'<link rel="canonical" href="([^"]+)"', text) == [pages[own]]
        assert re.findall(r'property="og:url" content="([^"]+)"', text) == [pages[own]]
    assert len({re.search(r"<title>(.*?)</title>", text)[1] for text in heads.values()}) > 1


def head(edition, path):
    return (SITE / edition / f"{path}.html").read_text(encoding="utf8").partition("</head>")[0]


@needs_site
def test_the_map_of_the_site_lists_every_page_and_its_twin():
    tree = ElementTree.parse(SITE / "sitemap.xml")
    spaces = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}
    listed = {entry.find("s:loc", spaces).text: {link.get("hreflang"): link.get("href") for link in entry.findall("x:link", spaces)}
              for entry in tree.findall("s:url", spaces)}
    assert {BASE, *(f"{BASE}{lang}/{path}.html" for lang in ("zh", "en") for path in PAGES)} <= set(listed)
    for address, twins in listed.items():
        assert set(twins) == {"zh", "en", "x-default"} and address in twins.values()
        for twin in twins.values():
            file = SITE / twin.removeprefix(BASE)
            assert (file / "index.html" if file.is_dir() else file).exists(), twin
    assert f"Sitemap: {BASE}sitemap.xml" in (SITE / "robots.txt").read_text()


class LikeGitHub(Quiet):
    """Serves the site below the project's path, and its 404.html for whatever is not there."""

    def do_GET(self):
        path = urlsplit(BASE).path
        inside = self.path.startswith(path)
        self.path = self.path.removeprefix(path[:-1])
        if inside and Path(self.translate_path(self.path)).exists():
            return super().do_GET()
        page = (SITE / "404.html").read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@pytest.fixture(scope="module")
def github():
    if not (SITE / "404.html").exists():
        pytest.skip("the site is not built: run `make book`")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(LikeGitHub, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{urlsplit(BASE).path}"
        server.shutdown()


@pytest.mark.parametrize(("path", "lang"), [
    ("nothing", "zh-CN"), ("zh/nothing.html", "zh-CN"), ("en/algorithms/weight_decay.html", "en"), ("both/a/b/c/nothing/", "zh-CN"), ("en/", None),
])
def test_what_is_not_there_leads_on(browser, github, path, lang):
    page = browser.new_page()
    watch(page, github)
    page.goto(urljoin(github, path))
    if lang is None:  # an edition's own address is a page
        assert page.url.startswith(github) and page.locator("h1").last.inner_text() not in ("没有这一页", "There is no such page")
        page.close()
        return
    assert page.locator("html").get_attribute("lang") == lang
    first = page.locator("h1").first.inner_text()
    assert first == ("There is no such page" if lang == "en" else "没有这一页")
    links = page.locator("a").evaluate_all("all => all.map((link) => link.href)")
    assert len(links) == 5 and {link.removeprefix(github).split("?")[0] for link in links} == {
        "zh/intro.html", "both/intro.html", "en/intro.html", "zh/search.html", "en/search.html"}
    for link in links:
        assert page.request.get(link).ok, link
    assert page.problems in ([f"404: {page.url}"], [f"404: {page.url}", "console: Failed to load resource: the server responded with a status of 404 (Not Found)"])
    if "weight" in path:
        page.get_by_role("link", name="Search").click()
        page.wait_for_selector("#search-results a")
        assert page.locator("#search-results a").first.inner_text().startswith("AdamW")
    page.close()


# The first block of a passage below the bar: (which passage, which block of how many, how far below), written apart from editions.js.
TOP = """() => {
  const bar = document.querySelector(".bd-header-article").getBoundingClientRect().bottom;
  const passages = [...document.querySelectorAll(".bd-article .passage")];
  for (const [number, passage] of passages.entries())
    for (const [child, block] of [...passage.children].entries()) {
      const { top, height } = block.getBoundingClientRect();
      if (height && top >= bar) return [number, child, passage.children.length, top];
    }
}"""
AT = """([number, child]) => {
  const passage = document.querySelectorAll(".bd-article .passage")[number];
  return [passage.children.length, passage.children[child]?.getBoundingClientRect().top];
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_switch_keeps_the_place(visit, site, width):
    page = visit("zh/algorithms/adamw.html", viewport={"width": width, "height": 800})
    passages = page.locator(".bd-article .passage").count()
    checked = 0
    for number in (passages // 5, passages // 2, passages * 3 // 4):
        for near, far in (("zh", "en"), ("en", "zh")):
            page.wait_for_load_state("load")
            settle(page)
            # Near the top of the window, below the bar, as somebody reads.
            page.locator(".bd-article .passage").nth(number).evaluate("node => scrollTo({ top: scrollY + node.getBoundingClientRect().top - 110, behavior: 'instant' })")
            settle(page)
            number, child, blocks, before = page.evaluate(TOP)
            page.click(f".edition-switch a[data-edition={far}]")
            page.wait_for_url(f"{site}/{far}/algorithms/adamw.html")
            page.wait_for_load_state("load")
            settle(page)
            there, after = page.evaluate(AT, [number, child])
            if there == blocks:
                checked += 1
                assert abs(after - before) <= 40, (number, child, near, before, after)
            assert page.evaluate("getComputedStyle(document.documentElement).visibility") == "visible"
    assert checked >= 4
    assert page.problems == []


def settle(page):
    page.evaluate("document.fonts.ready.then(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))")


def test_the_switch_and_the_back_button(visit, site):
    """One step back is the page one came from, where one was; nothing of the hand-over stays in the address."""
    page = visit("zh/algorithms/adamw.html")
    page.evaluate("scrollTo({ top: 3000, behavior: 'instant' })")
    steps = page.evaluate("history.length")
    page.click(".edition-switch a[data-edition=both]")
    page.wait_for_url(f"{site}/both/algorithms/adamw.html")
    assert page.evaluate("history.length") == steps + 1
    assert page.evaluate("scrollY") > 1000
    shift = page.evaluate("""() => new Promise((resolve) => new PerformanceObserver((list) =>
      resolve(list.getEntries().reduce((sum, entry) => sum + entry.value, 0))).observe({ type: "layout-shift", buffered: true })
      || setTimeout(() => resolve(0), 500))""")
    assert shift < 0.05
    page.go_back()
    page.wait_for_url(f"{site}/zh/algorithms/adamw.html")
    page.wait_for_function("Math.abs(scrollY - 3000) < 300")
    assert page.problems == []


def test_the_switch_keeps_the_place_from_files(browser):
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((SITE / "zh" / "algorithms" / "adamw.html").as_uri())
    page.evaluate("scrollTo({ top: document.body.scrollHeight / 2, behavior: 'instant' })")
    number, child, blocks, before = page.evaluate(TOP)
    page.click(".edition-switch a[data-edition=en]")
    page.wait_for_url("**/en/algorithms/adamw.html")
    settle(page)
    found = page.evaluate(TOP)[0]
    assert abs(found - number) <= 1
    page.close()
