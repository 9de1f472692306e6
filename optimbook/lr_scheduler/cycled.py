"""What CyclicLR and OneCycleLR have in common: the rate and the momentum run along one curve, one up while the other goes down."""

import math

import torch
from torch.optim import lr_scheduler

from .scheduled import Scheduled


class Cycled(Scheduled):
    """Mixin for a torch scheduler whose rule gives a rate and a momentum for each step.

    Both are worked out anew at every step, so a rate changed by hand lasts for one step, as in torch.
    A subclass's ``_numbers`` holds ``base_lr`` too.
    """

    def lr_at(self, step):
        """The learning rate of each parameter group at a step, counted from 0, whatever happened so far.

        Args:
            step: an int or a float, not negative, and not past the end of a schedule that ends.

        Raises:
            ValueError: the step is out of that range or not finite.
        """
        return [float(rate) for rate, _ in self._at(step, "lr_at")]

    def momentum_at(self, step):
        """The momentum (the first beta, where there are betas) of each parameter group at a step, as ``lr_at`` gives the rates.

        Args:
            step: an int or a float, not negative, and not past the end of a schedule that ends.

        Raises:
            ValueError: the step is out of range, or ``cycle_momentum`` is False.
        """
        if not self.cycle_momentum:
            raise ValueError(f"{type(self).__name__}.momentum_at: cycle_momentum is False, so nothing schedules the momentum")
        return [float(momentum) for _, momentum in self._at(step, "momentum_at")]

    def get_lr(self):
        """The rates of this step; its momentum is written to the groups on the way, as in torch."""
        lr_scheduler._warn_get_lr_called_within_step(self)
        pairs = self._at(self.last_epoch, "get_lr")
        if self.cycle_momentum:
            for group, (_, momentum) in zip(self.optimizer.param_groups, pairs, strict=True):
                self._write_momentum(group, momentum)
        return [rate for rate, _ in pairs]

    def load_state_dict(self, state_dict):
        """Loads the state of a scheduler of this class, ours or torch's.

        If the optimizer was not loaded since this was built, its rates and momenta become those of the loaded step.

        Args:
            state_dict: what ``state_dict`` gave.
        """
        built = [group for group, _ in self._found]
        super().load_state_dict(dict(state_dict))  # a copy: torch's CyclicLR takes an entry out
        since = not any(a is b for a, b in zip(built, self.optimizer.param_groups))  # loading an optimizer makes new groups
        if not since and self.last_epoch >= 0:
            self._update_lr(self.last_epoch)

    def _get_closed_form_lr(self):
        return self.get_lr()

    def _at(self, step, method):
        if not 0 <= step < math.inf:
            raise ValueError(f"{type(self).__name__}.{method}: step must be finite and not negative, and is {step}")
        return [self.rule(step, **self._numbers(i)) for i in range(len(self.base_lrs))]

    def _write_momentum(self, group, momentum):
        if not self.use_beta1:
            group["momentum"] = momentum
            return
        first, *others = group["betas"]
        if not any(isinstance(beta, torch.Tensor) for beta in group["betas"]):
            first = momentum
        elif self._is_initial or not isinstance(first, torch.Tensor):
            first = torch.full_like(others[0], momentum)  # its own: groups may share the tensor they were given
        else:
            first.fill_(momentum)
        group["betas"] = (first, *others)


def check(optimizer, cycle_momentum, rates, momenta):
    """Raises what is wrong with a cycle's ends, by name, before torch's constructor changes anything."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    for name, value in {**rates, **(momenta if cycle_momentum else {})}.items():
        if not all(math.isfinite(number) for number in lr_scheduler._format_param(name, optimizer, value)):
            raise ValueError(f"Invalid {name}: {value}; it must be finite")
