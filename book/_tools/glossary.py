"""Print the glossary page from the glossary's data: ``python book/_tools/glossary.py``."""

from pathlib import Path

import nbformat
import yaml
from execute import normalise
from nbformat.v4 import new_markdown_cell, new_notebook

BOOK = Path(__file__).resolve().parents[1]
PAGE = BOOK / "glossary.ipynb"

HEAD = """\
# 术语表 · Glossary

<div lang="zh">

本书的每个术语在两种语言里各只有一个名字。符号的含义见[记号](notation.ipynb)。

</div>

<div lang="en">

Every term of this book has one name in each language. The [notation](notation.ipynb) page explains the symbols.

</div>"""

COLUMNS = """\
| <bdi lang="zh">中文</bdi> | <bdi lang="en">English</bdi> | <span lang="zh">符号</span> <span lang="en">Symbol</span> | <span lang="zh">含义</span> <span lang="en">Meaning</span> |
|:--|:--|:--|:--|"""


def groups():
    return yaml.safe_load((BOOK / "glossary.yml").read_text(encoding="utf8"))


def page():
    cells = [HEAD, *(table(group) for group in groups())]
    notebook = new_notebook(cells=[new_markdown_cell(text) for text in cells])
    normalise(notebook)
    return notebook


def table(group):
    return "\n".join([f"## {group['group']}", "", COLUMNS, *map(row, group["terms"])])


def row(term):
    symbol = f"${term['symbol']}$" if "symbol" in term else ""
    means = " ".join(f'<span lang="{lang}">{term["means"][lang]}</span>' for lang in ("zh", "en"))
    return f"| {name(term, 'zh')} | {name(term, 'en')} | {symbol} | {means} |"


def name(term, lang):
    """The term in a language, which every edition shows, as a link to its chapter."""
    text = f"[{term[lang]}]({term['chapter']}.ipynb)" if "chapter" in term else term[lang]
    return f'<dfn lang="{lang}">{text}</dfn>'


if __name__ == "__main__":
    nbformat.write(page(), PAGE)
