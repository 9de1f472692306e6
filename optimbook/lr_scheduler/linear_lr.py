"""A factor that changes linearly over the first steps, as in `torch.optim.lr_scheduler.LinearLR`."""

from torch.optim import lr_scheduler

from ..functions import minimum
from ..rule import rule
from .scheduled import Scheduled, steps

__all__ = ["LinearLR", "linear_lr"]


@rule(symbols={"start_factor": r"\alpha_0", "end_factor": r"\alpha_T", "total_iters": "T"})
def linear_lr(step, *, base_lr, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    lr = base_lr * (start_factor + (end_factor - start_factor) * (minimum(step, total_iters) / total_iters))
    return lr


class LinearLR(Scheduled, lr_scheduler.LinearLR):
    r"""Multiplies each rate by a factor that goes linearly from one value to another, and stays; a drop-in for torch's.

    Args:
        optimizer: whose groups' rates to set.
        start_factor: the factor :math:`\alpha_0` at step 0, above 0 and at most 1.
        end_factor: the factor :math:`\alpha_T` from step ``total_iters`` on, from 0 to 1.
        total_iters: steps :math:`T` from one to the other, positive.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: a factor is not in its range, or ``total_iters`` is not positive and finite.
        TypeError: one of them is not a number.

    Source: the gradual warmup of Goyal et al. 2017, section 2.2.
    """

    rule = linear_lr
    paper = {"title": "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", "authors": "Goyal et al.", "year": 2017,
             "url": "https://arxiv.org/abs/1706.02677"}  # fmt: skip

    def __init__(self, optimizer, start_factor=1 / 3, end_factor=1.0, total_iters=5, last_epoch=-1):
        if not 0 < start_factor <= 1:
            raise ValueError(f"Starting multiplicative factor expected to be greater than 0 and less or equal to 1. It is {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"Ending multiplicative factor expected to be between 0 and 1. It is {end_factor}")
        steps(self, total_iters=total_iters)
        super().__init__(optimizer, start_factor, end_factor, total_iters, last_epoch)
