"""Taking the book away: a page's notebook, citation and issue, the offline zip, and the PDF."""

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from .conftest import CONFIG, EDITIONS, PAGES, ROOT, SITE, watch
from .test_editions import tab_to

HAN = re.compile(r"[\u4e00-\u9fff]")
RADICALS = re.compile(r"[\u2e80-\u2fdf]")  # what a PDF's text must not have in the place of 用 or 长
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
TOOLS = ROOT / "book" / "_tools"
MENU = "#take-away"
CHAPTER = "schedulers/step_lr"
SMALL = f"""\
format: jb-book
root: intro
parts:
  - caption: 调度器 · Schedulers
    chapters:
      - file: {CHAPTER}
      - file: glossary
      - file: guide/playground
"""

every_edition = pytest.mark.parametrize("edition", EDITIONS)


# ------------------------------------------------------------------------------ what each page says


@pytest.fixture(scope="module")
def pages():
    """Every page of every edition, as it is without scripts: edition, path and its tree."""
    soup = pytest.importorskip("bs4").BeautifulSoup
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")

    def top(file):
        """The head, the header and the title: quick to parse."""
        text = file.read_text(encoding="utf8")
        return soup(text[: text.index("</h1>")], "html.parser")

    return [(edition, path, top(SITE / edition / f"{path}.html")) for edition in EDITIONS for path in PAGES]


def test_a_page_gives_its_notebook_as_it_is(pages):
    for edition, path, page in pages:
        link = page.select_one(f"{MENU} a[download]")
        if not (ROOT / "book" / f"{path}.ipynb").exists():  # a page of the API reference
            assert link is None
            continue
        notebook = (SITE / edition / f"{path}.html").parent / link["href"]
        assert notebook.read_bytes() == (ROOT / "book" / f"{path}.ipynb").read_bytes()
        assert link["download"] == notebook.name == f"{path.split('/')[-1]}.ipynb"


def test_a_page_gives_its_citation(pages):
    bibtex = pytest.importorskip("pybtex.database")
    keys = set()
    for edition, path, page in pages:
        *plain, entry = [text.get_text() for text in page.select(f"{MENU} .citation pre")]
        ((key, parsed),) = bibtex.parse_string(entry, "bibtex").entries.items()
        keys.add(key.lower())
        address = f"{CONFIG['html']['baseurl']}{edition}/{path}.html"
        assert parsed.fields["url"] == address
        assert [str(author).strip("{}") for author in parsed.persons["author"]] == [author["name"] for author in CITATION["authors"]]
        assert parsed.fields["year"] == str(CITATION["date-released"])[:4]
        assert str(CITATION["version"]) in parsed.fields["note"]
        title = CONFIG["title"] if path == PAGES[0] else page.h1.find(string=True)
        assert title in parsed.fields["title"]
        assert len(plain) == (2 if edition == "both" else 1)
        assert all(address in text and CITATION["authors"][0]["name"] in text for text in plain)
        assert not (edition == "en" and HAN.search(entry + plain[0]))
    assert len(keys) == len(pages)


def test_bibtex_means_what_the_title_says():
    take_away = load(ROOT / "book" / "_ext" / "take_away.py")
    assert take_away.tex(r"50% of a_b & {c} \ ~") == r"50\% of a\_b \& \{c\} \textbackslash{} \textasciitilde{}"


def test_a_page_has_a_link_to_an_issue_about_it(pages):
    for edition, path, page in pages:
        (link,) = [link["href"] for link in page.select(f"{MENU} a") if "/issues/new" in link["href"]]
        assert link.startswith(f"{CONFIG['repository']['url']}/issues/new?") and not re.search(r"[\s+]", link)
        (title,), (body,) = parse_qs(urlsplit(link).query, strict_parsing=True).values()
        assert (CONFIG["title"] if path == PAGES[0] else page.h1.find(string=True)) in title
        assert path in body and path in title
        assert f"{edition}/{path}.html" in body and f"{CITATION['version']}" in body and "{" not in title + body
        assert not (edition == "en" and HAN.search(title + body))
        assert not (edition == "zh" and " · " in body)


