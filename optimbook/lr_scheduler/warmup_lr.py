"""A warmup before any other schedule."""

import functools
import math

from torch.optim import lr_scheduler

from ..functions import minimum
from ..rule import rule
from .composite import rates, write
from .scheduled import Scheduled, require

__all__ = ["WarmupLR", "warmup"]


@rule(symbols={"warmup_steps": "W", "start_factor": "s_0", "power": "p", "after": r"\gamma^{\mathrm{after}}"})
def warmup(step, *, base_lr, warmup_steps, after, start_factor=0.0, power=1.0):
    lr = (
        base_lr * (start_factor + (1 - start_factor) * minimum((step + 1) / warmup_steps, 1) ** power)
        if step < warmup_steps
        else after(step - warmup_steps)
    )
    return lr


class WarmupLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Raises each rate to ``base_lr``, then follows another scheduler from its first step on.

    The updates are counted from 1, as the papers do: the warmup's ``n``-th has the share ``(n / warmup_steps) ** power``
    of the way from ``start_factor * base_lr`` to ``base_lr``. So the first update is not wasted at a rate of 0,
    as it is with ``step / warmup_steps``; the last has ``base_lr``, as in `NoamLR` and `InverseSqrtLR`; and ``after``
    has all of its own steps, the first at update ``warmup_steps + 1``: a run of ``total`` updates is
    ``WarmupLR(optimizer, w, CosineDecayLR(optimizer, total - w))``.

    Building ``after`` already sets the rates, and building this sets them right again. From then on call ``step`` and
    save the state of this scheduler alone: ``after`` is in it.

    Args:
        optimizer: whose groups' rates to set.
        warmup_steps: updates :math:`W` of the warmup, a whole number; 0 for none.
        after: the scheduler to follow, built on the same optimizer, with ``lr_at``, or a `ReduceLROnPlateau`,
            which is shown no metric before its time comes; None stays at ``base_lr``.
        start_factor: share :math:`s_0` of ``base_lr`` from which the rates rise, from 0 to 1.
        power: :math:`p` of the rise; 1 is a straight line, 2 rises slowly first.
        last_epoch: the last step done, to resume; -1 starts. ``after`` need not be given one: its clock is set from this.

    Raises:
        ValueError: a number is out of its range, or ``after`` belongs to another optimizer.
        TypeError: ``after`` has no closed form.

    Source: Goyal et al. 2017, section 2.2, gradual warmup.
    """

    rule = warmup
    paper = {"title": "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", "authors": "Goyal et al.", "year": 2017,
             "url": "https://arxiv.org/abs/1706.02677"}  # fmt: skip

    def __init__(self, optimizer, warmup_steps, after=None, start_factor=0.0, power=1.0, last_epoch=-1):
        require(self, "warmup_steps", warmup_steps, "a whole number of steps, not negative", lambda n: n >= 0 and n % 1 == 0)
        require(self, "start_factor", start_factor, "a share of the rate, from 0 to 1", lambda x: 0 <= x <= 1)
        require(self, "power", power, "a positive finite number", lambda x: 0 < x < math.inf)
        self._check_after(after, optimizer)
        self.warmup_steps, self.after, self.start_factor, self.power = warmup_steps, after, start_factor, power
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step):
        """The learning rate of each parameter group at a step, counted from 0, whatever happened so far.

        Args:
            step: an int or a float, not negative.

        Raises:
            ValueError: the step is negative or not finite, or after the warmup with a `ReduceLROnPlateau`.
        """
        if self._watches and step > self.warmup_steps:
            raise ValueError(f"WarmupLR.lr_at: step must be at most {self.warmup_steps}, and is {step}: "
                             "from there on ReduceLROnPlateau goes by the metric")  # fmt: skip
        if self._follows and self.warmup_steps <= step < math.inf:
            return self.after.lr_at(step - self.warmup_steps)  # all groups at once
        return super().lr_at(step)

    def step(self, metrics=None):
        """Moves to the next step.

        Args:
            metrics: for a `ReduceLROnPlateau` that has taken over; any other scheduler needs none.
        """
        if self._is_initial or self.after is None or self.last_epoch < self.warmup_steps:
            return super().step()
        self._step_count += 1
        self.last_epoch += 1
        if self._watches:
            self.after.step(metrics)
        else:
            self.after.step()
        self._last_lr = self.after.get_last_lr()

    def state_dict(self):
        """The state of this scheduler and, under ``after``, of the one that follows."""
        own = {name: value for name, value in super().state_dict().items() if name != "after"}
        return {**own, "after": self.after and self.after.state_dict()}

    def load_state_dict(self, state_dict):
        """Loads both states, and the rates if the optimizer has not brought them.

        Args:
            state_dict: what ``state_dict`` gave.

        Raises:
            ValueError: one of the two has a scheduler after the warmup, and the other has none.
        """
        own = dict(state_dict)
        after = own.pop("after")
        if (after is None) != (self.after is None):
            raise ValueError("WarmupLR: the state has a scheduler after the warmup, or this scheduler has one, but not both")
        standing = rates(self.optimizer)
        if after is not None:
            self.after.load_state_dict(after)
        write(self.optimizer, standing)  # which of them to put right is decided here, and not by `after`
        super().load_state_dict(own)

    def _check_after(self, after, optimizer):
        if after is None:
            return
        name = type(after).__name__
        if not hasattr(after, "lr_at") and not isinstance(after, lr_scheduler.ReduceLROnPlateau):
            raise TypeError(f"WarmupLR: after must be a scheduler with lr_at, and {name} has none; take optimbook.lr_scheduler's")
        if after.optimizer is not optimizer:
            raise ValueError(f"WarmupLR expects all schedulers to belong to the same optimizer, but {name} has another")

    @property
    def _watches(self):
        return isinstance(self.after, lr_scheduler.ReduceLROnPlateau)

    @property
    def _follows(self):
        return self.after is not None and not self._watches

    def _numbers(self, group):
        return {**super()._numbers(group), "after": functools.partial(self._after_at, group)}

    def _after_at(self, group, step):
        return self.after.lr_at(step)[group] if self._follows else float(self.base_lrs[group])

    def _change(self, group):
        if self.last_epoch == self.warmup_steps:  # `after` takes over
            return float(self.base_lrs[group]), self._after_at(group, 0)
        return super()._change(group)

    def _initial_step(self):
        self._set_clock(self.last_epoch + 1)
        if self._follows:  # what building `after` has done to the rates is undone
            write(self.optimizer, [group["initial_lr"] for group in self.optimizer.param_groups])
        super()._initial_step()

    def _update_lr(self, epoch=None):
        if epoch is not None:
            self._set_clock(epoch)
        super()._update_lr(epoch)

    def _set_clock(self, step):
        if self._follows:
            self.after._update_lr(max(step - self.warmup_steps, 0))
