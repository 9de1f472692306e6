"""The optimizers that the playground offers: every class of the package whose rule updates each number by itself."""

import ast
import inspect
from dataclasses import dataclass, field

from ... import optim
from ...functions import REDUCTIONS
from ..sliders import Knob, knob
from ..style import BLACK, line


@dataclass(frozen=True)
class Optimizer:
    """An optimizer on offer.

    Attributes:
        cls: its class.
        options: hyperparameters that differ from the class's defaults: they make it what its name says.
        fixed: hyperparameters that have no knob.
        begin: states that begin at a hyperparameter's value.
        words: its name in Chinese and in English, where it is more than a name.
    """

    cls: type
    options: dict = field(default_factory=dict)
    fixed: tuple = ()
    begin: dict = field(default_factory=dict)
    words: tuple = ()


HEAVY = {"momentum": 0.9}
OPTIMIZERS = {
    "SGD": Optimizer(optim.SGD, fixed=("momentum", "dampening")),
    "Momentum": Optimizer(optim.SGD, HEAVY, words=("动量", "Momentum")),
    "Nesterov": Optimizer(optim.SGD, {**HEAVY, "nesterov": True}, fixed=("dampening",)),
    "Adagrad": Optimizer(optim.Adagrad),
    "RMSprop": Optimizer(optim.RMSprop),
    "RMSprop-centered": Optimizer(optim.RMSprop, {"centered": True}, words=("RMSprop，中心化", "RMSprop, centred")),
    "Adadelta": Optimizer(optim.Adadelta),
    "Adam": Optimizer(optim.Adam),
    "AMSGrad": Optimizer(optim.Adam, {"amsgrad": True}),
    "AdamW": Optimizer(optim.AdamW),
    "Adamax": Optimizer(optim.Adamax),
    "NAdam": Optimizer(optim.NAdam),
    "RAdam": Optimizer(optim.RAdam),
    "Yogi": Optimizer(optim.Yogi, begin={"exp_avg_sq": "initial_accumulator"}),
    "Lion": Optimizer(optim.Lion),
    "Rprop": Optimizer(optim.Rprop, begin={"step_size": "lr"}),
    "ASGD": Optimizer(optim.ASGD, begin={"eta": "lr"}),
}
RANGES = {
    "lr": knob(1e-4, 10, None),
    "momentum": knob(0, 0.999, None),
    "dampening": knob(0, 1, None),
    "beta1": knob(0, 0.999, None),
    "beta2": knob(0, 0.9999, None),
    "alpha": knob(0, 0.9999, None, "decay"),
    "rho": knob(0, 0.999, None),
    "eps": knob(1e-12, 1, None),
    "weight_decay": knob(1e-4, 1, None, "zero"),  # a logarithm whose low end is 0
    "lr_decay": knob(1e-4, 1, None, "zero"),
    "momentum_decay": knob(1e-4, 1, None, "zero"),
    "lambd": knob(1e-6, 1, None, "zero"),
    "t0": knob(1, 1e6, None, "log"),
    "initial_accumulator": knob(1e-8, 1, None, "log"),
    "etaminus": knob(0.05, 0.95, None),
    "etaplus": knob(1.05, 2, None),
    "step_size_min": knob(1e-9, 0.1, None, "log"),
    "step_size_max": knob(1e-3, 50, None, "log"),
}
OWN_RANGES = {
    "Adadelta": {"lr": knob(1e-2, 1000, None)},  # its first steps are tiny: they begin at the root of eps
    "ASGD": {"alpha": knob(0, 1, None, "linear")},
}


def per_element(cls):
    """Whether a class's rule can walk over a surface of two numbers: it updates each number by itself, from a dense gradient."""
    rule = getattr(cls, "rule", None)
    if rule is None or issubclass(cls, optim.SparseAdam):  # L-BFGS has no rule; SparseAdam refuses gradients that are dense
        return False
    called = {node.func.id for node in ast.walk(ast.parse(rule.source)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return not called & set(REDUCTIONS) and not rule.program().functions


def defaults(optimizer):
    """The rule's hyperparameters by their names, as the class takes them when nothing is said, with the entry's own options."""
    given = {n: p.default for n, p in inspect.signature(optimizer.cls.__init__).parameters.items()}
    for argument, names in optimizer.cls.packed.items():
        given |= dict(zip(names, given[argument]))
    return {name: given[name] for name in optimizer.cls.rule.hyperparameters if name in given} | optimizer.options


def knobs(name):
    """The knobs of an optimizer, each at its default, but for the learning rate, which depends on the surface."""
    optimizer = OPTIMIZERS[name]
    ranges = RANGES | OWN_RANGES.get(name, {})
    values = {n: v for n, v in defaults(optimizer).items() if not isinstance(v, bool) and n not in optimizer.fixed}
    return {n: Knob(ranges[n].low, ranges[n].high, value, ranges[n].scale) for n, value in values.items()}


def flags(name):
    """Which lines of the rule are printed: those of every flag that has a knob, even where the knob stands at 0."""
    optimizer = OPTIMIZERS[name]
    return {flag: 1 if flag in knobs(name) else defaults(optimizer)[flag] for flag in optimizer.cls.rule.flags}


def look(name):
    """Colour and dashes, the book's; black is the colour of the page's text."""
    look = line(name)
    return ("currentColor" if look["color"] == BLACK else look["color"]), look["linestyle"]
