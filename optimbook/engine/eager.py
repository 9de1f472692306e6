"""The paths that call torch: foreach, loop, and the rule itself under autograd."""

import operator
from collections import defaultdict
from functools import cache
from operator import attrgetter

import torch

from ..forms import torch as form
from ..language import CLIP
from .members import misfit, tensor_states
from .numbers import engine_numbers
from .sharded import across
from .states import number_states_of

MOST = 2**18, 2**24  # elements in a portion, on a CPU (so that temporaries stay in its cache) and elsewhere


@cache
def compiled(lowered, spelling):
    scope = {"torch": torch, **lowered.program.functions}
    source = getattr(form, spelling)(lowered)
    exec(compile(source, f"<{spelling} form of {lowered.program.name}>", "exec"), scope)
    return scope["step"]


class Eager:
    """Members that go by foreach or by the loop."""

    def __init__(self, members, spelling, asked=False, late=False):
        """``late``: these parameters are among the others too, and go again from where those leave them."""
        self.members, self.spelling, self.asked, self.late = members, spelling, asked, late
        self.states = number_states_of(members)
        self.names = [tensor_states(m.lowered.program) for m in members]
        self.kept, self.row = self._tensor_states(), None

    def prepare(self, groups, plain):
        """Works the numbers out; changes nothing; False if a state is not what it was."""
        self.numbers = groups, plain
        kept = all(map(operator.is_, self._tensor_states(), self.kept))
        return kept and self.states.look(groups, plain)

    def _tensor_states(self):
        return [m.state.get(n) for m, names in zip(self.members, self.names) for n in names]

    def run(self, turn):
        self.turn = turn
        if self.late:
            self.states.look(*self.numbers)
        if self.row is not self.states.row:
            self.row = self.states.row
            self.buckets = self._buckets()
        for row, members in self.buckets:
            self.step(members[0].lowered, members, self.states.coefficients[row])
        self.states.write()

    def _buckets(self):
        """Members that one foreach call takes: they share a program, numbers, a device and a dtype. A loop takes each alone."""
        buckets = defaultdict(list)
        for member, row in zip(self.members, self.row):
            alone = id(member) if self.spelling == "loop" else None
            buckets[row, member.param.device, member.param.dtype, type(member.param), alone].append(member)
        return [(row, part) for (row, *_), members in buckets.items() for part in self._portions(members)]

    def _portions(self, members):
        """Foreach holds temporaries for all its tensors at once; unless it was asked for, no more than a portion's."""
        if self.spelling != "foreach" or self.asked:
            return [members]
        most = MOST[members[0].param.device.type != "cpu"]
        portions, room = [], 0
        for member in members:
            if not portions or member.param.numel() > room:
                portions.append([])
                room = most
            portions[-1].append(member)
            room -= member.param.numel()
        return portions

    def step(self, lowered, members, numbers):
        columns = [_column(members, name) for name in lowered.program.tensors]
        function = compiled(lowered, self.spelling)
        with across(members):
            if self.spelling == "foreach":
                function(*columns, numbers)
            else:
                for tensors in zip(*columns):
                    function(*tensors, numbers)


class Rows(Eager):
    """Members whose gradients are sparse: the loop, over the rows that each gradient has."""

    def __init__(self, members, late):
        super().__init__(members, "loop", late=late)

    def step(self, lowered, members, numbers):
        (member,) = members
        grad, dtype = member.grad.coalesce(), _wide(member)  # an update is not linear, so no row may come twice
        at, real = tuple(grad.indices()), torch.view_as_real if grad.is_complex() else lambda t: t
        whole = {n: member.param if n == "param" else member.state[n] for n in lowered.program.tensors if n != "grad"}
        rows = {"grad": grad.values().to(dtype), **{n: t[at].to(dtype) for n, t in whole.items()}}
        compiled(lowered, "loop")(*(real(rows[n]) for n in lowered.program.tensors), numbers)
        if member.stochastic:
            rows["param"] = scattered(rows["param"], self.turn)
        for name, tensor in whole.items():
            tensor[at] = rows[name].to(tensor.dtype)


