"""For readers who listen, who use no mouse, who need other sizes or colours, and for paper. Axe looks at every page in test_pages.py."""

import re

import pytest

from .axe import violations
from .conftest import EDITIONS

CHAPTER = "algorithms/adam"  # formulas, code, tables, a slider, pictures, exercises
TARGET = 24  # pixels: WCAG 2.5.8
SPACING = """:not(.katex, .katex *) { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }
p { margin-bottom: 2em !important; }"""  # WCAG 1.4.12
# Boxes that show less than they hold, and cannot be scrolled.
CUT_OFF = """() => [...document.querySelectorAll(".bd-article :is(p, li, h1, h2, h3, td, th, summary, figcaption, label, pre, .formula, .cell_output)")]
  .filter((node) => node.checkVisibility() && !node.closest(".katex"))
  .filter((node) => ["hidden", "clip"].includes(getComputedStyle(node).overflowX) && node.scrollWidth > node.clientWidth + 1
    || ["hidden", "clip"].includes(getComputedStyle(node).overflowY) && node.scrollHeight > node.clientHeight + 3)
  .map((node) => node.outerHTML.slice(0, 160))"""
# What has the focus, and whether anything around it shows that.
FOCUSED = """() => {
  const node = document.activeElement, look = (node) => {
    const { outlineStyle, outlineWidth, boxShadow, textDecorationLine, borderColor, color, backgroundColor } = getComputedStyle(node);
    return JSON.stringify({ outline: outlineStyle === "none" ? 0 : outlineWidth, boxShadow, textDecorationLine, borderColor, color, backgroundColor });
  };
  const box = node.getBoundingClientRect(), focused = look(node);
  const seen = box.width > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight;
  const name = node.outerHTML.slice(0, 120);
  node.blur();
  const differs = look(node) !== focused;
  node.focus({ preventScroll: true });
  return { name, seen, differs };
}"""
SMALL = """(least) => [...document.querySelectorAll("a[href], button, input, summary, select, [tabindex='0']")]
  .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest("p, li, td, th, dd, figcaption, h1, h2, h3, h4, .skip-link"))
  .map((node) => [node, (node.type === "range" ? node.closest("label") : node).getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && box.right > 0 && (box.width < least || box.height < least))
  .map(([node, box]) => `${Math.round(box.width)} x ${Math.round(box.height)} ${node.outerHTML.slice(0, 100)}`)"""

every_edition = pytest.mark.parametrize("edition", EDITIONS)


@every_edition
@pytest.mark.parametrize("path", ["search.html?q=Adam", "genindex.html"])
def test_pages_that_are_no_chapters(visit, edition, path):
    assert violations(visit(f"{edition}/{path}")) == []


def test_the_front_page(visit):
    assert violations(visit("index.html?choose")) == []


@pytest.mark.parametrize("menu", [".primary-toggle", ".secondary-toggle"])
def test_a_phones_menus(visit, menu):
    page = visit(f"zh/{CHAPTER}.html", viewport={"width": 390, "height": 844})
    page.locator(f"{menu}:visible").first.click()
    page.wait_for_timeout(500)  # it slides in
    assert [line for line in violations(page) if line.startswith("390")] == []


def test_the_skip_link_comes_first_and_works(visit):
    page = visit(f"zh/{CHAPTER}.html")
    page.keyboard.press("Tab")
    link = page.locator(".skip-link a")
    assert link.evaluate("node => node === document.activeElement && node.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_whoever_tabs_sees_where(visit, theme):
    page = visit(f"en/{CHAPTER}.html", color_scheme=theme, reduced_motion="reduce")
    page.add_style_tag(content="* { transition: none !important; }")
    lost = []
    for _ in range(90):
        page.keyboard.press("Tab")
        page.evaluate("new Promise(requestAnimationFrame)")  # it scrolls into view
        focused = page.evaluate(FOCUSED)
        if focused["name"].startswith("<body"):
            break
        if not (focused["seen"] and focused["differs"]):
            lost.append(focused)
    assert lost == []


@every_edition
def test_headings_go_down_step_by_step(visit, edition):
    page = visit(f"{edition}/{CHAPTER}.html")
    levels = page.locator("article :is(h1, h2, h3, h4)").evaluate_all("all => all.map((node) => Number(node.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def test_tables_say_what_their_heads_are_of(visit):
    page = visit(f"zh/{CHAPTER}.html")
    heads = page.locator("article th").evaluate_all("all => all.map((node) => [node.scope, node.textContent.trim()])")
    assert heads and all(scope in ("col", "row") and text for scope, text in heads)


def test_formulas_can_be_heard(visit):
    page = visit(f"zh/{CHAPTER}.html")
    assert page.locator(".katex .katex-mathml math").count() > 0
    # What is left is the end of the formula before it.
    assert page.locator(".katex:not(:has(math))").evaluate_all("""all => all.map((node) => node.parentElement)
      .map((node) => node.previousElementSibling ?? node.parentElement.previousElementSibling)
      .every((before) => before?.matches(".math, .together"))""")
    assert page.locator(".katex-html:not([aria-hidden=true])").count() == 0


def test_a_slider_says_its_value(visit):
    page = visit(f"zh/{CHAPTER}.html")
    sliders = page.locator("article input[type=range]")
    assert sliders.count() > 0
    for index in range(sliders.count()):
        slider = sliders.nth(index)
        before = slider.get_attribute("aria-valuetext")
        slider.focus()
        page.keyboard.press("End" if slider.evaluate("node => node.value !== node.max") else "Home")
        assert re.search(r"\d", before) and slider.get_attribute("aria-valuetext") != before


@every_edition
def test_room_between_letters_and_twice_the_size(visit, edition):
    """1280 pixels at 200 % are 640 wide."""
    page = visit(f"{edition}/{CHAPTER}.html", viewport={"width": 640, "height": 400})
    page.locator("article details").evaluate_all("all => all.forEach((node) => { node.open = true; })")
    page.add_style_tag(content=SPACING)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    assert page.evaluate(CUT_OFF) == []


@pytest.mark.parametrize("width", [390, 1440])
def test_targets_are_large_enough_for_a_finger(visit, width):
    page = visit(f"zh/{CHAPTER}.html", viewport={"width": width, "height": 844}, has_touch=width < 500)
    assert page.evaluate(SMALL, TARGET) == []


def test_little_moves_for_who_asks(visit):
    page = visit(f"zh/{CHAPTER}.html", reduced_motion="reduce")
    moving = page.evaluate("""[...document.querySelectorAll("*")].filter((node) => {
      const style = getComputedStyle(node);
      return style.scrollBehavior === "smooth" || style.animationName !== "none" && parseFloat(style.animationDuration) > 0.01
        || Math.max(...style.transitionDuration.split(",").map(parseFloat)) > 0.01;
    }).map((node) => node.outerHTML.slice(0, 100))""")
    assert moving == []


def test_forced_colours_keep_what_is_drawn(visit):
    """Such a mode takes away backgrounds, and icons must not be among them."""
    page = visit(f"zh/{CHAPTER}.html", forced_colors="active")
    icons = page.locator(".article-header-buttons svg:visible")
    assert icons.count() > 0
    assert all(icons.evaluate_all("all => all.map((node) => getComputedStyle(node).fill !== getComputedStyle(document.body).backgroundColor)"))
