"""The family tree: its data against the bibliography, the chapters and the package, and what is measured against torch."""

import re
from itertools import combinations

import pytest
import torch

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("yaml", reason="the lab's extra is not installed")

from optimbook import swa_utils
from optimbook.lab import genealogy, tree

from . import coverage, notebooks, references

NODES = genealogy.nodes()
REFERENCES = (notebooks.BOOK / "references.bib").read_text(encoding="utf8")
BIBLIOGRAPHY = {entry[1]: entry[0] for entry in re.finditer(r"@\w+\{(\w+),.*?^\}", REFERENCES, re.M | re.S)}


def field(key, name):
    found = re.search(rf"^ *{name} *= *\{{(.+)\}},$", BIBLIOGRAPHY[key], re.M)
    return found and found[1]


def test_every_public_class_stands_in_the_tree_once():
    public = [*coverage.public_classes(), swa_utils.AveragedModel, swa_utils.SWALR]
    drawn = [node.cls for node in NODES.values() if node.cls and not node.options]
    assert sorted(cls.__name__ for cls in drawn) == sorted(cls.__name__ for cls in public)
    assert len(NODES) == len(genealogy.read()["nodes"])


def test_a_variant_differs_from_its_class():
    for node in NODES.values():
        if node.options:
            assert node.name != node.cls.__name__ and node.traits != NODES[node.cls.__name__].traits or node.state_bytes > 8


@pytest.mark.parametrize("key", genealogy.read()["papers"])
def test_a_paper_is_the_one_of_the_bibliography(key):
    """Its first author, its address, and the year it was first public: arXiv's, if that was earlier."""
    paper = genealogy.read()["papers"][key]
    years = [int(field(key, "year"))]
    if field(key, "eprint"):
        years.append(2000 + int(field(key, "eprint")[:2]))
    assert paper["year"] == min(years)
    assert references.key(paper["url"]) in {references.key(field(key, name)) for name in ("url", "doi", "eprint") if field(key, name)}
    first = field(key, "author").split(",")[0].strip("{}")
    number = re.search(r"#(\d+)", paper["who"])
    assert re.sub(r"\\.\{?(\w)\}?", r"\1", first) in paper["who"] if number is None else number[1] in field(key, "note")
    assert any(key == entry.get("paper") or key in [p.get("paper") for p in entry.get("from", ())] for entry in genealogy.read()["nodes"])


@pytest.mark.parametrize("node", NODES.values(), ids=list(NODES))
def test_a_node(node):
    assert node.lane in [lane["name"] for lane in genealogy.read()["lanes"]]
    assert bool(node.idea) != bool(node.parents)  # what is new stands once
    assert all(NODES[parent.name].year <= node.year for parent in node.parents)
    if node.paper is None:  # the package's own idea, of the year that stands in the licence
        assert (node.name, node.year) == ("QuarterCosineLR", int(notebooks.config()["copyright"]))
    else:
        assert node.year == node.paper.year and all(parent.paper for parent in node.parents)


def test_no_claim_rests_on_a_paper_older_than_what_it_is_about():
    """What a node took is shown by its own paper or by a later one."""
    for node in NODES.values():
        assert all(parent.paper is None or parent.paper.year >= node.year for parent in node.parents), node.name


def test_chapters_are_linked_and_no_other():
    chapters = {page.path.relative_to(notebooks.BOOK).as_posix(): page for page in notebooks.chapters()}
    for node in NODES.values():
        if node.cls and not node.options and issubclass(node.cls, tuple(coverage.public_classes())):
            found = coverage.chapter_of(node.cls, list(chapters.values()))
            assert (node.chapter and f"{node.chapter}.ipynb") == (found and str(found)), node.name
        if node.chapter:
            page, _, anchor = node.chapter.partition("#")
            chapter = chapters[f"{page}.ipynb"]
            assert not anchor or anchor in references.anchors(chapter, chapter.path)


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "Rprop", "AdamW", "AMSGrad", "Adafactor", "Muon", "LBFGS"])
def test_torch_measures_the_same(name):
    node = NODES[name]
    theirs = getattr(torch.optim, node.cls.__name__)
    assert genealogy._optimizer_traits(theirs, node.options) == node.traits - {"torch"}
    assert genealogy._state_bytes(theirs, node.options) == node.state_bytes


def test_what_everybody_knows_comes_out():
    has = lambda trait: {node.name for node in NODES.values() if trait in node.traits}  # noqa: E731
    assert {"LARS", "LAMB", "Muon", "LBFGS", "Adafactor"} == has("whole")
    assert {"Rprop", "Lion"} == has("sign") and {"LBFGS"} == has("closure") and {"ReduceLROnPlateau"} == has("metric")
    assert {"AdamW", "LAMB", "Lion", "Muon", "Adafactor"} == has("decoupled")
    assert {"SGD", "ASGD", "Momentum", "Nesterov", "LARS", "Lion", "Muon", "LBFGS"}.isdisjoint(has("adaptive"))
    assert {"CyclicLR", "OneCycleLR"} == has("cycles momentum")
    assert {n: NODES[n].state_bytes for n in ("SGD", "Momentum", "Adam", "AMSGrad", "LBFGS")} == {
        "SGD": 0, "Momentum": 4, "Adam": 8, "AMSGrad": 12, "LBFGS": 808}  # fmt: skip


def test_no_two_boxes_overlap_and_years_run_to_the_right():
    places = tree.layout(NODES)
    for (x, y), (u, v) in combinations(places.values(), 2):
        assert abs(x - u) >= tree.BOX or abs(y - v) >= tree.HEIGHT
    for a, b in combinations(NODES.values(), 2):
        assert (a.year - b.year) * (places[a.name][0] - places[b.name][0]) >= 0


def test_the_output_says_all_in_both_languages_and_asks_nobody():
    html = tree.family_tree().html
    assert html.count('<span lang="zh">') == html.count('<span lang="en">')
    visible = re.sub(r'<span lang="zh">.*?</span>|<style>.*?</style>|<script>.*?</script>', "", html, flags=re.S)
    assert not re.search("[\u4e00-\u9fff]", visible)
    assert not re.search(r"\bsrc=|@import|url\(|fetch\(", html)
    assert "Adam" in repr(tree.family_tree())
