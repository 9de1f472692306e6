"""The family tree in a browser: boxes, filters and lines of descent, by mouse and by keyboard."""

import pytest

from .conftest import EDITIONS

genealogy = pytest.importorskip("optimbook.lab.genealogy")
NODES = genealogy.nodes()
PAGE = "guide/atlas.html"
SHOWN = "() => [...document.querySelectorAll('.ob-boxes li:not(.ob-off)')].map((box) => box.dataset.name)"
ROWS = "() => [...document.querySelectorAll('.ob-atlas tbody tr:not([hidden])')].map((row) => row.dataset.name)"
OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll(".ob-boxes a")].map((node) => [node.innerText, node.getBoundingClientRect()]);
  const meet = ([, a], [, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => meet(a, b)).map((b) => a[0] + " / " + b[0]));
}"""
ROOM_BESIDE = """() => document.querySelector(".ob-canvas").getBoundingClientRect().right
  - Math.max(...[...document.querySelectorAll(".ob-boxes a")].map((node) => node.getBoundingClientRect().right))"""
CUT = """() => [...document.querySelectorAll(".ob-boxes a")]
  .filter((node) => node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1).map((node) => node.innerText)"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("edition", EDITIONS)
def test_boxes_stand_apart_and_hold_their_words(visit, edition, width):
    page = visit(f"{edition}/{PAGE}", viewport={"width": width, "height": 800})
    assert page.locator(".ob-boxes a").count() == len(NODES)
    assert page.evaluate(OVERLAPS) == [] and page.evaluate(CUT) == []
    assert 0 <= page.evaluate(ROOM_BESIDE) < 100
    box, tree = page.locator(".ob-boxes .ob-self").bounding_box(), page.locator(".ob-tree").bounding_box()
    assert tree["x"] <= box["x"] and box["x"] + box["width"] <= tree["x"] + tree["width"]  # the start shows the one that is chosen
    assert page.problems == []


def test_filters_combine_by_keyboard_and_say_how_many_match(visit):
    page = visit(f"en/{PAGE}")
    for name, value in (("traits", "adaptive"), ("traits", "decoupled"), ("cost", "8"), ("where", "torch")):
        page.locator(f".ob-filters input[name={name}][value='{value}']").focus()
        page.keyboard.press("Space")
    wanted = {n.name for n in NODES.values() if {"adaptive", "decoupled", "torch"} <= n.traits and n.state_bytes == 8}
    assert set(page.evaluate(SHOWN)) == set(page.evaluate(ROWS)) == wanted == {"AdamW"}
    assert page.locator(".ob-filters [role=status]").inner_text().startswith("1 / ")
    reached = page.locator(".ob-boxes a").evaluate_all("all => all.filter((link) => link.tabIndex === 0).length")
    assert reached == len(wanted)  # what does not match is no stop on the way
    page.get_by_role("button", name="Show all").press("Enter")
    page.wait_for_function(f"() => document.querySelector('.ob-filters output').textContent === '{len(NODES)}'")
    assert len(page.evaluate(SHOWN)) == len(page.evaluate(ROWS)) == len(NODES)
    assert page.problems == []


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("kind", "scheduler", lambda n: n.kind == "scheduler"),
        ("lane", "sign", lambda n: n.lane == "sign"),
        ("cost", "0", lambda n: n.state_bytes == 0),
        ("traits", "closure", lambda n: "closure" in n.traits),
        ("where", "only here", lambda n: "only here" in n.traits),
        ("chapter", "chapter", lambda n: bool(n.chapter)),
    ],
)
def test_a_filter_shows_what_python_finds(visit, name, value, holds):
    page = visit(f"zh/{PAGE}")
    page.locator(f".ob-filters input[name={name}][value='{value}']").check()
    wanted = {node.name for node in NODES.values() if holds(node)}
    assert wanted and set(page.evaluate(SHOWN)) == wanted
    page.locator(".ob-filters input[name=since]").fill("2015")
    assert set(page.evaluate(SHOWN)) == {n for n in wanted if NODES[n].year >= 2015}


def ancestors(name):
    found = {parent.name for parent in NODES[name].parents}
    return found.union(*map(ancestors, found))


def heirs(name):
    return {other for other in NODES if name in ancestors(other)}


def test_choosing_a_name_shows_its_line_of_descent(visit):
    page = visit(f"en/{PAGE}", viewport={"width": 390, "height": 800})
    page.get_by_label("Whose line of descent").select_option("AdamW")
    kin = page.locator(".ob-boxes .ob-kin").evaluate_all("all => all.map((box) => box.dataset.name)")
    assert set(kin) == ancestors("AdamW") | heirs("AdamW")
    assert "decoupled decay" in page.locator(".ob-parents").inner_text()
    assert all(name in page.locator(".ob-heirs").inner_text() for name in ("LAMB", "Lion"))
    lines = page.locator(".ob-canvas path.ob-on").evaluate_all("all => all.map((line) => line.dataset.to)")
    assert {"AdamW", "Adam", "LAMB"} <= set(lines) and "Muon" not in lines


def test_enter_opens_the_chapter(visit, site):
    page = visit(f"en/{PAGE}")
    page.locator(".ob-boxes [data-name=LAMB] a").focus()
    assert page.locator(".ob-who").inner_text().startswith("LAMB")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}/en/algorithms/lamb.html")


def test_the_tree_and_the_table_are_whole_without_scripts(visit):
    page = visit(f"zh/{PAGE}", java_script_enabled=False)
    assert page.locator(".ob-boxes a:visible").count() == len(NODES)
    page.locator("#ob-table summary").click()
    assert page.locator(".ob-atlas tbody tr:visible").count() == len(NODES)
    assert not page.locator(".ob-filters").is_visible()
