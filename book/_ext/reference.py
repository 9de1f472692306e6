"""The API reference: autodoc's entries, with what no docstring holds, and the links between them and the chapters.

A docstring is English in every edition. Beside it stand one Chinese sentence (reference/entries.yml), the rule's own
equations and states, and the chapters that are about it (chapters.py).
"""

import importlib
import re
import sys
from functools import cache, reduce
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.domains.python import PyObject
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import chapters
import entries
from languages import pick, tagged

FOLDER = "reference/"
CONFIG = {
    "default_role": "py:obj",  # a name in single backticks leads to its entry
    "autodoc_member_order": "bysource",
    "napoleon_custom_sections": [("Class attributes", "Attributes")],
    "napoleon_use_ivar": True,
    "napoleon_use_rtype": False,
    "toc_object_entries_show_parents": "hide",
}
FIELDS = {"parameter": "参数 · Parameters", "variable": "属性 · Attributes",
          "returnvalue": "返回 · Returns", "exceptions": "异常 · Raises"}  # fmt: skip
RUBRICS = {"Example": "示例 · Example"}
INSIDE = {"method", "property", "attribute"}  # documented within their class
LINKED = ("optimbook", "optimbook.lr_scheduler", "optimbook.swa_utils")  # whose classes chapters call by their last name alone
LANGUAGE = re.compile(r'<div lang="(zh|en)">')


def setup(app):
    sys.path.insert(0, str(entries.ROOT))
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(extension)
    app.add_directive("overview", Overview)
    app.add_node(overview)
    app.connect("config-inited", configure)
    app.connect("builder-inited", name_fields)
    app.connect("env-before-read-docs", read_chapters)
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-docstring", give_docstring, priority=100)  # before napoleon
    app.connect("doctree-read", complete_entries, priority=200)  # before the contents of the page are gathered
    app.connect("doctree-resolved", link_chapter)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def configure(app, config):
    for name, value in CONFIG.items():
        config[name] = value
    config.project = config.html_title  # whose names these are, for other books' intersphinx


def name_fields(app):
    for field in PyObject.doc_field_types:
        if field.name in FIELDS:
            field.label = pick(FIELDS[field.name], app.config.edition)


def read_chapters(app, env, docnames):
    notebooks = {name: Path(env.doc2path(name)) for name in env.found_docs}
    app.chapters = {
        name: chapters.text_of(path.read_text(encoding="utf8"))
        for name, path in sorted(notebooks.items())
        if path.suffix == ".ipynb" and "/" in name
    }


@cache  # every page asks for all of them
def chapters_of(app, name):
    """Names of the pages that are about a public object, in the order of the table of contents."""
    obj, listed = find(*name.rpartition(".")[::2]), entries.words().get(name, {}).get("chapters", ())
    found = [
        page for page, text in app.chapters.items()
        if page in listed or isinstance(obj, type) and chapters.is_about(page.rpartition("/")[2], text, obj)
    ]  # fmt: skip
    order = list(app.config.external_site_map)
    return sorted(found, key=order.index)


def find(module, path):
    return reduce(getattr, path.split("."), importlib.import_module(module))


# ------------------------------------------------------------------------------------------- what autodoc reads


def write_signature(app, what, name, obj, options, signature, returns):
    if what in ("class", "exception", "function", "method"):
        return entries.signature(obj, is_method=what == "method"), None


def give_docstring(app, what, name, obj, options, lines):
    given = entries.words().get(name, {}).get("en")
    if given:
        lines[:] = given.splitlines()


# ------------------------------------------------------------------------------------------- entries


class overview(nodes.General, nodes.Element):
    """Stands for the table of a page's entries until they are read."""


class Overview(SphinxDirective):
    """``.. overview::``: a table of all entries of this page, with what they are and their chapters."""

    def run(self):
        return [overview()]


