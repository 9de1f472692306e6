"""What belongs to the site and to none of its editions: the front page, the page for what is not there, and what search engines read."""

from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import yaml

BOOK = Path(__file__).resolve().parents[1]
TEMPLATES = BOOK / "_templates"
NOT_LISTED = {"search.html", "genindex.html", "index.html"}  # an edition's index.html only leads to its intro.html


def write(site: Path):
    base = yaml.safe_load((BOOK.parent / "_config.yml").read_text(encoding="utf8"))["html"]["baseurl"]
    for template, page in (("front.html", "index.html"), ("404.html", "404.html")):
        text = (TEMPLATES / template).read_text(encoding="utf8")
        (site / page).write_text(text.replace("{{ base }}", base).replace("{{ path }}", urlsplit(base).path), encoding="utf8")
    (site / "sitemap.xml").write_text(sitemap(base, pages(site)), encoding="utf8")
    (site / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n", encoding="utf8")
    (site / ".nojekyll").touch()  # GitHub Pages would drop _static


def pages(site):
    found = (path.relative_to(site / "en").as_posix() for path in (site / "en").rglob("*.html"))
    return sorted(page for page in found if page not in NOT_LISTED and not page.startswith("_"))


def sitemap(base, pages):
    """Every page in both languages, each with its twin. The bilingual pages say nothing else and are left out."""
    front = entry(base, {"x-default": base, "zh": f"{base}zh/intro.html", "en": f"{base}en/intro.html"})
    entries = [
        entry(f"{base}{lang}/{page}", {"zh": f"{base}zh/{page}", "en": f"{base}en/{page}", "x-default": f"{base}en/{page}"})
        for page in pages
        for lang in ("zh", "en")
    ]
    spaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {spaces}>\n' + "".join([front, *entries]) + "</urlset>\n"


def entry(address, twins):
    links = "".join(f'<xhtml:link rel="alternate" hreflang="{lang}" href="{escape(twin)}"/>' for lang, twin in twins.items())
    return f"<url><loc>{escape(address)}</loc>{links}</url>\n"
