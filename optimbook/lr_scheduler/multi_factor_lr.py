"""A constant factor at each of some steps, down to a floor."""

import math
from bisect import bisect_right

from torch.optim import lr_scheduler

from ..functions import maximum, minimum
from ..rule import rule
from .scheduled import Scheduled, require

__all__ = ["MultiFactorLR", "multi_factor"]


@rule(symbols={"factor": r"\alpha", "min_lr": r"\gamma_{\min}", "passed": "k"})
def multi_factor(step, *, base_lr, factor, passed, min_lr=0.0):
    lr = maximum(base_lr * factor ** passed(step), minimum(min_lr, base_lr))
    return lr


class MultiFactorLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Multiplies each rate by ``factor`` at each milestone, but does not take it below ``min_lr``.

    It is `MultiStepLR` with a floor. A rate that is below the floor anyway (a group with a small
    one, or one set by hand) is left as it is.

    Args:
        optimizer: whose groups' rates to set.
        milestones: the steps from which on the rate is lower, in any order; one that stands twice counts twice.
            In the rule, ``passed`` is the function :math:`k(t)` that counts those up to a step.
        factor: :math:`\alpha`, above 0 and at most 1.
        min_lr: the floor :math:`\gamma_{\min}`, a rate.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``factor`` is not above 0 and at most 1, ``min_lr`` is negative or not finite, or a milestone is
            not a whole number from 1 on.

    Source: Zhang et al. 2023, section 12.11, multi factor scheduler.
    """

    rule = multi_factor
    paper = {"title": "Dive into Deep Learning", "authors": "Zhang, Lipton, Li and Smola", "year": 2023,
             "url": "https://d2l.ai/chapter_optimization/lr-scheduler.html"}  # fmt: skip

    def __init__(self, optimizer, milestones, factor=0.1, min_lr=0.0, last_epoch=-1):
        for milestone in milestones:
            require(self, "milestones", milestone, "whole steps, counted from 1", lambda m: m >= 1 and m % 1 == 0)
        require(self, "factor", factor, "a number above 0 and at most 1", lambda x: 0 < x <= 1)
        require(self, "min_lr", min_lr, "a finite rate, not negative", lambda x: 0 <= x < math.inf)
        self.milestones, self.factor, self.min_lr = sorted(milestones), factor, min_lr
        super().__init__(optimizer, last_epoch)

    def passed(self, step):
        """How many milestones lie at or before a step.

        Args:
            step: a number, counted from 0.
        """
        return bisect_right(self.milestones, step)

    def _moved(self, group, rate):
        crossed = self.passed(self.last_epoch) - self.passed(self.last_epoch - 1)
        return self.rule(self.last_epoch, base_lr=rate, factor=self.factor, min_lr=self.min_lr, passed=lambda step: crossed)