def complete_entries(app, doctree):
    if not app.env.docname.startswith(FOLDER):
        return
    rows = []
    for entry in doctree.findall(addnodes.desc):
        signature, content = entry[0], entry[-1]
        name = f"{signature['module']}.{signature['fullname']}"
        for rubric in content.findall(nodes.rubric):
            translated = RUBRICS.get(rubric.astext(), rubric.astext())
            rubric.children = [nodes.Text(pick(translated, app.config.edition))]
        mark_english(content)
        if entry["objtype"] in INSIDE:
            signature["_toc_name"] = ""  # one level of contents
        else:
            row = complete_entry(app, name, find(signature["module"], signature["fullname"]), content)
            if signature["fullname"] in (shown for shown, *_ in rows):  # torch's class beside ours of the same name
                signature["_toc_name"] = signature["fullname"] = name
            rows.append((signature["fullname"], signature["ids"][0], row))
    for place in list(doctree.findall(overview)):
        heads = [words(app, text) for text in ("名称 · Name", "是什么 · What it is", "章节 · Chapter")]
        links = [nodes.reference("", "", nodes.literal(text=shown), refid=anchor) for shown, anchor, _ in rows]
        place.replace_self(table(heads, [[[link], *row] for link, (*_, row) in zip(links, rows)]))


def mark_english(content):
    for node in content.children:
        if isinstance(node, nodes.field_list):
            for body in node.findall(nodes.field_body):
                body["classes"].append("language-en")
        elif isinstance(node, nodes.Element) and not isinstance(node, (addnodes.desc, addnodes.index, nodes.rubric)):
            node["classes"].append("language-en")


def complete_entry(app, name, obj, content):
    """Adds what no docstring holds; returns what it is, and its chapters, for the table of the page."""
    what = list(content.children[:1])
    if app.config.edition != "en":
        what.insert(0, nodes.paragraph("", "", *marked(entries.words()[name]["zh"]), classes=["language-zh"]))
    if app.config.edition == "zh":
        what = what[:1]
    pages = joined(app, [page_link(app, page) for page in chapters_of(app, name)])
    copies = [[node.deepcopy() for node in part] for part in (what, pages)]
    if app.config.edition != "en":
        content.insert(0, what[0])
    add_shared(app, obj, content)
    fields = next((i for i, node in enumerate(content) if isinstance(node, (nodes.field_list, addnodes.index))), len(content))
    content[fields:fields] = rule_nodes(app, obj)
    content.insert(1 if app.config.edition == "en" else 2, about(app, obj, pages))
    return copies


def add_shared(app, obj, content):
    """A word on the arguments that all optimizers share, after the others."""
    names = entries.shared_arguments(obj) if isinstance(obj, type) else []
    if names:
        links = [nodes.reference("", "", nodes.literal(text=name), refid=entries.BASE) for name in names]
        line = *label(app, "另有每个优化器都有的参数 · And the arguments of every optimizer"), *joined(app, links)
        fields = next(i for i, node in enumerate(content) if isinstance(node, nodes.field_list))
        content.insert(fields + 1, nodes.paragraph("", "", *line))


def about(app, obj, pages):
    """A line with the chapters and the file."""
    line = nodes.paragraph(classes=["entry-about"])
    file, repository = entries.file_of(obj), app.config.html_theme_options
    if pages:
        line += nodes.inline("", "", *label(app, "章节 · Chapter"), *pages)
    if file:
        address = f"{repository['repository_url']}/blob/{repository['repository_branch']}/{file}"
        line += nodes.inline("", "", *label(app, "源文件 · Source"), nodes.reference("", "", nodes.literal(text=file), refuri=address))
    return line


def rule_nodes(app, obj):
    """The equations of a rule, its states and its source."""
    rule = entries.rule_of(obj)
    if rule is None:
        return []
    values, raised = entries.flags(obj)
    zh, en = ("矩阵的更新", "Update of a matrix") if rule.by_shape else ("更新", "Update")
    if raised:
        zh += f"（{'、'.join(raised)} 不为 0）"
        en += f", where {' and '.join(raised)} {'is' if len(raised) == 1 else 'are'} not 0"
    found = [nodes.rubric("", pick(f"{zh} · {en}", app.config.edition)), nodes.math_block("", rule.latex(**values))]
    found += state_nodes(app, obj)
    summary = tagged(pick("规则的源代码 · Source of the rule", app.config.edition))
    source = nodes.literal_block(rule.source.strip(), rule.source.strip(), language="python")
    return [*found, raw(f"<details><summary>{summary}</summary>"), source, raw("</details>")]


