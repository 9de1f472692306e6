"""Every cell was executed, is short, and shows what the book can store and compare."""

import pytest
import yaml

from . import cells
from .notebooks import BOOK, ROOT, chapters, expect_none, files, page_file, pages


@pytest.mark.parametrize("page", pages(), ids=str)
def test_cells(page):
    expect_none(cells.problems(page))


@pytest.mark.parametrize("chapter", chapters(), ids=str)
def test_a_chapter_computes_something(chapter):
    assert len(chapter.code) >= 3


def test_the_table_of_contents_names_every_page_and_no_other():
    named = files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    assert not [name for name in named if page_file(name) is None]
    notebooks = {path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    assert not {path.relative_to(BOOK).as_posix() for path in notebooks - set(map(page_file, named))}
