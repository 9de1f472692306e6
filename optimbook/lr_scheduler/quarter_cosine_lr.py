"""A quarter of a cosine down to a floor, which it does not leave."""

from torch.optim import lr_scheduler

from ..functions import cos, minimum, pi
from ..rule import rule
from .scheduled import Scheduled, require, steps

__all__ = ["QuarterCosineLR", "quarter_cosine"]


@rule(symbols={"total_steps": "T", "scale_min": r"s_{\min}", "progress": "p"})
def quarter_cosine(step, *, base_lr, total_steps, scale_min=0.0):
    progress = minimum(step / total_steps, 1)
    lr = base_lr * (scale_min + (1 - scale_min) * cos(pi * progress / 2))
    return lr


class QuarterCosineLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Lowers each rate along a quarter of a cosine, from ``base_lr`` to ``base_lr * scale_min``, where it stays.

    It is flat at the top alone: it stays high longer than `CosineDecayLR` and comes down on a slope.

    Args:
        optimizer: whose groups' rates to set.
        total_steps: updates :math:`T` of the run; the floor is reached after the last of them.
        scale_min: the floor, as a fraction of ``base_lr``.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``total_steps`` is not positive, or ``scale_min`` is not between 0 and 1.
    """

    rule = quarter_cosine

    def __init__(self, optimizer, total_steps, scale_min=0.0, last_epoch=-1):
        steps(self, total_steps=total_steps)
        require(self, "scale_min", scale_min, "a fraction of the rate, from 0 to 1", lambda x: 0 <= x <= 1)
        self.total_steps, self.scale_min = total_steps, scale_min
        super().__init__(optimizer, last_epoch)
