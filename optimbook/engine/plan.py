"""Who goes by which path in a step.

Finding that out anew takes longer than the arithmetic of a small model, so a plan is kept
for each set of parameters that had gradients together, and is used again for as long as
it `Plan.holds`.
"""

import warnings
from collections import Counter

import torch

from . import cpu, cuda, eager
from .cache import CannotBuild
from .lookup import same_items
from .members import check, gather, kind, new_state, tensor_states
from .sharded import is_sharded, own_shard, still_own_shard

KERNELS = {"c": cpu.Kernels, "triton": cuda.Kernels, "triton on device": cuda.DeviceKernels}


class Plan:
    """Who goes by which path, for one set of parameters with gradients."""

    def __init__(self, optimizer, params, grads, groups, plain):
        """Checks everything before anything changes, then makes the states that are missing."""
        self.groups, self.params = groups, params
        self.options = [g.key for g in groups]
        members = gather(optimizer, grads, groups)
        for member in members:
            check(member, groups[member.group], optimizer)
        fresh = [(m, new_state(optimizer, m, groups[m.group])) for m in members]
        for member, state in fresh:
            if state:
                member.state.update(state)
                optimizer.state[member.param] = member.state
        try:
            # Autograd must see the whole parameter.
            members = [m if groups[m.group].flag("differentiable") else own_shard(m, tensor_states(m.lowered.program)) for m in members]
            self.shards = [(i, m) for i, m in enumerate(members) if m.whole]
            self._share_out(optimizer, members, groups)
            if not self.prepare(grads, groups, plain):
                raise AssertionError("a plan just made does not fit")
        except BaseException:
            for member, state in fresh:  # as if the step had not been tried
                for name in state:
                    member.state.pop(name, None)  # a parameter may come twice
                if not member.state:
                    optimizer.state.pop(member.param, None)
            raise
        self.state, self.states = optimizer.state, list(optimizer.state.values())
        self.once = any(m.first for m in members)  # next time it is nobody's first step

    def _share_out(self, optimizer, members, groups):
        by_path = {}
        repeated = len({id(m.param) for m in members}) < len(members)
        for member in members:
            by_path.setdefault(_path(member, groups[member.group], repeated), []).append(member)
        self.kernels = []
        for path, make in KERNELS.items():
            if by_path.get(path):
                try:
                    self.kernels.append(make(by_path[path], groups))
                except CannotBuild as reason:
                    self._without_kernel(by_path, path, groups, reason)
        spelled = {"foreach": ("foreach", False), "foreach, asked": ("foreach", True)}
        self.eager = [eager.Eager(by_path[p], *how) for p, how in spelled.items() if by_path.get(p)]
        self.eager += [eager.Eager(turn, "loop", late=i > 0) for i, turn in enumerate(_turns(by_path.get("loop", [])))]
        if by_path.get("rows"):
            self.eager += [eager.Rows(turn, late=i > 0) for i, turn in enumerate(_turns(by_path["rows"]))]
        if by_path.get("called"):
            self.eager.append(eager.Called(optimizer.rule, by_path["called"], groups))
        for part in self.eager:
            part.kinds = [kind(m, dense=m.sparse == "dense") for m in part.members]
        self.holding = (*self.kernels, *self.eager)  # parts whose members hold gradients: kernels' only while the plan is new
        # Gradients are handed over by position, since a kept plan meets new ones each step.
        self.where = {id(m): i for i, m in enumerate(members)}
        for part in self.kernels:
            part.order = [self.where[id(m)] for m in part.members]
            part.takes_all = part.order == list(range(len(members)))

    def _without_kernel(self, by_path, path, groups, reason):
        members = by_path.pop(path)
        if any(groups[m.group].flag("fused") for m in members):
            raise RuntimeError(f"`fused=True` needs a compiled kernel, and there is none: {reason}") from reason
        _warn_once(str(reason))
        by_path.setdefault("called" if path == "triton on device" else "foreach", []).extend(members)

    def holds(self, optimizer, params, groups):
        """Whether this plan still describes the optimizer: same parameters, options and states."""
        return (
            not self.once
            and self.state is optimizer.state
            and same_items(params, self.params)
            and self._same_options(groups)
            and same_items(list(optimizer.state.values()), self.states)
        )

    def _same_options(self, groups):
        if not same_items(groups, self.groups):
            if self.options != [g.key for g in groups]:
                return False
            self.groups = groups
        return True

    def prepare(self, grads, groups, plain):
        """Takes this step's gradients and numbers; False if the plan no longer fits. Changes nothing of the user's."""
        if len(grads) != len(self.where):
            grads = [g for g in grads if g is not None]
        if self.shards:
            if not all(still_own_shard(m, grads[i], tensor_states(m.lowered.program)) for i, m in self.shards):
                return False
            grads = list(grads)
            for i, _ in self.shards:
                grads[i] = grads[i]._local_tensor
        for part in self.kernels:
            mine = grads if part.takes_all else [grads[i] for i in part.order]
            if not part.prepare(mine, groups, plain):
                return False
        for part in self.eager:
            for member in part.members:
                member.grad = grads[self.where[id(member)]]
                if member.sparse == "dense":
                    member.grad = member.grad.to_dense()
            if [kind(m) for m in part.members] != part.kinds:
                return False
            if not part.prepare(groups, plain):
                return False
        return True

    def run(self, turn):
        """The step itself; ``turn`` counts the optimizer's steps, and seeds what is rounded by chance."""
        for part in (*self.kernels, *self.eager):
            part.run(turn)
        for part in self.holding:
            for member in part.members:
                member.grad = None  # as `release` in `tensors`: nothing here outlives `zero_grad`
        self.holding = self.eager


def _turns(members):
    """Members in rounds: a parameter that is there twice goes once in each of two."""
    turns, count = [], Counter()
    for member in members:
        place = count[member.param]
        count[member.param] += 1
        if place == len(turns):
            turns.append([])
        turns[place].append(member)
    return turns


def _path(member, group, repeated):
    """Which path a member takes: one of `KERNELS`, foreach, loop, rows or called."""
    options, param = group.options, member.param
    if member.sparse == "rows":
        return "rows"
    if group.flag("differentiable"):
        return "called"
    if group.flag("capturable"):
        fast = options.get("foreach") is None and options.get("fused") is not False and not repeated
        return "triton on device" if fast and cuda.can_take(member, on_device=True) else "called"
    if repeated or (member.sparse == "kept"):
        return "loop"
    if options.get("fused") or (options.get("fused") is None and options.get("foreach") is None):
        on_device = group.flag("fused") and param.device.type != "cpu"
        if cuda.can_take(member, on_device):
            return "triton on device" if on_device else "triton"
        if cpu.can_take(member):
            return "c"
        if options.get("fused") and not is_sharded(param):
            if not member.lowered.fusable:
                raise RuntimeError(f"`fused=True`: rule {member.lowered.program.name!r} looks at rows, columns or whole tensors, "
                                   "which no kernel does")  # fmt: skip
            raise RuntimeError(f"`fused=True` cannot take a parameter of {param.dtype} on {param.device} of type {type(param).__name__} "
                               "with its states as they lie in memory")  # fmt: skip
    if member.state_dtype != param.dtype or member.stochastic:
        return "called"
    plain = type(param) in (torch.Tensor, torch.nn.Parameter)
    if options.get("foreach"):
        return "foreach, asked"
    return "foreach" if options.get("foreach") is None and plain else "loop"


_warned = set()


def _warn_once(reason):
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"optimbook takes its foreach path: {reason}", stacklevel=6)
