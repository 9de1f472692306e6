"""A constant factor for the first steps, as in `torch.optim.lr_scheduler.ConstantLR`."""

from torch.optim import lr_scheduler

from ..functions import where
from ..rule import rule
from .scheduled import Scheduled, require

__all__ = ["ConstantLR", "constant_lr"]


@rule(symbols={"factor": r"\alpha", "total_iters": "T"})
def constant_lr(step, *, base_lr, factor=1 / 3, total_iters=5):
    lr = where(step < total_iters, base_lr * factor, base_lr)
    return lr


class ConstantLR(Scheduled, lr_scheduler.ConstantLR):
    r"""Multiplies each rate by a constant for the first ``total_iters`` steps; a drop-in for torch's.

    Args:
        optimizer: whose groups' rates to set.
        factor: the constant :math:`\alpha`, from 0 to 1.
        total_iters: how many steps :math:`T` it lasts, positive; ``math.inf`` for ever.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``factor`` is not from 0 to 1, or ``total_iters`` is not positive.
        TypeError: one of them is not a number.

    Source: the constant warmup of Goyal et al. 2017, section 2.2.
    """

    rule = constant_lr
    paper = {"title": "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", "authors": "Goyal et al.", "year": 2017,
             "url": "https://arxiv.org/abs/1706.02677"}  # fmt: skip

    def __init__(self, optimizer, factor=1 / 3, total_iters=5, last_epoch=-1):
        if not 0 <= factor <= 1:
            raise ValueError(f"Constant multiplicative factor expected to be between 0 and 1. It is {factor}")
        require(self, "total_iters", total_iters, "a positive number of steps", lambda n: n > 0)
        super().__init__(optimizer, factor, total_iters, last_epoch)
