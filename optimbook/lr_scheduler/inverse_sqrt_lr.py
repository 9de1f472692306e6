"""A linear warmup, then the inverse square root of the number of updates."""

from torch.optim import lr_scheduler

from ..functions import minimum, sqrt
from ..rule import rule
from .scheduled import Scheduled, steps

__all__ = ["InverseSqrtLR", "inverse_sqrt"]


@rule(symbols={"warmup_steps": "W", "update": "n"})
def inverse_sqrt(step, *, base_lr, warmup_steps):
    update = step + 1
    lr = base_lr * minimum(update / warmup_steps, sqrt(warmup_steps / update))
    return lr


class InverseSqrtLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Raises each rate in a straight line, then lowers it by the inverse square root of the number of updates.

    The rates of the first ``warmup_steps`` updates are 1, 2, ... of ``warmup_steps`` parts of ``base_lr``, which
    is the peak; from there on, four times the updates halve the rate. It needs no end, so a run can go on for ever.
    It is `NoamLR` with the peak given instead of the model's width.

    Args:
        optimizer: whose groups' rates to set; ``base_lr`` is the peak.
        warmup_steps: updates :math:`W` up to the peak, positive; 1 for no warmup.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``warmup_steps`` is not positive.

    Source: Vaswani et al. 2017, section 5.3, scaled so that the peak is ``base_lr``.
    """

    rule = inverse_sqrt
    paper = {"title": "Attention Is All You Need", "authors": "Vaswani et al.", "year": 2017, "url": "https://arxiv.org/abs/1706.03762"}

    def __init__(self, optimizer, warmup_steps, last_epoch=-1):
        steps(self, warmup_steps=warmup_steps)
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)
