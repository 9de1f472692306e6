"""What the tests of the book are for: each break, made on purpose in a copy, is caught.

The functions that find it are those that the other tests of this folder call.
"""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from . import bilingual, breaks, cells, coverage, equations, references
from .notebooks import BOOK, ROOT, Chapter, Formula, chapters, inline_formulas, pages
from .rules import known_rules, own_rule, printed

TIED = [chapter for chapter in chapters() if equations.tagged(chapter)]
TRANSLATED = [page for page in pages() if any(part.lang == "en" for cell in page.markdown for part in cell.parts)]


def newly(check, whole, broken):
    """The problems that a check finds in the broken copy, and not in the page itself."""
    return set(check(broken)) - set(check(whole))


def ties(chapter):
    return equations.problems(chapter, known_rules(chapter))


# --- equations --------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", TIED, ids=str)
@pytest.mark.parametrize("kind", breaks.FORMULA_BREAKS)
def test_a_broken_tagged_equation(chapter, kind):
    rules = known_rules(chapter)
    for formula, _ in equations.tagged(chapter):
        for broken in breaks.broken_formulas(formula.tex, kind):
            assert caught(formula, broken, chapter, rules), f"{formula}\nis not missed when it reads\n{broken}"


@pytest.mark.parametrize("chapter", TIED, ids=str)
@pytest.mark.parametrize("kind", breaks.FORMULA_BREAKS)
def test_a_broken_untagged_formula(chapter, kind):
    rules = known_rules(chapter)
    for formula in chapter.formulas:
        if says_what_a_state_is(formula, chapter, rules):
            left, equals, right = formula.tex.partition("=")
            for broken in breaks.broken_formulas(right, kind):
                assert caught(formula, left + equals + broken, chapter, rules), f"{formula}\nagainst\n{broken}"


def caught(formula, broken, chapter, rules):
    copy = Formula(broken, formula.display, formula.where)
    found = list(equations.formula_problems(copy, chapter, rules))
    assert all(str(chapter) in problem and " ".join(broken.split()) in problem for problem in found)
    return found


def says_what_a_state_is(formula, chapter, rules):
    if any(equations.read_comments(formula.tex)):
        return False
    return formula.tex.count("=") == 1 and equations.lefts(formula.tex) & equations.states(chapter, rules)


@pytest.mark.parametrize("kind", ["sign", "index", "exponent", "hat", "coefficient"])
def test_every_kind_of_break_was_tried(kind):
    formulas = [formula.tex for chapter in TIED for formula, _ in equations.tagged(chapter)]
    assert any(True for tex in formulas for _ in breaks.broken_formulas(tex, kind))


@pytest.mark.parametrize("chapter", TIED, ids=str)
def test_a_broken_equation_makes_its_chapter_fail(chapter):
    """From the notebook on: one equation of a copy is changed, and the chapter's own test finds it."""
    formula, _ = equations.tagged(chapter)[0]
    cell = next(cell for cell in chapter.markdown if str(cell) == formula.where)
    broken = next(breaks.broken_formulas(formula.tex, "index"))
    copy = breaks.edited(chapter, cell.index, formula.tex, broken)
    assert len(newly(ties, chapter, copy)) == 1


@pytest.mark.parametrize("chapter", TIED, ids=str)
def test_a_lost_tag(chapter):
    """Without its tag the equation of what a rule returns is missed, though its formula is right."""
    rule = own_rule(chapter, known_rules(chapter))
    if rule is None:
        pytest.skip("the chapter has no rule of its own name")
    tag = f"% {rule.name}.{rule.program().outputs[-1]}"
    copy = chapter
    for cell in chapter.markdown:
        if tag in cell.source:
            copy = breaks.edited(copy, cell.index, tag, "%", count=-1)
    assert newly(ties, chapter, copy)


@pytest.mark.parametrize("chapter", TIED, ids=str)
def test_a_derivation_that_is_asserted_no_more(chapter):
    marked = [cell for cell in chapter.code if "# derivation:" in cell.source]
    for cell in marked:
        for copy in (
            breaks.without_cell(chapter, cell.index),
            breaks.edited(chapter, cell.index, "assert ", "", count=-1),
            breaks.changed(chapter, cell.index, execution_count=None),
        ):
            assert newly(ties, chapter, copy), f"{cell} may be lost"


@pytest.mark.parametrize("chapter", TIED, ids=str)
def test_a_changed_coefficient_in_a_rule(chapter):
    """Every coefficient that a tagged equation shows, changed in a copy of the rule."""
    rules = known_rules(chapter)
    shown = {(tag.rule, tag.variable) for _, tags in equations.tagged(chapter) for tag in tags if not tag.flags}
    tried = 0
    for name in {name for name, _ in shown}:
        for broken in breaks.broken_rules(rules[name]):
            changed = {old[0] for old, new in zip(printed(rules[name], {}), printed(broken, {})) if old != new}
            if changed & {variable for rule, variable in shown if rule == name}:
                assert list(equations.problems(chapter, rules | {name: broken})), broken.source
                tried += 1
    assert tried


# --- outputs ----------------------------------------------------------------------------------


