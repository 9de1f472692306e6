"""The members of a step: each parameter with its gradient, its state and its group.

Everything that no path can take is refused here, before anything changes.
"""

from dataclasses import dataclass, field

import torch
from torch.optim.optimizer import _get_capturable_supported_devices, _get_scalar_dtype

from ..forms.lower import Leaf
from ..language import Kind
from .numbers import plain_number
from .sharded import is_sharded, whole


@dataclass(slots=True)
class Member:
    """One parameter in a plan."""

    param: torch.Tensor
    grad: torch.Tensor  # of the present step
    state: dict
    group: int
    lowered: object  # the program that its group and its shape choose
    first: bool
    sparse: str | None  # how each step's sparse gradient is taken: as it is "kept", made "dense", for its "rows"; None: dense, or refused
    rows: int  # of the matrix that the parameter is taken as
    columns: int
    state_dtype: torch.dtype
    stochastic: bool  # whether the parameter is rounded by chance
    whole: "Member | None" = None  # of which this is a process's own shard

    @property
    def precision(self):
        return torch.finfo(self.param.dtype).eps


@dataclass(slots=True)
class Group:
    """One parameter group as the engine sees it, read anew each step."""

    options: dict
    hyperparameters: dict  # by the rule's names, as given: numbers or tensors
    programs: tuple  # for parameters of less than two dimensions, and for the others
    plain: dict = field(default_factory=dict)  # the hyperparameters as finite numbers, without those that must stay tensors
    key: tuple = ()  # what a plan depends on; the values of hyperparameters are not part of it

    @classmethod
    def read(cls, options, hyperparameters, programs, name):
        group = cls(options, hyperparameters, programs)
        kept = [n for n, v in hyperparameters.items() if group.keeps(v)]
        group.plain = {n: plain_number(n, v, name) for n, v in hyperparameters.items() if n not in kept}
        group.key = (*map(id, programs), *(options.get(n) for n in ("fused", "foreach", "capturable", "differentiable")))
        return group

    def lowered(self, param):
        """The program for a parameter."""
        return self.programs[param.dim() >= 2]

    def flag(self, name):
        return bool(self.options.get(name))

    def keeps(self, value):
        """Whether a hyperparameter stays a tensor: autograd or a CUDA graph wants it so."""
        return isinstance(value, torch.Tensor) and (self.flag("differentiable") or self.flag("capturable"))


def gather(optimizer, grads, groups):
    """The parameters that have gradients, in order."""
    grads, members, states = iter(grads), [], {}
    for index, options in enumerate(optimizer.param_groups):
        for param in options["params"]:
            grad = next(grads)
            if grad is not None:
                members.append(member(optimizer, param, grad, index, groups[index], states))
    return members


def member(optimizer, param, grad, index, group, states):
    """A parameter of the group at an index, as the engine sees it; ``states`` are new ones, for a parameter that comes twice."""
    # Kept in the optimizer only once there is something in it.
    state = optimizer.state[param] if param in optimizer.state else states.setdefault(param, {})
    lowered = group.lowered(param)
    rows, columns = optimizer._matrix(param, group.options)
    return Member(
        param=param,
        grad=grad,
        state=state,
        group=index,
        lowered=lowered,
        first="first" in lowered.program.variables and any(state.get(n) is None for n in lowered.program.states),
        sparse=_sparse(param, grad, lowered, optimizer),
        rows=rows,
        columns=columns,
        state_dtype=optimizer.state_dtype if optimizer.state_dtype and param.is_floating_point() else param.dtype,
        stochastic=optimizer.stochastic_rounding and param.dtype == torch.bfloat16,
    )


def _sparse(param, grad, lowered, optimizer):
    if grad is None or grad.layout != torch.sparse_coo:
        return None
    if _is_descent(lowered):  # torch adds a vector of numbers in the wrong place if the parameter begins inside its storage
        kept = (grad.dense_dim() or not param.storage_offset()) and not optimizer.stochastic_rounding
        return "kept" if kept else "dense"
    return None if optimizer.sparse == "rows" and lowered.has_reductions else optimizer.sparse


def _is_descent(lowered):
    """Whether a program is ``param + number * grad`` alone, which torch can do with a sparse gradient as it is."""
    (_, value), *more = lowered.body
    terms = getattr(value, "terms", ())
    return not more and [(t.factors, t.divisors) for t in terms] == [((Leaf("param@0"),), ()), ((Leaf("grad@0"),), ())]


def kind(member, dense=False):
    """What decides a member's path, beside its options; ``dense`` if its gradient will be made so."""
    param, grad = member.param, member.grad
    layout = torch.strided if dense else grad.layout
    return param.shape, param.dtype, param.device, layout, grad.dtype, type(grad)


