"""The equations of every chapter are its rules' own, and what a rule prints is what it does."""

import ast
import math
import random
from functools import lru_cache, partial

import pytest

from optimbook.forms.latex import SYMBOLS

from . import equations, tex
from .notebooks import chapters, expect_none, pages
from .rules import choices, from_source, known_rules, own_rule, package_rules, printed, returned

POINTS = 100


@pytest.mark.parametrize("chapter", pages(), ids=str)
def test_every_equation_is_its_rules(chapter):
    expect_none(equations.problems(chapter, known_rules(chapter)))


def test_equations_are_tied_to_rules():
    """The test above is not green because it found nothing to compare."""
    for chapter in chapters():
        if own_rule(chapter, package_rules()):
            assert equations.tagged(chapter), f"{chapter} ties no equation to a rule"


@pytest.mark.parametrize("name", package_rules())
def test_printed_equations_are_the_rule(name):
    """Worked out line by line, the printed LaTeX gives what calling the rule gives, with any flags on."""
    rule = package_rules()[name]
    for flags in choices(rule):
        assert_prints_what_it_does(rule, flags)


def test_a_rule_of_every_function_prints_what_it_does():
    """The whole language, also what the package's rules do not use yet."""
    rule = from_source(
        """@rule
def every(param, grad, average, mu_product, step, first, *, lr, beta1, floor_at, nesterov, schedule):
    if nesterov:
        grad = grad + beta1 * grad
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * 0.004)) % 0.7
    mu_product = mu_product * mu if step < 5 and (step > 2 or lr > 0.5) else 1e-3 - -mu
    average = maximum(average, abs(grad)) if not first and step >= 4 else minimum(average, sign(param) * norm(grad))
    average = where(average * grad > 0, average - grad ** 2 / (1 - beta1), exp(-lr ** 2) + mean(grad))
    average_hat = average / (1 - beta1 ** step) ** 2 - (average - (param - 3)) / (2 * lr)
    denominator = sqrt(abs(average_hat)) + log(1 + lr) * floor(3.5 * step / 2) + cos(pi * step / 9)
    param = param - lr * floor_at - (lr if lr > 0.5 else -lr) * schedule(step) * average_hat * 2 / denominator
    return param, average, mu_product
"""
    )
    for flags in choices(rule):
        assert_prints_what_it_does(rule, flags)


def assert_prints_what_it_does(rule, flags):
    draw = random.Random(0)
    compared = 0
    while compared < POINTS:
        variables, hyperparameters = draw_variables(rule, draw), draw_hyperparameters(rule, flags, draw)
        called = dict(variables)
        if flags.get("maximize"):
            called["grad"] = -called["grad"]
        try:
            result = rule(*called.values(), **hyperparameters)
        except (ArithmeticError, ValueError):
            continue  # the root of a negative second moment
        results = dict(zip(returned(rule), result if isinstance(result, tuple) else (result,)))
        environment = worked_out(rule, flags, variables, hyperparameters)
        for name, left in last_symbols(rule, flags).items():
            value, expected = environment[left], results[name]
            assert math.isclose(value, expected, rel_tol=1e-12), f"{rule.name} with {flags} gives another {left}"
        compared += 1


def worked_out(rule, flags, variables, hyperparameters):
    """Every symbol's value, after all equations that the rule prints."""
    environment = inputs(rule, flags, variables) | {
        letter(rule, name): value for name, value in hyperparameters.items()
    }
    opaque = frozenset(letter(rule, name) for name in called_hyperparameters(rule))
    for _, left, right in printed(rule, flags):
        environment[left] = float(tex.value(tex.expression(right, opaque), environment))
    return environment


def last_symbols(rule, flags):
    """{returned variable: the symbol of its last assignment}, for those that these flags assign."""
    return {name: left for name, left, _ in printed(rule, flags) if name in returned(rule)}


def inputs(rule, flags, variables):
    """The symbols of what goes in: a state, and the parameter, at t-1; the rest at t."""
    kept = last_symbols(rule, flags)
    found = {"t": 1 if variables.get("first") else variables.get("step", 2)}
    for name, value in variables.items():
        if name not in ("step", "first"):
            found[tex.symbol(letter(rule, name) + ("_{t-1}" if name in kept else "_t"))] = value
    return found


def letter(rule, name):
    """A name's symbol without its index."""
    names = SYMBOLS | rule.symbols
    return tex.symbol(names.get(name) or (name if len(name) == 1 else r"\mathrm{%s}" % name.replace("_", r"\_")))


def draw_variables(rule, draw):
    step = draw.randint(1, 9)
    fixed = {"step": step, "first": step == 1}
    return {name: fixed.get(name, draw.uniform(-2, 2)) for name in rule.variables}


def draw_hyperparameters(rule, flags, draw):
    """A flag that is off is False or 0, one that is on is True or a number; schedules are functions of the step."""
    functions, values = called_hyperparameters(rule), {name: flags[name] for name in rule.by_shape}
    for name in rule.hyperparameters:
        if name == "T_mult":
            values[name] = 1 if flags[name] else draw.uniform(1.5, 3)
        elif name in functions:
            values[name] = partial(powers, draw.uniform(0.5, 1))
        elif isinstance(rule.defaults.get(name), bool) or name == "nesterov":
            values[name] = flags[name]
        else:
            low, high = (5, 20) if name.startswith("T_") else (0.1, 0.9)
            values[name] = draw.uniform(low, high) if flags.get(name, True) else 0
    return values


def powers(base, *exponents):
    """A function of any numbers."""
    return base ** sum(exponents)


@lru_cache(maxsize=None)
def called_hyperparameters(rule):
    """Hyperparameters that the rule calls, as LambdaLR's does."""
    calls = [node.func.id for node in ast.walk(ast.parse(rule.source)) if isinstance(node, ast.Call)]
    return [name for name in rule.hyperparameters if name in calls]