# ------------------------------------------------------------------------------ the menu


@pytest.mark.parametrize("width", (360, 768, 1280))
@every_edition
def test_the_menu_works_by_keyboard_at_every_width(visit, edition, width):
    page = visit(f"{edition}/{CHAPTER}.html", viewport={"width": width, "height": 640})
    tab_to(page, ".take-away-button")
    page.keyboard.press("Enter")
    box = page.locator(MENU).bounding_box()
    assert 0 <= box["x"] and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 640
    header = page.locator(".header-article__inner :is(a, button):visible").evaluate_all(
        """all => all.filter((node) => !node.closest("[popover]"))
          .map((node) => node.getBoundingClientRect()).map((box) => [box.left, box.right])""")
    assert all(right <= left + 1 for (_, right), (left, _) in zip(header, header[1:])), header  # side by side, not on top of each other
    assert header[-1][1] <= width
    tab_to(page, f"{MENU} a[download]")
    page.keyboard.press("Escape")
    page.locator(MENU).wait_for(state="hidden")
    assert page.evaluate("document.activeElement.matches('.take-away-button')")
    assert page.problems == []


def test_copying_says_so(visit, site):
    page = visit(f"en/{CHAPTER}.html", permissions=["clipboard-read", "clipboard-write"])
    page.click(".take-away-button")
    button = page.locator(f"{MENU} .citation button").last
    button.click()
    page.wait_for_function("() => document.querySelector('#take-away [role=status]').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()").replace("\r\n", "\n")
    assert copied == page.locator(f"{MENU} .citation pre").last.text_content()
    assert copied.startswith("@misc{optimbook-schedulers-step-lr-en,")
    page.wait_for_function("() => [...document.querySelectorAll('.citation button')].at(-1).textContent === 'Copy'")


def test_the_menu_needs_no_script(visit):
    page = visit(f"zh/{CHAPTER}.html", java_script_enabled=False)
    page.click(".take-away-button")
    assert page.locator(f"{MENU} a[download]").is_visible()
    assert "@misc{" in page.locator(f"{MENU} .citation pre").last.inner_text()
    assert page.locator(f"{MENU} button:visible").count() == 0  # what only a script could do


def test_a_click_downloads_the_notebook(visit):
    page = visit(f"both/{CHAPTER}.html", viewport={"width": 360, "height": 640})
    page.click(".take-away-button")
    with page.expect_download() as download:
        page.click(f"{MENU} a[download]")
    assert download.value.suggested_filename == "step_lr.ipynb"
    assert Path(download.value.path()).read_bytes() == (ROOT / "book" / f"{CHAPTER}.ipynb").read_bytes()


def test_paper_is_light_whatever_the_screen_is(visit):
    """Nothing of the interface is printed, solutions are open, and the screen is as before afterwards."""
    page = visit(f"en/{CHAPTER}.html", color_scheme="dark", viewport={"width": 650, "height": 900})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.locator(":is(.bd-header-article, .prev-next-area, .bd-sidebar-primary, .copybtn, input):visible").count() == 0
    assert page.locator(".bd-article h1").is_visible()
    folded = page.locator(".bd-article details:not([open]) > :is(p, pre, div)").evaluate_all("all => all.map((part) => part.offsetHeight)")
    assert folded and all(folded)
    assert page.evaluate("document.documentElement.scrollWidth") <= 650
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


# ------------------------------------------------------------------------------ the zip


def load(path):
    """A script of the book as a module."""
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(path.parent))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    folder = tmp_path_factory.mktemp("zip")
    offline = load(TOOLS / "offline.py")
    wheel = offline.build_wheel(folder)
    for name in ("one.zip", "two.zip"):
        offline.pack(SITE, wheel, folder / name)
    assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes()
    with zipfile.ZipFile(folder / "one.zip") as archive:
        archive.extractall(folder)
    return folder / "optimbook"


