"""The glossary is one file; its page and what search knows come from it."""

import re

import nbformat
import pytest
import yaml

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
        assert set(term) <= {"zh", "en", "symbol", "means", "chapter", "also"}, term
        assert term["means"]["zh"].endswith("。") and term["means"]["en"].endswith("."), term


def test_a_chapter_of_a_term_is_in_the_book():
    toc = yaml.safe_load((glossary.BOOK.parent / "_toc.yml").read_text(encoding="utf8"))
    chapters = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert {term["chapter"] for term in terms() if "chapter" in term} <= chapters


def test_a_name_leads_to_one_page():
    names = [name.lower() for term in terms() for name in (term["zh"], term["en"], *term.get("also", []))]
    assert len(names) == len(set(names))


def test_every_symbol_of_one_letter_is_on_the_notation_page():
    notation = (glossary.BOOK / "notation.ipynb").read_text(encoding="utf8").replace("\\\\", "\\")
    for term in terms():
        if re.fullmatch(r"\\?[a-z]+_t|\\(gamma|lambda|mu|tau|epsilon)", term.get("symbol", "")):
            assert term["symbol"] in notation, term
