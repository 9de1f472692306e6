"""Cosine annealing with warm restarts, as in `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`."""

from torch.optim import lr_scheduler

from ..functions import cos, floor, log, pi
from ..rule import rule
from .scheduled import Scheduled, finite

__all__ = ["CosineAnnealingWarmRestarts", "cosine_annealing_warm_restarts"]


@rule(symbols={"T0": "T_0", "T_mult": r"T_{\mathrm{mult}}", "restarts": "n",
               "begun": r"T^{\mathrm{begun}}", "T_i": "T", "T_cur": r"T^{\mathrm{cur}}"})  # fmt: skip
def cosine_annealing_warm_restarts(step, *, base_lr, T0, T_mult=1, eta_min=0.0):
    if T_mult == 1:
        restarts = floor(step / T0)
        begun = restarts * T0
    else:
        restarts = floor(log(1 + (T_mult - 1) * step / T0) / log(T_mult))
        begun = T0 * (T_mult**restarts - 1) / (T_mult - 1)
    T_i = T0 * T_mult**restarts
    T_cur = (step - begun) % T_i  # the remainder mends a logarithm that was rounded across a restart
    lr = eta_min + (base_lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2
    return lr


class CosineAnnealingWarmRestarts(Scheduled, lr_scheduler.CosineAnnealingWarmRestarts):
    r"""Lowers each rate along half a cosine, again and again from the top; a drop-in for torch's.

    A cycle begins at ``base_lr`` and ends just above ``eta_min``; each is ``T_mult`` times as long as the last.
    A rate changed by hand lasts until the next step. ``scheduler.step(epoch + i / n)`` goes to a fraction of an epoch.

    Args:
        optimizer: whose groups' rates to set.
        T_0: steps of the first cycle, a positive int.
        T_mult: the factor from one cycle's length to the next's, an int from 1 on.
        eta_min: the lowest rate :math:`\gamma_{\min}`.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: a number is none of these, or `step` is told a negative epoch.

    Source: Loshchilov and Hutter 2017, equation 5.
    """

    rule = cosine_annealing_warm_restarts
    paper = {"title": "SGDR: Stochastic Gradient Descent with Warm Restarts", "authors": "Loshchilov and Hutter", "year": 2017,
             "url": "https://arxiv.org/abs/1608.03983"}  # fmt: skip

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        if isinstance(eta_min, float):
            finite(self, eta_min=eta_min)
        super().__init__(optimizer, T_0, T_mult, eta_min, last_epoch)
        if last_epoch >= 0:  # torch counts no more than one restart
            self.step(last_epoch + 1)

    def get_lr(self):
        """The closed form at this time, whatever rate stood."""
        lr_scheduler._warn_get_lr_called_within_step(self)
        return [self._rate(self._time(), i, base) for i, base in enumerate(self.base_lrs)]

    def _time(self):
        """Steps since the start; `last_epoch` is its whole part."""
        return self.T_cur if self.T_mult == 1 else (self.T_i - self.T_0) / (self.T_mult - 1) + self.T_cur

    def _numbers(self, group):
        return {"T0": self.T_0, "T_mult": self.T_mult, "eta_min": self.eta_min}

    def _update_lr(self, epoch=None):  # SequentialLR starts a schedule so
        self.step(epoch)
