"""Every passage stands in both languages and says the same; papers and pages it links exist."""

import pytest

from . import bilingual, references
from .notebooks import expect_none, pages


@pytest.mark.parametrize("page", pages(), ids=str)
def test_both_languages_say_the_same(page):
    expect_none(bilingual.problems(page))


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links_lead_somewhere(page):
    expect_none(references.problems(page))


def test_no_two_pages_share_a_paragraph():
    expect_none(bilingual.shared_paragraphs(pages()))