def _column(members, name):
    """One kind of tensor over all members; complex ones as pairs of reals."""
    if name in ("param", "grad"):
        tensors = list(map(attrgetter(name), members))
    else:
        tensors = [m.state[name] for m in members]
    return [torch.view_as_real(t) for t in tensors] if members[0].param.is_complex() else tensors


class Called:
    """Members for which the rule itself is called on tensors, numbers among them.

    This keeps the graph (``differentiable``), reads ``step`` and ``lr`` where they are
    (``capturable``), and works in the wider dtype where parameter and states have two.
    States are given new tensors under autograd, since what it has saved must not change;
    otherwise they are written in place.
    """

    def __init__(self, rule, members, groups):
        self.rule, self.members, self.groups = rule, members, groups

    def prepare(self, groups, plain):
        """Changes nothing; False if a state is not what it should be."""
        self.groups = groups
        return not any(misfit(m) for m in self.members)

    def run(self, turn):
        self.turn = turn
        for member in self.members:
            self.step(member, self.groups[member.group])

    def step(self, member, group):
        is_complex, dtype = member.param.is_complex(), _wide(member)
        real = torch.view_as_real if is_complex else lambda t: t.to(dtype)
        program, state = member.lowered.program, member.state
        numbers = [n for n in program.states if n in program.numbers]
        if "step" in numbers:
            state["step"] = state["step"] + 1 if group.flag("differentiable") else state["step"].add_(1)
        given = {n: state[n] if n in numbers else real(state[n]) for n in program.states}
        given["param"] = real(member.param).clone()
        given["grad"] = real(-member.grad if group.flag("maximize") else member.grad)
        if CLIP in group.hyperparameters:
            given["grad"] = given["grad"] * group.hyperparameters[CLIP]
        given |= engine_numbers(member)
        shape = dict.fromkeys(self.rule.by_shape, member.param.dim() >= 2)
        hyperparameters = {n: group.hyperparameters[n] for n in self.rule.hyperparameters} | shape
        results = self.rule(*(given.get(n) for n in self.rule.variables), **hyperparameters)
        results = dict(zip(self.rule.returns, results if isinstance(results, tuple) else (results,)))
        new = scattered(results["param"], self.turn) if member.stochastic else results["param"]
        (torch.view_as_real(member.param) if is_complex else member.param).copy_(new)
        for name in program.states:
            if name != "step":
                self.keep(state, name, results[name], is_complex and name not in numbers, group)

    def keep(self, state, name, value, is_complex, group):
        if not group.flag("differentiable"):
            (torch.view_as_real(state[name]) if is_complex else state[name]).copy_(value)
        else:
            old = torch.view_as_real(state[name]) if is_complex else state[name]
            # A rule may give one number; and of a parameter without dimensions states come out in the numbers' dtype.
            value = value.to(old.dtype).expand_as(old) if isinstance(value, torch.Tensor) else torch.full_like(old, value)
            state[name] = torch.view_as_complex(value) if is_complex else value


def _wide(member):
    """The dtype in which to work: what is rounded by chance must come from float32."""
    dtype = torch.promote_types(member.param.dtype, member.state_dtype)
    return torch.promote_types(dtype, torch.float32) if member.stochastic else dtype


def scattered(x, turn):
    """Float32 numbers as bfloat16, up or down by chance, so that the mean is kept; by the same chance in every process."""
    bits = x.contiguous().view(torch.int32)
    chance = torch.randint(2**16, x.shape, generator=torch.Generator(x.device).manual_seed(turn), dtype=torch.int32, device=x.device)
    rounded = (bits + chance) & ~0xFFFF
    return torch.where(x.isnan(), x, rounded.view(torch.float32)).to(torch.bfloat16)
