"""Optimizers made of rules, with the interface, the checkpoints and the manners of `torch.optim`."""

import inspect
import operator
import sys
import warnings

import torch
from torch.optim.optimizer import _get_capturable_supported_devices, _get_scalar_dtype, _to_scalar, _use_grad_for_differentiable

from ..language import Kind
from ..forms.lower import Leaf
from . import cpu, cuda, eager
from .cache import CannotBuild
from .plan import Group, Member, plain_number, tensor_states

ENGINE = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": None}
KERNELS = {"c": cpu.Kernels, "triton": cuda.Kernels, "triton on device": cuda.DeviceKernels}
PLANS = 8  # kept per optimizer, one for each set of parameters that had gradients together


class Optimizer(torch.optim.Optimizer):
    """Runs a rule over parameter groups. Make a subclass with `optimizer`.

    Class attributes:
        rule: the update.
        packed: arguments that hold several hyperparameters, such as ``{"betas": ("beta1", "beta2")}``.
        densifies: whether a sparse gradient is made dense where the program needs that, instead of refused.
        no_sparse: what to say when one is refused.
    """

    rule = None
    packed = {}
    densifies = False
    no_sparse = "{name} does not support sparse gradients"

    def __init__(self, params, defaults):
        self._check(defaults)
        super().__init__(params, defaults)
        if defaults.get("fused"):
            if defaults.get("differentiable"):
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults.get("foreach"):
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
            self._step_supports_amp_scaling = True

    def add_param_group(self, param_group):
        """Adds a group; see `torch.optim.Optimizer.add_param_group`. Its options are checked like the constructor's."""
        if isinstance(param_group, dict):
            self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def _check(self, options):
        """Raises ValueError for options that make no sense; subclasses add their own."""
        lr = options.get("lr")
        if isinstance(lr, torch.Tensor):
            if options.get("foreach") and not options.get("capturable", True):
                raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
            if lr.numel() != 1:
                raise ValueError("Tensor lr must be 1-element")
        if "lr" in options:
            non_negative(self, options, lr="learning rate")

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for option, value in self._fallbacks().items():
                group.setdefault(option, value)
            on_device = group.get("capturable") or group.get("fused")
            for param in group["params"]:
                _numbers_to_tensors(self.rule, self.state.get(param, {}), param, group, on_device)

    def _fallbacks(self):
        """Options that an older checkpoint may lack."""
        signature = inspect.signature(type(self).__init__).parameters
        return {n: p.default for n, p in signature.items() if n in self.defaults and p.default is not p.empty}

    def load_state_dict(self, state_dict):
        """Loads what `state_dict` gave, ours or `torch.optim`'s; the tensors are copies of the source's."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            if isinstance(state, dict):
                state.update({k: v.clone() for k, v in state.items() if isinstance(v, torch.Tensor)})

    @_use_grad_for_differentiable
    def step(self, closure=None):
        """Performs a single optimization step.

        Args:
            closure: reevaluates the model and returns the loss; run with gradients enabled.

        Returns:
            The closure's loss, or None.
        """
        if "capturable" in self.defaults:
            self._accelerator_graph_capture_health_check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self._overflowed():
            self._update()
        return loss

    # One step

    def _overflowed(self):
        """What a `GradScaler` leaves with a fused optimizer: whether to skip this step, and the scale to take out."""
        found_inf, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        if found_inf is not None and found_inf.item():
            return True
        if scale is not None:
            grads = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
            torch._foreach_mul_(grads, 1 / scale.item())
        return False

    def _update(self):
        groups = [self._group(g) for g in self.param_groups]
        params = [p for g in self.param_groups for p in g["params"]]
        grads = [p.grad for p in params]
        mask = bytes([g is not None for g in grads])
        plain = self._plain(groups)
        plans = self.__dict__.setdefault("_plans", {})
        plan = plans.get(mask)
        if not (plan and plan.holds(self, params, groups) and plan.prepare(grads, groups, plain)):
            plan = _Plan(self, params, grads, groups, plain)
            if len(plans) >= PLANS:
                plans.clear()
            plans[mask] = plan
        plan.run()

    def _group(self, options):
        values = dict(options)
        for argument, parts in self.packed.items():
            values.update(zip(parts, options[argument]))
        hyperparameters = {n: _to_scalar(values[n]) for n in self.rule.hyperparameters}
        lowered = self.rule.lowered(maximize=bool(options.get("maximize")), **hyperparameters)
        return Group(options, hyperparameters, lowered)

    def _plain(self, groups):
        """Each group's hyperparameters as finite numbers, without those that must stay tensors."""
        name = type(self).__name__
        return [{n: plain_number(n, v, name) for n, v in g.hyperparameters.items() if not g.keeps(v)} for g in groups]


