"""Step decay, as in `torch.optim.lr_scheduler.StepLR`."""

from torch.optim import lr_scheduler

from ..functions import floor
from ..rule import rule
from .scheduled import Scheduled, finite, require

__all__ = ["StepLR", "step_lr"]


@rule(symbols={"gamma": "r", "step_size": "s"})
def step_lr(step, *, base_lr, step_size, gamma=0.1):
    lr = base_lr * gamma ** floor(step / step_size)
    return lr


class StepLR(Scheduled, lr_scheduler.StepLR):
    r"""Multiplies each rate by ``gamma`` every ``step_size`` steps; a drop-in for torch's.

    Args:
        optimizer: whose groups' rates to set.
        step_size: steps :math:`s` from one drop to the next, positive and whole.
        gamma: the factor :math:`r` of a drop.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``step_size`` is not a positive whole number, or ``gamma`` is not finite.
        TypeError: one of them is not a number.
    """

    rule = step_lr

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        require(self, "step_size", step_size, "a positive whole number of steps", lambda s: s > 0 and s % 1 == 0)
        finite(self, gamma=gamma)
        super().__init__(optimizer, step_size, gamma, last_epoch)

    def _change(self, group):  # as a ratio: in a long run the factor itself leaves the range of floats
        drops = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return 1, self.gamma if drops else 1
