"""The book as one PDF per edition, printed by Chromium from the built site.

    python book/_tools/pdf.py [--edition EDITION] [--toc FILE] [--site FOLDER] [--output FOLDER]

Every page is opened as a reader opens it, so that its scripts have drawn what they draw;
what stands in its article is taken out and put behind a title page and a table of contents.
The contents are printed a second time, when it is known on which page each chapter begins.
"""

import argparse
import html
import io
import json
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pikepdf
from playwright.sync_api import Error, sync_playwright
from sphinx_external_toc.parsing import parse_toc_yaml

TOOLS = Path(__file__).resolve().parent
BOOK = TOOLS.parent
ROOT = BOOK.parent
sys.path.insert(0, str(BOOK / "_ext"))

import about  # noqa: E402
from languages import EDITIONS, pick  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OLDEST = 131  # the first that draws page numbers and running heads
NO_BROWSER = f"""\
make pdf prints with Chromium or Chrome, version {OLDEST} or newer, and found none.
Install one so that `chromium` or `google-chrome` is on the PATH
(Debian, Ubuntu: apt-get install chromium fonts-noto-cjk)."""
NO_CHINESE = "make pdf found no Chinese font. Install one (Debian, Ubuntu: apt-get install fonts-noto-cjk)."
NO_SITE = "make pdf prints the built site, and found none: run `make book` first."

WORDS = {
    "contents": "目录 · Contents",
    "version": "版本 {version}，{date} · Version {version}, {date}",
    "licence": "文字与图 CC BY 4.0，代码 MIT · Text and figures CC BY 4.0, code MIT",
}
# A line of a font's table: a code, or the first and last of a row, and the character that it starts with.
RADICAL = re.compile(r"^(<[0-9A-F]+>(?: <[0-9A-F]+>)?) <(2[EF][0-9A-F]{2})>$", re.I | re.M)
SUPPLEMENT = dict(zip(*["⻁⻄⻅⻆⻉⻋⻓⻔⻘⻚⻛⻜⻝⻢⻣⻤⻥⻦⻨⻩⻬⻮⻰⻳", "虎西见角贝车长门青页风飞食马骨鬼鱼鸟麦黄齐齿龙龟"]))
PRINT = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}

# Two characters that look the same are two empty boxes.
HAS_CHINESE = """() => {
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.font = `40px ${getComputedStyle(document.body).fontFamily}`;
  const [one, other] = ["学", "习"].map((character) => {
    canvas.clearRect(0, 0, 300, 150);
    canvas.fillText(character, 50, 100);
    return canvas.canvas.toDataURL();
  });
  return one !== other;
}"""
LEADING_NOWHERE = """() => [...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href"))
  .filter((target) => !document.getElementById(decodeURIComponent(target.slice(1))))"""


@dataclass
class Chapter:
    name: str  # algorithms/adam
    part: str  # the part that it opens, if it does
    title: str
    article: str  # its HTML

    @property
    def anchor(self):
        return anchor(self.name)


def main():
    options = parse_arguments()
    if not (options.site / "index.html").exists():
        return NO_SITE
    options.output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        try:
            browser = launch(driver)
        except Error:
            return NO_BROWSER
        if int(browser.version.split(".")[0]) < OLDEST:
            return f"{NO_BROWSER}\nFound version {browser.version}."
        for edition in options.editions:
            file = options.output / f"optimbook-{edition}.pdf"
            file.write_bytes(make(browser, edition, options))
            print(f"{file}  {file.stat().st_size / 1e6:.1f} MB", flush=True)


def launch(driver):
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    where = {"executable_path": path} if path else {"channel": "chrome"}
    return driver.chromium.launch(**where, args=["--no-sandbox", "--allow-file-access-from-files"])


def make(browser, edition, options):
    """The bytes of one edition's PDF."""
    book = about.read()
    page = browser.new_page(device_scale_factor=2, color_scheme="light")
    page.set_default_timeout(0)  # a slow machine prints slowly
    names, parts = contents(options.toc, edition)
    chapters, styles = harvest(page, options.site / edition, names, parts, book)

    def printed(numbers, whole):
        source = options.output / f"{edition}.html"
        source.write_text(document(book, edition, chapters, styles, numbers, whole), encoding="utf8")
        page.goto(source.as_uri())
        source.unlink()
        if not page.evaluate(HAS_CHINESE):
            raise SystemExit(NO_CHINESE)
        if whole and (lost := page.evaluate(LEADING_NOWHERE)):
            raise SystemExit(f"these links of the {edition} edition lead nowhere: {', '.join(lost)}")
        return pikepdf.open(io.BytesIO(page.pdf(**PRINT)))

    pdf = printed({}, whole=True)
    front = printed(page_numbers(pdf), whole=False)
    page.close()
    return finish(pdf, front, book, edition)


def contents(toc, edition):
    """The pages in the order of the book, and the title of the part that a page opens."""
    site_map = parse_toc_yaml(toc)
    names, parts = [], {}

    def add(name):
        names.append(name)
        for tree in site_map[name].subtrees:
            files = [item for item in tree.items if item in site_map]
            if tree.caption and files:
                parts[files[0]] = pick(tree.caption, edition)
            for file in files:
                add(file)

    add(site_map.root.docname)
    return names, parts


def harvest(page, site, names, parts, book):
    """Every page's article as it stands in the browser, and the site's style sheets."""
    script = (TOOLS / "harvest.js").read_text(encoding="utf8")
    settings = {
        "site": f"{site.as_uri()}/",
        "address": urljoin(book.address, f"{site.name}/"),
        "anchors": {f"{name}.html": anchor(name) for name in names},
    }
    chapters = []
    for name in names:
        page.goto((site / f"{name}.html").as_uri())
        found = page.evaluate(script, {**settings, "anchor": anchor(name)})
        chapters.append(Chapter(name, parts.get(name), found["title"], found["article"]))
    return chapters, found["styles"]


