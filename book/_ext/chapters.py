"""Which chapter is about which class: the one place where that relation stands, as plain functions on text."""

import json
import re

CARD = re.compile(r"\blab\.card\((?:\w+\.)*(\w+)")


def is_about(chapter: str, text: str, cls: type) -> bool:
    """Whether a chapter is about a class: it has its module's name and names it, or it shows its card.

    Args:
        chapter: the name of its file, without folder and suffix.
        text: the sources of all its cells.
    """
    named = chapter == cls.__module__.rpartition(".")[2] and re.search(rf"\b{cls.__name__}\b", text)
    return bool(named) or cls.__name__ in CARD.findall(text)


def text_of(notebook: str) -> str:
    """The sources of all cells of a notebook's JSON."""
    return "\n".join("".join(cell["source"]) for cell in json.loads(notebook)["cells"])
