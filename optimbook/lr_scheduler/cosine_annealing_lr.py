"""Cosine annealing, as in `torch.optim.lr_scheduler.CosineAnnealingLR`."""

import math

from torch.optim import lr_scheduler

from ..functions import cos, pi
from ..rule import rule
from .scheduled import Scheduled

__all__ = ["CosineAnnealingLR", "cosine_annealing"]


@rule
def cosine_annealing(step, *, base_lr, T_max, eta_min=0.0):
    lr = eta_min + (base_lr - eta_min) * (1 + cos(pi * step / T_max)) / 2
    return lr


class CosineAnnealingLR(Scheduled, lr_scheduler.CosineAnnealingLR):
    r"""Lowers each rate along half a cosine, from ``base_lr`` to ``eta_min``; a drop-in for torch's.

    After ``T_max`` steps the rate rises again along the other half; it does not stay.

    Args:
        optimizer: whose groups' rates to set.
        T_max: steps from the top to the bottom, positive.
        eta_min: the lowest rate :math:`\gamma_{\min}`.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``T_max`` is not positive, or a number is not finite.

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.
    """

    rule = cosine_annealing
    floor = "eta_min"
    paper = {"title": "SGDR: Stochastic Gradient Descent with Warm Restarts", "authors": "Loshchilov and Hutter", "year": 2017,
             "url": "https://arxiv.org/abs/1608.03983"}  # fmt: skip

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        if not 0 < T_max < math.inf:
            raise ValueError(f"Invalid T_max: {T_max}; CosineAnnealingLR takes a positive finite number of steps")
        if not math.isfinite(eta_min):
            raise ValueError(f"Invalid eta_min: {eta_min}; CosineAnnealingLR takes a finite rate")
        super().__init__(optimizer, T_max, eta_min, last_epoch)
