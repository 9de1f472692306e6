"""The members of a step: each parameter with its gradient, its state and its group.

Everything that no path can take is refused here, before anything changes.
"""

from dataclasses import dataclass

import torch
from torch.optim.optimizer import _get_capturable_supported_devices, _get_scalar_dtype

from ..forms.lower import Leaf
from ..language import Kind


@dataclass(slots=True)
class Member:
    """One parameter in a plan."""

    param: torch.Tensor
    grad: torch.Tensor  # of the present step
    state: dict
    group: int
    first: bool
    densify: bool  # whether each step's gradient is sparse, and the program needs it dense


@dataclass(slots=True)
class Group:
    """One parameter group as the engine sees it, read anew each step."""

    options: dict
    hyperparameters: dict  # by the rule's names, as given: numbers or tensors
    lowered: object

    def flag(self, name):
        return bool(self.options.get(name))

    def keeps(self, value):
        """Whether a hyperparameter stays a tensor: autograd or a CUDA graph wants it so."""
        return isinstance(value, torch.Tensor) and (self.flag("differentiable") or self.flag("capturable"))

    @property
    def key(self):
        """What a plan depends on; the values of hyperparameters are not part of it."""
        options = self.options
        return (id(self.lowered), *(options.get(n) for n in ("fused", "foreach", "capturable", "differentiable")))


def gather(optimizer, grads, groups):
    """The parameters that have gradients, in order."""
    grads, members = iter(grads), []
    for index, group in enumerate(optimizer.param_groups):
        for param in group["params"]:
            grad = next(grads)
            if grad is not None:
                state = optimizer.state.get(param, {})  # kept in the optimizer only once there is something in it
                program = groups[index].lowered.program
                first = "first" in program.variables and any(state.get(n) is None for n in program.states)
                densify = grad.layout == torch.sparse_coo and optimizer.densifies and not _is_descent(groups[index].lowered)
                members.append(Member(param, grad, state, index, first, densify))
    return members


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
    if grad.layout != torch.strided and not (member.densify or _is_descent(group.lowered)):
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
    for state in tensor_states(group.lowered.program):
        value = member.state.get(state)
        if value is not None and (value.shape, value.dtype, value.device) != (param.shape, param.dtype, param.device):
            raise RuntimeError(f"{name}: state {state!r} is {value.dtype} of shape {tuple(value.shape)} on {value.device}, and its parameter "
                               f"{param.dtype} of shape {tuple(param.shape)} on {param.device}; move or convert both")  # fmt: skip
    if grad.shape != param.shape:
        raise RuntimeError(f"{name}: a parameter has shape {tuple(param.shape)} and its gradient {tuple(grad.shape)}")
    if group.flag("capturable") and param.device.type not in _get_capturable_supported_devices():
        raise AssertionError(f"If capturable=True, params and state_steps must be on supported devices: {_get_capturable_supported_devices()}.")
    if group.flag("foreach") and isinstance(group.options.get("lr"), torch.Tensor) and not group.options.get("capturable", True):
        raise RuntimeError("lr as a Tensor is not supported for capturable=False and foreach=True")


def new_state(optimizer, member, group):
    """The states that a parameter should have and has not, as tensors."""
    rule, param, program = optimizer.rule, member.param, group.lowered.program
    if group.flag("differentiable") and getattr(member.state.get("step"), "requires_grad", False):
        raise RuntimeError("`requires_grad` is not supported for `step` in differentiable mode")
    missing = [n for n in program.states if member.state.get(n) is None]
    state = {}
    for name in sorted(missing, key=lambda n: n not in program.numbers):
        start = rule.defaults.get(name) or 0
        if program.variables[name] == Kind.NUMBER:
            on_device = group.flag("capturable") or group.flag("fused")
            device = param.device if on_device else "cpu"
            state[name] = torch.tensor(float(start), dtype=_get_scalar_dtype(name == "step" and group.flag("fused")), device=device)
        else:
            state[name] = torch.full_like(param, start, memory_format=torch.preserve_format, requires_grad=False)
    return state


def tensor_states(program):
    """Names of the states that are tensors of the parameter's shape."""
    return [n for n in program.tensors if n not in ("param", "grad")]


def numbers_to_tensors(rule, state, param, group, on_device):
    """Old checkpoints keep ``step`` as a Python number."""
    for name in rule.states:
        if isinstance(state.get(name), (int, float)):
            dtype = _get_scalar_dtype(name == "step" and bool(group.get("fused")))
            state[name] = torch.tensor(float(state[name]), dtype=dtype, device=param.device if on_device else "cpu")
