"""Finding the way: between the editions, and from the front page."""

import pytest

from .conftest import EDITIONS, PAGES

LANG = {"zh": "zh-CN", "en": "en", "both": "zh-CN"}


@pytest.mark.parametrize("path", PAGES)
def test_the_switch_leads_to_the_same_page_by_keyboard(visit, site, path):
    page = visit(f"zh/{path}.html")
    for edition in ("en", "both", "zh"):
        tab_to(page, f".edition-switch a[data-edition={edition}]")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site}/{edition}/{path}.html")
        assert page.locator("html").get_attribute("lang") == LANG[edition]
        current = page.locator(".edition-switch a[aria-current]")
        assert current.count() == 1 and current.get_attribute("data-edition") == edition
    assert page.problems == []


def tab_to(page, selector):
    """Press Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_the_switch_keeps_the_section(visit, site):
    page = visit("zh/intro.html#choose-a-language")
    page.click(".edition-switch a[data-edition=en]")
    page.wait_for_url(f"{site}/en/intro.html#choose-a-language")
    assert page.locator("#choose-a-language h2").inner_text().startswith("Choose a language")


@pytest.mark.parametrize("path", PAGES)
def test_a_section_has_one_address_in_every_edition(visit, path):
    addresses = {edition: visit(f"{edition}/{path}.html").locator("section[id]").evaluate_all("all => all.map((node) => node.id)")
                 for edition in EDITIONS}
    assert addresses["zh"] == addresses["en"] == addresses["both"]


@pytest.mark.parametrize("path", PAGES)
def test_the_english_half_of_a_title_is_marked(visit, path):
    titles = visit(f"both/{path}.html").locator("section > :is(h1, h2, h3, h4), .bd-article details:not(.hide) > summary")
    unmarked = titles.evaluate_all("""all => all.filter((node) => node.textContent.includes(" · "))
      .filter((node) => node.querySelectorAll(":scope > span[lang=en], :scope > p > span[lang=en]").length !== 1).map((node) => node.textContent)""")
    assert unmarked == []


@pytest.mark.parametrize(("edition", "width"), [("zh", 390), ("zh", 1440), ("en", 1440)])
def test_a_link_from_elsewhere_leads_to_its_section(visit, edition, width):
    size = {"viewport": {"width": width, "height": 900}}
    address = f"{edition}/algorithms/adam.html"
    sections = visit(address, **size).locator("section section[id]").evaluate_all("all => all.map((node) => node.id)")
    tops = {}
    for section in sections:
        page = visit(f"{address}#{section}", **size)
        tops[section] = page.evaluate("([id]) => document.getElementById(id).firstElementChild.getBoundingClientRect().top", [section])
        page.context.close()
    assert {section: top for section, top in tops.items() if not 0 < top < 150} == {}


@pytest.mark.parametrize("path", PAGES)
def test_search_engines_find_the_twins(visit, path):
    links = {}
    for edition in EDITIONS:
        page = visit(f"{edition}/{path}.html")
        links[edition] = dict(page.locator("link[hreflang]").evaluate_all(
            "all => all.map((link) => [link.hreflang, link.href])"))
    assert links["zh"] == links["en"] == links["both"]
    assert {lang: link.split("/")[-1 - path.count("/") - 1] for lang, link in links["zh"].items()} == {"zh": "zh", "en": "en", "x-default": "en"}


@pytest.mark.parametrize(
    ("locale", "edition"), [("zh-CN", "zh"), ("zh-TW", "zh"), ("en-GB", "en"), ("fr-FR", "en")]
)
def test_the_front_page_speaks_the_browsers_language(visit, site, locale, edition):
    page = visit("index.html", locale=locale)
    page.wait_for_url(f"{site}/{edition}/intro.html")
    # Leaving may cut off what is left of the front page itself, which is no problem.
    assert set(page.problems) <= {f"failed: {site}/index.html"}


def test_the_front_page_remembers_a_choice(visit, site):
    page = visit("zh/intro.html", locale="zh-CN")
    page.click(".edition-switch a[data-edition=both]")
    page.wait_for_url(f"{site}/both/intro.html")
    page.goto(f"{site}/index.html")
    page.wait_for_url(f"{site}/both/intro.html")


def test_the_front_page_shows_every_edition_without_scripts(visit):
    page = visit("index.html", java_script_enabled=False)
    links = page.locator("a:visible").evaluate_all("all => all.map((link) => link.getAttribute('href'))")
    assert links == [f"{edition}/intro.html" for edition in EDITIONS]
