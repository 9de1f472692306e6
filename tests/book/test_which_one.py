"""The guide claims nothing that it does not link: every paragraph and every item leads to a section or a table."""

import re

import pytest

from .bilingual import english_words
from .notebooks import BOOK, Chapter, links
from .references import anchors

GUIDE = Chapter.read(BOOK / "guide" / "which_one.ipynb")
HEADINGS = re.compile(r"^(先看总步数|然后看开头|其余的|从上往下看|Ask first|Then ask|The others|Go down)")  # lines that only lead to a list


def claims():
    for cell in GUIDE.markdown:
        for part in (part for part in cell.parts if part.lang):
            yield from (item.strip() for item in re.split(r"\n\n|\n(?=- |\d+\. )", part.text) if not HEADINGS.match(item.strip()))


@pytest.mark.parametrize("claim", list(claims()))
def test_a_claim_links_what_shows_it(claim):
    pages = [link.partition("#") for link in links(claim) if ".ipynb" in link and not link.startswith("http")]
    assert any(anchor for _, _, anchor in pages), "no link to a section"
    for page, _, anchor in pages:
        path = (GUIDE.path.parent / page).resolve()
        assert path.exists() and (not anchor or anchor in anchors(GUIDE, path)), f"{page}#{anchor} leads nowhere"


def test_it_is_short():
    assert 500 < english_words(GUIDE) < 950
