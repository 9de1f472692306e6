"""Do the two languages of a page say the same? Each check yields what is wrong, in words."""

import re
from collections import Counter

from .notebooks import CJK, CODE, DISPLAY, INLINE, LINK, display_formulas, inline_formulas, links

SEPARATOR = " · "
WORD_LIMITS = {"algorithms": 3000, "schedulers": 1200}
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
QUOTED = re.compile(r'<(dfn|bdi) lang="(?:zh|en)">(.*?)</\1>')  # a word of one language that both editions show
SPANS = re.compile(r'<span lang="zh">(.*?)</span>\s*<span lang="en">(.*?)</span>')
COUNTED = {
    "headings": r"^#{1,6} ",
    "list items": r"^ *(?:[-*+]|\d+[.)]) ",
    "table rows": r"^ *\|.*\| *$",
    "images": r"!\[|<img\b",
    "paragraphs": r"(?:\A|\n *\n)(?=.*\S)",
}


def problems(chapter):
    return [f"{cell}: {problem}" for cell in chapter.markdown for problem in cell_problems(cell)] + list(
        length_problems(chapter)
    )


def shared_paragraphs(pages):
    """What stands in two chapters word for word; short lines, such as a heading or a note on a picture, may."""
    seen = {}
    for cell in (cell for page in pages for cell in page.markdown):
        paragraphs = [p.strip() for part in cell.parts if part.lang for p in part.text.split("\n\n")]
        for paragraph in (p for p in paragraphs if len(p) > 45):
            first = seen.setdefault(paragraph, cell)
            if first.chapter != cell.chapter:
                yield f"{cell}: this stands in {first} too: {shown(paragraph)}"


def cell_problems(cell):
    yield from pair_problems(cell.parts)
    if len(cell.parts) > 1 and DISPLAY.search(cell.parts[0].text):
        yield "a display equation stands before the passage, and not after it"
    for part in cell.parts:
        check = {"zh": chinese_problems, "en": english_problems, "": outside_problems}[part.lang]
        yield from check(part.text)
    for tex in display_formulas(CODE.sub("", cell.source)):
        yield from display_problems(tex)


# --- passage against passage ------------------------------------------------------------------


def pair_problems(parts):
    """Every Chinese passage has its English one right after it, and the two agree."""
    passages = [part for part in parts if part.lang or part.text.strip()]
    before = None
    for part in [*passages, None]:
        lang = part.lang if part else ""
        if before is not None and lang != "en":
            yield f"no English after the passage {shown(before.text)}"
        if lang == "en":
            if before is None:
                yield f"no Chinese before the passage {shown(part.text)}"
            else:
                yield from translation_problems(before.text, part.text)
        before = part if lang == "zh" else None


def translation_problems(zh, en):
    zh, en = CODE.sub("`code`", zh), CODE.sub("`code`", en)
    yield from differences("formulas", tight(inline_formulas(zh)), tight(inline_formulas(en)), en)
    yield from differences("links", links(zh), links(en), en)
    for what, pattern in COUNTED.items():
        counts = [len(re.findall(pattern, text, re.MULTILINE)) for text in (zh, en)]
        if counts[0] != counts[1]:
            yield f"{counts[0]} {what} in Chinese, {counts[1]} in English: {shown(en)}"


def differences(what, zh, en, passage):
    zh, en = Counter(zh), Counter(en)
    if zh != en:
        only = f"only in Chinese {list((zh - en).elements())}, only in English {list((en - zh).elements())}"
        yield f"{what} differ, {only}: {shown(passage)}"


def tight(formulas):
    return [re.sub(r"\s+", "", tex) for tex in formulas]


def shown(text):
    text = " ".join(text.split())
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


# --- one language -----------------------------------------------------------------------------


def prose(text):
    """The words that a reader sees: no code, no formulas, no addresses, no marks of Markdown."""
    text = CODE.sub("`", text)
    text = INLINE.sub("$", DISPLAY.sub("", text))
    text = LINK.sub(lambda link: re.sub(r"^!?\[|\]\(.*", "", link[0]), text)
    text = re.sub(r"<[^>]+>", "", text)
    text = re.sub(r"^ *([-*+>]|\d+[.)]) ", "", text, flags=re.MULTILINE)
    return re.sub(r"\*|\b_|_\b", "", text)


