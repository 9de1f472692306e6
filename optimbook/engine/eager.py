"""The paths that call torch: foreach, loop, and the rule itself under autograd."""

import operator
from collections import defaultdict
from functools import cache
from operator import attrgetter

import torch

from ..forms import torch as form
from .members import tensor_states
from .states import number_states_of


@cache
def _compiled(lowered, spelling):
    scope = {"torch": torch}
    source = getattr(form, spelling)(lowered)
    exec(compile(source, f"<{spelling} form of {lowered.program.name}>", "exec"), scope)
    return scope["step"]


class Eager:
    """Members that go by foreach or by the loop."""

    def __init__(self, members, groups, spelling):
        self.members, self.spelling = members, spelling
        self.states = number_states_of(members, [groups[m.group].lowered for m in members], groups)
        self.names = [tensor_states(groups[m.group].lowered.program) for m in members]
        self.kept, self.row = self._tensor_states(), None

    def prepare(self, groups, plain):
        """Works the numbers out; changes nothing; False if a state is not what it was."""
        self.groups = groups
        kept = all(map(operator.is_, self._tensor_states(), self.kept))
        return kept and self.states.look(groups, plain)

    def _tensor_states(self):
        return [m.state.get(n) for m, names in zip(self.members, self.names) for n in names]

    def run(self):
        if self.row is not self.states.row:
            self.row = self.states.row
            self.buckets = self._buckets()
        for row, members in self.buckets:
            self.step(self.groups[members[0].group].lowered, members, self.states.coefficients[row])
        self.states.write()

    def _buckets(self):
        """Members that one foreach call takes: they share a program, numbers, a device and a dtype. A loop takes each alone."""
        buckets = defaultdict(list)
        for member, row in zip(self.members, self.row):
            alone = id(member) if self.spelling == "loop" else None
            buckets[row, member.param.device, member.param.dtype, alone].append(member)
        return [(row, members) for (row, *_), members in buckets.items()]

    def step(self, lowered, members, numbers):
        columns = [_column(members, name) for name in lowered.program.tensors]
        function = _compiled(lowered, self.spelling)
        if self.spelling == "foreach":
            function(*columns, numbers)
        else:
            for tensors in zip(*columns):
                function(*tensors, numbers)


def _column(members, name):
    """One kind of tensor over all members; complex ones as pairs of reals."""
    if name in ("param", "grad"):
        tensors = list(map(attrgetter(name), members))
    else:
        tensors = [m.state[name] for m in members]
    return [torch.view_as_real(t) for t in tensors] if members[0].param.is_complex() else tensors


class Called:
    """Members for which the rule itself is called on tensors, numbers among them.

    This keeps the graph (``differentiable``), and it reads ``step`` and ``lr`` where they
    are (``capturable``). States are given new tensors under autograd, since what it has
    saved must not change; otherwise they are written in place.
    """

    def __init__(self, rule, members, groups):
        self.rule, self.members, self.groups = rule, members, groups

    def prepare(self, groups, plain):
        self.groups = groups
        return True

    def run(self):
        for member in self.members:
            self.step(member, self.groups[member.group])

    def step(self, member, group):
        real = torch.view_as_real if member.param.is_complex() else lambda t: t
        program, state = group.lowered.program, member.state
        numbers = [n for n in program.states if n in program.numbers]
        if "step" in numbers:
            state["step"] = state["step"] + 1 if group.flag("differentiable") else state["step"].add_(1)
        given = {n: state[n] if n in numbers else real(state[n]) for n in program.states}
        given["param"] = real(member.param).clone()
        given["grad"] = real(-member.grad if group.flag("maximize") else member.grad)
        given["first"] = member.first
        hyperparameters = {n: group.hyperparameters[n] for n in self.rule.hyperparameters}
        results = self.rule(*(given.get(n) for n in self.rule.variables), **hyperparameters)
        results = dict(zip(self.rule.returns, results if isinstance(results, tuple) else (results,)))
        real(member.param).copy_(results["param"])
        for name in program.states:
            if name != "step":
                self.keep(state, name, results[name], member.param.is_complex() and name not in numbers, group)

    def keep(self, state, name, value, is_complex, group):
        if not group.flag("differentiable"):
            (torch.view_as_real(state[name]) if is_complex else state[name]).copy_(value)
        else:
            state[name] = torch.view_as_complex(value) if is_complex else value
