"""Links to other pages inside the HTML outputs of cells: ``href="../algorithms/adam.ipynb#why"``.

Jupyter and GitHub follow such a link as it stands; on the site it has to lead to the page.
Sphinx does that for Markdown only, and never looks into an output.
"""

import posixpath
import re
from functools import lru_cache

from docutils import nodes
from sphinx.util import logging

LINK = re.compile(r'(?<=\bhref=")(?![a-z]+:|/|#)([^"#]+\.(?:ipynb|md|rst))(#[^"]*)?(?=")')


def setup(app):
    app.connect("doctree-resolved", resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def resolve(app, doctree, docname):
    if app.builder.format != "html":
        return
    for output in doctree.findall(nodes.raw):
        if "html" in output.get("format", ""):
            replaced = LINK.sub(lambda found: address(app, docname, found[1], found[2] or "", output), output.astext())
            output.children = [nodes.Text(replaced)]


def address(app, docname, file, anchor, output):
    """The page's own address, or with a warning, which ``-W`` makes an error, what was written."""
    page = app.env.path2doc(posixpath.normpath(posixpath.join(app.srcdir, posixpath.dirname(docname), file)))
    if page not in app.env.found_docs:
        logging.getLogger(__name__).warning("an output links to %s, which is no page", file, location=output)
    elif anchor and anchor[1:] not in anchors(app.env, page):
        logging.getLogger(__name__).warning("an output links to %s, which has no section %s", file, anchor, location=output)
    else:
        return app.builder.get_relative_uri(docname, page) + anchor
    return file + anchor


@lru_cache(maxsize=None)
def anchors(env, page):
    return {name for section in env.get_doctree(page).findall(nodes.section) for name in section["ids"]}