def anchor(name):
    return name.replace("/", "-")


def page_numbers(pdf):
    """On which page each place is that a link leads to."""
    numbers = {page.objgen: number for number, page in enumerate(pdf.pages, 1)}
    return {name.removeprefix("/"): numbers[place[0].objgen] for name, place in pdf.Root.Dests.items()}


def document(book, edition, chapters, styles, numbers, whole):
    """The whole book as one HTML page."""
    lang = EDITIONS[edition].locale.replace("_", "-")
    links = "\n".join(f'<link rel="stylesheet" href="{style}">' for style in styles)
    return f"""<!doctype html>
<html lang="{lang}" data-theme="light">
<head>
<meta charset="utf-8">
<title>{html.escape(book.title(edition))}</title>
{links}
<style>
{(TOOLS / "pdf.css").read_text(encoding="utf8")}
{"".join(running_heads(book, chapters))}
</style>
<script src="{(BOOK / "_static" / "print.js").as_uri()}"></script>
</head>
<body>
{title_page(book, edition)}
{table_of_contents(edition, chapters, numbers)}
<main class="bd-article">
{"".join(whole_chapter(chapter) for chapter in chapters if whole)}
</main>
</body>
</html>
"""


def running_heads(book, chapters):
    """The part and the chapter at the top of each page."""
    part = book.name
    for chapter in chapters:
        part = chapter.part or part
        left, right = json.dumps(part, ensure_ascii=False), json.dumps(chapter.title, ensure_ascii=False)
        yield f"@page {chapter.anchor} {{ @top-left {{ content: {left}; }} @top-right {{ content: {right}; }} }}\n"
        yield f"#{chapter.anchor} {{ page: {chapter.anchor}; }}\n"


def title_page(book, edition):
    version = pick(WORDS["version"], edition).format(version=book.version, date=book.date)
    if book.commit:
        version += f" ({book.commit})"
    return f"""<header class="cover">
<p class="cover-title">{book.name}</p>
<p class="cover-subtitle">{"<br>".join(pick(book.subtitle, edition).split(" · "))}</p>
<p>{html.escape(", ".join(book.authors))}</p>
<p>{version}</p>
<p><a href="{book.address}">{book.address}</a></p>
<p>{pick(WORDS["licence"], edition)}</p>
</header>"""


def table_of_contents(edition, chapters, numbers):
    lines = []
    for chapter in chapters:
        if chapter.part:
            lines.append(f'<li class="part">{line(f"part-{chapter.anchor}", chapter.part, numbers)}</li>')
        lines.append(f"<li>{line(chapter.anchor, chapter.title, numbers)}</li>")
    return f'<nav class="book-contents"><h2>{pick(WORDS["contents"], edition)}</h2><ol>{"".join(lines)}</ol></nav>'


def line(anchor, title, numbers):
    number = numbers.get(anchor, "000")
    return f'<a href="#{anchor}"><span>{html.escape(title)}</span><span class="page">{number}</span></a>'


def whole_chapter(chapter):
    part = f'<h1 class="part-title" id="part-{chapter.anchor}">{html.escape(chapter.part)}</h1>' if chapter.part else ""
    return f'{part}<section class="chapter" id="{chapter.anchor}">{chapter.article}</section>\n'


def finish(pdf, front, book, edition):
    """The whole book with the contents' page numbers, and with what Chromium cannot say of a PDF."""
    for page, numbered in zip(pdf.pages, front.pages):
        for part in ("/Contents", "/Resources"):  # the same marks, with numbers in place of 000
            page[part] = pdf.copy_foreign(front.make_indirect(numbered[part]))
    for item in pdf.objects:
        if isinstance(item, pikepdf.Dictionary) and "/ToUnicode" in item:
            name_characters(item.ToUnicode)
    with pdf.open_metadata() as metadata:  # also in the older form, which more programs read
        metadata["dc:title"] = book.title(edition)
        metadata["dc:creator"] = list(book.authors)
        metadata["dc:language"] = [str(pdf.Root.Lang)]
        metadata["pdf:Keywords"] = ", ".join(book.keywords)
    pdf.Root.PageMode = pikepdf.Name.UseOutlines
    pdf.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
    out = io.BytesIO()
    pdf.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate)  # less than half of Chromium's size
    return out.getvalue()


def name_characters(table):
    """In a font's table from glyphs to text: 用 and not the radical ⽤, which looks the same and which no search finds."""

    def named(found):
        first, *last = (int(code, 16) for code in re.findall("[0-9A-Fa-f]+", found[1]))
        count = last[0] - first + 1 if last else 1
        characters = " ".join(f"<{ord(unified(chr(int(found[2], 16) + i))):04X}>" for i in range(count))
        return f"{found[1]} [{characters}]" if last else f"{found[1]} {characters}"

    text = table.read_bytes().decode("ascii")
    table.write(RADICAL.sub(named, text).encode("ascii"))


def unified(radical):
    return SUPPLEMENT.get(radical) or unicodedata.normalize("NFKC", radical)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edition", choices=EDITIONS, help="only this one")
    parser.add_argument("--toc", type=Path, default=ROOT / "_toc.yml")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--output", type=Path, default=ROOT / "_build" / "pdf")
    options = parser.parse_args()
    options.editions = [options.edition] if options.edition else list(EDITIONS)
    options.site, options.output = options.site.resolve(), options.output.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
