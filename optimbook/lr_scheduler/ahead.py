"""The rates that a scheduler without a closed form will set, found by letting a copy of it walk on an optimizer without tensors."""

import copy
import types
import weakref

CLOCK = {"last_epoch", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step", "_found", "_changes", "T_cur", "T_i"}

_walks = weakref.WeakKeyDictionary()  # what a scheduler was like, its copy and the path so far


def path(scheduler, restart, step):
    """Each group's rate at a step, if a scheduler starts at 0 and nobody touches the rates.

    Args:
        scheduler: stays as it is.
        restart: a function that puts a scheduler at its step 0.
        step: a whole number.
    """
    nature = _nature(scheduler)
    kept, walker, rates = _walks.get(scheduler, (None, None, None))
    if kept != nature:
        walker = _twin(scheduler)
        restart(walker)
        rates = [_rates(walker)]
        _walks[scheduler] = nature, walker, rates
    while len(rates) <= step:
        walker.step()
        rates.append(_rates(walker))
    return rates[step]


def _rates(scheduler):
    return [float(group["lr"]) for group in scheduler.optimizer.param_groups]


def _twin(scheduler):
    """A copy, parts and all, on an optimizer that has only the groups' options."""
    one = scheduler.optimizer
    options = [{name: value for name, value in group.items() if name != "params"} for group in one.param_groups]
    groups = [{**copy.deepcopy(group), "lr": float(group["lr"])} for group in options]
    still = types.SimpleNamespace(param_groups=groups, step=one.step, _opt_called=True)
    found = {id(part._found): () for part in _tree(scheduler) if hasattr(part, "_found")}  # which may hold parameters
    return copy.deepcopy(scheduler, {id(one): still, **found})


def _tree(scheduler):
    """A scheduler and all that it is made of: the parts of a sequence or a chain, what follows a warmup."""
    yield scheduler
    for part in [*getattr(scheduler, "_schedulers", ()), *filter(None, [getattr(scheduler, "after", None)])]:
        yield from _tree(part)


def _nature(scheduler):
    """All that the path depends on, as text: the numbers of each part, without what a step changes."""
    aside = {*CLOCK, "optimizer", "_schedulers", "after"}
    return [(type(part).__name__, repr({n: v for n, v in vars(part).items() if n not in aside})) for part in _tree(scheduler)]
