"""Ways to break a book on purpose, each on a copy: formulas, rules, printed numbers, translations."""

import ast
import copy
import re
from dataclasses import replace

import nbformat

from .rules import from_source

SKIP = r"%.*|\\\\\[[^\]]*\]|\\begin\{\w+\}|\\end\{\w+\}|"
OUTSIDE_OF_SCRIPTS = SKIP + r"_\{[^{}]*\}|_\w|"

# --- formulas: (what is looked for, what stands in its place) -----------------------------------


def flipped_sign(found):
    return {"+": "-", "-": "+"}[found]


def shifted_index(found):
    return "_t" if "1" in found else "_{t-1}"


def changed_exponent(found):
    return "^{" + found[1:].strip("{}") + " + 1}"


def flipped_hat(found):
    hatted = re.match(r"\\hat\s*\{?([a-z])\}?", found)
    return hatted[1] if hatted else r"\hat{" + found + "}"


def changed_coefficient(found):
    return str(int(found) + 1)


FORMULA_BREAKS = {
    "sign": (OUTSIDE_OF_SCRIPTS + r"([+-])", flipped_sign),
    "index": (SKIP + r"(_\{t *- *1\}|_\{t\}|_t(?![a-z]))", shifted_index),
    "exponent": (SKIP + r"\^\{?\\\w+\}?|(\^\{[^{}]+\}|\^\w)", changed_exponent),
    "hat": (SKIP + r"(\\hat\s*\{[a-z]\}|\\hat\s+[a-z]|(?<![\\a-zA-Z{])[a-z](?=[_^']))", flipped_hat),
    "coefficient": (OUTSIDE_OF_SCRIPTS + r"\^\w|\^\{[^{}]*\}|(\d+)", changed_coefficient),
}


def broken_formulas(formula, kind):
    """The formula's TeX, broken in one place at a time."""
    pattern, change = FORMULA_BREAKS[kind]
    for found in re.finditer(pattern, formula):
        if found[1]:
            yield formula[: found.start(1)] + change(found[1]) + formula[found.end(1) :]


# --- rules ------------------------------------------------------------------------------------


def broken_rules(rule):
    """The rule with one coefficient of one assignment changed, for each coefficient in turn."""
    constants = [node for node in ast.walk(ast.parse(rule.source)) if is_coefficient(node)]
    for index in range(len(constants)):
        tree = ast.parse(rule.source)
        values = [statement.value for statement in ast.walk(tree) if isinstance(statement, ast.Assign)]
        coefficients = [node for value in values for node in ast.walk(value) if is_coefficient(node)]
        if index < len(coefficients):
            coefficients[index].value += 1
            broken = from_source(ast.unparse(tree))
            yield broken.bind(rule.name, **rule.fixed) if rule.fixed else broken


def is_coefficient(node):
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


# --- chapters ---------------------------------------------------------------------------------


def edited(chapter, index, old, new, count=1):
    """A copy of the chapter with `old` in one cell's source replaced."""
    notebook = copy.deepcopy(chapter.notebook)
    cell = notebook.cells[index]
    assert old in cell.source
    cell.source = cell.source.replace(old, new, count)
    return replace(chapter, notebook=notebook)


def without_cell(chapter, index):
    notebook = copy.deepcopy(chapter.notebook)
    del notebook.cells[index]
    return replace(chapter, notebook=notebook)


def changed(chapter, index, **fields):
    """A copy of the chapter with fields of one cell set: execution_count, outputs, metadata."""
    notebook = copy.deepcopy(chapter.notebook)
    notebook.cells[index].update(nbformat.from_dict(fields))
    return replace(chapter, notebook=notebook)


PRINTED = re.compile(r"\d(?=\D*$)")


def first_printed_number(chapter):
    """The index of the first cell that prints a number, or None."""
    return next((cell.index for cell in chapter.code if PRINTED.search(printed_text(cell.node))), None)


def printed_text(node):
    outputs = node.get("outputs", [])
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def with_another_number(notebook, index):
    """The code of a notebook down to one cell, whose printed number is changed in its last digit."""
    short = copy.deepcopy(notebook)
    short.cells = [cell for cell in short.cells[: index + 1] if cell.cell_type == "code"]
    for output in short.cells[-1].outputs:
        if output.output_type == "stream" and PRINTED.search(output.text):
            output.text = PRINTED.sub(lambda digit: str((int(digit[0]) + 1) % 10), output.text)
            break
    return short
