"""Outputs of cells: HTML with a plain-text twin, and a rule's Python with its mathematics."""


class Html:
    """An output of a cell: ``html`` in notebooks and on the site, ``plain`` elsewhere."""

    def __init__(self, html, plain):
        self.html, self.plain = html, plain

    def _repr_html_(self):
        return self.html

    def __repr__(self):
        return self.plain


class Both(str):
    """HTML of the same words in the two languages, which it has as ``zh`` and ``en``."""

    def __new__(cls, zh, en):
        words = super().__new__(cls, f'<span lang="zh">{zh}</span> <span lang="en">{en}</span>')
        words.zh, words.en = zh, en
        return words


def both(zh, en):
    """A word in the two languages, of which an edition of the site shows its own."""
    return Both(zh, en)


def show_rule(rule, **flags):
    """A rule as its author wrote it (with flags: the lines that run then), and its mathematics."""
    from IPython.display import Latex, Markdown, display

    source = rule.python(**flags) if flags else rule.source
    display(Markdown(f"```python\n{source.strip()}\n```"), Latex(f"$$\n{rule.latex(**flags)}\n$$"))