def non_negative(optimizer, options, **words):
    """Raises ValueError, in torch's words, unless these options are finite and not negative."""
    for name, word in words.items():
        if not isinstance(options[name], (int, float, torch.Tensor)):
            raise TypeError(f"{type(optimizer).__name__}: {name} must be a number, and is {options[name]!r}")
        if not 0.0 <= options[name] < float("inf"):
            raise ValueError(f"Invalid {word}: {options[name]}; {type(optimizer).__name__} takes a finite number that is not negative")


class _Plan:
    """Who goes by which path, for one set of parameters with gradients."""

    def __init__(self, optimizer, params, grads, groups, plain):
        """Checks everything before anything changes, then makes the states that are missing."""
        self.groups, self.params = groups, params
        self.options = [g.key for g in groups]
        members = _members(optimizer, grads, groups)
        for member in members:
            _check_member(member, groups[member.group], optimizer)
        fresh = [(m, _new_state(optimizer, m, groups[m.group])) for m in members]
        for member, state in fresh:
            if state:
                member.state.update(state)
                optimizer.state[member.param] = member.state
        try:
            self._share_out(optimizer, members, groups)
            if not self.prepare(grads, groups, plain):
                raise AssertionError("a plan just made does not fit")
        except BaseException:
            for member, state in fresh:  # as if the step had not been tried
                for name in state:
                    del member.state[name]
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
        self.eager = [eager.Eager(by_path[s], groups, s) for s in ("foreach", "loop") if by_path.get(s)]
        if by_path.get("called"):
            self.eager.append(eager.Called(optimizer.rule, by_path["called"], groups))
        for part in self.eager:
            part.kinds = [_kind(m, dense=m.densify) for m in part.members]
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
            and len(params) == len(self.params)
            and all(map(operator.is_, params, self.params))
            and self.options == [g.key for g in groups]
            and len(self.states) == len(optimizer.state)
            and all(map(operator.is_, self.states, optimizer.state.values()))
        )

    def prepare(self, grads, groups, plain):
        """Takes this step's gradients and numbers; False if the plan no longer fits. Changes nothing of the user's."""
        if len(grads) != len(self.where):
            grads = [g for g in grads if g is not None]
        for part in self.kernels:
            mine = grads if part.takes_all else [grads[i] for i in part.order]
            if not part.prepare(mine, groups, plain):
                return False
        for part in self.eager:
            for member in part.members:
                member.grad = grads[self.where[id(member)]]
                if member.densify:
                    member.grad = member.grad.to_dense()
            if [_kind(m) for m in part.members] != part.kinds:
                return False
            part.prepare(groups, plain)
        return True

    def run(self):
        for part in (*self.kernels, *self.eager):
            part.run()


# ------------------------------------------------------------------------------------------- members


def _members(optimizer, grads, groups):
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


def _kind(member, dense=False):
    """What decides a member's path, beside its options; ``dense`` if its gradient will be made so."""
    param, grad = member.param, member.grad
    layout = torch.strided if dense else grad.layout
    return param.shape, param.dtype, param.device, layout, grad.dtype, type(grad)


def _check_member(member, group, optimizer):
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
        raise RuntimeError(f"{name} needs floating-point or complex parameters and gradients, and got {param.dtype} and {grad.dtype}")
    if grad.device != param.device:
        raise RuntimeError(f"{name}: a parameter is on {param.device} and its gradient on {grad.device}")
    if grad.dtype != param.dtype:
        raise RuntimeError(f"{name}: a parameter is {param.dtype} and its gradient {grad.dtype}; give both one dtype")
    if any(n > 1 and s == 0 for n, s in zip(param.shape, param.stride() if param.layout == torch.strided else ())):
        raise RuntimeError(f"{name}: a parameter of shape {tuple(param.shape)} is expanded, so that its elements share memory; clone it")
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


