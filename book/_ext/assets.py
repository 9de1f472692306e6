"""One style sheet, and one script that nobody waits for.

The themes would ask for eleven sheets and fourteen scripts before the first word is drawn, each a
request of its own. Their files stay what they are: they are joined when the book is built, and
PurgeCSS takes out the rules that no page of the book and no script can use, two thirds of them.
"""

import re
import subprocess
import zlib
from pathlib import Path

import npm
from sphinx.errors import ExtensionError

SHEET, SCRIPT = "style.css", "script.js"
STYLES = ("basic.css", "styles/bootstrap.css", "styles/pydata-sphinx-theme.css")  # which its templates ask for by themselves
SCRIPTS = ("scripts/bootstrap.js", "scripts/pydata-sphinx-theme.js")
IMPORT = re.compile(r'@import "[^"]+";\s*')  # of basic.css, which comes first
RELATIVE = re.compile(r"""url\((["']?)(?!["']|data:|#|/|\w+:)""")
ADDRESS = re.compile(rf"(?<=/)({re.escape(SHEET)}|{re.escape(SCRIPT)})\?v=\w+")
PURGE = npm.HOME / "purgecss" / "bin" / "purgecss.js"
COMPOSED = ["bs-tooltip-auto"]  # classes that a script puts together from parts


def setup(app):
    app.connect("builder-inited", ask)
    app.connect("html-page-context", lighten, priority=900)
    app.connect("build-finished", finish, priority=900)  # the icons are known by then
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}


def ask(app):
    app.add_css_file(SHEET)
    app.add_js_file(SCRIPT, defer="defer")


def lighten(app, page, template, context, doctree):
    styles, scripts = (sorted(context[kind], key=lambda file: file.priority) for kind in ("css_files", "script_files"))
    # What has no file is the theme's, for its version switcher.
    scripts = [script for script in scripts if script.filename]
    if not hasattr(app, "joined"):
        app.joined = {SHEET: [*STYLES, *map(name, styles)], SCRIPT: [*SCRIPTS, *map(name, scripts)]}
        join(app)  # now, for the page's address of a file holds its checksum
    context["css_files"] = [style for style in styles if name(style) == SHEET or name(style) not in app.joined[SHEET]]
    context["script_files"] = [script for script in scripts if name(script) == SCRIPT or name(script) not in app.joined[SCRIPT]]


def name(file):
    return file.filename.removeprefix("_static/")


def join(app):
    static = Path(app.outdir) / "_static"
    for whole, read, end in (SHEET, sheet, "\n"), (SCRIPT, script, "\n;\n"):
        parts = [part for part in app.joined[whole] if part != whole and (static / part).exists()]
        (static / whole).write_text(end.join(read(static, part) for part in parts), encoding="utf8")


def sheet(static, part):
    """A sheet whose addresses start from the folder of the joined one."""
    folder = Path(part).parent.as_posix()
    text = IMPORT.sub("", script(static, part))
    return text if folder == "." else RELATIVE.sub(rf"url(\1{folder}/", text)


def script(static, part):
    return (static / part).read_text(encoding="utf8")


def finish(app, exception):
    if exception or not hasattr(app, "joined"):
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
    """The checksums in the addresses are those of the files as they are now, so that no reader keeps an old one."""
    checksum = {name: f"{zlib.crc32((site / '_static' / name).read_bytes()):08x}" for name in (SHEET, SCRIPT)}
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        fresh = ADDRESS.sub(lambda found: f"{found[1]}?v={checksum[found[1]]}", text)
        if fresh != text:
            page.write_text(fresh, encoding="utf8")
