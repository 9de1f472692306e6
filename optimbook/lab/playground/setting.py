"""A setting of the playground: as the part of an address after its ``?``, and walked in Python by `optimbook.lab.path`."""

import math
from dataclasses import dataclass, field

import numpy

from ..paths import path
from .noise import disturbances
from .optimizers import OPTIMIZERS, defaults, knobs
from .rates import RATES
from .schedules import SCHEDULES, rates
from .surfaces import SURFACES

STEPS = (20, 400)  # the least and the most
SEEDS = (1, 999)
LOUDEST = 5.0  # the most noise
MOST = 6  # optimizers at a time


@dataclass(frozen=True)
class Setting:
    """All that the reader can set; ``runs`` holds ``(optimizer, hyperparameters)`` pairs, and what is None is the surface's own."""

    runs: list = field(default_factory=lambda: [(name, {}) for name in ("SGD", "Momentum", "RMSprop", "Adam")])
    surface: str = "ravine"
    start: tuple | None = None
    steps: int = 200
    schedule: tuple = ("constant", {})
    noise: float | None = None
    seed: int = 1

    def paths(self):
        """The points of each run, ``[steps + 1, 2]``, in order."""
        return [self._path(name, numbers) for name, numbers in self.runs]

    def heights(self):
        """The surface's value along each run, ``[steps + 1]``."""
        with numpy.errstate(all="ignore"):  # of one that diverges
            return [SURFACES[self.surface].surface.value(*points.T) for points in self.paths()]

    def _path(self, name, numbers):
        optimizer, place = OPTIMIZERS[name], SURFACES[self.surface]
        numbers = {**defaults(optimizer), "lr": RATES[self.surface][name], **numbers}
        kind, given = self.schedule
        given = {**{n: k.value for n, k in SCHEDULES[kind].knobs.items()}, **given}
        lrs = rates(kind, numbers["lr"], self.steps, given)
        noise = place.noise if self.noise is None else self.noise
        begin = {state: {**numbers, "lr": lrs[0]}[source] for state, source in optimizer.begin.items()}
        return path(
            optimizer.cls.rule, place.surface, self.start, self.steps, begin=begin, rates=lrs,
            disturbance=disturbances(self.steps, noise, self.seed) if noise else None, **numbers,
        )  # fmt: skip


def read(link):
    """The setting that an address names, ``...?surface=ravine&run=SGD,lr:0.05&run=Adam``.

    Raises:
        ValueError: something in it is unknown, no number, or out of its range. (The page takes its own default there instead.)
    """
    given, runs = {}, []
    for part in link.rpartition("?")[2].split("&"):
        key, _, text = part.partition("=")
        if key == "run":
            name, *pairs = text.split(",")
            runs.append((_known(name, OPTIMIZERS), _pairs(pairs, knobs(name))))
        elif key == "surface":
            given[key] = _known(text, SURFACES)
        elif key == "schedule":
            name, *pairs = text.split(",")
            given[key] = _known(name, SCHEDULES), _pairs(pairs, SCHEDULES[name].knobs)
        elif key == "start":
            given[key] = tuple(_number(x, -math.inf, math.inf) for x in text.split(","))
        elif key in ("steps", "seed"):
            given[key] = int(_number(text, *(STEPS if key == "steps" else SEEDS)))
        elif key == "noise":
            given[key] = _number(text, 0, LOUDEST)
        else:
            raise ValueError(f"a setting of the playground has no {key!r}")
    return Setting(**given, **({"runs": runs[:MOST]} if runs else {}))


def _pairs(pairs, knobs):
    numbers = dict(pair.split(":") for pair in pairs)
    ranges = {name: knobs[_known(name, knobs)] for name in numbers}
    lows = {name: 0 if knob.scale == "zero" else knob.low for name, knob in ranges.items()}
    return {name: _number(text, lows[name], ranges[name].high) for name, text in numbers.items()}


def _known(name, names):
    if name not in names:
        raise ValueError(f"the playground has no {name!r}; it has: {', '.join(names)}")
    return name


def _number(text, low, high):
    number = float(text)
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{text} is not from {low} to {high}")
    return number
