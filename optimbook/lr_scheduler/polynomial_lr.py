"""Polynomial decay, as in `torch.optim.lr_scheduler.PolynomialLR`."""

import math

from torch.optim import lr_scheduler

from ..functions import minimum
from ..rule import rule
from .scheduled import Scheduled, require, steps

__all__ = ["PolynomialLR", "polynomial_lr"]


@rule(symbols={"power": "p", "total_iters": "T"})
def polynomial_lr(step, *, base_lr, total_iters=5, power=1.0):
    lr = base_lr * (1 - minimum(step, total_iters) / total_iters) ** power
    return lr


class PolynomialLR(Scheduled, lr_scheduler.PolynomialLR):
    r"""Lowers each rate to 0 along a power of the steps that remain, and stays there; a drop-in for torch's.

    Args:
        optimizer: whose groups' rates to set.
        total_iters: steps :math:`T` from ``base_lr`` to 0, positive.
        power: the power :math:`p`, not negative: 1 is a straight line.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``total_iters`` is not positive, ``power`` is negative, or one of them is not finite.
        TypeError: one of them is not a number.

    Source: the "poly" policy of Chen et al. 2018, section 4.1, there with ``power=0.9``.
    """

    rule = polynomial_lr
    paper = {"title": "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected CRFs",
             "authors": "Chen et al.", "year": 2018, "url": "https://arxiv.org/abs/1606.00915"}  # fmt: skip

    def __init__(self, optimizer, total_iters=5, power=1.0, last_epoch=-1):
        steps(self, total_iters=total_iters)
        require(self, "power", power, "a finite number that is not negative", lambda p: 0 <= p < math.inf)
        super().__init__(optimizer, total_iters, power, last_epoch)
