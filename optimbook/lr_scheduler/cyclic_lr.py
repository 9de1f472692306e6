"""Cyclical learning rates, as in `torch.optim.lr_scheduler.CyclicLR`."""

import math

from torch.optim import lr_scheduler

from ..functions import floor
from ..rule import rule
from .cycled import Cycled, check
from .scheduled import finite, require, steps

__all__ = ["CyclicLR", "cyclic"]

MODES = ("triangular", "triangular2", "exp_range")


@rule(symbols={"cycle": "k", "total_size": "T", "step_ratio": "p", "height": "a", "scale_fn": "s", "gamma": "r",
               "max_lr": r"\gamma_{\max}", "base_momentum": r"\mu_{\min}", "max_momentum": r"\mu_{\max}"})  # fmt: skip
def cyclic(step, *, base_lr, max_lr, total_size, step_ratio, base_momentum=0.8, max_momentum=0.9,
           triangular2=False, exp_range=False, gamma=1.0, scaled=False, scale_fn=None):
    cycle = floor(1 + step / total_size)
    x = 1 + step / total_size - cycle
    height = x / step_ratio if x <= step_ratio else (x - 1) / (step_ratio - 1)
    if triangular2:
        height = height * 2 ** (1 - cycle)
    if exp_range:
        height = height * gamma**step
    if scaled:
        height = height * scale_fn(cycle, step)
    lr = base_lr + (max_lr - base_lr) * height
    momentum = max_momentum - (max_momentum - base_momentum) * height
    return lr, momentum


class CyclicLR(Cycled, lr_scheduler.CyclicLR):
    r"""Lets each rate rise from ``base_lr`` to ``max_lr`` and fall back, again and again; a drop-in for torch's.

    The momentum (the first beta, where there are betas) falls while the rate rises. Whatever rate
    stands is overwritten at every step.

    Args:
        optimizer: whose groups' rates to set.
        base_lr: the rate at the bottom :math:`\gamma_0`, or a list of them, one per group.
        max_lr: the rate at the top :math:`\gamma_{\max}`, or a list of them.
        step_size_up: steps on the way up, positive.
        step_size_down: steps on the way down, not negative; None for as many as on the way up.
        mode: ``"triangular"``: every cycle as high; ``"triangular2"``: each half as high as the one before;
            ``"exp_range"``: the height shrinks by the factor ``gamma`` at each step.
        gamma: the factor of ``"exp_range"`` :math:`r`.
        scale_fn: a function :math:`s` that scales the height instead of a mode. Functions are not saved with the scheduler;
            a callable object's ``__dict__`` is.
        scale_mode: ``"cycle"``: ``scale_fn`` takes the number of the cycle, from 1; otherwise the step, from 0.
        cycle_momentum: whether to move the momentum.
        base_momentum: the momentum when the rate is at the top :math:`\mu_{\min}`, or a list of them.
        max_momentum: the momentum when the rate is at the bottom :math:`\mu_{\max}`, or a list of them.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: a number or ``mode`` is out of its range, a list is not as long as the groups,
            or the optimizer has no momentum to cycle.
        TypeError: ``scale_fn`` cannot be called, or a number is none.

    Source: Smith 2017, section 3; the three modes: section 3.1.
    """

    rule = cyclic
    paper = {"title": "Cyclical Learning Rates for Training Neural Networks", "authors": "Smith", "year": 2017,
             "url": "https://arxiv.org/abs/1506.01186"}  # fmt: skip

    def __init__(self, optimizer, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0,
                 scale_fn=None, scale_mode="cycle", cycle_momentum=True, base_momentum=0.8, max_momentum=0.9,
                 last_epoch=-1):  # fmt: skip
        steps(self, step_size_up=step_size_up)
        require(self, "step_size_down", step_size_down or 0, "a finite number of steps, not negative", lambda n: 0 <= n < math.inf)
        finite(self, gamma=gamma)
        if scale_fn is not None and not callable(scale_fn):
            raise TypeError(f"CyclicLR: scale_fn must be a function, and is {scale_fn!r}")
        if scale_fn is None and mode not in MODES:
            raise ValueError(f"mode is invalid and scale_fn is None: {mode!r}; CyclicLR has {', '.join(MODES)}")
        check(optimizer, cycle_momentum, {"base_lr": base_lr, "max_lr": max_lr},
              {"base_momentum": base_momentum, "max_momentum": max_momentum})  # fmt: skip
        super().__init__(optimizer, base_lr, max_lr, step_size_up, step_size_down, mode, gamma, scale_fn, scale_mode,
                         cycle_momentum, base_momentum, max_momentum, last_epoch)  # fmt: skip
        # torch's first step took `initial_lr` for the bottom, which another scheduler may have set: once more from `base_lr`.
        self._update_lr(self.last_epoch)

    def _numbers(self, group):
        numbers = {
            "base_lr": self.base_lrs[group], "max_lr": self.max_lrs[group],
            "total_size": self.total_size, "step_ratio": self.step_ratio, "gamma": self.gamma,
            **({"base_momentum": self.base_momentums[group], "max_momentum": self.max_momentums[group]} if self.cycle_momentum else {}),
        }  # fmt: skip
        scale = self._scale_fn_custom
        if scale is None:
            return {**numbers, "triangular2": self.mode == "triangular2", "exp_range": self.mode == "exp_range"}
        by_cycle = self.scale_mode == "cycle"
        return {**numbers, "scaled": True, "scale_fn": lambda cycle, step: scale(int(cycle) if by_cycle else step)}
