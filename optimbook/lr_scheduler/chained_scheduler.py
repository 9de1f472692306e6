"""Several schedulers at once, as in `torch.optim.lr_scheduler.ChainedScheduler`."""

from torch.optim import lr_scheduler

from .composite import Composite, found, write
from .scheduled import Scheduled

__all__ = ["ChainedScheduler"]


class ChainedScheduler(Composite, lr_scheduler.ChainedScheduler):
    r"""Lets each of its schedulers move the rates at every step, one after the other; a drop-in for torch's.

    Schedulers that multiply the rate that stands multiply with each other. One that shrinks towards a floor does so
    from the rate it finds. One that works out its rates anew (`LambdaLR`, `CyclicLR`, `OneCycleLR`, warm restarts)
    overwrites what those before it did.

    Right also where torch's is not: with parts built with ``last_epoch``, with its state loaded after the
    optimizer's or without it, and with sequences and chains as parts.

    Args:
        schedulers: the parts, all of one optimizer, in the order in which they were built.
        optimizer: that optimizer; the first part's if None.

    Raises:
        ValueError: there is no scheduler, or one belongs to another optimizer or needs a metric.
        TypeError: something in ``schedulers`` is no scheduler.
    """

    def __init__(self, schedulers, optimizer=None):
        self._found = found(schedulers)
        super().__init__(schedulers, optimizer)
        if all(isinstance(part, Scheduled) and part._step_count == 1 for part in schedulers):
            self._resume(*{part.last_epoch for part in schedulers})

    def step(self):
        """Moves each part one step further."""
        for part in self._schedulers:
            part.step()
        self._last_lr = lr_scheduler._param_groups_val_list(self.optimizer, "lr")

    def _resume(self, step, *others):
        """Puts the rates right that parts built with ``last_epoch`` have written, each seeing what the others wrote."""
        if step > 0 and not others:
            rates = [at if before is None else before for at, (_, before) in zip(self.lr_at(step), self._found)]
            write(self.optimizer, rates)
            self._last_lr = lr_scheduler._param_groups_val_list(self.optimizer, "lr")