def test_a_changed_printed_number_in_a_small_notebook(tmp_path):
    cell = nbformat.v4.new_code_cell("print(round(2 / 3, 4))", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="0.6667\n")]
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": cells.KERNEL})
    assert executed(notebook, tmp_path) == "1 passed"
    assert executed(breaks.with_another_number(notebook, 0), tmp_path) == "1 failed"


def test_a_changed_printed_number_in_a_chapter(tmp_path):
    """The chapter whose first printed number comes earliest, down to that number, which alone is wrong."""
    printing = [chapter for chapter in chapters() if breaks.first_printed_number(chapter) is not None]
    chapter = min(printing, key=breaks.first_printed_number)
    copy = breaks.with_another_number(chapter.notebook, breaks.first_printed_number(chapter))
    right = len(copy.cells) - 1
    assert executed(copy, tmp_path) == f"1 failed, {right} passed"


def executed(notebook, folder):
    """What nbval says of a notebook, executed and compared as `make test` does: "1 failed, 3 passed"."""
    pytest.importorskip("nbval")
    path = folder / "copy.ipynb"
    nbformat.write(notebook, path)
    for name in ("conftest.py", "pyproject.toml"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    options = ["-q", "--color=no", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options, path.name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    summary = run.stdout.strip().splitlines()[-1]
    return ", ".join(part for part in summary.split(" in ")[0].split(", ") if "warning" not in part)


@pytest.mark.parametrize("chapter", chapters(), ids=str)
def test_broken_cells(chapter):
    first = chapter.code[0]
    noise = nbformat.v4.new_output("stream", name="stderr", text="a warning")
    failed = nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])
    vector = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
    for copy in (
        breaks.changed(chapter, first.index, execution_count=None),
        breaks.changed(chapter, first.index, outputs=[noise]),
        breaks.changed(chapter, first.index, outputs=[failed]),
        breaks.changed(chapter, first.index, outputs=[vector]),
        breaks.changed(chapter, first.index, metadata={}),
        breaks.changed(chapter, first.index, source=first.source + "\npass" * 30),
        breaks.edited(chapter, 0, "colab.research.google.com", "example.com", count=-1),
    ):
        assert newly(cells.problems, chapter, copy)


@pytest.mark.parametrize("chapter", chapters(), ids=str)
def test_a_picture_without_its_description(chapter):
    pictures = [cell for cell in chapter.code if "alt" in cell.metadata]
    for cell in pictures:
        metadata = {key: value for key, value in cell.metadata.items() if key != "alt"}
        assert newly(cells.problems, chapter, breaks.changed(chapter, cell.index, metadata=metadata))


# --- languages --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", TRANSLATED, ids=str)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_dropped_translation(page, lang):
    for cell, part in passages(page, lang):
        div = f'<div lang="{lang}">\n\n{part.text}\n\n</div>'
        copy = breaks.edited(page, cell.index, div, "")
        assert newly(bilingual.problems, page, copy), f"{cell}: {part.text[:60]}"


@pytest.mark.parametrize("page", TRANSLATED, ids=str)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_an_inline_formula_changed_in_one_language(page, lang):
    for cell, part in passages(page, lang):
        for formula in inline_formulas(part.text):
            text = part.text.replace(f"${formula}$", f"${formula} + 1$", 1)
            copy = breaks.edited(page, cell.index, part.text, text)
            assert newly(bilingual.problems, page, copy), f"{cell}: {formula}"


@pytest.mark.parametrize("page", TRANSLATED, ids=str)
def test_half_width_punctuation(page):
    cell, part = next(passages(page, "zh"))
    text = part.text.replace("，", ",").replace("。", ".")
    assert newly(bilingual.problems, page, breaks.edited(page, cell.index, part.text, text))


def passages(page, lang):
    return ((cell, part) for cell in page.markdown for part in cell.parts if part.lang == lang)


def test_a_link_to_nowhere():
    page = TRANSLATED[0]
    for link in ("https://arxiv.org/abs/0000.00000", "no_such_chapter.ipynb", "#no-such-section"):
        copy = breaks.edited(page, 0, "</div>", f"[link]({link})\n\n</div>")
        assert newly(references.problems, page, copy)


# --- coverage ---------------------------------------------------------------------------------


def test_a_class_without_a_chapter():
    class Lost:
        pass

    found = list(coverage.problems([Lost], chapters(), listed=set()))
    assert len(found) == 1 and "Lost" in found[0]
    assert not list(coverage.problems([Lost], chapters(), listed={"Lost"}))


def test_a_list_that_grows_or_is_stale():
    class Adam:
        __module__ = "optimbook.optim.adam"

    chapter = Chapter(BOOK / "algorithms" / "adam.ipynb", nbformat.v4.new_notebook())
    chapter.notebook.cells.append(nbformat.v4.new_markdown_cell("# Adam"))
    assert not list(coverage.problems([Adam], [chapter], listed=set()))
    assert "take it off" in "".join(coverage.problems([Adam], [chapter], listed={"Adam"}))
    assert "no public class" in "".join(coverage.problems([Adam], [chapter], listed={"Gone"}))
    assert "['Adam'] again" in "".join(coverage.problems([], [], listed={"Adam"}, left={"Adam"}))
