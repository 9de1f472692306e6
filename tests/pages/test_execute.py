"""`make chapters` writes one normal form, and nothing when a cell fails."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

execute = pytest.importorskip("execute", reason="the book's requirements are not installed")

NOISY = """\
import sys
print("one", flush=True)
print("noise", file=sys.stderr, flush=True)
print("two")"""


@pytest.fixture
def chapter(tmp_path):
    def write(*cells):
        path = tmp_path / "chapter.ipynb"
        nbformat.write(new_notebook(cells=list(cells)), path)
        return path

    return write


def test_two_runs_give_the_same_file(chapter):
    path = chapter(new_markdown_cell("# A"), new_code_cell(NOISY), new_code_cell(NOISY))
    execute.execute(path)
    first = path.read_text()
    execute.execute(path)
    assert path.read_text() == first
    notebook = nbformat.read(path, as_version=4)
    code = notebook.cells[1]
    assert [(output.name, output.text) for output in code.outputs] == [("stdout", "one\ntwo\n")]
    assert code.execution_count == 1 and "execution" not in code.metadata
    assert notebook.metadata == execute.METADATA
    assert len({cell.id for cell in notebook.cells}) == 3


def test_a_failing_cell_stops_and_writes_nothing(chapter):
    path = chapter(new_code_cell("1 / 0"))
    before = path.read_text()
    assert "ZeroDivisionError" in execute.main([path])
    assert path.read_text() == before


def test_an_empty_cell_is_not_executed_and_that_is_an_error(chapter):
    assert "not executed" in execute.main([chapter(new_code_cell(""))])


def test_vector_pictures_are_refused(chapter):
    drawing = "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')"
    assert "PNG" in execute.main([chapter(new_code_cell(drawing))])
