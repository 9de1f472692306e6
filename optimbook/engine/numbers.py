"""The hoisted numbers of a step: what depends on hyperparameters and number states alone."""

import math
from itertools import accumulate

import torch

from ..language import ENGINE, Kind
from .lookup import same_items


class Numbers:
    """The hoisted numbers of a step: one row for each distinct (program, group, engine's numbers, number states).

    Parameters that miss a gradient fall behind in ``step``; they get a row of their own.
    """

    def __init__(self, members, values):
        """``values``: per number state a list over the members, as they stand before the step; 0 where a program has none."""
        self.names = number_states(members)
        self.rows, self.kinds, found = [], [], {}
        self.states = []  # per row, the number states before the step
        self.known = None  # what `work_out` was last given, and what came of it
        for i, member in enumerate(members):
            given = engine_numbers(member)
            before = [column[i] for column in values]
            key = (id(member.lowered), member.group, *given.values(), *before)
            if key not in found:
                found[key] = len(found)
                self.kinds.append((member.lowered, member.group, *self._places(member.lowered.program, given)))
                self.states.append(before)
            self.rows.append(found[key])
        self.starts = [0, *accumulate(len(lowered.coefficients) for lowered, *_ in self.kinds)][:-1]

    def _places(self, program, given):
        """Where a program's numbers come from (a state's place and what to add to it, or None and the number), and where they go."""
        states = {name: i for i, name in enumerate(self.names)}
        numbers = program.numbers
        come = [(None, given[n]) if n in given else (states[n], int(n == "step")) for n in numbers]
        go = [numbers.index(n) if n in numbers else None for n in self.names]
        return come, go

    def work_out(self, groups, plain):
        """Per row: the number states after the step, and the coefficients.

        ``plain`` has each group's hyperparameters as numbers, in a dict that nobody changes.
        """
        if self.known and same_items(plain, self.known[0]):
            _, hyperparameters, states, result = self.known
            if states == self.states:  # without a number that counts on, nothing else can differ
                return result
        else:
            hyperparameters = [[plain[group][n] for n in lowered.program.hyperparameters] for lowered, group, *_ in self.kinds]
        after, coefficients = [], []
        for (lowered, _, come, go), before, values in zip(self.kinds, self.states, hyperparameters):
            numbers = [more if place is None else before[place] + more for place, more in come]
            try:
                new, row = lowered.numbers(*numbers, *values)
            except (ArithmeticError, ValueError) as error:
                names = (*lowered.program.numbers, *lowered.program.hyperparameters)
                shown = ", ".join(f"{n}={v}" for n, v in zip(names, (*numbers, *values)))
                raise ValueError(f"rule {lowered.program.name!r} cannot be worked out for {shown}: {error}") from error
            after.append([0.0 if place is None else new[place] for place in go])
            coefficients.append(row)
        self.known = list(plain), hyperparameters, self.states, (after, coefficients)
        return after, coefficients


def engine_numbers(member):
    """What the engine itself tells a program of a parameter: numbers that are no states."""
    return {n: getattr(member, n) for n in ENGINE if n != "step" and n in member.lowered.program.variables}


def number_states(members):
    """Names of the states that are one number per parameter, over all members."""
    programs = {id(m.lowered): m.lowered.program for m in members}.values()
    return list(dict.fromkeys(n for p in programs for n in p.states if p.variables.get(n) == Kind.NUMBER))


def plain_number(name, value, optimizer):
    """A hyperparameter as a float.

    Raises:
        TypeError: it is neither a number nor a tensor.
        ValueError: it is not finite, or a tensor of more than one element.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, (int, float, torch.Tensor)):
        raise TypeError(f"{optimizer}: {name} must be a number, and is {value!r}")
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(f"{optimizer}: {name} must be a number or a 1-element tensor, not of shape {tuple(value.shape)}")
        value = value.item()
    if not math.isfinite(value):
        raise ValueError(f"{optimizer}: {name} must be finite, and is {value}")
    return value
