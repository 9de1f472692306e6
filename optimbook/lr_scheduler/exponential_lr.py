"""Exponential decay, as in `torch.optim.lr_scheduler.ExponentialLR`."""

from torch.optim import lr_scheduler

from ..rule import rule
from .scheduled import Scheduled, finite

__all__ = ["ExponentialLR", "exponential_lr"]


@rule(symbols={"gamma": "r"})
def exponential_lr(step, *, base_lr, gamma):
    lr = base_lr * gamma**step
    return lr


class ExponentialLR(Scheduled, lr_scheduler.ExponentialLR):
    r"""Multiplies each rate by ``gamma`` at every step; a drop-in for torch's.

    Args:
        optimizer: whose groups' rates to set.
        gamma: the factor :math:`r` of a step.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: ``gamma`` is not finite.
        TypeError: it is not a number.
    """

    rule = exponential_lr

    def __init__(self, optimizer, gamma, last_epoch=-1):
        finite(self, gamma=gamma)
        super().__init__(optimizer, gamma, last_epoch)

    def _change(self, group):  # as a ratio: in a long run the factor itself leaves the range of floats
        return 1, self.gamma if self.last_epoch > 0 else 1
