"""One scheduler after another, as in `torch.optim.lr_scheduler.SequentialLR`."""

import math

from torch.optim import lr_scheduler

from .composite import Composite, at_work, found, go, leaves
from .scheduled import require

__all__ = ["SequentialLR"]


class SequentialLR(Composite, lr_scheduler.SequentialLR):
    r"""Follows one scheduler up to each milestone and then the next, from its own step 0; a drop-in for torch's.

    Right also where torch's is not: built with ``last_epoch``, with its state loaded after the optimizer's or
    without it, and with sequences and chains as parts.

    Args:
        optimizer: whose groups' rates to set.
        schedulers: the parts, all of this optimizer.
        milestones: the steps at which the second, the third, ... part begins, in ascending order.
        last_epoch: the last step done, to resume: parts and rates are put where an untouched run would have brought
            them, whatever rates stand. At once if every part has a closed form, else by repeating the steps.

    Raises:
        ValueError: there is no scheduler, one belongs to another optimizer or needs a metric, or the milestones
            are not whole numbers in ascending order, one less than the schedulers.
        TypeError: something in ``schedulers`` is no scheduler, or a milestone is no number.
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        for milestone in milestones:
            require(self, "milestones", milestone, "whole steps", lambda m: m % 1 == 0 or m == math.inf)
        if sorted(milestones) != list(milestones):
            raise ValueError(f"Invalid milestones: {milestones}; SequentialLR takes them in ascending order")
        self._found = found(schedulers)
        super().__init__(optimizer, schedulers, milestones, last_epoch)
        # torch has set the rates to `initial_lr`, so that is where the first part begins, whatever it saw when it was built.
        for leaf in leaves(at_work(self, 0)[0]):
            if not isinstance(leaf, lr_scheduler.CyclicLR):  # which has a lowest rate of its own
                leaf.base_lrs = lr_scheduler._param_groups_val_list(optimizer, "initial_lr")
        go(self, self.last_epoch)

    def step(self):
        """Follows the part that is at work one step further, or starts the next."""
        self.last_epoch += 1
        part, own = at_work(self, self.last_epoch)
        if own == 0:
            go(part, 0)
        else:
            part.step()
        self._last_lr = part.get_last_lr()
