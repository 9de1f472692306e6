"""Schedulers side by side: networks train together, each at the rate that a scheduler of its own sets."""

from dataclasses import replace

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..optim import SGD
from .setup import device
from .training import grid


def race(rule, task, schedulers, *, lr, seeds=3, steps=150, watch=30, metric=None, **hyperparameters):
    """Trains a network for each scheduler, learning rate and seed, all of them together; returns each scheduler's `Runs`.

    Args:
        rule, task, seeds, steps, hyperparameters: as for `grid`.
        schedulers: ``{name: make}``, where ``make(optimizer)`` is a scheduler; stepped after each batch, but a
            `ReduceLROnPlateau` after every ``watch`` batches, with their mean loss, or with the metric.
        lr: the learning rates from which each of the schedulers starts.
        metric: of the parameters of all networks, stacked by name: one number for each network.
    """
    makers = [make for make in schedulers.values() for _ in range(len(lr) * seeds)]
    field = Field(makers, [rate for rate in lr for _ in range(seeds)] * len(schedulers), watch, metric)
    runs = grid(rule, task, lr=tuple(lr) * len(schedulers), seeds=seeds, steps=steps, schedule=field, **hyperparameters)
    runs = replace(runs, rates=torch.tensor(field.rates, dtype=torch.float64).T.unflatten(0, (-1, seeds)))
    return {name: _part(runs, slice(i * len(lr), (i + 1) * len(lr))) for i, name in enumerate(schedulers)}


def _part(runs, part):
    """The runs of some of the learning rates."""
    tensors = {name: getattr(runs, name)[part] for name in ("lrs", "losses", "test_loss", "test_accuracy", "rates")}
    return replace(runs, **tensors, parameters={name: value[part] for name, value in runs.parameters.items()})


class Field:
    """One scheduler for each network, on an optimizer that moves nothing; to `grid`, all of them are one schedule."""

    def __init__(self, makers, lr, watch, metric):
        self.optimizers = [SGD([torch.zeros(1, requires_grad=True)], lr=rate) for rate in lr]
        self.schedulers = [make(optimizer) for make, optimizer in zip(makers, self.optimizers)]
        self.lr, self.watch, self.metric, self.rates, self.losses = lr, watch, metric, [], []

    def __call__(self, step):
        """What each network's learning rate is multiplied by."""
        self.rates.append([optimizer.param_groups[0]["lr"] for optimizer in self.optimizers])
        return torch.tensor([rate / first for rate, first in zip(self.rates[-1], self.lr)], device=device())

    def see(self, losses, parameters):
        """The end of a step: schedulers move on."""
        self.losses.append(losses)
        due = len(self.losses) % self.watch == 0
        numbers = self.judge(parameters) if due else losses
        for optimizer, scheduler, number in zip(self.optimizers, self.schedulers, numbers):
            if len(self.losses) == 1:
                optimizer.step()  # once, before its scheduler, as torch wants it; it moves nothing
            if not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()
            elif due:
                scheduler.step(number)

    def judge(self, parameters):
        """What each network is judged by."""
        return (self.metric(parameters) if self.metric else torch.stack(self.losses[-self.watch :]).mean(0)).tolist()