def chinese_problems(text):
    yield from inside_problems(text)
    words = prose(text)
    if not re.search(CJK, words):
        yield f"no Chinese in the Chinese passage {shown(text)}"
    for wrong in re.finditer(rf".{{0,8}}(?:{CJK}[,.;:!?()]|[,;:!?(] *(?={CJK})|[`$][,.;:](?=\s|$)).{{0,8}}", words):
        yield f"half-width punctuation in Chinese: “{wrong[0].strip()}”"
    for wrong in re.finditer(rf".{{0,8}}(?:{CJK}[A-Za-z0-9]|[A-Za-z0-9]{CJK}).{{0,8}}", words):
        yield f"no space between Chinese and Latin: “{wrong[0].strip()}”"


def english_problems(text):
    yield from inside_problems(text)
    text = re.sub(rf"\*\*{CJK}+\*\*", "", text)  # a Chinese word that is spoken of
    for wrong in re.finditer(rf".{{0,20}}(?:{CJK}|[，。；：！？（）、]).{{0,20}}", prose(text)):
        yield f"Chinese in English: “{wrong[0].strip()}”"


def inside_problems(text):
    if display_formulas(CODE.sub("", text)):
        yield f"a display equation stands inside a language's div: {shown(text)}"
    for _, title in HEADING.findall(CODE.sub("", text)):
        if SEPARATOR in title:
            yield f"a heading in both languages stands inside one language's div: {title}"


def outside_problems(text):
    """Outside of the divs stands what is the same in both languages, or says both in one line."""
    text = QUOTED.sub(r"\2", DISPLAY.sub("", CODE.sub("", text)))
    for line in map(str.strip, text.splitlines()):
        heading = HEADING.match(line) or re.match("()<summary>(.*)</summary>$", line)
        if heading:
            yield from heading_problems(heading[2])
        else:
            for zh, en in SPANS.findall(line):
                yield from span_problems(zh, en)
            yield from untranslated(SPANS.sub("", line))


def span_problems(zh, en):
    """Two words or sentences of a table, side by side."""
    yield from chinese_problems(zh)
    yield from english_problems(en)
    yield from translation_problems(zh, en)


def heading_problems(title):
    zh, separator, en = title.partition(SEPARATOR)
    if separator and not re.search(CJK, zh):
        yield f"no Chinese before the · of the heading “{title}”"
    if re.search(CJK, en if separator else zh):
        yield f"Chinese where English should stand in the heading “{title}”: write 中文 · English"


def untranslated(line):
    """Words outside of the divs; a name or a symbol alone in a table's field is the same in both languages."""
    if "<div" in line or "</div" in line or 'lang="' in line:
        yield f"no passage (a div has blank lines inside, and stands at the line's start): {shown(line)}"
        return
    line = re.sub(r"\|([^|]*)\|([^|]*)\|", lambda pair: "|" if translated(*pair.groups()) else pair[0], line)
    fields = [prose(field) for field in line.split("|")]
    if any(re.search(CJK, field) or len(re.findall(r"[A-Za-z]{2,}", field)) > 3 for field in fields):
        yield f"words outside of the two languages' divs: {shown(line)}"


def translated(zh, en):
    """Two fields of a table that say the same, as in the glossary."""
    return re.search(CJK, zh) and re.search("[A-Za-z]", en) and not re.search(CJK, en)


def display_problems(tex):
    """A display equation is the same in every language."""
    tex = re.sub(r"(?<!\\)%.*", "", tex)
    if re.search(CJK, tex):
        yield f"Chinese in a display equation: {shown(tex)}"
    for words in re.findall(r"\\(?:text|mbox|textrm)\{([^{}]*)\}", tex):
        if words.strip() not in ("if", "otherwise", "and", "or", ""):
            yield f"words in a display equation (“{words}”): {shown(tex)}"
    if re.search(r"[,.;:，。；：、]\s*$", re.sub(r"\\end\{\w+\}|\\[,;:! ]\s*$", "", tex.strip())):
        yield f"a display equation ends in punctuation: {shown(tex)}"


# --- length -----------------------------------------------------------------------------------


def length_problems(chapter):
    limit = WORD_LIMITS.get(chapter.part)
    if limit and english_words(chapter) > limit:
        yield f"{chapter}: {english_words(chapter)} English words, and {limit} are allowed"


def english_words(chapter):
    """Words in English passages, without formulas, code and the list of references."""
    total = 0
    for cell in chapter.markdown:
        for part in cell.parts:
            if re.search(r"^#+ .*\bReferences\b", part.text, re.MULTILINE):
                return total
            if part.lang == "en":
                total += len(re.findall(r"[A-Za-z][\w'’-]*", prose(part.text)))
    return total
