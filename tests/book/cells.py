"""Are a chapter's cells short, executed, free of noise, and described? Each check yields what is wrong."""

import ast
import json
import re

from .notebooks import CJK, config, links

MOST_LINES = 20
MOST_BYTES = 800_000
OUTPUTS = {"text/plain", "text/html", "text/latex", "text/markdown", "image/png"}
FOLDED = {"hide-cell", "hide-input"}
CELL_METADATA = {"tags", "alt"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def problems(chapter):
    if chapter.path.suffix == ".ipynb":
        yield from notebook_problems(chapter)
    if chapter.code:
        yield from setup_problems(chapter)
        yield from colab_problems(chapter)
    for cell in chapter.code:
        for check in (source_problems, output_problems, picture_problems):
            yield from (f"{cell}: {problem}" for problem in check(cell))


def notebook_problems(chapter):
    """Executed top to bottom in a fresh kernel, and stored without what differs between machines."""
    counts = [cell.node.execution_count for cell in chapter.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"{chapter}: not executed from top to bottom, the counts are {counts}"
    if chapter.path.stat().st_size > MOST_BYTES:
        yield f"{chapter}: {chapter.path.stat().st_size:,} bytes, and {MOST_BYTES:,} are allowed"
    metadata = chapter.notebook.metadata
    language = metadata.get("language_info", {"name": "python"})
    if set(metadata) - {"kernelspec", "language_info"} or language != {"name": "python"}:
        yield f"{chapter}: metadata is not normalised: {json.dumps(metadata)[:200]}"
    if metadata.get("kernelspec") != KERNEL:
        yield f"{chapter}: kernelspec is {metadata.get('kernelspec')}"
    for cell in chapter.cells:
        if set(cell.metadata) - CELL_METADATA:
            yield f"{cell}: metadata is not normalised: {sorted(set(cell.metadata) - CELL_METADATA)}"


def setup_problems(chapter):
    """The first code cell is folded, and installs the package from the book's own repository."""
    first = chapter.code[0]
    if not FOLDED & set(first.metadata.get("tags", [])):
        yield f"{first}: the set-up cell is not folded (tag hide-input or hide-cell)"
    installs = re.findall(r"git\+(https://\S+?)(?:@\S+?)?(?:\.git)?['\"\s]", first.source + "\n")
    if installs != [config()["repository"]["url"]] or "--no-deps" not in first.source:
        yield f"{first}: does not install from {config()['repository']['url']} with --no-deps"
    if "seed" not in first.source:
        yield f"{first}: the set-up cell fixes no seed"


def colab_problems(chapter):
    repository = config()["repository"]
    folder = f"/{repository['path_to_book']}/" if repository.get("path_to_book") else "/"
    owner = repository["url"].removeprefix("https://github.com/")
    address = f"https://colab.research.google.com/github/{owner}/blob/{repository['branch']}{folder}{chapter}"
    found = [link for link in links(chapter.markdown[0].source) if "colab.research" in link]
    if not found or set(found) != {address}:
        yield f"{chapter.markdown[0]}: links {found} to Colab, where {address} is right"


def source_problems(cell):
    lines = [line for line in cell.source.splitlines() if line.strip()]
    if not lines:
        yield "is empty"
    if len(lines) > MOST_LINES:
        yield f"{len(lines)} lines, and {MOST_LINES} are allowed"
    if lines and lines[-1].rstrip().endswith(";"):
        yield "ends in ;, which hides nothing where nbval executes it: write `_ = ...`"


def output_problems(cell):
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"ended in {output.ename}: {output.evalue}"
        elif output.output_type == "stream":
            if output.name == "stderr":
                yield f"wrote to stderr: {output.text.strip()[:100]}"
            yield from text_problems(output.text)
        else:
            yield from data_problems(output.data)


def data_problems(data):
    if set(data) - OUTPUTS:
        yield f"shows {sorted(set(data) - OUTPUTS)}, which the book does not store"
    yield from text_problems(data.get("text/plain", ""))
    # What a reader may follow, <a href=...>, is no request: see references.py.
    for address in re.findall(r"(?<!<a )(?:src|href)=[\"'](?:https?:)?(//[^\"']+)", data.get("text/html", "")):
        yield f"its HTML loads {address}: an output asks no other host for anything"


def text_problems(text):
    """What differs from run to run or from machine to machine cannot be compared."""
    for noise in re.findall(r"<[^<>]* at 0x[0-9a-f]+>|/(?:tmp|home|root|usr|Users)/\S+", text):
        yield f"prints {noise}, which is different on every machine"


def picture_problems(cell):
    """A picture is described in both languages, and what is said of it is asserted where it is drawn."""
    if not any("image/png" in output.get("data", {}) for output in cell.outputs):
        return
    alt = cell.metadata.get("alt", {})
    if set(alt) != {"zh", "en"} or not re.search(CJK, alt["zh"]) or not alt["en"].strip():
        yield "draws a picture without alternative text in both languages (metadata alt: zh, en)"
    elif re.search(CJK, alt["en"]):
        yield f"its English alternative text holds Chinese: {alt['en']}"
    if not any(isinstance(node, ast.Assert) for node in ast.walk(parsed(cell.source))):
        yield "draws a picture and asserts nothing of what the text says about it"


def parsed(source):
    """The syntax tree of a cell; a line of IPython's own (%, !) counts as `pass`."""
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE))
