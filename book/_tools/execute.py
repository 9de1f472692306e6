"""Execute chapters in place and write them in one normal form.

    python book/_tools/execute.py [NOTEBOOK ...]      # all of book/ when none is named

Two runs of the same chapter give the same file: stable metadata and cell ids, no times,
no stderr. A cell that fails, or that was not executed, stops the script and nothing is
written for that chapter.
"""

import hashlib
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
VECTOR = {"image/svg+xml", "application/pdf"}  # pictures are PNG: small, and the same everywhere


def main(paths):
    os.environ["PYTHONPATH"] = str(BOOK.parent)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in [Path(path) for path in paths] or chapters():
        print(path, flush=True)
        try:
            execute(path)
        except (CellExecutionError, ValueError) as error:
            return f"{path}: {error}"


def chapters():
    return sorted(path for path in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def execute(path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    normalise(notebook)
    check(notebook)
    nbformat.write(notebook, path)


def normalise(notebook):
    """The form in which a notebook is stored, whoever ran it."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken = set()
    for cell in notebook.cells:
        cell.id = cell_id(cell.source, taken)
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = list(merge_streams(cell.outputs))
    nbformat.validate(notebook)


def cell_id(source, taken):
    """An id from the cell's text: editing one cell changes no other."""
    name = digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    copies = 1
    while name in taken:
        copies += 1
        name = f"{digest}-{copies}"
    taken.add(name)
    return name


def merge_streams(outputs):
    """Outputs without stderr; what was printed in several goes becomes one output."""
    last = None
    for output in outputs:
        if output.output_type != "stream":
            last = None
            yield output
        elif output.name == "stdout":
            if last is None:
                last = output
                yield output
            else:
                last.text += output.text


def check(notebook):
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None:
            raise ValueError(f"this cell was not executed:\n{cell.source}")
        for output in cell.outputs:
            if VECTOR & set(output.get("data", ())):
                raise ValueError(f"this cell shows a vector picture; pictures are PNG:\n{cell.source}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
