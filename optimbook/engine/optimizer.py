"""Optimizers made of rules, with the interface, the checkpoints and the manners of `torch.optim`."""

import inspect
import sys

import torch
from torch.optim.optimizer import _to_scalar, _use_grad_for_differentiable

from ..language import Kind
from .lookup import present
from .members import Group, numbers_to_tensors
from .numbers import plain_number
from .plan import Plan

ENGINE = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": None}
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
                numbers_to_tensors(self.rule, self.state.get(param, {}), param, group, on_device)

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
        mask = present(grads)
        plain = self._plain(groups)
        plans = self.__dict__.setdefault("_plans", {})
        plan = plans.get(mask)
        if not (plan and plan.holds(self, params, groups) and plan.prepare(grads, groups, plain)):
            plan = Plan(self, params, grads, groups, plain)
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
