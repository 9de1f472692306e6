"""One style sheet, and scripts that nobody waits for.

The themes would ask for eleven sheets and eight scripts before the first word is drawn, each a
request of its own. Their files stay what they are: they are joined when the book is built, and
PurgeCSS takes out the rules that no page of the book and no script can use, two thirds of them.
"""

import re
import subprocess
import zlib
from pathlib import Path

import npm
from sphinx.errors import ExtensionError

SHEET = "style.css"
THEME = ("basic.css", "styles/bootstrap.css", "styles/pydata-sphinx-theme.css")  # which its templates ask for by themselves
IMPORT = re.compile(r'@import "[^"]+";\s*')  # of basic.css, which comes first
ADDRESS = re.compile(rf'(?<=/{re.escape(SHEET)}\?v=)\w+')
PURGE = npm.HOME / "purgecss" / "bin" / "purgecss.js"
COMPOSED = ["bs-tooltip-auto"]  # classes that a script puts together from parts
RELATIVE = re.compile(r"""url\((["']?)(?!["']|data:|#|/|\w+:)""")


def setup(app):
    app.connect("builder-inited", lambda app: app.add_css_file(SHEET))
    app.connect("html-page-context", lighten, priority=900)
    app.connect("build-finished", finish, priority=900)  # the icons are known by then
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}


def lighten(app, page, template, context, doctree):
    if not hasattr(app, "sheets"):
        named = sorted(context["css_files"], key=lambda sheet: sheet.priority)
        app.sheets = [*THEME, *(sheet.filename.removeprefix("_static/") for sheet in named if not sheet.filename.endswith(SHEET))]
        join(app)  # now, for the page's address of it holds its checksum
    context["css_files"] = [sheet for sheet in context["css_files"] if sheet.filename.removeprefix("_static/") not in app.sheets]
    # The theme's inline script is for its version switcher.
    context["script_files"] = [script for script in context["script_files"] if script.filename]
    for script in context["script_files"]:
        script.attributes.setdefault("defer", "defer")


def join(app):
    static = Path(app.outdir) / "_static"
    sheets = [name for name in app.sheets if (static / name).exists()]
    (static / SHEET).write_text("\n".join(sheet(static, name) for name in sheets), encoding="utf8")


def sheet(static, name):
    """A sheet whose addresses start from the folder of the joined one."""
    folder = Path(name).parent.as_posix()
    text = IMPORT.sub("", (static / name).read_text(encoding="utf8"))
    return text if folder == "." else RELATIVE.sub(rf"url(\1{folder}/", text)


def finish(app, exception):
    if exception or not hasattr(app, "sheets"):
        return
    join(app)
    purge(Path(app.outdir))
    refresh(Path(app.outdir))


def purge(site):
    """Leave in the sheet what the site's pages and scripts name."""
    path = site / "_static" / SHEET
    content = [f"{site}/**/*.html", f"{site}/_static/**/*.js"]
    command = [npm.NODE, PURGE, "--css", path, "--content", *content, "--safelist", *COMPOSED, "--output", path]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ExtensionError(f"PurgeCSS failed: {done.stderr}")


def refresh(site):
    """The checksum in the sheet's address is that of the sheet as it is now, so that no reader keeps an old one."""
    checksum = f"{zlib.crc32((site / '_static' / SHEET).read_bytes()):08x}"
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        fresh = ADDRESS.sub(checksum, text)
        if fresh != text:
            page.write_text(fresh, encoding="utf8")
