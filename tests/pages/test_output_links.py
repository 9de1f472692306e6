"""Links inside outputs lead to pages of the site, or the build says that they do not."""

from types import SimpleNamespace

import pytest

nodes = pytest.importorskip("docutils.nodes")
output_links = pytest.importorskip("output_links")

SECTION = nodes.section(ids=["why"])
FOUND = {"guide/atlas", "algorithms/adam"}


@pytest.fixture
def app():
    class Environment:
        found_docs = FOUND

        def path2doc(self, path):
            return path.removeprefix("/book/").removesuffix(".ipynb")

        def get_doctree(self, page):
            return nodes.container("", SECTION.deepcopy())

    builder = SimpleNamespace(format="html", get_relative_uri=lambda here, there: f"../{there}.html")
    return SimpleNamespace(builder=builder, env=Environment(), srcdir="/book")


def resolved(app, html):
    output = nodes.raw("", html, format="html")
    output_links.resolve(app, nodes.container("", output), "guide/atlas")
    return output.astext()


@pytest.fixture
def warnings(monkeypatch):
    said = []
    logger = SimpleNamespace(warning=lambda message, *arguments, location: said.append(message % arguments))
    monkeypatch.setattr(output_links.logging, "getLogger", lambda name: logger)
    return said


def test_a_link_leads_to_the_page_and_its_section(app, warnings):
    html = '<a href="../algorithms/adam.ipynb#why">Adam</a> <a href="../algorithms/adam.ipynb">Adam</a>'
    wanted = '<a href="../algorithms/adam.html#why">Adam</a> <a href="../algorithms/adam.html">Adam</a>'
    assert resolved(app, html) == wanted and warnings == []


@pytest.mark.parametrize("target", ["https://host.test/x.ipynb", "#here", "data.csv", "/root.ipynb"])
def test_other_links_stay(app, warnings, target):
    assert resolved(app, f'<a href="{target}">x</a>') == f'<a href="{target}">x</a>' and warnings == []


@pytest.mark.parametrize("target", ["../algorithms/eve.ipynb", "../algorithms/adam.ipynb#why-not"])
def test_a_link_to_nowhere_is_told(app, warnings, target):
    assert target in resolved(app, f'<a href="{target}">x</a>')
    assert len(warnings) == 1 and "an output links to" in warnings[0]
