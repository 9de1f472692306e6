"""Only the icons that the pages use, as a style sheet of a few kilobytes.

The theme would load all of Font Awesome, a script of half a megabyte when compressed.
"""

import re
from pathlib import Path
from urllib.parse import quote

import pydata_sphinx_theme
from sphinx.util import logging

ALL_ICONS = "theme/pydata_sphinx_theme/static/vendor/fontawesome/*/js/all.min.js"
STYLE = "icons.css"
NAME = re.compile(r"\bfa-([a-z][a-z0-9-]*)")
NOT_ICONS = {"solid", "brands", "regular", "lg", "fw"}

RULES = """\
.fa-solid, .fa-brands, .fas, .fab {
  display: inline-block; flex: none; width: 1.25em; height: 1em; vertical-align: -0.125em;
  background: currentColor; -webkit-mask: var(--icon) center / contain no-repeat;
  mask: var(--icon) center / contain no-repeat;
}
"""


def setup(app):
    app.connect("builder-inited", lambda app: app.add_css_file(STYLE))
    app.connect("build-finished", write_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def write_style(app, exception):
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    names = sorted(used_icons(Path(app.outdir)))
    source = next(Path(pydata_sphinx_theme.__file__).parent.glob(ALL_ICONS)).read_text(encoding="utf8")
    (static / STYLE).write_text(RULES + "".join(rule(name, source) for name in names))


def used_icons(site: Path) -> set:
    """Names of icons on the pages, and those that the theme's scripts add."""
    files = [*site.rglob("*.html"), *(site / "_static" / "scripts").glob("*theme.js")]
    return {
        name
        for file in files
        for name in NAME.findall(" ".join(classes(file.read_text(encoding="utf8"))))
    } - NOT_ICONS


def classes(text: str) -> list:
    return re.findall(r'class="([^"]*\bfa[bs]?[ -][^"]*)"', text)


def rule(name: str, source: str) -> str:
    # The solid set stands last in the file.
    found = re.findall(rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^]]*\],"\w+","([^"]+)"\]', source)
    if not found:
        logging.getLogger(__name__).warning("no icon is called %s", name)
        return ""
    width, height, path = found[-1]
    image = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><path d="{path}"/></svg>'
    return f'.fa-{name} {{ --icon: url("data:image/svg+xml,{quote(image)}"); }}\n'
