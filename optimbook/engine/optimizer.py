"""Optimizers made of rules, with the interface, the checkpoints and the manners of `torch.optim`."""

import functools
import inspect
import math
import sys
from itertools import chain

import torch
from torch.nn.utils import get_total_norm
from torch.optim.optimizer import _to_scalar

from ..language import CLIP, Kind
from .lookup import changed, present
from .members import Group, member, new_state, numbers_to_tensors
from .plan import Plan

ENGINE = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": None}
UNFUSED = tuple(n for n in ENGINE if n != "fused")  # what torch's classes without a fused path take
EXTRAS = {"max_grad_norm": None, "stochastic_rounding": False, "state_dtype": None}  # what every optimizer takes and torch's do not
NAMES = ("params", "param_names", "name")  # what stands in a group and is no option
PLAIN = {int, float, bool, str, type(None)}
PLANS = 8  # kept per optimizer, one for each set of parameters that had gradients together


class Optimizer(torch.optim.Optimizer):
    """Runs a rule over parameter groups. Make a subclass with `optimizer <optimbook.optimizer>`.

    It is a `torch.optim.Optimizer`: ``zero_grad``, ``state_dict``, ``param_groups``, ``state`` and the hooks are torch's, and
    schedulers, `GradScaler` and trainers take it as such. Every subclass also takes these by keyword. All but ``fused`` are
    attributes too, which may be changed at any time, and no part of a parameter group, and so of no checkpoint.

    Args:
        max_grad_norm: clip by the Euclidean norm of all gradients of all groups, as `torch.nn.utils.clip_grad_norm_` does,
            but within the step: the gradients stay as they are, and are read once less. None: never. Shards of a DTensor count
            whole; parameters that something shares out among processes, as `ZeroRedundancyOptimizer` does, are not seen here:
            clip before such a step instead.
        stochastic_rounding: round bfloat16 parameters up or down by chance, so that small updates count in the mean.
            Other dtypes are rounded as ever.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None). A rule that looks at
            rows, columns or whole tensors has none.
        state_dtype: dtype of the tensor states, such as ``torch.bfloat16`` beside float32 parameters; None: the parameter's.

    Raises:
        ValueError: ``max_grad_norm`` is not positive and finite, or a rate is negative or not finite.
        TypeError: ``state_dtype`` is no floating-point dtype, or a rate is no number.
        RuntimeError: ``fused`` with ``foreach`` or ``differentiable``; in ``step``, a gradient that the class cannot take.

    Class attributes:
        rule: the update.
        packed: arguments that hold several hyperparameters, such as ``{"betas": ("beta1", "beta2")}``.
        sparse: how a sparse gradient is taken that cannot be added as it is: made dense (``"dense"``), for the rows that
            it has (``"rows"``), or not at all (None).
        no_sparse: what to say then.
        lr_error: what to say of a learning rate that is negative or not finite.
        captured: what ``capturable`` wants on the device, in torch's words.
    """

    rule = None
    packed = {}
    sparse = None
    no_sparse = "{name} does not support sparse gradients"
    lr_error = "Invalid learning rate: {}"
    captured = "params and state_steps"
    max_grad_norm, stochastic_rounding, state_dtype = EXTRAS.values()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _taking_extras(cls.__init__)

    def __init__(self, params, defaults):
        defaults |= self.__dict__.pop("_asked", {})
        self._check_extras()
        self._check(defaults)
        super().__init__(params, defaults)
        if defaults.get("fused"):
            if defaults.get("differentiable"):
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults.get("foreach"):
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
            self._step_supports_amp_scaling = True

    def add_param_group(self, param_group):
        """Adds a group, whose options are checked like the constructor's.

        Args:
            param_group: a dict with ``params`` and any of the constructor's options; the others take its defaults.

        Raises:
            ValueError: an option is out of its range, or a parameter stands in another group.
            TypeError: it is no dict, or holds something that is no tensor.
        """
        if isinstance(param_group, dict):
            self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def _check_extras(self):
        norm, dtype = self.max_grad_norm, self.state_dtype
        if norm is not None:
            _number(self, "max_grad_norm", norm)
            require(0 < norm < math.inf, f"Invalid max_grad_norm: {norm}; it must be positive and finite, or None")
        if not (dtype is None or isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise TypeError(f"{type(self).__name__}: state_dtype must be a floating-point dtype or None, and is {dtype!r}")

    def _check(self, options):
        """Raises ValueError for options that make no sense; subclasses add their own."""
        lr = options.get("lr")
        require(not isinstance(lr, torch.Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
        if "lr" in options:
            _number(self, "lr", lr)
            require(0.0 <= lr < math.inf, f"{self.lr_error.format(lr)}; {type(self).__name__} takes a finite number that is not negative")

    def _begin(self):
        """Makes all states now, not each at its parameter's first step."""
        for index, options in enumerate(self.param_groups):
            group = self._read(options)
            for param in options["params"]:
                self.state[param] = new_state(self, member(self, param, None, index, group, {}), group)

    def _start(self, name, param, options):
        """The number that a new state begins with: the rule's default, or 0; subclasses may look at the options."""
        return self.rule.defaults.get(name) or 0

    def _values(self, options):
        """A group's options by the rule's names; subclasses may work some out."""
        values = dict(options)
        for argument, parts in self.packed.items():
            values.update(zip(parts, options[argument]))
        return values

    def _refusal(self, param, options):
        """Why this class cannot update a parameter with the gradient that it has; None if it can."""

    def _matrix(self, param, options):
        """Rows and columns of the matrix that a parameter is taken as: all dimensions but the first are laid out in a row."""
        rows = param.shape[0] if param.dim() else 1
        return rows, math.prod(param.shape[1:])

    def __getstate__(self):
        return {**super().__getstate__(), **{n: getattr(self, n) for n in EXTRAS}}

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
        """Loads what `state_dict` gave, ours or `torch.optim`'s; the tensors are copies of the source's.

        Args:
            state_dict: the state of an optimizer of this algorithm, with as many parameters in as many groups.

        Raises:
            ValueError: the groups or their sizes are others.
        """
        state = {k: self._plain_numbers(s) for k, s in state_dict["state"].items()}
        super().load_state_dict({**state_dict, "state": state})
        for state in self.state.values():
            if isinstance(state, dict):
                state.update({k: v.clone() for k, v in state.items() if isinstance(v, torch.Tensor)})
        if self.state_dtype:
            self._keep_precision(state_dict)

    def _number_states(self):
        kinds = self.rule.program().variables
        return {n for n in self.rule.states if kinds.get(n) == Kind.NUMBER}

    def _plain_numbers(self, state):
        """A parameter's saved state, whose numbers torch cannot cast to the parameter's dtype then; it spares only ``step``."""
        if not isinstance(state, dict):
            return state
        numbers = self._number_states() - {"step"}
        return {n: v.item() if n in numbers and isinstance(v, torch.Tensor) else v for n, v in state.items()}

    def _keep_precision(self, state_dict):
        """Takes tensor states from the source again, since torch has cast them to the parameters' dtype."""
        indices = [i for g in state_dict["param_groups"] for i in g["params"]]
        params = [p for g in self.param_groups for p in g["params"]]
        for index, param in zip(indices, params):
            saved = state_dict["state"].get(index, {})
            for name in saved.keys() & (set(self.rule.states) - self._number_states()):
                if isinstance(saved[name], torch.Tensor):
                    self.state[param][name] = saved[name].to(param.device, self.state_dtype, copy=True)

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
        self._step()
        return loss

    @torch._disable_dynamo  # a compiled step would trace the engine, and gain nothing
    def _step(self):
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            if not self._overflowed():
                self._update()

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
        groups = self._groups()
        params = list(chain.from_iterable([g["params"] for g in self.param_groups]))
        grads = [p.grad for p in params]
        mask = present(grads)
        if self.max_grad_norm is not None:
            self._clip(groups, grads)
        plain = [g.plain for g in groups]
        plans = self.__dict__.setdefault("_plans", {})
        plan = plans.get(mask)
        if not (plan and plan.holds(self, params, groups) and plan.prepare(grads, groups, plain)):
            plan = Plan(self, params, grads, groups, plain)
            if len(plans) >= PLANS:
                plans.clear()
            plans[mask] = plan
        self._turn = self.__dict__.get("_turn", 0) + 1
        plan.run(self._turn)

    def _groups(self):
        """The groups as the engine sees them; those of the last step, where nothing was changed since."""
        clips = self.max_grad_norm is not None
        kept, groups, clipped = self.__dict__.get("_seen", ([], [], clips))
        if len(kept) != len(self.param_groups) or clipped != clips:
            kept = groups = [{}] * len(self.param_groups)
        anew = changed(self.param_groups, kept)
        if any(anew):
            kept, groups = list(kept), list(groups)
            for index in (i for i, new in enumerate(anew) if new):
                options = self.param_groups[index]
                groups[index] = self._read(options)
                kept[index] = dict(options) if _is_fixed(options) else {}
            self._seen = kept, groups, clips
        return groups

    def _read(self, options):
        values = self._values(options)
        hyperparameters = {n: values[n] if type(values[n]) in PLAIN else _to_scalar(values[n]) for n in self.rule.hyperparameters}
        how = {"maximize": bool(options.get("maximize")), "clipped": self.max_grad_norm is not None}
        shapes = [dict.fromkeys(self.rule.by_shape, is_matrix) for is_matrix in ((False, True) if self.rule.by_shape else (False,))]
        programs = [self.rule.lowered(**how, **hyperparameters, **shape) for shape in shapes]
        programs = programs[0], programs[-1]
        return Group.read(options, hyperparameters, programs, type(self).__name__)

    def _clip(self, groups, grads):
        """Gives every group the factor that brings the norm of all gradients to `max_grad_norm`, if it is larger."""
        total = get_total_norm([g.coalesce().values() if g.is_sparse else g for g in grads if g is not None])
        factor = torch.clamp(self.max_grad_norm / (getattr(total, "full_tensor", lambda: total)() + 1e-6), max=1.0)
        for group in groups:
            kept = factor if group.keeps(factor) else factor.item()
            group.hyperparameters[CLIP] = kept
            group.plain = {**group.plain, CLIP: 0.0 if group.keeps(factor) else kept}  # a new one, as `Numbers` looks for


def _is_fixed(options):
    """Whether no option can change unseen, as what is in a list or a tensor may."""
    for name, value in options.items():
        if name not in NAMES and type(value) not in PLAIN:
            if type(value) is not tuple or not PLAIN.issuperset(map(type, value)):
                return False
    return True


def _taking_extras(init):
    """A constructor that takes the `EXTRAS` too, and `fused` where torch's has none.

    That one becomes an option of the groups only if it is given, so that groups are those of torch otherwise.
    """
    signature = inspect.signature(init)
    extras = EXTRAS if "fused" in signature.parameters else {"fused": None, **EXTRAS}

    @functools.wraps(init)
    def __init__(self, *args, **kwargs):
        for name in [n for n in extras if n in kwargs]:
            value = kwargs.pop(name)
            if name in EXTRAS:
                setattr(self, name, value)
            elif value is not None:
                self._asked = {name: value}
        init(self, *args, **kwargs)

    given = [p for n, p in signature.parameters.items() if n not in extras]
    more = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=v) for n, v in extras.items()]
    __init__.__signature__ = signature.replace(parameters=sorted([*given, *more], key=lambda p: p.kind))  # **kwargs stays last
    return __init__


def non_negative(optimizer, options, **words):
    """Raises ValueError, in torch's words, unless these options are finite and not negative."""
    for name, word in words.items():
        value = options[name]
        _number(optimizer, name, value)
        allowed = f"{type(optimizer).__name__} takes a finite number that is not negative"
        require(0.0 <= value < math.inf, f"Invalid {word}: {value}; {allowed}")


def check_betas(optimizer, betas):
    """Raises ValueError, in torch's words, unless these are two decay rates from 0 to below 1."""
    require(len(betas) == 2, f"Invalid betas: {betas}; {type(optimizer).__name__} takes two")
    for i, beta in enumerate(betas):
        require(0.0 <= beta < 1.0, f"Invalid beta parameter at index {i}: {beta}; it must be at least 0 and below 1")


def require(holds, message):
    """Raises ValueError with the message unless it holds."""
    if not holds:
        raise ValueError(message)


def _number(optimizer, name, value):
    if not isinstance(value, (int, float, torch.Tensor)):
        raise TypeError(f"{type(optimizer).__name__}: {name} must be a number, and is {value!r}")


def optimizer(rule, name=None, *, packed=None, options=tuple(ENGINE)):
    """Makes an optimizer class from a rule.

    The class takes ``params``, the rule's hyperparameters with the rule's defaults, and
    torch's ``maximize``, ``foreach``, ``differentiable``, ``fused`` and, if the rule keeps
    a number such as ``step``, ``capturable``.

    Args:
        rule: a `Rule` with ``param`` and ``grad``.
        name: the class's name; the rule's name in capitals by default (``my_rule`` → ``MyRule``).
        packed: arguments that hold several hyperparameters, such as ``{"betas": ("beta1", "beta2")}``.
        options: which of torch's options to take.

    Raises:
        TypeError: the rule updates no ``param``, or a packed hyperparameter is not the rule's.

    Example:
        >>> @rule
        ... def descent(param, grad, *, lr=0.1):
        ...     param = param - lr * grad
        ...     return param
        >>> Descent = optimizer(descent)
        >>> descent_optimizer = Descent(model.parameters(), lr=0.01)
    """
    if rule.variables[:2] != ("param", "grad") or "param" not in rule.returns:
        raise TypeError(f"rule {rule.name!r} is no update: its first arguments must be param and grad, and it must return param")
    packed = packed or {}
    for part in (part for parts in packed.values() for part in parts):
        if part not in rule.hyperparameters:
            raise TypeError(f"rule {rule.name!r} has no hyperparameter {part!r} to pack")
    name = name or "".join(word.capitalize() for word in rule.name.split("_"))
    signature = _signature(rule, packed, options)

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
    kinds = rule.program().variables
    return any(kinds.get(n) == Kind.NUMBER for n in rule.states)


def _signature(rule, packed, options):
    parameter = kinds = inspect.Parameter
    parts = {part: argument for argument, group in packed.items() for part in group}
    parameters = {"self": parameter("self", kinds.POSITIONAL_OR_KEYWORD), "params": parameter("params", kinds.POSITIONAL_OR_KEYWORD)}
    for n in rule.hyperparameters:
        argument = parts.get(n, n)
        values = [rule.defaults.get(part, kinds.empty) for part in packed.get(argument, ())]
        default = (kinds.empty if kinds.empty in values else tuple(values)) if values else rule.defaults.get(n, kinds.empty)
        parameters[argument] = parameter(argument, kinds.POSITIONAL_OR_KEYWORD, default=default)
    required_first = sorted(parameters.values(), key=lambda p: p.name not in ("self", "params") and p.default is not p.empty)
    options = [n for n in options if n != "capturable" or _keeps_numbers(rule)]
    engine = [parameter(n, kinds.KEYWORD_ONLY, default=ENGINE[n]) for n in options]
    return inspect.Signature(required_first + engine)
