"""The change of the rate as any function of the step, as in `torch.optim.lr_scheduler.MultiplicativeLR`."""

from torch.optim import lr_scheduler

from ..rule import rule
from .scheduled import Scheduled, require

__all__ = ["MultiplicativeLR", "multiplicative_lr"]


@rule
def multiplicative_lr(step, lr, *, lr_lambda):
    lr = lr * lr_lambda(step)
    return lr


class MultiplicativeLR(Scheduled, lr_scheduler.MultiplicativeLR):
    r"""Multiplies each rate by a function of the step, at every step; a drop-in for torch's.

    There is no closed form: `lr_at` multiplies all the factors up to its step, the first being that of step 1.

    Args:
        optimizer: whose groups' rates to set.
        lr_lambda: a function :math:`\lambda` from the step to a factor; or a list of them, one per group.
            Functions are not saved with the scheduler; a callable object's ``__dict__`` is.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: there are not as many functions as groups; `lr_at` of a step that is not whole.
        TypeError: something in ``lr_lambda`` cannot be called.
    """

    rule = multiplicative_lr

    def _rate(self, step, group, base_lr):
        require(self, "step", step, "whole steps, since each multiplies the last", lambda t: t % 1 == 0)
        lr = base_lr
        for t in range(1, int(step) + 1):
            lr = self.rule(t, lr, lr_lambda=self.lr_lambdas[group])
        return lr

    def _moved(self, group, rate):
        return rate * 1 if self._is_initial else self.rule(self.last_epoch, rate, lr_lambda=self.lr_lambdas[group])

    def _get_closed_form_lr(self):  # so a jump to a step multiplies by its factor alone, as in torch
        return self.get_lr()
