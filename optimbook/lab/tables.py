"""Tables as outputs of cells, with numbers rounded to what every processor agrees on."""

import html
import re

import torch

from .display import Html


def table(head, rows, *, plain_head=None):
    """A table: ``head`` and every row a sequence; strings may hold HTML, numbers are shown to three digits.

    Args:
        plain_head: the head of the plain-text twin, where ``head`` is not plain.
    """
    rows = [[cell(x) for x in row] for row in rows]
    body = "\n".join(_row(row, "td") for row in rows)
    markup = f'<table class="table">\n<thead>\n{_row(head, "th")}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>'
    return Html(markup, _plain([plain_head or head, *rows]))


def cell(x):
    """A table's field: text as it is, a number to three significant digits."""
    if isinstance(x, str):
        return x
    if isinstance(x, int):
        return str(x)
    return f"{float(x):.3g}"


def spread(values, digits=3):
    """``mean ± deviation`` over seeds, rounded to ``digits`` decimals."""
    values = torch.as_tensor(values, dtype=torch.float64)
    if not values.isfinite().all():
        return "diverged"
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


def _row(fields, tag):
    first, *rest = fields
    scope = ' scope="col"' if tag == "th" else ""
    head = f'<th scope="{"col" if tag == "th" else "row"}">{first}</th>'
    return "<tr>" + head + "".join(f"<{tag}{scope}>{field}</{tag}>" for field in rest) + "</tr>"


def _plain(rows):
    """The twin without markup, in columns."""
    rows = [[text(field) for field in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(field.ljust(width) for field, width in zip(row, widths)).rstrip() for row in rows)


def text(markup):
    """The text of a piece of HTML; of words in two languages the English one."""
    markup = re.sub(r'<span lang="zh">.*?</span>\s*', "", markup)
    return html.unescape(re.sub(r"<[^>]+>", "", markup))
