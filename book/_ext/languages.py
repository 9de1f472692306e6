"""The two languages of a notebook, as plain functions on text: what an edition keeps.

A passage is a pair of ``<div lang="zh">`` and ``<div lang="en">``; a heading or a
summary is ``中文 · English``; inside a table a word may be a ``<span lang="…">``.
"""

import itertools
import json
import re
from dataclasses import dataclass

SEPARATOR = " · "

DIV = re.compile(r'^<div lang="(zh|en)">[ \t]*\n(.*?)\n</div>[ \t]*$', re.M | re.S)
PAIR = re.compile(r'^<div lang="zh">[ \t]*\n.*?\n</div>\s*?\n<div lang="en">[ \t]*\n.*?\n</div>[ \t]*$', re.M | re.S)
SPAN = re.compile(r'<span lang="(zh|en)">(.*?)</span>', re.S)
HEADING = re.compile(r"^(#{1,6} +)(.+?)[ \t]*$", re.M)
SUMMARY = re.compile(r"(<summary>)(.+?)(</summary>)")
FENCED = re.compile(r"^([ \t]*(?:```+|~~~+)).*?^\1[ \t]*$", re.M | re.S)
HAN = re.compile("[\u4e00-\u9fff]")
MARK = re.compile("\0(\\d+)\0")  # stands for a fence while the text around it is worked on


@dataclass(frozen=True)
class Edition:
    name: str  # the folder of the site
    locale: str  # Sphinx's language, which draws the theme's own words
    tag: str  # the language of its words
    label: str  # what the switch shows
    title: str  # what the switch says


EDITIONS = {
    "zh": Edition("zh", "zh_CN", "zh", "中文", "中文版"),
    "en": Edition("en", "en", "en", "EN", "English edition"),
    "both": Edition("both", "zh_CN", "zh", "双语", "中英对照 · Bilingual"),
}


def pick(text: str, edition: str) -> str:
    """``中文 · English`` as this edition shows it."""
    zh, separator, en = text.partition(SEPARATOR)
    if not separator or edition == "both":
        return text
    return zh if edition == "zh" else en


def keep(markdown: str, edition: str) -> str:
    """A Markdown cell as this edition shows it; code in fences is left as it is."""
    fences = [found[0] for found in FENCED.finditer(markdown)]
    numbers = itertools.count()
    text = FENCED.sub(lambda found: f"\0{next(numbers)}\0", markdown)
    text = HEADING.sub(lambda found: found[1] + pick(found[2], edition), text)
    text = SUMMARY.sub(lambda found: found[1] + pick(found[2], edition) + found[3], text)
    if edition == "both":
        text = SUMMARY.sub(lambda found: found[1] + tagged(found[2]) + found[3], text)
        text = PAIR.sub(r'<div class="pair">\n\n\g<0>\n\n</div>', text)
    else:
        # A passage stays one element, as its pair is: the switch finds the reader's place by it.
        text = DIV.sub(lambda found: f'<div class="passage">\n{found[2]}\n</div>' if found[1] == edition else "", text)
        text = SPAN.sub(lambda found: found[2] if found[1] == edition else "", text)
    return MARK.sub(lambda found: fences[int(found[1])], text)


def tagged(text: str) -> str:
    """``中文 · English`` in HTML, with the language of the second half, for fonts and for voices."""
    zh, separator, en = text.partition(SEPARATOR)
    return f'{zh}{separator}<span lang="en">{en}</span>' if separator else text


def headings(markdown: str) -> list[str]:
    """The headings of a Markdown cell, in order, as they stand in the notebook."""
    return [found[2] for found in HEADING.finditer(FENCED.sub("", markdown))]


def keep_notebook(source: str, edition: str) -> str:
    """A notebook's JSON as this edition shows it."""
    notebook = json.loads(source)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = keep("".join(cell["source"]), edition)
        elif alt := cell["metadata"].get("alt"):
            _describe_image(cell, alt, edition)
    return json.dumps(notebook, ensure_ascii=False)


def markdown_cells(source: str) -> list[str]:
    cells = json.loads(source)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def slug(heading: str) -> str:
    """An anchor from the English half, so that a section has one address in every edition."""
    words = re.findall(r"[a-z0-9]+", pick(heading, "en").lower())
    return "-".join(words)


def _describe_image(cell: dict, alt: dict, edition: str) -> None:
    """Hand a figure's alternative text to MyST-NB, which puts it on the image."""
    texts = alt.values() if edition == "both" else [alt[edition]]
    image = cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})
    image["alt"] = " ".join(texts)
