"""What a reader takes away from a page: its notebook, its citation, and a link that opens an issue about it."""

import re
from functools import partial
from urllib.parse import quote, urlencode

import about
from languages import pick

EDITION = {"zh": "中文版", "en": "English edition", "both": "中英对照 · bilingual edition"}
ISSUE = {
    "title": "[{page}] {title}",
    "body": """\
哪里不对？应当是什么样？ · What is wrong, and what should it be?



---
页面：{page}，{edition} · Page: {page}, {edition}
地址：{address} · Address: {address}
版本：{version} · Version: {version}
""",
}
SPECIAL = re.compile(r"[&%$#_{}~^\\]")
ESCAPED = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


def setup(app):
    app.add_config_value("subtitle", "", "html", [str])
    app.connect("builder-inited", read)
    # After the page's address is known, before the theme tries its templates.
    app.connect("html-page-context", add, priority=200)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def read(app):
    app.book = about.read()


def add(app, pagename, templatename, context, doctree):
    """What the template `take-away.html` shows; nothing on pages that are no part of the book, such as the search."""
    edition = app.config.edition
    context["say"] = partial(pick, edition=edition)
    if doctree is None:
        return
    title = app.env.titles[pagename].astext()
    file = f"{pagename}.ipynb"
    is_notebook = context.get("page_source_suffix") == ".ipynb"
    page = Page(app.book, edition, pagename, title, is_root=pagename == app.config.root_doc)
    context["take_away"] = {
        "notebook": "../" * (pagename.count("/") + 1) + f"notebooks/{file}" if is_notebook else None,
        "file": file.split("/")[-1],
        "source": f"{app.book.repository}/blob/{app.book.branch}/{app.book.folder}/{file}" if is_notebook else None,
        "issue": page.issue(),
        "citations": page.citations(),
        "bibtex": page.bibtex(),
    }


class Page:
    """A page of one edition, as others refer to it."""

    def __init__(self, book, edition, name, title, is_root):
        self.book, self.edition, self.name, self.is_root = book, edition, name, is_root
        self.title = book.title(edition) if is_root else title
        self.address = f"{book.address}{edition}/{name}.html"

    def issue(self):
        """The address of a new issue about this page, with what it needs to say already in it."""
        version = " ".join(filter(None, [self.book.version, self.book.commit]))
        facts = {"title": self.title, "page": self.name, "edition": EDITION[self.edition], "address": self.address, "version": version}
        query = {part: each_line(text, self.edition).format(**facts) for part, text in ISSUE.items()}
        return f"{self.book.repository}/issues/new?{urlencode(query, quote_via=quote)}"

    def citations(self):
        """In words, by style: the Chinese standard, APA's, or both."""
        styles = {"zh": ("GB/T 7714", self.chinese()), "en": ("APA", self.english())}
        return list(styles.values()) if self.edition == "both" else [styles[self.edition]]

    def chinese(self):
        whole = self.book.title("zh")
        what = f"{whole}[EB/OL]" if self.is_root else f"{pick(self.title, 'zh')}[EB/OL]//{whole}"
        return f"{self.authors(', ')}. {what}. {self.book.version} 版. ({self.book.date})[引用日期]. {self.address}"

    def english(self):
        whole = f"{self.book.title('en')} (Version {self.book.version})"
        what = whole if self.is_root else f"{pick(self.title, 'en')}. In {whole}"
        return f"{self.authors(', & ')}. ({self.year}). {what}. {self.address}"

    def bibtex(self):
        fields = {
            "author": " and ".join(f"{{{tex(author)}}}" for author in self.book.authors),
            "title": f"{{{tex(self.title)}}}",
            "howpublished": None if self.is_root else tex(self.book.title(self.edition)),
            "year": self.year,
            "url": self.address,
            "note": tex(f"Version {self.book.version}, {EDITION[self.edition]}"),
        }
        key = re.sub("[/_]", "-", self.name)
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
        return f"@misc{{optimbook-{key}-{self.edition},\n{lines}}}"

    def authors(self, separator):
        return separator.join(self.book.authors)

    @property
    def year(self):
        return self.book.date[:4]


def each_line(text, edition):
    """Every line of a text in the edition's language: its halves stand on both sides of `· `."""
    return "\n".join(pick(line, edition) for line in text.split("\n"))


def tex(text):
    """Text that means itself in TeX."""
    return SPECIAL.sub(lambda found: ESCAPED.get(found[0], rf"\{found[0]}"), text)
