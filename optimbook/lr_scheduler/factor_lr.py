"""A constant factor at every step, down to a floor."""

import math

from torch.optim import lr_scheduler

from ..functions import maximum, minimum
from ..rule import rule
from .scheduled import Scheduled, require

__all__ = ["FactorLR", "factor_decay"]


@rule(symbols={"factor": r"\alpha", "min_lr": r"\gamma_{\min}"})
def factor_decay(step, *, base_lr, factor, min_lr=0.0):
    lr = maximum(base_lr * factor**step, minimum(min_lr, base_lr))
    return lr


class FactorLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Multiplies each rate by ``factor`` at every step, but does not take it below ``min_lr``.

    It is `ExponentialLR` with a floor. A rate that is below the floor anyway (a group with a small
    one, or one set by hand) is left as it is.

    Args:
        optimizer: whose groups' rates to set.
        factor: :math:`\alpha`, above 0 and at most 1.
        min_lr: the floor :math:`\gamma_{\min}`, a rate.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``factor`` is not above 0 and at most 1, or ``min_lr`` is negative or not finite.

    Source: Zhang et al. 2023, section 12.11, factor scheduler.
    """

    rule = factor_decay
    paper = {"title": "Dive into Deep Learning", "authors": "Zhang, Lipton, Li and Smola", "year": 2023,
             "url": "https://d2l.ai/chapter_optimization/lr-scheduler.html"}  # fmt: skip

    def __init__(self, optimizer, factor, min_lr=0.0, last_epoch=-1):
        require(self, "factor", factor, "a number above 0 and at most 1", lambda x: 0 < x <= 1)
        require(self, "min_lr", min_lr, "a finite rate, not negative", lambda x: 0 <= x < math.inf)
        self.factor, self.min_lr = factor, min_lr
        super().__init__(optimizer, last_epoch)

    def _moved(self, group, rate):
        return self._rate(min(self.last_epoch, 1), group, rate)  # the closed form, one step from the rate that stands
