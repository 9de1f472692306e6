"""One edition of the site: Chinese, English or both, from the same notebooks.

The edition is the configuration value ``edition``; ``book/_tools/build.py`` builds
the three of them beside each other.
"""

import re
from urllib.parse import urljoin

from docutils import nodes

import languages
import readable
from languages import EDITIONS, pick

DESCRIBED = 160  # letters that a search engine shows of a page


def setup(app):
    app.add_config_value("edition", "both", "env", [str])
    # After sphinx_external_toc has read the table of contents.
    app.connect("config-inited", translate_config, priority=900)
    app.connect("source-read", translate_source)
    # Before Sphinx collects titles and anchors.
    app.connect("doctree-read", name_sections, priority=100)
    app.connect("doctree-read", mark_english, priority=100)
    # Before the theme tries its templates.
    app.connect("html-page-context", link_editions, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def translate_config(app, config):
    """The book's title, the captions of its parts, and the theme's words."""
    for name in ("author", "html_title", "nb_code_prompt_show", "nb_code_prompt_hide"):
        config[name] = pick(config[name], config.edition)
    options = config.html_theme_options
    for name, value in options.items():
        if isinstance(value, str):
            options[name] = pick(value, config.edition)
    for page in config.external_site_map.values():
        for tree in page.subtrees:
            tree.caption = pick(tree.caption or "", config.edition) or None


def translate_source(app, docname, source):
    suffix = app.env.doc2path(docname).rpartition(".")[2]
    if suffix not in ("ipynb", "md"):
        return
    edition = app.config.edition
    cells, keep = (languages.markdown_cells(source[0]), languages.keep_notebook) if suffix == "ipynb" else (source, languages.keep)
    app.env.temp_data["anchors"] = {
        letters(pick(heading, edition)): languages.slug(heading)
        for cell in cells
        for heading in languages.headings(cell)
    }
    source[0] = keep(source[0], edition)


def letters(title):
    """What a title keeps from Markdown to the page: its quotes are turned there, and its formulas have lost their dollars."""
    return re.sub(r"[\W_]", "", title)


def name_sections(app, doctree):
    """Give a section the same anchor in every edition, by which other pages may link it."""
    anchors = app.env.temp_data.get("anchors", {})
    known = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    taken = set()
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title).astext()
        anchor = anchors.get(letters(title))
        if anchor and anchor not in taken:
            section["ids"] = [anchor]
            taken.add(anchor)
            known[anchor] = (section.line, anchor, title)


def mark_english(app, doctree):
    """In ``中文 · English`` the second half has its language, as ``languages.tagged`` gives it elsewhere."""
    if app.config.edition != "both":
        return
    for title in list(doctree.findall(nodes.title)):
        half = next((child for child in title if isinstance(child, nodes.Text) and languages.SEPARATOR in child), None)
        if half is None:
            continue
        before, separator, after = half.partition(languages.SEPARATOR)
        place = title.index(half)
        english = nodes.inline("", "", nodes.Text(after), *title[place + 1:], classes=["language-en"])  # docutils makes it lang="en"
        title[place:] = [nodes.Text(before + separator), english]


def link_editions(app, pagename, templatename, context, doctree):
    """The page's twins and its description, for the switch in the header and for search engines."""
    up = "../" * (pagename.count("/") + 1)
    base = app.config.html_baseurl
    context["edition"] = EDITIONS[app.config.edition]
    context["twins"] = [
        {
            "edition": edition,
            "href": f"{up}{edition.name}/{pagename}.html",
            "address": urljoin(base, f"{edition.name}/{pagename}.html") if base else None,
        }
        for edition in EDITIONS.values()
    ]
    if base:
        # The bilingual page says what the Chinese one says: search engines show that.
        canonical = "zh" if app.config.edition == "both" else app.config.edition
        context["pageurl"] = urljoin(base, f"{canonical}/{pagename}.html")
    if doctree is not None:
        context["description"] = readable.first_sentences(readable.opening(context["body"]), DESCRIBED)
