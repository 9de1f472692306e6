"""What all schedules have in common: a closed form that is a rule, and the step from one rate to the next."""

import math

from torch.optim import lr_scheduler


class Scheduled:
    """Mixin for a torch scheduler whose rate has a closed form.

    The closed form must be affine in ``base_lr``: ``floor + (base_lr - floor) * factor(step)``.

    Class attributes:
        rule: the closed form, a rule of ``step``, ``base_lr`` and the schedule's own numbers.
        floor: the name of the rate towards which the schedule shrinks, or None for 0.
    """

    rule = None
    floor = None

    def lr_at(self, step):
        """The learning rate of each parameter group at a step, counted from 0, whatever happened so far.

        Args:
            step: an int or a float, not negative.

        Raises:
            ValueError: the step is negative or not finite.
        """
        if not 0 <= step < math.inf:
            raise ValueError(f"{type(self).__name__}.lr_at: step must be finite and not negative, and is {step}")
        return [self.rule(step, base_lr=float(b), **self._numbers(i)) for i, b in enumerate(self.base_lrs)]

    def _numbers(self, group):
        """The rule's hyperparameters, other than ``base_lr``, for one parameter group."""
        return {n: getattr(self, n) for n in self.rule.hyperparameters if n != "base_lr"}

    def get_lr(self):
        """The next rates: the change of the closed form from the last step to this, applied to the rates that stand.

        So a rate that was changed by hand, or by another scheduler on the same optimizer, is carried on
        as in torch; `lr_at` is not changed by either.
        """
        lr_scheduler._warn_get_lr_called_within_step(self)
        rates = [g["lr"] for g in self.optimizer.param_groups]
        if self._is_initial:
            return [rate.clone() if hasattr(rate, "clone") else rate for rate in rates]
        if self._step_count == 1 and self.last_epoch > 0:  # resumed by `last_epoch`
            return self._get_closed_form_lr()
        return [self._moved(i, rate) for i, rate in enumerate(rates)]

    def _get_closed_form_lr(self):
        return [self.rule(self.last_epoch, base_lr=base, **self._numbers(i)) for i, base in enumerate(self.base_lrs)]

    def _moved(self, group, rate):
        numbers = self._numbers(group)
        floor = numbers.get(self.floor, 0)
        unit = {**numbers, **({self.floor: 0} if self.floor else {})}
        before, now = (self.rule(t, base_lr=1, **unit) for t in (self.last_epoch - 1, self.last_epoch))
        if before == 0:  # from the floor itself a ratio leads nowhere
            return rate + (self.base_lrs[group] - floor) * now
        return floor + (rate - floor) * (now / before)