def state_nodes(app, cls):
    rows = [
        [[nodes.literal(text=name)], words(app, entries.size(kind)), marked(pick(entries.when(cls, flag), app.config.edition))]
        for name, kind, flag in entries.states(cls)
    ]
    heads = [words(app, text) for text in ("状态 · State", "每参数字节 · Bytes per parameter", "何时有 · When")]
    return [table(heads, rows)] if rows else []


# ------------------------------------------------------------------------------------------- chapters


def link_chapter(app, doctree, page):
    """A line under a chapter's first words that leads to what it is about; and its names of classes lead there too."""
    documented = app.env.domains["py"].objects.items()
    known = {name: obj for name, obj in documented if obj.docname.startswith(FOLDER) and obj.objtype not in INSIDE and not obj.aliased}
    if page not in app.chapters or not known:
        return

    def link(name, *text):
        return make_refnode(app.builder, page, known[name].docname, known[name].node_id, list(text), name)

    short = {name.rpartition(".")[2]: name for name, obj in known.items() if obj.objtype == "class" and name.rpartition(".")[0] in LINKED}
    link_names(doctree, {**short, **{name: name for name in known}}, link)
    about = [link(name, nodes.literal(text=name)) for name in known if page in chapters_of(app, name)]
    if about:
        section = doctree.next_node(nodes.section)
        ends = (i for i, node in enumerate(section.children) if isinstance(node, nodes.section) or "cell" in node["classes"])
        section.insert(next(ends, len(section)), nodes.paragraph("", "", *label(app, "接口 · API"), *joined(app, about), classes=["chapter-api"]))


def link_names(doctree, names, link):
    """The first time that a passage of either language names it."""
    language, seen = "", set()
    for node in list(doctree.findall(lambda node: isinstance(node, (nodes.raw, nodes.literal)))):
        if isinstance(node, nodes.raw):
            found = LANGUAGE.search(node.astext())
            language = found[1] if found else language
            continue
        name = names.get(node.astext())
        if name and (language, name) not in seen and isinstance(node.parent, (nodes.paragraph, nodes.entry)):
            seen.add((language, name))
            quiet = link(name, node.deepcopy())
            quiet["classes"].append("api-name")
            node.replace_self(quiet)


# ------------------------------------------------------------------------------------------- nodes


def words(app, text):
    """A word in the language of the edition, or in both."""
    return [nodes.Text(pick(text, app.config.edition))]


def page_link(app, page):
    options = {"refdomain": "std", "reftype": "doc", "refexplicit": False, "refwarn": True}
    return addnodes.pending_xref("", nodes.inline(), reftarget=f"/{page}", refdoc=app.env.docname, **options)


def marked(text):
    """Text with names in backticks."""
    return [nodes.literal(text=part) if i % 2 else nodes.Text(part) for i, part in enumerate(text.split("`"))]


def label(app, text):
    return [nodes.Text(pick(text, app.config.edition) + (": " if app.config.edition == "en" else "："))]


def joined(app, found):
    comma = ", " if app.config.edition == "en" else "、"
    return [node for i, each in enumerate(found) for node in ([nodes.Text(comma)] if i else []) + [each]]


def raw(html):
    return nodes.raw("", html, format="html")


def table(heads, rows):
    """A table whose cells are lists of nodes: paragraphs, or what stands in one."""

    def row(cells):
        return nodes.row("", *(nodes.entry("", *paragraphs(cell)) for cell in cells))

    def paragraphs(cell):
        return cell if cell and isinstance(cell[0], nodes.paragraph) else [nodes.paragraph("", "", *cell)]

    columns = [nodes.colspec(colwidth=1) for _ in heads]
    group = nodes.tgroup("", *columns, nodes.thead("", row(heads)), nodes.tbody("", *map(row, rows)), cols=len(heads))
    return nodes.table("", group)
