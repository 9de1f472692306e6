"""Learning rate against weight decay: a task that overfits, and a whole plane of networks trained together."""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from .. import functions
from .paths import states
from .setup import device, progress
from .tasks import Task, digits
from .training import _parameters, _seen, _stacked, _test


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

    def update(value, grad, step, rates, decays):
        shape = (-1,) + (1,) * (grad.ndim - 1)
        given = {**value, "grad": grad, "step": step}
        numbers = {**fixed, "lr": rates.view(shape), "weight_decay": decays.view(shape)}
        new = names[program.name](*(given[n] for n in program.variables), **numbers)
        return dict(zip(program.outputs, new))

    return update
