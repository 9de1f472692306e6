"""The words of a rendered page, as plain functions on its HTML: what search finds and an excerpt shows."""

import re
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from xml.etree import ElementTree

MATH = re.compile(r"<math\b.*?</math>", re.S)
LOW = str.maketrans("0123456789+−-=tkn", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌ₜₖₙ")
HIGH = str.maketrans("0123456789+−-=tkn′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼ᵗᵏⁿ′")
OVER = {"^": "\u0302", "~": "\u0303", "ˉ": "\u0304"}  # a hat, a tilde and a bar that join their letter
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# Not prose: what is drawn, said twice, or only numbers.
SKIPPED = {"script", "style", "svg", "button", "noscript", "katex-html", "formula", "headerlink", "cell_output", "admonition-title"}
COLAB = "//colab."  # the link at the head of every chapter
BLOCKS = {"p", "li", "div", "td", "th", "tr", "dd", "dt", "summary", "h1", "h2", "h3", "h4", "br"}


@dataclass
class Section:
    """A section's own words, without those of the sections in it."""

    anchor: str
    title: str = ""
    text: str = ""
    code: str = ""
    parts: dict = field(default_factory=lambda: {"title": [], "text": [], "code": []}, repr=False)

    def close(self):
        for name, parts in self.parts.items():
            setattr(self, name, " ".join("".join(parts).split()))


def sections(body):
    """The sections of a page's body in order, and the entries of its API reference."""
    reader = _Reader()
    reader.feed(MATH.sub(lambda found: escape(formula(found[0])), body))
    for section in reader.found:
        section.close()
    return [section for section in reader.found if section.title]


def opening(body):
    """The first paragraph of a page."""
    found = re.search(r"<p>.*?</p>", body, re.S)
    read = sections(f'<section id="page"><h1>page</h1>{found[0] if found else ""}</section>')
    return read[0].text


def first_sentences(text, most):
    """The beginning of a text, whole sentences of it where they fit."""
    if len(text) <= most:
        return text
    ends = [found.end() for found in re.finditer(r"[。！？]|[.!?](?= )", text[:most])]
    return text[: ends[-1]] if ends and ends[-1] > most / 3 else text[: most - 1].rstrip() + "…"


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.open = [], []  # open: (tag, the section before it, the part before it, skipped)
        self.section, self.part, self.skipped = None, "text", False

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = set((attributes.get("class") or "").split())
        if tag in VOID:
            return self.handle_data(" ")
        self.open.append((tag, self.section, self.part, self.skipped))
        self.skipped = self.skipped or bool(SKIPPED & {tag, *classes}) or COLAB in (attributes.get("href") or "")
        if tag in BLOCKS:
            self.handle_data(" ")
        if tag == "section" and "id" in attributes:
            self._begin(attributes["id"])
        elif tag == "dt" and "sig" in classes and "id" in attributes:
            self._begin(attributes["id"])
            self.section.parts["title"].append(attributes["id"].removeprefix("optimbook."))
            tag, before, part, skipped = self.open[-2]  # the entry lasts until its list ends
            self.open[-1] = ("dt", self.section, *self.open[-1][2:])
            self.part = "code"
        elif tag in {"h1", "h2", "h3", "h4"}:
            self.part = "title"
        elif tag == "pre":
            self.part = "code"

    def handle_endtag(self, tag):
        while self.open:
            last, self.section, self.part, self.skipped = self.open.pop()
            if last == tag:
                break
        self.handle_data(" " if tag in BLOCKS else "")

    def handle_data(self, data):
        if self.section and not self.skipped:
            self.section.parts[self.part].append(data.replace("\u200b", ""))

    def _begin(self, anchor):
        self.section = Section(anchor)
        self.found.append(self.section)


def formula(mathml):
    """A formula of MathML in a line of text: ``θₜ₋₁``, ``a/b``, ``β₁ᵗ``."""
    return _read(ElementTree.fromstring(mathml)).strip()


def _read(node):
    tag = node.tag.rpartition("}")[2]
    if tag.startswith("annotation"):
        return ""
    parts = [_read(child) for child in node]
    if tag == "mfrac":
        return "/".join(part if len(part) < 3 else f"({part})" for part in parts)
    if tag == "msqrt":
        return f"√{parts[0]}" if len("".join(parts)) < 3 else f"√({''.join(parts)})"
    if tag == "mover" and parts[1] in OVER:
        return parts[0] + OVER[parts[1]]
    if tag in {"msub", "munder"}:
        return parts[0] + _shift(parts[1], LOW, "_")
    if tag in {"msup", "mover"}:
        return parts[0] + _shift(parts[1], HIGH, "^")
    if tag in {"msubsup", "munderover"}:
        return parts[0] + _shift(parts[1], LOW, "_") + _shift(parts[2], HIGH, "^")
    own = (node.text or "").replace("\u2061", "").strip() if not parts else ""
    return f" {own} " if tag == "mo" and own in "=<>≤≥≈≪≫←→∈±·×" and own else own + "".join(parts)


def _shift(text, table, mark):
    text = text.replace(" ", "")
    shifted = text.translate(table)
    known = all(ord(letter) in table for letter in text)
    return shifted if known else f"{mark}{text}" if len(text) < 2 else f"{mark}({text})"
