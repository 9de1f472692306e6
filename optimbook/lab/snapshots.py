"""Snapshots of many networks: what they predict, apart and together, and the loss on the straight line between two."""

from dataclasses import replace

import torch
from torch import nn
from torch.func import functional_call, vmap

from .setup import device
from .tasks import digits_mlp
from .training import _model


def noisy_digits(examples=600, wrong=0.1, width=64, batch_size=16):
    """Digits of which only some are trained on, a share of them with a label drawn at random; all others are the test data."""
    task = digits_mlp(batch_size=batch_size)
    (inputs, targets), draw = task.train, torch.Generator().manual_seed(1)
    lied = (torch.rand(len(targets), generator=draw) < wrong).to(device())
    lies = torch.randint(10, (len(targets),), generator=draw).to(device())
    test = tuple(torch.cat([old, new[examples:]]) for old, new in zip(task.test, task.train))
    train = inputs[:examples], torch.where(lied, lies, targets)[:examples]
    model = lambda: nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10))
    return replace(task, model=model, train=train, test=test)


def predictions(task, parameters):
    """Probabilities of the classes of the test examples, by stacked networks: ``[lr, seed, example, class]``."""
    return _outputs(task, task.test[0])(parameters).softmax(-1)


def log_loss(task, probabilities):
    """The test loss ``[...]`` of probabilities ``[..., example, class]``; the mean of several networks' is that of their ensemble."""
    right = probabilities.gather(-1, task.test[1].expand(probabilities.shape[:-1])[..., None])
    return -right.double().clamp_min(1e-30).log().mean((-2, -1)).cpu()


def error(task, probabilities):
    """The share of test examples ``[...]`` that probabilities ``[..., example, class]`` get wrong."""
    return (probabilities.argmax(-1) != task.test[1]).double().mean(-1).cpu()


def disagreement(one, other):
    """The share of examples ``[...]`` to which two networks give different classes."""
    return (one.argmax(-1) != other.argmax(-1)).double().mean(-1).cpu()


def along(task, one, other, points=21):
    """The loss over all training data on the straight line from one stack of networks to another: ``[point, lr, seed]``."""
    inputs, targets = task.train

    def loss(outputs):
        return task.loss(outputs, targets)

    outputs, losses = _outputs(task, inputs), vmap(vmap(loss))
    shares = torch.linspace(0, 1, points, dtype=torch.float64).tolist()
    mixed = ({name: torch.lerp(value, other[name], share) for name, value in one.items()} for share in shares)
    return torch.stack([losses(outputs(parameters)) for parameters in mixed]).double().cpu()


def _outputs(task, inputs):
    model = _model(task, 0).to(device())
    return vmap(vmap(lambda parameters: functional_call(model, parameters, (inputs,)).detach()))
