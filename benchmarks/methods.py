"""What `benchmarks.results` compares: every optimizer of the package, what of it is tuned, and the tasks.

All methods get the same: learning rates on a grid about a middle of their own, and three values of one knob more.
Everything else stands at the package's default, but weight decay is 0 unless it is the knob, so that nobody is
handicapped by a default that was chosen for another size of problem.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

import optimbook
from optimbook import lab

STEPS = {"regression": 400, "digits_cnn": 250, "text": 250}  # gradients per run
# Test losses to reach, set before any tuned run: about what AdamW at a guessed rate (0.464, 0.01, 0.01; seeds 2000 to 2002) has
# half-way through, rounded: 0.0203, 0.0982, 2.709.
TARGETS = {"regression": 0.02, "digits_cnn": 0.1, "text": 2.7}
MAKE = {
    "regression": (lab.regression, {}),  # all 512 examples in each step; condition number 1000
    "digits_cnn": (lab.digits_cnn, {"batch_size": 32}),
    "text": (lab.text, {"width": 32, "batch_size": 16}),
}


@dataclass(frozen=True)
class Method:
    """An optimizer, and what of it is tuned.

    Attributes:
        cls: the class.
        knob, values: the knob beside the learning rate, by the rule's name, and its values.
        middle: of the learning rates, as k in 10^(k/3): first for all tasks, or by task.
        fixed: other arguments, by the rule's names.
    """

    cls: type
    knob: str
    values: tuple
    middle: int | dict
    fixed: dict = field(default_factory=dict)

    def optimizers(self, model, **numbers):
        """The optimizers of a model's parameters, with these numbers (``lr`` and the knob) by the rule's names."""
        return [self.cls(list(model.parameters()), **arguments(self.cls, {**self.fixed, **numbers}))]

    def settings(self, **numbers):
        """All that the optimizer is made with, as text."""
        given = arguments(self.cls, {**self.fixed, **numbers})
        return f"{self.cls.__name__}({', '.join(f'{k}={given[k]}' for k in sorted(given))})"


class WithAdamW(Method):
    """Muon for the matrices of the hidden layers, AdamW at the same rate for the rest, as Muon's documentation says.

    The regression has no hidden layer: there the only matrix is Muon's.
    """

    def optimizers(self, model, **numbers):
        matrices = [part.weight for part in model.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
        matrices = matrices[:-1] or matrices
        rest = [p for p in model.parameters() if not any(p is m for m in matrices)]
        muon = self.cls(matrices, **arguments(self.cls, {**self.fixed, **numbers}))
        return [muon, optimbook.AdamW(rest, lr=numbers["lr"], weight_decay=0)]


def arguments(cls, numbers):
    """A class's arguments from numbers by the rule's names: ``beta2=0.99`` is ``betas=(0.9, 0.99)``."""
    numbers = dict(numbers)
    packed = {}
    for argument, parts in getattr(cls, "packed", {}).items():
        if any(part in numbers for part in parts):
            packed[argument] = tuple(numbers.pop(part, cls.rule.defaults[part]) for part in parts)
    return {**numbers, **packed}


DECAYS = (0.95, 0.99, 0.999)  # of a second moment: its memory is 20, 100 or 1000 steps, on either side of a run's length
MOMENTA = (0.8, 0.9, 0.97)  # about 0.88, the best for a quadratic of condition number 1000

METHODS = {
    # Plain descent has nothing of its own but its rate: what is left to tune is the decay of its weights.
    "SGD": Method(optimbook.SGD, "weight_decay", (0, 1e-4, 1e-3), {"regression": -1, "digits_cnn": -2, "text": -1}),
    "momentum": Method(optimbook.SGD, "momentum", MOMENTA, {"regression": -3, "digits_cnn": -4, "text": -3}),
    "Nesterov": Method(optimbook.SGD, "momentum", MOMENTA, {"regression": -3, "digits_cnn": -4, "text": -3}, {"nesterov": True}),
    # Whether the average begins at once, half-way, or never within the run; the average is what is tested.
    "ASGD": Method(optimbook.ASGD, "t0", (0, 125, 1e6), {"regression": -1, "digits_cnn": -2, "text": -1}),
    # What the sum of squares starts from: how careful the first steps are.
    "Adagrad": Method(optimbook.Adagrad, "initial_accumulator_value", (0, 1e-3, 0.1), {"regression": 2, "digits_cnn": -4, "text": -4}),
    "Adadelta": Method(optimbook.Adadelta, "rho", (0.9, 0.95, 0.99), {"regression": 6, "digits_cnn": 2, "text": 2}),
    "RMSprop": Method(optimbook.RMSprop, "alpha", DECAYS, {"regression": -2, "digits_cnn": -7, "text": -7}),
    "Rprop": Method(optimbook.Rprop, "etaplus", (1.05, 1.1, 1.2), {"regression": -3, "digits_cnn": -9, "text": -9}),
    "Adam": Method(optimbook.Adam, "beta2", DECAYS, {"regression": -1, "digits_cnn": -6, "text": -6}),
    "AMSGrad": Method(optimbook.Adam, "beta2", DECAYS, {"regression": -1, "digits_cnn": -6, "text": -6}, {"amsgrad": True}),
    # What sets it apart from Adam is the decoupled decay.
    "AdamW": Method(optimbook.AdamW, "weight_decay", (0, 0.01, 0.1), {"regression": -1, "digits_cnn": -6, "text": -6}),
    "Adamax": Method(optimbook.Adamax, "beta2", DECAYS, {"regression": -1, "digits_cnn": -5, "text": -5}),
    "NAdam": Method(optimbook.NAdam, "beta2", DECAYS, {"regression": -1, "digits_cnn": -6, "text": -6}),
    "RAdam": Method(optimbook.RAdam, "beta2", DECAYS, {"regression": -1, "digits_cnn": -6, "text": -6}),
    "Yogi": Method(optimbook.Yogi, "beta2", DECAYS, {"regression": -1, "digits_cnn": -6, "text": -6}),
    "Lion": Method(optimbook.Lion, "beta2", (0.95, 0.98, 0.99), {"regression": -3, "digits_cnn": -8, "text": -8}),
    # How far a weight moves against how far a bias does, which takes the rate as it is.
    "LARS": Method(optimbook.LARS, "trust_coefficient", (1e-3, 1e-2, 0.1), {"regression": -2, "digits_cnn": -2, "text": -2}),
    "LAMB": Method(optimbook.LAMB, "beta2", DECAYS, {"regression": -3, "digits_cnn": -5, "text": -5}, {"weight_decay": 0}),
    "Adafactor": Method(optimbook.Adafactor, "beta2_decay", (-0.5, -0.8, -1.0), {"regression": 0, "digits_cnn": -2, "text": -3}),
    "Muon": WithAdamW(optimbook.Muon, "momentum", (0.9, 0.95, 0.98), {"regression": -1, "digits_cnn": -6, "text": -6},
                      {"weight_decay": 0, "adjust_lr_fn": "match_rms_adamw", "higher": "flatten"}),
    # How long it stays with one batch. A trial of its line search costs a gradient, as a step of the others does, and is counted so.
    "LBFGS": Method(optimbook.LBFGS, "max_iter", (1, 5, 20), {"regression": -1, "digits_cnn": -1, "text": -1},
                    {"history_size": 10, "line_search_fn": "strong_wolfe"}),
}  # fmt: skip

LEFT_OUT = {  # public classes that are not compared, and why
    "SparseAdam": "refuses dense gradients, and the tasks have no others",
    "Optimizer": "the base class",
}
