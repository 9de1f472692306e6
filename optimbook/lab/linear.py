"""A real task whose loss is exactly a quadratic, and what the noisy quadratic has to know of it: nothing is fitted."""

import torch
from torch import nn

from .tasks import Task, digits


def linear_digits(batch_size=8):
    """Digits by least squares: a linear model of the pixels, towards 1 for the right digit and 0 for the others."""
    pairs = [(inputs.double(), nn.functional.one_hot(labels, 10).double()) for inputs, labels in digits()]
    return Task(lambda: nn.Linear(64, 10).double(), *pairs, _squares, batch_size)


def directions(task, start, *, weight_decay=0.01):
    """The eigenvectors of the Hessian of `linear_digits`, one number each; the ten outputs share them, and are summed.

    Args:
        start: the stacked parameters that the runs begin with.

    Returns:
        Curvatures; variances of the gradient of one batch at the bottom; losses at the start above the bottom, averaged over
        runs, all three as arrays ``[direction]``; and the least loss.
    """
    inputs, targets = (x.cpu() for x in task.train)
    rows = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)  # the bias is the last weight
    hessian = rows.T @ rows / len(rows) + weight_decay * torch.eye(rows.shape[1], dtype=rows.dtype)
    curvature, axes = torch.linalg.eigh(hessian)
    best = torch.linalg.solve(hessian, rows.T @ targets / len(rows))
    errors = rows @ best - targets
    noise = ((rows @ axes)[:, :, None] * errors[:, None]).var(0, unbiased=False).sum(-1) / task.batch_size
    weights = torch.cat([start["weight"], start["bias"][..., None]], -1).mT.cpu()
    away = (axes.T @ (weights - best)).square().sum(-1).mean(0)
    least = _squares(rows @ best, targets) + weight_decay / 2 * best.square().sum()
    return curvature.numpy(), noise.numpy(), (curvature * away / 2).numpy(), least.item()


def _squares(outputs, targets):
    return (outputs - targets).square().sum(-1).mean() / 2
