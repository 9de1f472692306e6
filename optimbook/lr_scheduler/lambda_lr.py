"""The rate as any function of the step, as in `torch.optim.lr_scheduler.LambdaLR`."""

from torch.optim import lr_scheduler

from ..rule import rule
from .scheduled import Scheduled

__all__ = ["LambdaLR", "lambda_lr"]


@rule
def lambda_lr(step, *, base_lr, lr_lambda):
    lr = base_lr * lr_lambda(step)
    return lr


class LambdaLR(Scheduled, lr_scheduler.LambdaLR):
    r"""Multiplies each group's ``base_lr`` by a function of the step; a drop-in for torch's.

    Args:
        optimizer: whose groups' rates to set.
        lr_lambda: a function from the step, counted from 0, to a factor; or a list of them, one per group.
            Functions are not saved with the scheduler; a callable object's ``__dict__`` is.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: there are not as many functions as groups.
        TypeError: something in ``lr_lambda`` cannot be called.
    """

    rule = lambda_lr

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        for function in lr_lambda if isinstance(lr_lambda, (list, tuple)) else [lr_lambda]:
            if not callable(function):
                raise TypeError(f"LambdaLR: lr_lambda must be a function of the step, and is {function!r}")
        super().__init__(optimizer, lr_lambda, last_epoch)

    def _numbers(self, group):
        return {"lr_lambda": self.lr_lambdas[group]}

    def get_lr(self):
        """The closed form at this step, whatever rate stood: a function gives no change to carry on."""
        lr_scheduler._warn_get_lr_called_within_step(self)
        return self._get_closed_form_lr()