@pytest.fixture
def offline(browser, unpacked):
    """Opens a file of the unpacked zip with the network cut."""
    context = browser.new_context(offline=True, locale="en-GB")
    page = context.new_page()
    watch(page, unpacked.as_uri())
    yield lambda address: page.goto(f"{unpacked.as_uri()}/{address}") and page
    context.close()


def test_the_zip_opens_at_its_index(offline):
    page = offline("index.html")
    page.wait_for_url("**/en/intro.html")
    page.click(".edition-switch a[data-edition=zh]")
    page.wait_for_url("**/zh/intro.html")
    page.click(f".bd-article a[href='{CHAPTER}.html']")
    page.wait_for_url(f"**/zh/{CHAPTER}.html")
    assert not [problem for problem in page.problems if "index.html" not in problem]


@every_edition
def test_a_page_of_the_zip_is_whole(offline, edition):
    page = offline(f"{edition}/algorithms/adam.html")
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px KaTeX_Main'))")
    pictures = page.locator(".bd-article img")
    pictures.evaluate_all("all => Promise.all(all.map((image) => { image.loading = 'eager'; return image.decode(); }))")
    assert pictures.evaluate_all("all => all.every((image) => image.naturalWidth > 0)")
    line = page.locator(".ob-line").first
    before = line.get_attribute("d")
    page.locator(".ob-knob input").first.focus()
    page.keyboard.press("End")
    assert line.get_attribute("d") != before
    themes = set()
    for _ in range(3):  # light, dark and the system's choice
        page.locator(".theme-switch-button:visible").first.click()
        themes.add(page.locator("html").get_attribute("data-theme"))
    assert themes == {"light", "dark"}
    assert page.problems == []


@pytest.mark.parametrize(("edition", "question", "found"), [("zh", "余弦退火", "余弦退火"), ("en", "weight decay", "AdamW")])
def test_the_zips_search_finds(offline, edition, question, found):
    page = offline(f"{edition}/search.html?q={question}")
    results = page.locator("#search-results [role=option] .search-title")
    results.first.wait_for()
    assert found in results.first.inner_text()
    page.wait_for_timeout(300)  # what is asked for late
    assert page.problems == []


def test_the_zip_gives_its_notebooks(offline, unpacked):
    page = offline(f"zh/{CHAPTER}.html")
    page.click(".take-away-button")
    with page.expect_popup() as popup:  # browsers do not save a file of the same disk: they show it
        page.click(f"{MENU} a[download]")
    popup.value.wait_for_url(f"**/notebooks/{CHAPTER}.ipynb")
    assert (unpacked / "notebooks" / f"{CHAPTER}.ipynb").read_bytes() == (ROOT / "book" / f"{CHAPTER}.ipynb").read_bytes()
    for path in PAGES:
        assert (unpacked / "notebooks" / f"{path}.ipynb").exists() == (ROOT / "book" / f"{path}.ipynb").exists(), path
    (wheel,) = (unpacked / "wheels").glob("optimbook-*.whl")
    assert wheel.name in (unpacked / "README.txt").read_text("utf-8-sig")
    assert wheel.name in (unpacked / "README.zh.txt").read_text("utf-8-sig")


# ------------------------------------------------------------------------------ the PDF


@pytest.fixture(scope="module", params=["zh", "en"])
def pdf(request, browser, tmp_path_factory):
    """A small book: the edition, and its PDF."""
    pypdf = pytest.importorskip("pypdf")
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    folder = tmp_path_factory.mktemp("pdf")
    toc = folder / "toc.yml"
    toc.write_text(SMALL, encoding="utf8")
    command = [sys.executable, TOOLS / "pdf.py", "--edition", request.param, "--toc", toc, "--site", SITE, "--output", folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in folder.glob("*.pdf")] == [f"optimbook-{request.param}.pdf"]
    return request.param, pypdf.PdfReader(folder / f"optimbook-{request.param}.pdf")


