"""The glossary is one file; its page and the search dictionary come from it."""

import re

import nbformat
import pytest

glossary = pytest.importorskip("glossary", reason="the book's requirements are not installed")


def terms():
    return [term for group in glossary.groups() for term in group["terms"]]


def test_the_page_is_the_data():
    stored = nbformat.read(glossary.PAGE, as_version=4)
    assert nbformat.writes(stored) == nbformat.writes(glossary.page()), "run `make chapters`"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_term_has_one_name(language):
    names = [term[language] for term in terms()]
    assert len(names) == len(set(names)) >= 80


def test_a_definition_stands_in_both_languages():
    for term in terms():
        assert set(term) <= {"zh", "en", "symbol", "means"}, term
        assert term["means"]["zh"].endswith("。") and term["means"]["en"].endswith("."), term


def test_the_search_cuts_along_the_terms():
    search = pytest.importorskip("search")
    words = set(search.chinese_words())
    assert {"学习率", "余弦退火", "权重衰减", "正则化"} <= words
    cutter = search.BookSearch({})
    for word in words:
        assert word in cutter.split(f"我们用{word}来训练"), word
    assert cutter.stem("decay") == "decai"  # as the stemmer in the browser does


def test_every_symbol_of_one_letter_is_on_the_notation_page():
    notation = (glossary.BOOK / "notation.ipynb").read_text(encoding="utf8").replace("\\\\", "\\")
    for term in terms():
        if re.fullmatch(r"\\?[a-z]+_t|\\(gamma|lambda|mu|tau|epsilon)", term.get("symbol", "")):
            assert term["symbol"] in notation, term
