"""Layer by layer: how long weights, gradients and steps are, and a network whose layers an optimizer cannot tell apart."""

from dataclasses import replace

import torch
from torch import nn
from torch.func import functional_call

from .setup import device, progress
from .tasks import digits_mlp
from .training import _model


def deep_digits(width=24, depth=4, batch_size=128):
    """Digits, and a network of several hidden layers without biases; float64, so that long runs are the same on every processor."""

    def model():
        sizes = [64, *[width] * depth, 10]
        layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair, bias=False), nn.ReLU())]
        return nn.Sequential(*layers[:-1]).double()

    task = digits_mlp()
    train, test = ((inputs.double(), targets) for inputs, targets in (task.train, task.test))
    return replace(task, model=model, train=train, test=test, batch_size=batch_size)


class OneTensor(nn.Module):
    """A network all of whose weights are one matrix of a single row, so that to an optimizer they are one layer."""

    def __init__(self, network):
        super().__init__()
        weights = dict(network.named_parameters())
        self.network = [network.requires_grad_(False)]  # in a list, so that its weights are not parameters of this module
        self.shapes = {name: weight.shape for name, weight in weights.items()}
        self.row = nn.Parameter(torch.cat([weight.flatten() for weight in weights.values()])[None])

    def forward(self, inputs):
        parts = self.row[0].split([shape.numel() for shape in self.shapes.values()])
        weights = {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts)}
        return functional_call(self.network[0], weights, (inputs,))


def lengths(task, optimizer, steps, *, seed=0):
    """Trains one model; how long the weights, the gradient and the step of each of its matrices are.

    Args:
        optimizer: makes an optimizer of parameters, as for `train`.

    Returns:
        The names of the matrices, and an array ``[step, matrix, 3]``.
    """
    model = _model(task, seed).to(device())
    names, weights = zip(*[(name, p) for name, p in model.named_parameters() if p.ndim > 1])
    optimizer, (inputs, targets), seen = optimizer(model.parameters()), task.train, []
    for batch in progress(task.batches(steps, seed).to(device()), "lengths"):
        optimizer.zero_grad()
        task.loss(model(inputs[batch]), targets[batch]).backward()
        before = [weight.detach().clone() for weight in weights]
        optimizer.step()
        triples = [(old, new.grad, new.detach() - old) for old, new in zip(before, weights)]
        seen.append(torch.stack([torch.stack([x.norm() for x in triple]) for triple in triples]))
    return names, torch.stack(seen).cpu().numpy()