def test_the_pdf_says_what_it_is(pdf):
    edition, reader = pdf
    root = reader.trailer["/Root"]
    assert reader.metadata.title.startswith(CONFIG["title"]) and bool(HAN.search(reader.metadata.title)) == (edition == "zh")
    assert reader.metadata.author == ", ".join(author["name"] for author in CITATION["authors"])
    assert root["/Lang"].startswith(edition) and root["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in root
    assert len(reader.pages) > 10
    assert {(round(float(page.mediabox.width)), round(float(page.mediabox.height))) for page in reader.pages} == {(595, 842)}
    cover = reader.pages[0].extract_text()
    assert str(CITATION["version"]) in cover and str(CITATION["date-released"]) in cover and "CC BY 4.0" in cover


def test_the_pdfs_outline_is_the_books(pdf):
    edition, reader = pdf
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert titles == {"zh": ["目录", "优化之书", "调度器"], "en": ["Contents", "OptimBook", "Schedulers"]}[edition]
    chapters = [entry.title for entry in reader.outline[-1] if not isinstance(entry, list)]
    assert chapters == [heading(edition, path) for path in (CHAPTER, "glossary", "guide/playground")]


def heading(edition, path):
    title = re.search(r"# (.+) · (.+)", (ROOT / "book" / f"{path}.ipynb").read_text(encoding="utf8"))
    return title[1 if edition == "zh" else 2].removesuffix("\\n\",")


def test_the_pdfs_links_lead_somewhere(pdf):
    """To pages of the book, the contents to those whose numbers they name; nothing leads to a file."""
    edition, reader = pdf
    places = {name.removeprefix("/"): reader.get_destination_page_number(place) + 1 for name, place in reader.named_destinations.items()}
    inner = outer = 0
    for page in reader.pages:
        for link in page.get("/Annots") or []:
            link = link.get_object()
            if uri := link.get("/A", {}).get("/URI"):
                assert uri.startswith("https://") and not uri.startswith("https://127."), uri
                outer += 1
            else:
                assert str(link.get("/Dest") or link["/A"]["/D"]).removeprefix("/") in places, link
                inner += 1
    assert inner > 5 and outer > 5
    contents = reader.pages[1].extract_text()
    assert re.search(rf"{re.escape(heading(edition, CHAPTER))}\s*{places[CHAPTER.replace('/', '-')]}\b", contents), contents
    number = reader.pages[places["glossary"] - 1].extract_text().split()
    assert str(places["glossary"]) in number


def test_the_pdf_can_be_read_and_searched(pdf):
    edition, reader = pdf
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert not RADICALS.search(text)
    assert heading(edition, CHAPTER) in text
    assert not re.search("^(展开代码|Show code|复制|Copy)$", text, re.MULTILINE)
    first = reader.get_destination_page_number(reader.named_destinations[f"/{CHAPTER.replace('/', '-')}"])
    chapter = "\n".join(page.extract_text() for page in reader.pages[first : first + 2])
    assert ("默认" in chapter) == (edition == "zh")  # the card's words are in one language
    solution = {"zh": "解答", "en": "Solution"}[edition]
    assert solution in text


def test_the_pdfs_fonts_are_embedded(pdf):
    edition, reader = pdf
    names = set()
    for page in reader.pages:
        for font in (page["/Resources"].get("/Font") or {}).values():
            font = font.get_object()
            whole = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            descriptor = whole.get("/FontDescriptor", {})
            names.add(str(descriptor.get("/FontName")))
            assert font["/Subtype"] == "/Type3" or any(f"/FontFile{kind}" in descriptor for kind in ("", "2", "3")), font
    assert any("KaTeX" in name for name in names)
    assert edition == "en" or any(re.search("CJK|PingFang|YaHei|Hei|Song|Sans", name) for name in names), names


def test_without_a_browser_the_pdf_says_what_to_install(tmp_path):
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    command = [sys.executable, str(TOOLS / "pdf.py"), "--site", str(SITE), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": ""})
    if done.returncode == 0:
        pytest.skip("a Chrome was found outside the PATH")
    assert "chromium" in done.stderr and "Traceback" not in done.stderr
