"""Networks that are hard to start: normed after the sum, or steep from the first step; and how far each update moves them."""

from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn

from ..optim import Adam
from .tasks import digits_mlp
from .training import train


class Block(nn.Module):
    """A transformer's residual block without its attention, normed after the sum or inside of the branch."""

    def __init__(self, width, after):
        super().__init__()
        self.after, self.norm = after, nn.LayerNorm(width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x):
        return self.norm(x + self.think(x)) if self.after else x + self.think(self.norm(x))


def normed(after, depth=6, width=32, batch_size=32):
    """Digits, and residual blocks: normed ``after`` the sum, as in the first transformer, or before, as in those of today."""

    def model():
        return nn.Sequential(nn.Linear(64, width), *[Block(width, after) for _ in range(depth)], nn.Linear(width, 10))

    return replace(digits_mlp(batch_size=batch_size), model=model)


def steep(scale=4, width=32, batch_size=64):
    """Digits, and two hidden layers whose weights are drawn ``scale`` times as large as usual."""

    def model():
        layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
        with torch.no_grad():
            for layer in layers[::2]:
                layer.weight *= scale
        return nn.Sequential(*layers)

    return replace(digits_mlp(batch_size=batch_size), model=model)


def updates(task, lr, scheduler, steps=100, seed=0):
    """Trains one network with Adam, and returns what share of each weight matrix its updates are: ``[step, matrix]``.

    Args:
        scheduler: makes a scheduler of the optimizer.
    """
    seen = []

    def optimizer(params):
        made = Adam(params, lr=lr)
        made.register_step_pre_hook(lambda *_: seen.append(_matrices(made)))
        return made

    model, _ = train(task, optimizer, steps, seed=seed, scheduler=scheduler)
    seen.append([p.detach() for p in model.parameters() if p.ndim == 2])
    shares = [[(new - old).norm() / old.norm() for old, new in zip(*pair)] for pair in pairwise(seen)]
    return torch.tensor(shares)


def _matrices(optimizer):
    return [p.detach().clone() for group in optimizer.param_groups for p in group["params"] if p.ndim == 2]
