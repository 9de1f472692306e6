"""The hoisted numbers of a step: what depends on hyperparameters and number states alone."""

import math

import torch

from ..language import Kind


class Numbers:
    """The hoisted numbers of a step: one row for each distinct (group, first, number states).

    Parameters that miss a gradient fall behind in ``step``; they get a row of their own.
    """

    def __init__(self, members, groups, values):
        """``values``: per number state a list over the members, as they stand before the step; 0 where a program has none."""
        self.names = number_states(groups)
        self.groups, self.rows, found = [], [], {}
        self.states = []  # per row, the number states before the step
        for i, member in enumerate(members):
            key = (member.group, member.first, *(column[i] for column in values))
            if key not in found:
                found[key] = len(found)
                self.groups.append((member.group, member.first))
                self.states.append(list(key[2:]))
            self.rows.append(found[key])

    def work_out(self, groups, plain):
        """Per row: the number states after the step, and the coefficients.

        ``plain`` has each group's hyperparameters as numbers.
        """
        after, coefficients = [], []
        for (index, first), before in zip(self.groups, self.states):
            lowered = groups[index].lowered
            scope = {n: v for n, v in zip(self.names, before) if n in lowered.program.numbers}
            scope["first"] = first
            if "step" in scope:
                scope["step"] += 1
            arguments = {n: scope[n] for n in lowered.program.numbers}
            arguments |= {n: plain[index][n] for n in lowered.program.hyperparameters}
            try:
                new, row = lowered.numbers(*arguments.values())
            except (ArithmeticError, ValueError) as error:
                given = ", ".join(f"{n}={v}" for n, v in arguments.items())
                raise ValueError(f"rule {lowered.program.name!r} cannot be worked out for {given}: {error}") from error
            scope.update(zip(lowered.program.numbers, new))
            after.append([scope.get(n, 0.0) for n in self.names])
            coefficients.append(row)
        return after, coefficients


def number_states(groups):
    """Names of the states that are one number per parameter, over all groups."""
    names = {n: None for g in groups for n in g.lowered.program.states if g.lowered.program.variables.get(n) == Kind.NUMBER}
    return list(names)


def plain_number(name, value, optimizer):
    """A hyperparameter as a float.

    Raises:
        TypeError: it is neither a number nor a tensor.
        ValueError: it is not finite, or a tensor of more than one element.
    """
    if not isinstance(value, (int, float, torch.Tensor)):
        raise TypeError(f"{optimizer}: {name} must be a number, and is {value!r}")
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(f"{optimizer}: {name} must be a number or a 1-element tensor, not of shape {tuple(value.shape)}")
        value = value.item()
    if not math.isfinite(value):
        raise ValueError(f"{optimizer}: {name} must be finite, and is {value}")
    return value
