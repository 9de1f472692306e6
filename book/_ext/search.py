"""Search in both languages: an index of the book's sections, which a page loads when somebody searches.

In the browser, MiniSearch ranks the sections (engine.js). What comes
first is decided here: a chapter has names, in both languages, from its title and from
the glossary's terms that say ``chapter``.
"""

import json
import re
import shutil
from pathlib import Path

import yaml

import languages
import npm
import readable

GLOSSARY = Path(__file__).parent.parent / "glossary.yml"
ENGINE = Path(__file__).parent / "engine.js"
INDEX = "searchindex.js"
REFERENCE = {"glossary", "notation"}  # they name everything, and explain little
ABBREVIATED = re.compile(r"(.+?) \((.+)\)")  # stochastic gradient descent (SGD)


def setup(app):
    npm.install()
    app.connect("builder-inited", replace_search)
    app.connect("html-collect-pages", lambda app: [("search", {}, "search.html")])
    app.connect("html-page-context", collect)
    app.connect("build-finished", write_index)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}


def replace_search(app):
    app.builder.search = False  # Sphinx's own
    app.found_sections = {}


def collect(app, pagename, templatename, context, doctree):
    if doctree is not None:
        app.found_sections[pagename] = readable.sections(context["body"])


def write_index(app, exception):
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    scripts = out / "_static" / "search"  # not in the book's own _static, from where every page would load them
    scripts.mkdir(exist_ok=True)
    shutil.copy(npm.HOME / "minisearch" / "dist" / "umd" / "index.js", scripts / "minisearch.js")
    shutil.copy(ENGINE, scripts)
    data = json.dumps(index(app.found_sections, app), ensure_ascii=False, separators=(",", ":"))
    (out / INDEX).write_text(f"bookSearchIndex={data}", encoding="utf8")


def index(found, app):
    terms = [(names(term["zh"]), names(term["en"])) for term in glossary_terms()]
    own, other = {"zh": (0, 1), "en": (1, 0), "both": (0, 0)}[app.config.edition]
    pages, sections = [], []
    for number, (page, its_sections) in enumerate(sorted(found.items())):
        title = its_sections[0].title if its_sections else page
        pages.append({"path": f"{page}.html", "title": title, "names": chapter_names(page, app), "minor": page in REFERENCE or page.startswith("reference/")})
        for place, section in enumerate(its_sections):
            sections.append({
                "page": number,
                "anchor": section.anchor if place else "",
                "title": section.title if place else "",
                "text": section.text,
                "code": " ".join(sorted(set(re.findall(r"[A-Za-z_]\w+", section.code)))),
                # What its terms are called in the other language, so that it is found by them too.
                "also": [] if own == other else [term[other][0] for term in terms if mentions(section.text, term[own][0])],
            })
    return {"pages": pages, "sections": sections, "terms": terms}


def mentions(text, term):
    return term in text if languages.HAN.search(term) else re.search(rf"\b{re.escape(term)}s?\b", text, re.I) is not None


def chapter_names(page, app):
    """What a reader may call a chapter: its title and the halves of it, and the glossary's terms for it."""
    found = []
    source = Path(app.env.doc2path(page))
    if source.suffix == ".ipynb":
        for title in languages.headings(languages.markdown_cells(source.read_text(encoding="utf8"))[0])[:1]:
            for half in title.split(languages.SEPARATOR):
                found += [half, *re.split(r"(?<=\w) (?=[\u4e00-\u9fff])", half)]
    for term in glossary_terms():
        if term.get("chapter") == page:
            found += [*names(term["zh"]), *names(term["en"]), *term.get("also", [])]
    return list(dict.fromkeys(found))


def names(term):
    """A term, and the abbreviation that stands behind it."""
    found = ABBREVIATED.fullmatch(term)
    return list(found.groups()) if found else [term]


def glossary_terms():
    return [term for group in yaml.safe_load(GLOSSARY.read_text(encoding="utf8")) for term in group["terms"]]
