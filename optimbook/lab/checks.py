"""The check table of a chapter: the rule by hand, the package's paths and torch, over many steps."""

import contextlib
import inspect
from functools import partial

import torch

from .display import both
from .paths import advance, states
from .setup import device
from .tables import table

PATHS = {"loop": {"foreach": False, "fused": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
# Far apart, so that every processor lands in the same one; the first is what rounding alone explains.
BOUNDS = {torch.float64: (-14, -11, -8, -5, -2), torch.float32: (-5, -2)}
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def compare(cls, options=({},), *, reference=None, steps=100):
    """Largest distance from ``torch.optim``, relative to the largest parameter, as a table; where torch has no such class,
    the distance of the paths from the rule called by hand.

    Rows are the rule called by hand and the paths of ``cls``, columns float64 and float32; a number is the
    worst over all ``options`` (dictionaries of constructor arguments) and parameters after ``steps`` steps.

    Args:
        reference: the class to compare with; ``torch.optim``'s of the same name if it is not given.
    """
    reference = reference or getattr(torch.optim, cls.__name__, None)
    expected = partial(_by_class, reference, foreach=False) if reference else partial(_by_hand, cls)
    rows = []
    for label, walk in list(_walks(cls).items())[reference is None :]:  # the first is the rule by hand
        rows.append((label, *(bound(_worst(walk, expected, options, steps, dtype), dtype) for dtype in BOUNDS)))
    return table((_distance_from(reference), "float64", "float32"), rows)


def bound(distance, dtype):
    """A power of ten that a distance does not exceed, or a dash where there is none to tell."""
    if distance is None:
        return "–"
    power = next((power for power in BOUNDS[dtype] if distance <= 10**power), None)
    sign, power = (">", BOUNDS[dtype][-1]) if power is None else ("≤", power)
    return f"{sign}\u00a010⁻{str(-power).translate(SUPERSCRIPT)}"


def _distance_from(reference):
    if reference is None:
        return both("与手算规则之差", "Distance from the rule by hand")
    name = f"torch.optim.{reference.__name__}"
    return both(f"与 {name} 之差", f"Distance from {name}")


def _walks(cls):
    """Each way to take the steps, by its label; a way returns the parameters at the end."""
    walks = {both("手算规则", "rule by hand"): lambda *args: _by_hand(cls, *args)}
    for path, choice in PATHS.items():
        walks[f"<code>{path}</code>"] = lambda *args, choice=choice: _by_class(cls, *args, **choice)
    return walks


def _worst(walk, reference, options, steps, dtype):
    """The largest distance between two ways to take the steps; None if the first cannot be had here."""
    worst = 0.0
    with _default(dtype):
        params, grads = _walk_of(dtype, steps)
        for option in options:
            expected = reference(option, params, grads)
            try:
                found = walk(option, params, grads)
            except RuntimeError:  # no compiler, no Triton
                return None
            largest = max(e.abs().max() for e in expected)
            worst = max(worst, *(((f - e).abs().max() / largest).item() for f, e in zip(found, expected)))
    return worst


@contextlib.contextmanager
def _default(dtype):
    """torch keeps `step` in the default dtype, so that float64 needs it to be float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _walk_of(dtype, steps):
    """Three parameters of different shapes, and random gradients for each step."""
    draw = torch.Generator().manual_seed(0)
    shapes = (64, 64), (64,), (3, 5, 7)
    make = lambda: [torch.randn(s, generator=draw, dtype=torch.float64).to(device(), dtype) for s in shapes]  # noqa: E731
    return make(), [make() for _ in range(steps)]


def _by_class(cls, option, params, grads, **choice):
    params = [p.clone().requires_grad_() for p in params]
    optimizer = cls(params, **option, **choice)
    for step_grads in grads:
        for param, grad in zip(params, step_grads):
            param.grad = grad.clone()
        optimizer.step()
    return [p.detach() for p in params]


def _by_hand(cls, option, params, grads):
    hyperparameters = _hyperparameters(cls, option)
    names = states(cls.rule, **hyperparameters)
    values = [{"param": p, **{name: torch.zeros_like(p) for name in names}} for p in params]
    for step, step_grads in enumerate(grads, 1):
        engine = {"step": step, "first": step == 1}
        values = [advance(cls.rule, {**v, **engine, "grad": g}, **hyperparameters) for v, g in zip(values, step_grads)]
    return [v["param"] for v in values]


def _hyperparameters(cls, option):
    """The class's arguments as the rule names them: ``betas`` holds ``beta1`` and ``beta2``."""
    arguments = {n: p.default for n, p in inspect.signature(cls).parameters.items()} | option
    packed = {part: (whole, i) for whole, parts in getattr(cls, "packed", {}).items() for i, part in enumerate(parts)}
    return {
        name: arguments[packed[name][0]][packed[name][1]] if name in packed else arguments[name]
        for name in cls.rule.hyperparameters
        if name in packed or name in arguments
    }
