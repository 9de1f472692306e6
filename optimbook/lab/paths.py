"""Walks of a rule over a surface, taken by calling the rule itself on numbers."""

import random

import numpy

from .style import line


def advance(rule, values, **hyperparameters):
    """One call of a rule on ``{variable: value}``; returns the values afterwards, as a new dictionary."""
    given = [values.get(name) for name in rule.variables]
    shape = dict.fromkeys(rule.by_shape, getattr(values.get("param"), "ndim", 0) >= 2)
    result = rule(*given, **{**shape, **hyperparameters})
    returned = rule.returns
    return {**values, **dict(zip(returned, result if len(returned) > 1 else (result,)))}


def states(rule, **hyperparameters):
    """The states, other than ``step``, that a rule has with these hyperparameters."""
    flags = {name: value for name, value in hyperparameters.items() if name in rule.flags}
    return [name for name in rule.program(**flags).states if name != "step"]


def path(rule, surface, start=None, steps=50, *, disturbance=None, rates=None, begin=None, **hyperparameters):
    """The points that ``rule`` visits: an array ``[steps + 1, 2]``.

    Args:
        disturbance: what is added to the gradient at each step, ``[steps, 2]``; see `noise`.
        rates: a learning rate for each step, ``[steps]``, in the place of ``lr``; what a schedule gives.
        begin: states that begin neither at 0 nor at the rule's own default, ``{state: number}``.
        hyperparameters: those of the rule.
    """
    point = surface.start if start is None else start
    first = {name: rule.defaults.get(name) or 0 for name in states(rule, **hyperparameters)}
    first = {name: numpy.float64(value) for name, value in {**first, **(begin or {})}.items()}
    walkers = [{**first, "param": numpy.float64(x)} for x in point]  # one for each coordinate
    points = [point]
    with numpy.errstate(all="ignore"):  # a path that diverges ends in inf and NaN, as in the browser
        for step in range(1, steps + 1):
            gradient = surface.gradient(*points[-1])
            if rates is not None:
                hyperparameters["lr"] = rates[step - 1]
            if disturbance is not None:
                gradient = [g + e for g, e in zip(gradient, disturbance[step - 1])]
            walkers = [
                advance(rule, {**walker, "grad": g, "step": step, "first": step == 1}, **hyperparameters)
                for walker, g in zip(walkers, gradient)
            ]
            points.append(tuple(walker["param"] for walker in walkers))
    return numpy.array(points, dtype=float)


def noise(steps, deviation=1.0, seed=0):
    """Gaussian disturbances of a gradient, ``[steps, 2]``, to three decimals: the same in Python and in a slider."""
    draw = random.Random(seed)
    return [[round(draw.gauss(0, deviation), 3) for _ in range(2)] for _ in range(steps)]


def draw_path(axes, points, name, label=None, **kwargs):
    """A path with its steps as dots, in the colour of the optimizer called ``name``."""
    look = {**line(name), "marker": "o", "markersize": 2.6, "linewidth": 1.3, **kwargs}
    axes.plot(*numpy.asarray(points).T, label=name if label is None else label, **look)
