"""The schedule of the first Transformer, named after Noam Shazeer."""

import math

from torch.optim import lr_scheduler

from ..functions import minimum
from ..rule import rule
from .scheduled import Scheduled, require, steps

__all__ = ["NoamLR", "noam"]


@rule(symbols={"model_size": "d", "warmup_steps": "W", "factor": "c", "update": "n"})
def noam(step, *, base_lr, model_size, warmup_steps, factor=1.0):
    update = step + 1
    lr = base_lr * factor * model_size**-0.5 * minimum(update**-0.5, update * warmup_steps**-1.5)
    return lr


class NoamLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Raises each rate in a straight line, then lowers it by the inverse square root; wider models get lower rates.

    The peak, at update number ``warmup_steps``, is ``base_lr * factor / sqrt(model_size * warmup_steps)``. The paper
    has no ``base_lr``: give the optimizer ``lr=1``, or the groups' rates relative to each other.

    Args:
        optimizer: whose groups' rates to set.
        model_size: width :math:`d_{\mathrm{model}}` of the model.
        warmup_steps: updates :math:`W` up to the peak, positive; 1 for no warmup.
        factor: what all rates are multiplied by.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``model_size``, ``warmup_steps`` or ``factor`` is not positive.

    Source: Vaswani et al. 2017, section 5.3, equation 3, whose ``step_num`` is counted from 1: it is ``step + 1`` here.
    """

    rule = noam
    paper = {"title": "Attention Is All You Need", "authors": "Vaswani et al.", "year": 2017, "url": "https://arxiv.org/abs/1706.03762"}

    def __init__(self, optimizer, model_size, warmup_steps, factor=1.0, last_epoch=-1):
        require(self, "model_size", model_size, "a positive finite width", lambda n: 0 < n < math.inf)
        steps(self, warmup_steps=warmup_steps)
        require(self, "factor", factor, "a positive finite number", lambda x: 0 < x < math.inf)
        self.model_size, self.warmup_steps, self.factor = model_size, warmup_steps, factor
        super().__init__(optimizer, last_epoch)
