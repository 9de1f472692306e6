"""The schedules that the playground offers: the package's rules, and how their numbers follow from the steps of a run."""

from dataclasses import dataclass, field

from ... import lr_scheduler
from ...rule import Rule, rule
from ..sliders import knob


@rule
def over_the_run(lr, steps, *, scale_min):
    base_lr = lr
    T_max = steps
    total_steps = steps
    eta_min = scale_min * lr
    return base_lr, T_max, total_steps, eta_min


@rule
def after_the_warmup(lr, steps, *, warmup_steps):
    base_lr = lr
    rest = steps - warmup_steps
    return base_lr, rest


@rule
def around_the_peak(lr, steps, *, pct_start, div_factor):
    base_lr = lr / div_factor
    max_lr = lr
    min_lr = base_lr / 10000
    peak = pct_start * steps - 1
    last = steps - 1
    return base_lr, max_lr, min_lr, peak, last


@rule
def before_the_decay(lr, steps, *, warmup_steps, decay_steps):
    base_lr = lr
    stable_steps = steps - warmup_steps - decay_steps
    return base_lr, stable_steps


@dataclass(frozen=True)
class Schedule:
    """A schedule on offer.

    Attributes:
        words: what it is called, in Chinese and in English.
        rule: the closed form; None keeps the rate as it is.
        plan: a rule from the rate and the number of steps to the schedule's numbers, beside its knobs.
        after: the schedule that takes over, for the ``rest`` of the steps that ``plan`` gives.
    """

    words: tuple
    rule: Rule | None = None
    knobs: dict = field(default_factory=dict)
    plan: Rule | None = None
    after: str | None = None


FLOOR = {"scale_min": knob(0, 1, 0)}
SCHEDULES = {
    "constant": Schedule(("不变", "constant")),
    "StepLR": Schedule(("阶梯衰减", "step decay"), lr_scheduler.StepLR.rule,
                       {"step_size": knob(1, 200, 50), "gamma": knob(0.01, 1, 0.1)}),
    "ExponentialLR": Schedule(("指数衰减", "exponential decay"), lr_scheduler.ExponentialLR.rule, {"gamma": knob(0.5, 0.999, 0.98, "decay")}),
    "LinearDecayLR": Schedule(("线性衰减", "linear decay"), lr_scheduler.LinearDecayLR.rule, FLOOR, over_the_run),
    "CosineAnnealingLR": Schedule(("余弦退火", "cosine annealing"), lr_scheduler.CosineAnnealingLR.rule, FLOOR, over_the_run),
    "CosineAnnealingWarmRestarts": Schedule(
        ("余弦热重启", "cosine with restarts"), lr_scheduler.CosineAnnealingWarmRestarts.rule.bind("warm_restarts", T_mult=1),
        {"T0": knob(5, 200, 50), **FLOOR}, over_the_run),
    "WarmupLR": Schedule(("预热，再余弦退火", "warmup, then cosine"), lr_scheduler.WarmupLR.rule.bind("warmup", start_factor=0.0, power=1.0),
                         {"warmup_steps": knob(1, 40, 20), **FLOOR}, after_the_warmup, "CosineAnnealingLR"),
    "OneCycleLR": Schedule(("单周期", "one cycle"), lr_scheduler.OneCycleLR.rule,
                           {"pct_start": knob(0.05, 0.9, 0.3), "div_factor": knob(1, 100, 25, "log")}, around_the_peak),
    "WarmupStableDecayLR": Schedule(
        ("预热、稳定、衰减", "warmup, stable, decay"), lr_scheduler.WarmupStableDecayLR.rule,
        {"warmup_steps": knob(1, 20, 10), "decay_steps": knob(1, 30, 20), **FLOOR}, before_the_decay),
}  # fmt: skip


def rates(name, lr, steps, knobs):
    """The learning rate of each step; the page's script has the same few lines.

    Args:
        knobs: the schedule's, ``{name: number}``.
    """
    schedule = SCHEDULES[name]
    if schedule.rule is None:
        return [lr] * steps
    at = _closed_form(schedule, lr, steps, knobs)
    return [at(step) for step in range(steps)]


def _closed_form(schedule, lr, steps, knobs):
    numbers = {"base_lr": lr, **knobs, **_called(schedule.plan, {"lr": lr, "steps": steps}, knobs)}
    if schedule.after:
        numbers["after"] = _closed_form(SCHEDULES[schedule.after], lr, numbers["rest"], knobs)
    return lambda step: _called(schedule.rule, {"step": step}, numbers)["lr"]


def _called(rule, variables, numbers):
    """What a rule returns, by name, when it is given those of the numbers that it knows."""
    if rule is None:
        return {}
    known = {name: numbers[name] for name in rule.hyperparameters if name in numbers}
    result = rule(**variables, **known)
    return dict(zip(rule.returns, result if len(rule.returns) > 1 else (result,)))
