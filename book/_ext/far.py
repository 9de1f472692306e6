"""What stands far down a long page is laid out when the reader comes near.

A section that begins some screens below the top gets the class ``far`` (see book.css) and the
height that it is likely to have, so that the scroll bar is right from the start.
"""

import re

from docutils import nodes

import pictures

NEAR = 2500  # pixels from the top that are laid out at once: more than two screens
LINE, CODE = 29, 21  # pixels of a line of text and of code
WIDTH = 88  # letters in a line of text; a Chinese character is as wide as two
WIDE = re.compile(r"[\u2e80-\uffff]")
OUTPUT = 320  # pixels of a figure with sliders, or of a table


def setup(app):
    app.connect("html-page-context", mark)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def mark(app, page, template, context, doctree):
    chapter = doctree and doctree.next_node(nodes.section)
    if not chapter:
        return
    above = 0
    for child in chapter.children:
        room = height(child, app)
        if isinstance(child, nodes.section) and above > NEAR:
            opening = f'<section id="{child["ids"][0]}">'
            style = f'class="far" style="contain-intrinsic-height: auto {round(room)}px"'
            context["body"] = context["body"].replace(opening, f"{opening[:-1]} {style}>", 1)
        above += room


def height(node, app) -> float:
    """About how many pixels a part of a page takes on a desk."""
    if isinstance(node, nodes.image):
        return pictures.size(pictures.source(app, node["uri"]))[1] / 2
    if isinstance(node, nodes.literal_block):
        return CODE * (node.astext().count("\n") + 1) + 40
    if isinstance(node, nodes.math_block):
        return 45 * (node.astext().count(r"\\") + 1) + 40
    if isinstance(node, nodes.raw):
        return OUTPUT if len(node.astext()) > 200 else 0
    if "hide_mode" in getattr(node, "attributes", {}):
        return 2 * LINE  # folded
    if isinstance(node, (nodes.paragraph, nodes.title, nodes.row)):
        text = node.astext()
        return LINE * (1 + (len(text) + len(WIDE.findall(text))) // WIDTH) + 18
    return sum(height(child, app) for child in node.children)
