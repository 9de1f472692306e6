"""Do links lead somewhere? Papers stand in references.bib, and pages of the book exist."""

import re
from functools import lru_cache
from urllib.parse import unquote

from .bilingual import HEADING, SEPARATOR
from .notebooks import BOOK, CODE, links

PAPERS = r"arxiv\.org|doi\.org|openreview\.net|proceedings\.mlr\.press|jmlr\.org|proceedings\.neurips\.cc"


def problems(chapter, bibliography=None):
    known = references() if bibliography is None else bibliography
    for cell in chapter.cells:
        for target in dict.fromkeys(output_links(cell) if cell.is_code else links(cell.source)):
            if re.match(r"https?:" if cell.is_code else rf"https?://(www\.)?({PAPERS})/", target):
                if key(target) not in known:
                    yield f"{cell}: {target} is not in references.bib"
            elif not re.match(r"[a-z]+:", target):
                yield from page_problems(chapter, cell, unquote(target))


def output_links(cell):
    """What the HTML of a cell's outputs links: papers, and pages of the book."""
    return re.findall(r'<a href="([^"#][^"]*)"', "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs))


@lru_cache
def references():
    """What the bibliography names: its addresses, DOIs and arXiv numbers, each in one spelling."""
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    fields = re.findall(r"\b(url|doi|eprint)\s*=\s*[{\"]([^}\"]+)[}\"]", text, re.IGNORECASE)
    return {key(value) for _, value in fields}


def key(address):
    """arXiv's abs, pdf and doi forms of one paper have one key, and so has a DOI with and without its host."""
    address = re.sub(r"^https?://(www\.|dx\.)?", "", address.strip().lower()).rstrip("/")
    arxiv = re.search(r"(?:^|arxiv\.org/(?:abs|pdf|html)/|arxiv[.:])(\d{4}\.\d{4,5})(?:v\d+)?(?:\.pdf)?$", address)
    return arxiv[1] if arxiv else re.sub(r"^doi\.org/", "", address)


def page_problems(chapter, cell, target):
    path, _, anchor = target.partition("#")
    anchor, setting, _ = anchor.partition("?")  # what follows sets a playground, which tests/browser looks at
    page = chapter.path.parent / path if path else chapter.path
    if not page.exists():
        yield f"{cell}: {target} leads nowhere"
    elif setting and anchor not in playgrounds(chapter, page):
        yield f"{cell}: {page.name} has no playground #{anchor}"
    elif anchor and not setting and page.suffix in (".ipynb", ".md") and anchor not in anchors(chapter, page):
        yield f"{cell}: {page.name} has no section #{anchor}"


def playgrounds(chapter, page):
    """The names of the playgrounds that a page shows."""
    outputs = [output.get("data", {}).get("text/html", "") for cell in opened(chapter, page).code for output in cell.outputs]
    return {name for html in outputs for name in re.findall(r'class="ob-play" id="([^"]+)"', html)}


def opened(chapter, page):
    return chapter if page == chapter.path else type(chapter).read(page, chapter.book)


def anchors(chapter, page):
    """Addresses of the sections of a page: the words of their English headings."""
    other = opened(chapter, page)
    text = "\n".join(CODE.sub("", cell.source) for cell in other.markdown)
    titles = [title.partition(SEPARATOR)[2] or title for _, title in HEADING.findall(text)]
    return {"-".join(re.findall("[a-z0-9]+", title.lower())) for title in titles}
