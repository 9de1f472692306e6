"""Warmup, a long stable phase, and a decay at the end: a run whose length need not be known when it starts."""

import math

from torch.optim import lr_scheduler

from ..functions import cos, maximum, minimum, pi, sqrt
from ..rule import rule
from .scheduled import Scheduled, require, steps

__all__ = ["WarmupStableDecayLR", "warmup_stable_decay"]


@rule(symbols={"warmup_steps": "W", "stable_steps": "S", "decay_steps": "D", "scale_min": r"s_{\min}", "progress": "p", "shape": "f",
               "half_cosine": r"\mathrm{cosine}", "one_minus_sqrt": r"\mathrm{1-sqrt}"})  # fmt: skip
def warmup_stable_decay(step, *, base_lr, warmup_steps, stable_steps, decay_steps, scale_min=0.0, half_cosine=False, one_minus_sqrt=False):
    progress = minimum(maximum(step - warmup_steps - stable_steps, 0) / decay_steps, 1)
    if half_cosine:
        shape = (1 + cos(pi * progress)) / 2
    elif one_minus_sqrt:
        shape = 1 - sqrt(progress)
    else:
        shape = 1 - progress
    lr = base_lr * ((step + 1) / warmup_steps) if step + 1 < warmup_steps else base_lr * (scale_min + (1 - scale_min) * shape)
    return lr


class WarmupStableDecayLR(Scheduled, lr_scheduler.LRScheduler):
    r"""Raises each rate to ``base_lr``, holds it for most of the run, and lowers it to ``base_lr * scale_min``, where it stays.

    The rates of the warmup are 1, 2, ... of ``warmup_steps`` parts of ``base_lr``; the floor is reached after the last
    of the ``warmup_steps + stable_steps + decay_steps`` updates, so that none is wasted at 0.

    Until the decay begins nothing depends on when it will. So a run is prolonged from any checkpoint of its stable
    phase: load it, then set ``scheduler.stable_steps`` anew. A run of open length has ``stable_steps=math.inf``, and
    begins its decay with ``scheduler.stable_steps = scheduler.last_epoch - scheduler.warmup_steps``.

    Args:
        optimizer: whose groups' rates to set; ``base_lr`` is the rate of the stable phase.
        warmup_steps: updates :math:`W` of the warmup; 0 for none.
        stable_steps: updates :math:`S` of the stable phase; may be infinite.
        decay_steps: updates :math:`D` of the decay, positive.
        decay: its shape over the progress :math:`p` from 0 to 1: ``"linear"`` (:math:`1 - p`), ``"cosine"``
            (half a cosine) or ``"1-sqrt"`` (:math:`1 - \sqrt p`).
        scale_min: the floor, as a fraction of ``base_lr``.
        last_epoch: the last step done, to resume; -1 starts.

    Raises:
        ValueError: a number of steps is out of its range, ``decay`` is unknown, or ``scale_min`` is not between 0 and 1.

    Source: Hu et al. 2024, section 4; the shape 1-sqrt: Hägele et al. 2024, section 3.
    """

    rule = warmup_stable_decay
    paper = {"title": "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies", "authors": "Hu et al.",
             "year": 2024, "url": "https://arxiv.org/abs/2404.06395"}  # fmt: skip

    def __init__(self, optimizer, warmup_steps, stable_steps, decay_steps, decay="linear", scale_min=0.0, last_epoch=-1):
        require(self, "warmup_steps", warmup_steps, "a finite number of steps, not negative", lambda n: 0 <= n < math.inf)
        require(self, "stable_steps", stable_steps, "a number of steps, not negative", lambda n: n >= 0)
        steps(self, decay_steps=decay_steps)
        require(self, "decay", decay, "'linear', 'cosine' or '1-sqrt'", lambda shape: shape in ("linear", "cosine", "1-sqrt"))
        require(self, "scale_min", scale_min, "a fraction of the rate, from 0 to 1", lambda x: 0 <= x <= 1)
        self.warmup_steps, self.stable_steps, self.decay_steps = warmup_steps, stable_steps, decay_steps
        self.decay, self.scale_min = decay, scale_min
        super().__init__(optimizer, last_epoch)

    def _numbers(self, group):
        return {"warmup_steps": self.warmup_steps, "stable_steps": self.stable_steps, "decay_steps": self.decay_steps,
                "scale_min": self.scale_min, "half_cosine": self.decay == "cosine", "one_minus_sqrt": self.decay == "1-sqrt"}  # fmt: skip
