"""The book as the tests see it: chapters, cells, formulas, and passages in two languages."""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"

CJK = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
CODE = re.compile(r"^```.*?^```|`[^`\n]+`|<(code|pre)\b.*?</\1>", re.DOTALL | re.MULTILINE)
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$(?![\s$])([^$]+?)(?<![\\\s])\$(?!\$)")
PASSAGE = re.compile(r'^<div lang="(zh|en)">\n\n(.*?)\n\n</div>$', re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)[^)]*\)|(?:href|src)=\"([^\"]+)\"|<(https?://[^>]+)>")


@dataclass(frozen=True)
class Formula:
    tex: str
    display: bool
    where: str  # chapter and cell

    def __str__(self):
        return f"{self.where}: {' '.join(self.tex.split())}"


@dataclass(frozen=True)
class Part:
    """A stretch of a Markdown cell: one language's div, or (lang "") what stands outside of the divs."""

    lang: str
    text: str


@dataclass(frozen=True)
class Cell:
    chapter: str
    index: int
    node: object

    def __str__(self):
        return f"{self.chapter}, cell {self.index}"

    @property
    def source(self):
        return self.node.source

    @property
    def is_code(self):
        return self.node.cell_type == "code"

    @property
    def metadata(self):
        return self.node.metadata

    @property
    def outputs(self):
        return self.node.get("outputs", [])

    @cached_property
    def parts(self):
        return list(split(self.source))

    @cached_property
    def formulas(self):
        """Every formula of a Markdown cell, display ones first."""
        text = CODE.sub("", self.source)
        return [Formula(tex, True, str(self)) for tex in display_formulas(text)] + [
            Formula(tex, False, str(self)) for tex in inline_formulas(text)
        ]


@dataclass(frozen=True)
class Chapter:
    path: Path
    notebook: object
    book: Path = BOOK

    @classmethod
    def read(cls, path, book=BOOK):
        if path.suffix == ".md":  # a page without code is one Markdown cell
            cell = nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))
            return cls(path, nbformat.v4.new_notebook(cells=[cell]), book)
        return cls(path, nbformat.read(path, as_version=4), book)

    def __str__(self):
        return self.path.relative_to(self.book).as_posix()

    @property
    def name(self):
        return self.path.stem

    @property
    def part(self):
        return self.path.parent.name

    @cached_property
    def cells(self):
        return [Cell(str(self), index, node) for index, node in enumerate(self.notebook.cells)]

    @property
    def markdown(self):
        return [cell for cell in self.cells if cell.node.cell_type == "markdown"]

    @property
    def code(self):
        return [cell for cell in self.cells if cell.is_code]

    @property
    def formulas(self):
        return [formula for cell in self.markdown for formula in cell.formulas]


@lru_cache
def config():
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def pages():
    """Every page of the book's table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [Chapter.read(path) for path in map(page_file, files(toc)) if path]


def chapters():
    """Pages that teach something: the notebooks in a part's folder."""
    return [page for page in pages() if page.path.parent != BOOK and page.path.suffix == ".ipynb"]


def expect_none(problems):
    """Fails with all problems, one below the other."""
    found = list(problems)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def files(entry):
    """The files that a table of contents names, at any depth."""
    if isinstance(entry, list):
        return [name for item in entry for name in files(item)]
    if not isinstance(entry, dict):
        return []
    own = [entry[key] for key in ("root", "file") if key in entry]
    return own + [name for value in entry.values() for name in files(value)]


def page_file(name):
    """The file of a page that the table of contents names, or None where it has none."""
    paths = [BOOK / (name + suffix) for suffix in ("", ".ipynb", ".md")]
    return next((path for path in paths if path.is_file()), None)


# --- text -------------------------------------------------------------------------------------


def split(text):
    """The parts of a Markdown text, in order."""
    start = 0
    for passage in PASSAGE.finditer(text):
        yield Part("", text[start : passage.start()])
        yield Part(passage[1], passage[2])
        start = passage.end()
    yield Part("", text[start:])


def display_formulas(text):
    return [match[1] for match in DISPLAY.finditer(text)]


def inline_formulas(text):
    return [match[1] for match in INLINE.finditer(DISPLAY.sub("", text))]


def links(text):
    """Targets of all links and images, code and formulas left out."""
    return [next(filter(None, match.groups())) for match in LINK.finditer(CODE.sub("", text))]
