"""What all schedules have in common: a closed form that is a rule, and the step from one rate to the next."""

import math

from torch.optim import lr_scheduler


class Scheduled:
    """Mixin for a torch scheduler whose rate has a closed form.

    ``step`` carries the rates that stand from the last step to this one. That needs a closed form affine in
    ``base_lr``, ``floor + (base_lr - floor) * factor(step)``; a schedule that has another overrides ``get_lr``.

    Class attributes:
        rule: the closed form, a rule of ``step``, ``base_lr`` and the schedule's own numbers.
        floor: the name of the rate towards which the schedule shrinks, or None for 0.
    """

    rule = None
    floor = None
    _found = ()  # the groups and their rates before this scheduler was built

    def lr_at(self, step):
        """The learning rate of each parameter group at a step, counted from 0, whatever happened so far.

        Args:
            step: an int or a float, not negative.

        Raises:
            ValueError: the step is negative or not finite.
        """
        if not 0 <= step < math.inf:
            raise ValueError(f"{type(self).__name__}.lr_at: step must be finite and not negative, and is {step}")
        return [self._rate(step, i, float(base)) for i, base in enumerate(self.base_lrs)]

    def get_lr(self):
        """The next rates: the change of the closed form from the last step to this, applied to the rates that stand.

        So a rate that was changed by hand, or by another scheduler on the same optimizer, is carried on
        as in torch; `lr_at` is not changed by either.
        """
        lr_scheduler._warn_get_lr_called_within_step(self)
        self._changes = {}
        follow = self._resumed if self._is_initial and self.last_epoch > 0 else self._moved
        return [follow(i, group["lr"]) for i, group in enumerate(self.optimizer.param_groups)]

    def state_dict(self):
        """What torch's class saves."""
        return {name: value for name, value in super().state_dict().items() if name not in ("_found", "_changes")}

    def load_state_dict(self, state_dict):
        """Loads the state of a scheduler of this class, ours or torch's.

        Rates that only the building of this scheduler has touched are put right: they become the saved ones if the
        optimizer was not loaded, and what they were if it was loaded before.

        Args:
            state_dict: what ``state_dict`` gave.
        """
        found, built, first = self._found, self._last_lr, self.base_lrs
        super().load_state_dict(state_dict)
        self._found = ()
        for (old, rate), ours, base, saved, group in zip(found, built, first, self._last_lr, self.optimizer.param_groups):
            if group is old and group["lr"] == ours:  # loading an optimizer makes new groups
                lr_scheduler._update_param_group_val(group, "lr", float(saved if rate == base else rate))

    def _initial_step(self):
        rates = lr_scheduler._param_groups_val_list(self.optimizer, "lr")
        self._found = list(zip(self.optimizer.param_groups, rates))
        super()._initial_step()

    def _get_closed_form_lr(self):
        return [self._rate(self.last_epoch, i, base) * 1 for i, base in enumerate(self.base_lrs)]  # never `base` itself

    def _rate(self, step, group, base_lr):
        return self.rule(step, base_lr=base_lr, **self._numbers(group))

    def _numbers(self, group):
        """The rule's hyperparameters, other than ``base_lr``, for one parameter group."""
        return {n: getattr(self, n) for n in self.rule.hyperparameters if n != "base_lr"}

    def _resumed(self, group, rate):
        """The rate that a scheduler built with ``last_epoch`` starts from: the loaded optimizer's, or else the closed form's."""
        loaded = rate != self.base_lrs[group]
        return (rate if loaded else self._rate(self.last_epoch, group, rate)) * 1

    def _moved(self, group, rate):
        """A rate, carried from the last step to this; step 0 begins from ``base_lr``. Never the group's own tensor."""
        before, now = self._change(group)
        if now == before:
            return rate * 1
        floor = getattr(self, self.floor) if self.floor else 0
        if before == 0:  # from the floor itself a ratio leads nowhere
            return rate + (self.base_lrs[group] - floor) * now
        return floor + (rate - floor) * (now / before)

    def _change(self, group):
        """The closed form's factors at the last step and at this, or any two numbers of the same ratio."""
        numbers = self._numbers(group)
        key = tuple(numbers.values())  # groups that share their numbers share this
        if key not in self._changes:
            numbers.update({"base_lr": 1, **({self.floor: 0} if self.floor else {})})
            before = self.rule(self.last_epoch - 1, **numbers) if self.last_epoch > 0 else 1
            self._changes[key] = before, self.rule(self.last_epoch, **numbers)
        return self._changes[key]


def finite(scheduler, **numbers):
    """Refuses arguments that are not finite numbers; errors as of `require`."""
    for name, value in numbers.items():
        require(scheduler, name, value, "a finite number", math.isfinite)


def steps(scheduler, **numbers):
    """Refuses arguments that are not positive finite numbers; errors as of `require`."""
    for name, value in numbers.items():
        require(scheduler, name, value, "a positive finite number of steps", lambda n: 0 < n < math.inf)


def require(scheduler, name, value, takes, holds):
    """Refuses an argument, before anything is changed.

    Args:
        scheduler: whose class is named in the error.
        name: of the argument.
        value: to be looked at.
        takes: what is allowed, in words.
        holds: a function that says whether a number is.

    Raises:
        TypeError: the value is not a number.
        ValueError: it is not allowed.
    """
    try:
        good = holds(value)
    except TypeError:
        raise TypeError(f"{type(scheduler).__name__}: {name} must be a number, and is {value!r}") from None
    if not good:
        raise ValueError(f"Invalid {name}: {value}; {type(scheduler).__name__} takes {takes}")
