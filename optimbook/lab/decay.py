"""Learning rate against weight decay: a task that overfits, and a whole plane of networks trained together."""

from dataclasses import dataclass, replace

import numpy
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from .. import functions
from .paths import states
from .setup import device, progress
from .tasks import Task, digits
from .training import _parameters, _seen, _stacked, _test

DOTS = {"marker": "o", "markersize": 6, "color": "white", "markeredgecolor": "black", "clip_on": False}


@dataclass(frozen=True)
class Few(Task):
    """A task of which every seed sees only its own few examples."""

    examples: int = 200

    def batches(self, steps, seed=0):
        drawn = torch.randperm(len(self.train[0]), generator=torch.Generator().manual_seed(seed))[: self.examples]
        order = Task(self.model, (drawn, drawn), self.test, self.loss, self.batch_size).batches(steps, seed)
        return drawn[order]


def few_digits(width=24, examples=200, wrong=0.2, batch_size=40, model=None):
    """Two tasks alike, one scored on validation images and one on test images: few digits, some of them mislabelled.

    Args:
        examples: how many images a seed trains on.
        wrong: the share of training images whose label is drawn at random.
        model: makes the network; one hidden layer of ``width`` neurons if it is not given.
    """
    (inputs, targets), test = digits()
    pool, validation = slice(0, 1037), slice(1037, None)
    draw = torch.Generator().manual_seed(1)
    lies = torch.randint(0, 10, (1037,), generator=draw).to(device())
    lied = (torch.rand(1037, generator=draw) < wrong).to(device())
    labels = torch.where(lied, lies, targets[pool])
    model = model or (lambda: nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)))
    inputs, test = inputs.double(), (test[0].double(), test[1])
    task = Few(lambda: model().double(), (inputs[pool], labels), test, nn.functional.cross_entropy, batch_size, examples)
    return replace(task, test=(inputs[validation], targets[validation])), task


def plane(rule, task, *, lr, weight_decay, seeds=5, steps=300, **hyperparameters):
    """The loss on the task's test data after training with every pair: ``[lr, weight_decay, seed]``; inf where it diverged.

    All networks train together. The rule is taken with its decay switched on, so that each network has its own.
    """
    pairs = torch.cartesian_prod(*(torch.tensor(x, dtype=torch.float64, device=device()) for x in (lr, weight_decay)))
    rates, decays = pairs.repeat_interleave(seeds, 0).T
    hyperparameters = {**rule.defaults, **hyperparameters, "weight_decay": 1}
    model, values = _stacked(task, len(pairs), seeds, states(rule, **hyperparameters))
    batches = torch.stack([task.batches(steps, seed) for seed in range(seeds)] * len(pairs), 1).to(device())
    update, gradients = _update(rule, hyperparameters), vmap(grad(_loss(task, model)))
    for step, batch in enumerate(progress(batches, rule.name), 1):
        found = gradients(_parameters(values), task.train[0][batch], task.train[1][batch])
        values = {name: update(values[name], found[name], step, rates, decays) for name in found}
    loss, _ = vmap(lambda parameters: _test(task, model, parameters))(_parameters(values))
    return _seen(loss).view(len(lr), len(weight_decay), seeds)


def _loss(task, model):
    return lambda parameters, inputs, targets: task.loss(functional_call(model, parameters, (inputs,)), targets)


def _update(rule, hyperparameters):
    """One step of all networks; the rule's flags are decided, so that its hyperparameters may be tensors."""
    flags = {name: value for name, value in hyperparameters.items() if name in rule.flags}
    program, names = rule.program(**flags), dict(vars(functions))
    exec(rule.python(**flags), names)  # the rule's own text
    fixed = {n: hyperparameters[n] for n in program.hyperparameters if n in hyperparameters}

    def update(value, gradient, step, rates, decays):
        shape = (-1,) + (1,) * (gradient.ndim - 1)
        given = {**value, "grad": gradient, "step": step}
        numbers = {**fixed, "lr": rates.view(shape), "weight_decay": decays.view(shape)}
        new = names[program.name](*(given[n] for n in program.variables), **numbers)
        return dict(zip(program.outputs, new))

    return update


def best_decay(loss, weight_decay):
    """The decay of the least loss for each learning rate, read off a parabola through the lowest point and its neighbours."""
    found = []
    for row in loss.mean(-1).log():
        i = min(max(int(row.argmin()), 1), len(row) - 2)
        left, middle, right = row[i - 1 : i + 2].tolist()
        shift = (left - right) / (2 * (left - 2 * middle + right))
        ratio = weight_decay[i + 1] / weight_decay[i]
        found.append(weight_decay[i] * ratio ** min(max(shift, -1), 1))
    return numpy.array(found)


def edge(loss, weight_decay, height):
    """The decay at which the loss has risen to ``height``, for each learning rate; NaN outside of the grid."""
    rising = numpy.maximum.accumulate(loss.mean(-1).numpy(), axis=1)
    places = [numpy.interp(height, row, numpy.log(weight_decay), left=numpy.nan, right=numpy.nan) for row in rising]
    return numpy.exp(places)


def slope(x, y):
    """Of y against x, both on a logarithmic scale, where y is known."""
    x, y = numpy.log(x), numpy.log(y)
    return numpy.polyfit(x[~numpy.isnan(y)], y[~numpy.isnan(y)], 1)[0]


def draw_plane(axes, rates, decays, loss, *, lowest):
    """The loss over learning rates and decays, both on a logarithmic scale; ``decays`` may be ``[decay, rate]``."""
    levels = numpy.linspace(numpy.log(lowest), numpy.log(2), 13)
    if numpy.ndim(decays) == 2:
        rates = numpy.broadcast_to(rates, numpy.shape(decays))
    picture = axes.contourf(rates, decays, loss.mean(-1).T.log(), levels=levels, cmap="cividis", extend="both")
    axes.set(xscale="log", yscale="log", xlabel=r"$\gamma$", ylabel=r"$\lambda$")
    name_ticks(axes.xaxis, (0.002, 0.008, 0.032))
    return picture


def draw_bar(figure, panels, picture):
    """The scale of a plane's colours beside it."""
    low, high = numpy.exp(picture.levels[[0, -1]])
    ticks = [loss for loss in (0.7, 1, 1.5, 2) if low < loss < 1.01 * high]
    bar = figure.colorbar(picture, ax=panels, ticks=numpy.log(ticks))
    bar.set_ticklabels([f"{loss:g}" for loss in ticks])


def name_ticks(axis, values):
    """Marks just these values on an axis."""
    axis.set_ticks(values, labels=[f"{v:g}" for v in values])
    axis.set_ticks([], minor=True)
