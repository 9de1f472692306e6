"""The noise floor of a network: many descend side by side, and their loss is taken over all data, free of the batch's noise."""

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from .decay import few_digits
from .setup import device, progress
from .training import _model


def noisy_digits(width=8, batch_size=10):
    """Digits of which a fifth have a label drawn at random, and a network too small to learn them by heart: its gradients stay noisy."""
    model = lambda: nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10))
    return few_digits(examples=1037, batch_size=batch_size, model=model)[1]


def draw(task, seeds):
    """The first parameters of a network for each seed, stacked."""
    stacked, _ = stack_module_state([_model(task, seed) for seed in range(seeds)])
    return {name: value.detach().to(device()) for name, value in stacked.items()}


def descend(task, start, rates, *, weight_decay=0.01, every=20, shuffled=False, seed=0):
    """SGD from each of the stacked networks at each column of rates.

    Weight decay is part of the loss: without it flat directions would creep downhill for ever.

    Args:
        rates: ``[steps, column]``.
        every: how many steps lie between two looks at the loss.
        shuffled: whether batches cut shuffled epochs into pieces; if not, each is drawn on its own.

    Returns:
        The losses over all data ``[column, seed, look]``, and the parameters at the end, stacked.
    """
    rates = torch.as_tensor(rates, dtype=torch.float64, device=device())
    (steps, columns), seeds = rates.shape, len(next(iter(start.values())))
    values = {name: torch.cat([value] * columns) for name, value in start.items()}
    drawn = [_batches(task, steps, seed + i, shuffled) for i in range(seeds)]
    batches = torch.stack(drawn * columns, 1).to(device())
    loss, (inputs, targets), losses = _loss(task, weight_decay), task.train, []
    for step, (batch, rate) in enumerate(zip(progress(batches, "descend"), rates.repeat_interleave(seeds, 1))):
        if step % every == 0:
            losses.append(loss(values, *(x.expand(len(rate), *x.shape) for x in task.train)))
        gradients = _gradients(loss, values, inputs[batch], targets[batch])
        values = {n: v - rate.view(-1, *[1] * (v.ndim - 1)) * gradients[n] for n, v in values.items()}
    return torch.stack(losses, -1).unflatten(0, (columns, seeds)).cpu(), values


def bottom(task, start, *, weight_decay=0.01, steps=300):
    """Where the loss over all data is least near each of the stacked networks, by L-BFGS: the losses ``[seed]``, and the parameters."""
    loss = _loss(task, weight_decay)
    values = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.LBFGS(values.values(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe")
    count = len(next(iter(start.values())))

    def losses():
        return loss(values, *(x.expand(count, *x.shape) for x in task.train))

    def closure():
        optimizer.zero_grad()
        total = losses().sum()
        total.backward()
        return total

    optimizer.step(closure)
    return losses().detach().cpu(), {name: value.detach() for name, value in values.items()}


def _loss(task, weight_decay):
    """Of every network, each on its own examples."""

    def loss(values, inputs, targets):
        decay = sum(value.square().sum() for value in values.values())
        return task.loss(functional_call(model, values, (inputs,)), targets) + weight_decay / 2 * decay

    model = _model(task, 0).to(device())
    return vmap(loss)


def _gradients(loss, values, inputs, targets):
    values = {name: value.detach().requires_grad_() for name, value in values.items()}
    found = torch.autograd.grad(loss(values, inputs, targets).sum(), list(values.values()))
    return dict(zip(values, found))


def _batches(task, steps, seed, shuffled):
    if shuffled:
        return task.batches(steps, seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(task.train[0]), (steps, task.batch_size), generator=generator)