def check(member, group, optimizer):
    """Raises for what no path can take."""
    param, grad, name = member.param, member.grad, type(optimizer).__name__
    if group.flag("fused") and not (param.is_floating_point() and param.device.type in ("cpu", "cuda")):
        raise RuntimeError("`fused=True` requires all the params to be floating point Tensors of supported devices: "
                           f"['cpu', 'cuda'] but {param.dtype} and {param.device.type}")  # fmt: skip
    refusal = optimizer._refusal(param, group.options)
    if refusal:
        raise RuntimeError(refusal)
    if grad.layout != torch.strided and not member.sparse:
        raise RuntimeError(optimizer.no_sparse.format(name=name))
    if grad.layout != torch.strided and group.flag("fused"):
        raise RuntimeError(f"`_fused_{name.lower()}` does not support sparse gradients")
    if not (grad.is_floating_point() or grad.is_complex()) or not (param.is_floating_point() or param.is_complex()):
        raise RuntimeError(f"{name} needs floating-point or complex parameters and gradients, and got {param.dtype}, {grad.dtype}")
    if grad.device != param.device:
        raise RuntimeError(f"{name}: a parameter is on {param.device} and its gradient on {grad.device}")
    if grad.dtype != param.dtype:
        raise RuntimeError(f"{name}: a parameter is {param.dtype} and its gradient {grad.dtype}; give both one dtype")
    if any(n > 1 and s == 0 for n, s in zip(param.shape, param.stride() if param.layout == torch.strided else ())):
        raise RuntimeError(f"{name}: a parameter of shape {tuple(param.shape)} is expanded: its elements share memory; clone it")
    state = misfit(member, missing=True)
    if state:
        is_, its = (f"{t.dtype} of shape {tuple(t.shape)} on {t.device}" for t in (member.state[state], param))
        raise RuntimeError(f"{name}: state {state!r} is {is_}, and its parameter {its}; move or convert both")
    if grad.shape != param.shape:
        raise RuntimeError(f"{name}: a parameter has shape {tuple(param.shape)} and its gradient {tuple(grad.shape)}")
    if group.flag("capturable") and param.device.type not in _get_capturable_supported_devices():
        devices = _get_capturable_supported_devices()
        raise AssertionError(f"If capturable=True, {optimizer.captured} must be on supported devices: {devices}.")
    if group.flag("foreach") and group.flag("differentiable"):
        raise AssertionError("_foreach ops don't support autograd")


def misfit(member, missing=False):
    """A state that is not as its parameter wants it; one may be ``missing``, or not."""
    for name in member.lowered.program.states:
        kind, value, param = member.lowered.program.variables[name], member.state.get(name), member.param
        if value is None:
            if not missing:
                return name
        elif kind != Kind.NUMBER and (value.shape, value.dtype, value.device) != (shape_of(param, kind), member.state_dtype, param.device):
            return name
    return None


def new_state(optimizer, member, group):
    """The states that a parameter should have and has not, as tensors."""
    param, program = member.param, member.lowered.program
    if group.flag("differentiable") and getattr(member.state.get("step"), "requires_grad", False):
        raise RuntimeError("`requires_grad` is not supported for `step` in differentiable mode")
    missing = [n for n in program.states if member.state.get(n) is None]
    state = {}
    for name in sorted(missing, key=lambda n: n not in program.numbers):
        start = optimizer._start(name, param, group.options)
        if program.variables[name] == Kind.NUMBER:
            on_device = group.flag("capturable") or group.flag("fused")
            device = param.device if on_device else "cpu"
            state[name] = torch.tensor(float(start), dtype=_get_scalar_dtype(name == "step" and group.flag("fused")), device=device)
        elif program.variables[name] == Kind.TENSOR:
            state[name] = torch.full_like(param, start, dtype=member.state_dtype, memory_format=torch.preserve_format, requires_grad=False)
        else:
            new = param.detach().new_full(shape_of(param, program.variables[name]), start, dtype=member.state_dtype)
            state[name] = whole(new) if is_sharded(param) else new
    return state


def shape_of(param, kind):
    """The shape of a state of this kind."""
    shape = list(param.shape)
    if kind == Kind.ROW:
        shape[-1] = 1
    if kind == Kind.COLUMN:
        shape[-2] = 1
    return torch.Size(shape)


def tensor_states(program):
    """Names of the states that are tensors: of the parameter's shape, or one number per row or column."""
    return [n for n in program.tensors if n not in ("param", "grad")]


def numbers_to_tensors(rule, state, param, group, on_device):
    """Old checkpoints keep ``step`` as a Python number."""
    for name in rule.states:
        if isinstance(state.get(name), (int, float)):
            dtype = _get_scalar_dtype(name == "step" and bool(group.get("fused")))
            state[name] = torch.tensor(float(state[name]), dtype=dtype, device=param.device if on_device else "cpu")
