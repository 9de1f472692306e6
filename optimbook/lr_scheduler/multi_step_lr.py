"""Step decay at given steps, as in `torch.optim.lr_scheduler.MultiStepLR`."""

from bisect import bisect_right
from collections import Counter

from torch.optim import lr_scheduler

from ..rule import rule
from .scheduled import Scheduled, finite, require

__all__ = ["MultiStepLR", "multi_step_lr"]


@rule(symbols={"gamma": "r", "passed": "k"})
def multi_step_lr(step, *, base_lr, passed, gamma=0.1):
    lr = base_lr * gamma ** passed(step)
    return lr


class MultiStepLR(Scheduled, lr_scheduler.MultiStepLR):
    r"""Multiplies each rate by ``gamma`` at each milestone; a drop-in for torch's.

    In the rule, ``passed`` is the function :math:`k(t)` that counts the milestones up to a step.

    Args:
        optimizer: whose groups' rates to set.
        milestones: steps, in any order; one that stands twice counts twice.
        gamma: the factor :math:`r` of a drop.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: a milestone is not a whole number from 0 on, or ``gamma`` is not finite.
        TypeError: one of them is not a number.

    Source: Goyal et al. 2017, section 5.1, drops by 1/10 at epochs 30, 60 and 80.
    """

    rule = multi_step_lr
    paper = {"title": "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", "authors": "Goyal et al.", "year": 2017,
             "url": "https://arxiv.org/abs/1706.02677"}  # fmt: skip

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        milestones = Counter(milestones)
        for milestone in milestones:
            require(self, "milestones", milestone, "whole steps, counted from 0", lambda m: m >= 0 and m % 1 == 0)
        finite(self, gamma=gamma)
        super().__init__(optimizer, milestones, gamma, last_epoch)

    def passed(self, step):
        """How many milestones lie at or before a step.

        Args:
            step: a number, counted from 0.
        """
        return bisect_right(sorted(self.milestones.elements()), step)

    def _change(self, group):  # as a ratio: in a long run the factor itself leaves the range of floats
        return 1, self.gamma ** self.milestones[self.last_epoch]
