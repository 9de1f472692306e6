"""Only the icons that a page uses, drawn within it.

The theme would load all of Font Awesome, a script of half a megabyte when compressed, which puts
the same drawings into the same places. (As masks in a style sheet, each would be an image to decode
before the first line is drawn.)
"""

import re
from functools import cache
from pathlib import Path

import pydata_sphinx_theme
from sphinx.util import logging

ALL_ICONS = "theme/pydata_sphinx_theme/static/vendor/fontawesome/*/js/all.min.js"
EMPTY = re.compile(r'(<(i|span) class="([^"]*\bfa[bs]?[ -][^"]*)"[^>]*>)(?=</\2>)')
NAME = re.compile(r"\bfa-([a-z][a-z0-9-]*)")
NOT_ICONS = {"solid", "brands", "regular", "lg", "fw"}


def setup(app):
    app.connect("build-finished", draw)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def draw(app, exception):
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf8")
        drawn = EMPTY.sub(lambda found: found[1] + icon(found[3]), text)
        if drawn != text:
            page.write_text(drawn, encoding="utf8")


@cache
def icon(classes: str) -> str:
    (name,) = set(NAME.findall(classes)) - NOT_ICONS
    # The solid set stands last in the file.
    found = re.findall(rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^]]*\],"\w+","([^"]+)"\]', source())
    if not found:
        logging.getLogger(__name__).warning("no icon is called %s", name)
        return ""
    width, height, path = found[-1]
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true"><path d="{path}"/></svg>'


@cache
def source() -> str:
    return next(Path(pydata_sphinx_theme.__file__).parent.glob(ALL_ICONS)).read_text(encoding="utf8")
