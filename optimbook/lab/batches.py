"""Batches of a training set: a loss as a function of one vector, random batches, a rare class, and training that is watched."""

from copy import deepcopy
from dataclasses import replace

import torch
from torch.func import functional_call, grad, vmap

from .paths import advance, states
from .setup import device, progress
from .tasks import digits_mlp
from .training import _model, _parameters, _stacked


def flat(task, model=None):
    """All parameters as one vector, float64, and the loss as a function of it: ``theta, loss``.

    ``loss(theta)`` is the mean over the training data; ``loss(theta, inputs, targets)`` that over other examples.
    """
    model = deepcopy(model or _model(task, 0)).to(device()).double()
    inputs, targets = task.train[0].double(), task.train[1]
    named = dict(model.named_parameters())
    sizes = [p.numel() for p in named.values()]

    def loss(theta, inputs=inputs, targets=targets):
        parts = theta.split(sizes)
        parameters = {name: part.view(p.shape) for part, (name, p) in zip(parts, named.items())}
        return task.loss(functional_call(model, parameters, (inputs,)), targets)

    return torch.cat([p.detach().flatten() for p in named.values()]), loss


def random_batches(examples, size, count, *, replacement=False, seed=0):
    """Indices of random batches, ``[count, size]``: the same on every device."""
    draw = torch.Generator().manual_seed(seed)
    if replacement:
        return torch.randint(examples, (count, size), generator=draw)
    return torch.rand(count, examples, generator=draw).argsort(1)[:, :size]


def rare_digit(digit, keep, width=32):
    """Digits of which the training data hold only ``keep`` of one class; the others of it join the test data."""
    task = digits_mlp(width)
    inputs, targets = task.train
    moved = torch.zeros_like(targets, dtype=torch.bool)
    moved[(targets == digit).nonzero().flatten()[keep:]] = True
    test = [torch.cat([old, new[moved]]) for old, new in zip(task.test, task.train)]
    return replace(task, train=(inputs[~moved], targets[~moved]), test=tuple(test))


def watch(rule, task, measure, *, lr, seeds, moments, **hyperparameters):
    """Trains a network for each learning rate and seed, all together, and measures them on the way.

    Args:
        measure: of a network, which is a function from inputs to outputs; returns a tensor.
        moments: after which steps, in rising order; training ends with the last.

    Returns:
        What was measured, ``[moment, lr, seed, ...]``.
    """
    model, values = _stacked(task, len(lr), seeds, states(rule, **hyperparameters))
    rates = torch.tensor(lr, device=device()).repeat_interleave(seeds)
    batches = torch.stack([task.batches(moments[-1], seed) for seed in range(seeds)] * len(lr), 1).to(device())
    inputs, targets = task.train

    def loss(parameters, inputs, targets):
        return task.loss(functional_call(model, parameters, (inputs,)), targets)

    def update(values, grad, lr, step):
        new = advance(rule, {**values, "grad": grad, "step": step, "first": step == 1}, lr=lr, **hyperparameters)
        return {name: new[name] for name in values}

    def seen(parameters):
        return measure(lambda inputs: functional_call(model, parameters, (inputs,)))

    gradients, update, seen, found = vmap(grad(loss)), vmap(update, in_dims=(0, 0, 0, None)), vmap(seen), []
    for step, batch in enumerate(progress(batches, f"batches of {batches.shape[-1]}"), 1):
        grads = gradients(_parameters(values), inputs[batch], targets[batch])
        values = {name: update(values[name], grad, rates, step) for name, grad in grads.items()}
        if step in moments:
            found.append(seen(_parameters(values)).double().cpu())
    return torch.stack(found).unflatten(1, (len(lr), seeds))
