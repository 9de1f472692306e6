"""What schedulers made of schedulers have in common: their parts can be started, and put at any step.

A part is a plain scheduler, a sequence or a chain, torch's or ours, nested as deep as one likes.
"""

import math
import warnings
from bisect import bisect_right

import torch
from torch.optim import lr_scheduler

from .ahead import path
from .cycled import Cycled
from .scheduled import Scheduled


class Composite:
    """Mixin for `SequentialLR` and `ChainedScheduler`; what torch calls on a part works on them too."""

    def lr_at(self, step):
        """The learning rate of each parameter group at a step, counted from 0, whatever happened so far.

        Worked out at once where every part has a closed form and, in a chain, multiplies the rate that stands.
        Otherwise a copy of the scheduler walks there, and its path is kept for the next call.

        Args:
            step: an int or a float, not negative; whole if a copy has to walk there.

        Raises:
            ValueError: the step is none of these, or the parts do not go as far.
        """
        if not 0 <= step < math.inf:
            raise ValueError(f"{type(self).__name__}.lr_at: step must be finite and not negative, and is {step}")
        if jumps(self):
            return closed_form(self, step)
        if step % 1:
            raise ValueError(f"{type(self).__name__}.lr_at: step must be whole, since each follows from the last, and is {step}")
        return list(path(self, restart, int(step)))

    def state_dict(self):
        """What torch's class saves."""
        return {name: value for name, value in super().state_dict().items() if name != "_found"}

    def load_state_dict(self, state_dict):
        """Loads the state of a scheduler of this class, ours or torch's.

        Rates that only the building of the parts has touched are put right: they become the saved ones if the
        optimizer was not loaded, and what they were if it was loaded before.

        Args:
            state_dict: what ``state_dict`` gave.
        """
        groups = self.optimizer.param_groups
        found, built, standing = self._found, self._last_lr, rates(self.optimizer)
        super().load_state_dict(state_dict)
        self._found = ()
        right = [
            (saved if before is None else before) if group is old and rate == ours else rate  # loading an optimizer makes new groups
            for group, (old, before), ours, rate, saved in zip(groups, found, built, standing, self._last_lr)
        ]
        write(self.optimizer, right or standing)

    def _initial_step(self):
        start(self)

    def _update_lr(self, epoch):
        go(self, epoch)


# ------------------------------------------------------------------------------------------------ rates


def rates(optimizer):
    return lr_scheduler._param_groups_val_list(optimizer, "lr")


def write(optimizer, values):
    """Writes the rates into the groups: into a group's own tensor, where it has one."""
    for group, value in zip(optimizer.param_groups, values):
        lr_scheduler._update_param_group_val(group, "lr", value if hasattr(group["lr"], "fill_") else float(value))


def found(schedulers):
    """Each group, with the rate that was loaded before the schedulers were built or since, or None if none was."""
    first = schedulers[0] if len(schedulers) else None
    optimizer = getattr(first, "optimizer", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        return ()  # torch says what is wrong
    if isinstance(first, Composite):
        before = first._found
    elif isinstance(first, Scheduled) and not isinstance(first, Cycled):
        before = [(group, None if rate == base else rate) for (group, rate), base in zip(first._found, first.base_lrs)]
    else:  # remembers no rate, or one that it has nothing to do with
        before = [(group, None) for group, _ in getattr(first, "_found", ())] or [(group, None) for group in optimizer.param_groups]
    kept = {id(group): rate for group, rate in before}
    return [(group, kept.get(id(group), rate)) for group, rate in zip(optimizer.param_groups, rates(optimizer))]


# ------------------------------------------------------------------------------------------------ parts


def is_sequence(scheduler):
    return isinstance(scheduler, lr_scheduler.SequentialLR)


def is_chain(scheduler):
    return isinstance(scheduler, lr_scheduler.ChainedScheduler)


def leaves(scheduler):
    """The plain schedulers that a scheduler is made of, in order."""
    composite = is_sequence(scheduler) or is_chain(scheduler)
    return [leaf for part in scheduler._schedulers for leaf in leaves(part)] if composite else [scheduler]


def at_work(sequence, step):
    """The part of a sequence that is at work at a step, and how many steps ago it began."""
    index = bisect_right(sequence._milestones, step)
    return sequence._schedulers[index], step - (max(0, sequence._milestones[index - 1]) if index else 0)


# ----------------------------------------------------------------------------------------- closed forms


def jumps(scheduler):
    """Whether the rate of any step can be had without those before."""
    if is_sequence(scheduler):
        return all(map(jumps, scheduler._schedulers))
    if is_chain(scheduler):
        return all(map(_scales, scheduler._schedulers))
    return isinstance(scheduler, Scheduled) and not isinstance(scheduler, lr_scheduler.MultiplicativeLR)


def closed_form(scheduler, step):
    """The rates at a step, of a scheduler that jumps."""
    if is_sequence(scheduler):
        return closed_form(*at_work(scheduler, step))
    if not is_chain(scheduler):
        return scheduler.lr_at(step)
    parts = scheduler._schedulers
    return [float(base) * math.prod(part._rate(step, i, 1.0) for part in parts) for i, base in enumerate(parts[0].base_lrs)]


def _scales(part):
    """Whether a part only multiplies the rate that stands, and not by 0 at first: then the factors of a chain multiply."""
    own = type(part)
    plain = isinstance(part, Scheduled) and part.floor is None and own.step is lr_scheduler.LRScheduler.step
    return plain and own.get_lr is Scheduled.get_lr and own._moved is Scheduled._moved and all(part.lr_at(0))


# -------------------------------------------------------------------------------------- moving the parts


def start(scheduler):
    """The first step of a scheduler, on the rates that stand."""
    if is_sequence(scheduler):
        part, _ = at_work(scheduler, 0)
        start(part)
        scheduler.last_epoch, scheduler._last_lr = 0, part.get_last_lr()
    elif is_chain(scheduler):
        for part in scheduler._schedulers:
            start(part)
        scheduler._last_lr = rates(scheduler.optimizer)
    else:
        scheduler.last_epoch = -1
        scheduler._initial_step()


def restart(scheduler):
    """The first step of a scheduler, on its own first rates."""
    write(scheduler.optimizer, _first(scheduler).base_lrs)
    start(scheduler)


def _first(scheduler):
    if is_sequence(scheduler):
        return _first(at_work(scheduler, 0)[0])
    return _first(scheduler._schedulers[0]) if is_chain(scheduler) else scheduler


def go(scheduler, step):
    """Puts a scheduler, and the rates, at a step, wherever they were: at once where it jumps, else step by step."""
    if not is_sequence(scheduler) and not is_chain(scheduler):
        scheduler._update_lr(step)
    elif step == 0 or not jumps(scheduler):
        _replay(scheduler, step)
    elif is_sequence(scheduler):
        _go_in_sequence(scheduler, step)
    else:
        for part in scheduler._schedulers:
            go(part, step)
        write(scheduler.optimizer, closed_form(scheduler, step))
        scheduler._last_lr = rates(scheduler.optimizer)


def _go_in_sequence(sequence, step):
    """Each part goes as far as a run would have brought it, for what it leaves behind: a momentum, say."""
    ends = [max(0, milestone) - 1 for milestone in sequence._milestones]
    for end in (*(end for end in ends if 0 <= end < step), step):
        part, own = at_work(sequence, end)
        go(part, int(own))
    sequence.last_epoch, sequence._last_lr = step, part.get_last_lr()


def _replay(scheduler, steps):
    restart(scheduler)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for _ in range(steps):
            scheduler.step()
