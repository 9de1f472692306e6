"""Pictures that leave their room open while they load, and load when they come near.

A PNG tells its size; the browser keeps a box of that shape, so that no line jumps.
"""

import re
import struct
from pathlib import Path
from urllib.parse import unquote

PICTURE = re.compile(r'<img (?=[^>]*src="[./]*_images/([^"]+\.png)")')
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def setup(app):
    app.connect("html-page-context", describe_pictures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def describe_pictures(app, page, template, context, doctree):
    def attributes(found):
        width, height = size(source(app, found[1]))
        return f'{found[0]}width="{width}" height="{height}" loading="lazy" decoding="async" '

    if "body" in context:
        context["body"] = PICTURE.sub(attributes, context["body"])


def source(app, address: str) -> Path:
    """The file behind a picture's address on a page."""
    name = unquote(address.rsplit("/", 1)[-1])
    return next(Path(app.srcdir, path) for path, stored in app.builder.images.items() if stored == name)


def size(path: Path) -> tuple:
    """Width and height of a PNG in pixels, from its first 24 bytes."""
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] != SIGNATURE:
        raise ValueError(f"{path} is not a PNG")
    return struct.unpack(">II", head[16:])
