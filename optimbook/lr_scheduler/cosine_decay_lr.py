"""Half a cosine down to a floor, which it does not leave."""

from torch.optim import lr_scheduler

from ..functions import cos, minimum, pi
from ..rule import rule
from .scheduled import Scheduled, require, steps

__all__ = ["CosineDecayLR", "cosine_decay"]


@rule(symbols={"total_steps": "T", "scale_min": r"s_{\min}", "progress": "p"})
def cosine_decay(step, *, base_lr, total_steps, scale_min=0.0):
    progress = minimum(step / total_steps, 1)
    lr = base_lr * (scale_min + (1 - scale_min) * (1 + cos(pi * progress)) / 2)
    return lr


class CosineDecayLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Lowers each rate along half a cosine, from ``base_lr`` to ``base_lr * scale_min``, where it stays.

    It is flat at both ends. Two things set it apart from `CosineAnnealingLR`: it does not rise
    again, and its floor is a fraction of each group's own rate.

    Args:
        optimizer: whose groups' rates to set.
        total_steps: updates :math:`T` of the run; the floor is reached after the last of them.
        scale_min: the floor, as a fraction of ``base_lr``.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``total_steps`` is not positive, or ``scale_min`` is not between 0 and 1.

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.
    """

    rule = cosine_decay
    paper = {"title": "SGDR: Stochastic Gradient Descent with Warm Restarts", "authors": "Loshchilov and Hutter", "year": 2017,
             "url": "https://arxiv.org/abs/1608.03983"}  # fmt: skip

    def __init__(self, optimizer, total_steps, scale_min=0.0, last_epoch=-1):
        steps(self, total_steps=total_steps)
        require(self, "scale_min", scale_min, "a fraction of the rate, from 0 to 1", lambda x: 0 <= x <= 1)
        self.total_steps, self.scale_min = total_steps, scale_min
        super().__init__(optimizer, last_epoch)