def _path(member, group, repeated):
    """Which path a member takes: one of `KERNELS`, foreach, loop or called."""
    options, param = group.options, member.param
    if group.flag("differentiable"):
        return "called"
    if group.flag("capturable"):
        fast = options.get("foreach") is None and options.get("fused") is not False and not repeated
        return "triton on device" if fast and cuda.can_take(member, group.lowered, on_device=True) else "called"
    if repeated or (member.grad.layout != torch.strided and not member.densify):
        return "loop"
    if options.get("fused") or (options.get("fused") is None and options.get("foreach") is None):
        on_device = group.flag("fused") and param.device.type != "cpu"
        if cuda.can_take(member, group.lowered, on_device):
            return "triton on device" if on_device else "triton"
        if cpu.can_take(member, group.lowered):
            return "c"
        if options.get("fused"):
            raise RuntimeError(f"`fused=True` cannot take a parameter of {param.dtype} on {param.device} of type {type(param).__name__} "
                               "with its states as they lie in memory")  # fmt: skip
    plain = type(param) in (torch.Tensor, torch.nn.Parameter)
    return "foreach" if options.get("foreach") or (options.get("foreach") is None and plain) else "loop"


def _new_state(optimizer, member, group):
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


def _numbers_to_tensors(rule, state, param, group, on_device):
    """Old checkpoints keep ``step`` as a Python number."""
    for name in rule.states:
        if isinstance(state.get(name), (int, float)):
            dtype = _get_scalar_dtype(name == "step" and bool(group.get("fused")))
            state[name] = torch.tensor(float(state[name]), dtype=dtype, device=param.device if on_device else "cpu")


_warned = set()


def _warn_once(reason):
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"optimbook takes its foreach path: {reason}", stacklevel=6)


# ------------------------------------------------------------------------------------------- a class from a rule


def optimizer(rule, name=None, *, packed=None):
    """Makes an optimizer class from a rule.

    The class takes ``params``, the rule's hyperparameters with the rule's defaults, and
    torch's ``maximize``, ``foreach``, ``differentiable``, ``fused`` and, if the rule keeps
    a number such as ``step``, ``capturable``.

    Args:
        rule: a `Rule` with ``param`` and ``grad``.
        name: the class's name; the rule's name in capitals by default (``my_rule`` → ``MyRule``).
        packed: arguments that hold several hyperparameters, such as ``{"betas": ("beta1", "beta2")}``.

    Raises:
        TypeError: the rule updates no ``param``, or a packed hyperparameter is not the rule's.

    Example:
        >>> @rule
        ... def descent(param, grad, *, lr=0.1):
        ...     param = param - lr * grad
        ...     return param
        >>> Descent = optimizer(descent)
        >>> Descent(model.parameters(), lr=0.01)
    """
    if rule.variables[:2] != ("param", "grad") or "param" not in rule.returns:
        raise TypeError(f"rule {rule.name!r} is no update: its first arguments must be param and grad, and it must return param")
    packed = packed or {}
    for part in (part for parts in packed.values() for part in parts):
        if part not in rule.hyperparameters:
            raise TypeError(f"rule {rule.name!r} has no hyperparameter {part!r} to pack")
    name = name or "".join(word.capitalize() for word in rule.name.split("_"))
    signature = _signature(rule, packed)

    def __init__(self, *args, **kwargs):
        try:
            given = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        given.apply_defaults()
        defaults = {n: v for n, v in given.arguments.items() if n not in ("self", "params")}
        Optimizer.__init__(self, given.arguments["params"], defaults)

    __init__.__signature__ = signature
    doc = inspect.getdoc(rule) or f"The update that the rule ``{rule.name}`` describes."
    caller = sys._getframe(1).f_globals.get("__name__", __name__)
    return type(name, (Optimizer,), {"__init__": __init__, "__doc__": doc, "__module__": caller, "rule": rule, "packed": packed})


def _keeps_numbers(rule):
    """Whether there is a number state, such as ``step``, that `capturable` would keep on the device."""
    return any(rule.program().variables.get(n) == Kind.NUMBER for n in rule.states)


def _signature(rule, packed):
    parameter = kinds = inspect.Parameter
    parts = {part: argument for argument, group in packed.items() for part in group}
    parameters = {"self": parameter("self", kinds.POSITIONAL_OR_KEYWORD), "params": parameter("params", kinds.POSITIONAL_OR_KEYWORD)}
    for n in rule.hyperparameters:
        argument = parts.get(n, n)
        values = [rule.defaults.get(part, kinds.empty) for part in packed.get(argument, ())]
        default = (kinds.empty if kinds.empty in values else tuple(values)) if values else rule.defaults.get(n, kinds.empty)
        parameters[argument] = parameter(argument, kinds.POSITIONAL_OR_KEYWORD, default=default)
    required_first = sorted(parameters.values(), key=lambda p: p.name not in ("self", "params") and p.default is not p.empty)
    engine = [parameter(n, kinds.KEYWORD_ONLY, default=v) for n, v in ENGINE.items() if n != "capturable" or _keeps_numbers(rule)]
    return inspect.Signature(required_first + engine)
