"""The API reference as it is built: its entries, its names for other books, and the links between it and the chapters."""

import importlib
import inspect
import re
import sys

import pytest

import optimbook

from .conftest import EDITIONS, PAGES, ROOT, SITE

LABELS = {"zh": ["参数", "异常"], "en": ["Parameters", "Raises"], "both": ["参数 · Parameters", "异常 · Raises"]}
HEADS = {"zh": "每参数字节", "en": "Bytes per parameter", "both": "每参数字节 · Bytes per parameter"}
REFERENCE = [path for path in PAGES if path.startswith("reference/")]
NOTEBOOKS = [path for path in PAGES if path not in REFERENCE and "/" in path]

every_edition = pytest.mark.parametrize("edition", EDITIONS)


@pytest.fixture(scope="module")
def built(site):
    """``built(address)``: the text of a built page."""
    return lambda address: (SITE / address).read_text(encoding="utf8")


@every_edition
def test_an_entry_holds_the_rule_its_states_and_its_docstring(visit, edition):
    page = visit(f"{edition}/reference/optimizers.html")
    entry = page.locator('dl.py:has(> dt[id="optimbook.Adam"]) > dd')
    sentence = entry.locator("> p[lang=zh]")
    assert sentence.count() == (edition != "en") and all("梯度" in text for text in sentence.all_inner_texts())
    assert entry.locator("> p[lang=en]").first.inner_text().startswith("Adaptive moment estimation")
    assert entry.locator("> .field-list > dt").all_inner_texts() == LABELS[edition]
    assert entry.locator("> .field-list > dd[lang=en]").count() == 2
    assert entry.locator("> .formula .katex").count() == 1
    rows = entry.locator("table tr").all_inner_texts()
    assert HEADS[edition] in rows[0] and rows[1].split() == ["exp_avg", "4", *rows[1].split()[2:]] and len(rows) == 5
    entry.locator("summary").click()
    assert "def adam(param, grad, exp_avg" in entry.locator("details pre").inner_text()
    assert "max_grad_norm" in entry.locator("> p").all_inner_texts()[-3]
    assert page.problems == []


@every_edition
def test_an_entry_and_its_chapter_lead_to_each_other(visit, site, edition):
    page = visit(f"{edition}/reference/optimizers.html")
    links = page.locator('dl.py:has(> dt[id="optimbook.SGD"]) .entry-about a.internal')
    addresses = links.evaluate_all("all => all.map((link) => link.href)")
    assert [address.split("/")[-1] for address in addresses] == ["sgd.html", "momentum.html", "nesterov.html"]
    links.nth(1).click()
    page.wait_for_url(f"{site}/{edition}/algorithms/momentum.html")
    page.locator(".chapter-api a").click()
    page.wait_for_url(f"{site}/{edition}/reference/optimizers.html#optimbook.SGD")
    assert page.locator('[id="optimbook.SGD"]').count() == 1
    assert page.problems == []


def test_signatures_wrap_after_a_comma_on_a_phone(visit):
    page = visit("zh/reference/optimizers.html", viewport={"width": 360, "height": 800})
    signature = page.locator('dt[id="optimbook.Muon"]')
    assert signature.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert signature.locator(".sig-param").count() == len(inspect.signature(optimbook.Muon).parameters) + 1  # the star
    starts = signature.evaluate("""node => {
      const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), range = document.createRange(), starts = [];
      for (let top = null; walker.nextNode(); )
        for (let i = 0; i < walker.currentNode.length; i++) {
          range.setStart(walker.currentNode, i); range.setEnd(walker.currentNode, i + 1);
          const box = range.getBoundingClientRect();
          if (box.width && (top === null || box.top > top + 10)) { starts.push(range.toString()); top = box.top; }
        }
      return starts;
    }""")
    assert len(starts) > 4 and "," not in starts, starts


def test_search_finds_an_entry_by_its_name(visit):
    page = visit("en/search.html?q=WarmupLR")
    page.locator("#search-results [role=option]").first.wait_for()
    links = page.locator("#search-results [role=option]").evaluate_all("all => all.map((link) => link.href)")
    assert any("reference/schedulers.html#optimbook.lr_scheduler.WarmupLR" in link for link in links), links
    assert any("schedulers/warmup_lr.html" in link for link in links), links


# ------------------------------------------------------------------------------------------- without a browser


@every_edition
def test_other_books_find_every_name(built, edition):
    inventory = pytest.importorskip("sphinx.util.inventory")
    with (SITE / edition / "objects.inv").open("rb") as file:
        found = inventory.InventoryFile.load(file, "", lambda _, address: address)
    assert found["py:class"]["optimbook.Adam"][0] == "OptimBook"
    places = {address for kind in found if kind.startswith("py:") for _, _, address, _ in found[kind].values()}
    assert len(places) > 100
    ids = {path: set(re.findall(r'id="([^"]+)"', built(f"{edition}/{path}.html"))) for path in REFERENCE}
    for place in places:
        path, _, anchor = place.partition(".html#")
        assert anchor in ids[path], place


def test_nothing_private_and_nothing_of_torchs_stands_in_it(built):
    for path in REFERENCE:
        ids = re.findall(r'<dt [^>]*id="(optimbook[^"]*)"', built(f"zh/{path}.html"))
        assert ids and not [name for name in ids if re.search(r"\._|\.(zero_grad|register_\w+|add_module|forward)$", name)]


@every_edition
def test_every_chapter_leads_to_what_it_is_about(built, edition):
    sys.path.append(str(ROOT / "book" / "_ext"))
    relation = pytest.importorskip("chapters")
    reference = "".join(built(f"{edition}/{path}.html") for path in REFERENCE)
    entries = dict(re.findall(r'<dt [^>]*id="(optimbook\.(?:lr_scheduler\.)?(\w+))"', reference))
    seen = 0
    for path in NOTEBOOKS:
        text = relation.text_of((ROOT / "book" / f"{path}.ipynb").read_text(encoding="utf8"))
        line = re.search(r'<p class="chapter-api">.*?</p>', built(f"{edition}/{path}.html"))
        for name, last in entries.items():
            obj = getattr(importlib.import_module(name.rpartition(".")[0]), last, None)
            if isinstance(obj, type) and relation.is_about(path.rpartition("/")[2], text, obj):
                assert line and f'.html#{name}"' in line[0], (path, name)
                seen += 1
    assert seen > 20


@every_edition
def test_links_into_the_reference_lead_to_an_entry(built, edition):
    ids = {path: set(re.findall(r'id="([^"]+)"', built(f"{edition}/{path}.html"))) for path in REFERENCE}
    seen = 0
    for path in [*REFERENCE, *NOTEBOOKS]:
        for page, anchor in re.findall(r'href="(?:(?:\.\./reference/)?(\w+)\.html)?#(optimbook\.[^"]+)"', built(f"{edition}/{path}.html")):
            assert anchor in ids[f"reference/{page}" if page else path], (path, anchor)
            seen += 1
    assert seen > 200
