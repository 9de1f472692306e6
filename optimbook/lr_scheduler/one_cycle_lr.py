"""The 1cycle policy, as in `torch.optim.lr_scheduler.OneCycleLR`."""

import math

from torch.optim import lr_scheduler

from ..functions import abs, cos, pi
from ..rule import rule
from .cycled import Cycled, check
from .scheduled import require

__all__ = ["OneCycleLR", "one_cycle"]


@rule(symbols={"peak": r"T_{\mathrm{peak}}", "last": r"T_{\mathrm{last}}", "distance": "d", "height": "a",
               "max_lr": r"\gamma_{\max}", "min_lr": r"\gamma_{\min}",
               "base_momentum": r"\mu_{\min}", "max_momentum": r"\mu_{\max}"})  # fmt: skip
def one_cycle(step, *, base_lr, max_lr, min_lr, peak, last, base_momentum=0.85, max_momentum=0.95, linear=False, three_phase=False):
    if three_phase:
        distance = abs(step - peak) / peak if step < 2 * peak else (step - 2 * peak) / (last - 2 * peak)
    else:
        distance = (peak - step) / peak if step < peak else (step - peak) / (last - peak)
    if linear:
        height = 1 - distance
    else:
        height = (1 + cos(pi * distance)) / 2
    if three_phase:
        lr = base_lr + (max_lr - base_lr) * height if step < 2 * peak else min_lr + (base_lr - min_lr) * height
        momentum = max_momentum - (max_momentum - base_momentum) * height if step < 2 * peak else max_momentum
    else:
        lr = base_lr + (max_lr - base_lr) * height if step < peak else min_lr + (max_lr - min_lr) * height
        momentum = max_momentum - (max_momentum - base_momentum) * height
    return lr, momentum


class OneCycleLR(Cycled, lr_scheduler.OneCycleLR):
    r"""Lets each rate rise to ``max_lr`` once and fall far below where it began; a drop-in for torch's.

    The rate begins at ``max_lr / div_factor``, is at the top at step
    :math:`T_{\mathrm{peak}} = \mathtt{pct\_start} \cdot \mathtt{total\_steps} - 1`, and is at
    ``max_lr / div_factor / final_div_factor`` at the last step :math:`T_{\mathrm{last}} = \mathtt{total\_steps} - 1`.
    With ``three_phase`` it falls as slowly as it rose, and only then to the end. The momentum (the first beta,
    where there are betas) falls while the rate rises. The ends are kept in the optimizer's groups, as in torch
    (``initial_lr``, ``max_lr``, ``min_lr``, ``base_momentum``, ``max_momentum``), so two of these on one
    optimizer share them. Whatever rate stands is overwritten at every step.

    Args:
        optimizer: whose groups' rates to set.
        max_lr: the highest rate :math:`\gamma_{\max}`, or a list of them, one per group.
        total_steps: steps in all; or else
        epochs, steps_per_epoch: whose product they are.
        pct_start: the part of the steps in which the rate rises, a float from 0 to 1.
        anneal_strategy: ``"cos"`` for half a cosine, ``"linear"`` for a line.
        cycle_momentum: whether to move the momentum.
        base_momentum: the momentum when the rate is at the top :math:`\mu_{\min}`, or a list of them.
        max_momentum: the momentum at the ends :math:`\mu_{\max}`, or a list of them.
        div_factor: the highest rate over the first.
        final_div_factor: the first rate over the last.
        three_phase: three phases instead of two.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: a number is out of its range, a list is not as long as the groups, the optimizer has no
            momentum to cycle; or later, at a step past ``total_steps``.

    Source: Smith and Topin 2018, section 3, whose policy has three phases; the momentum: Smith 2018
    (arXiv:1803.09820), section 4.3. Two phases and half a cosine are fastai's.
    """

    rule = one_cycle
    paper = {"title": "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", "authors": "Smith and Topin",
             "year": 2018, "url": "https://arxiv.org/abs/1708.07120"}  # fmt: skip

    def __init__(self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3, anneal_strategy="cos",
                 cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25.0, final_div_factor=1e4,
                 three_phase=False, last_epoch=-1):  # fmt: skip
        check(optimizer, cycle_momentum, {"max_lr": max_lr}, {"base_momentum": base_momentum, "max_momentum": max_momentum})
        for name, factor in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            require(self, name, factor, "a positive number", lambda x: x > 0)
        super().__init__(optimizer, max_lr, total_steps, epochs, steps_per_epoch, pct_start, anneal_strategy, cycle_momentum,
                         base_momentum, max_momentum, div_factor, final_div_factor, three_phase, last_epoch)  # fmt: skip

    def _at(self, step, method):
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        return super()._at(step, method)

    def _numbers(self, group):
        options = self.optimizer.param_groups[group]
        phases = self._schedule_phases
        turn, last = phases[-2]["end_step"], phases[-1]["end_step"]
        return {
            "base_lr": options["initial_lr"], "max_lr": options["max_lr"], "min_lr": options["min_lr"],
            "peak": phases[0]["end_step"], "last": last if last != turn else math.inf,  # no last phase: its slope is never 1 / 0
            "linear": self._anneal_func_type == "linear", "three_phase": len(phases) == 3,
            **({name: options[name] for name in ("base_momentum", "max_momentum")} if self.cycle_momentum else {}),
        }  # fmt: skip
