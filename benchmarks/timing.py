"""Side by side: every figure is a ratio of two optimizers that took turns in one run.

On a shared machine a single time says little; the ratio of two turns beside each other
says much. Each optimizer has tensors of its own.
"""

import statistics
import time

import torch


def optimizers(sizes, makers, groups=1, **where):
    """One optimizer for each maker, which is given its parameter groups; ``where``: their dtype and device, if others than torch's."""
    made = {}
    for name, make in makers.items():
        params = [torch.nn.Parameter(torch.randn(size, **where)) for size in sizes]
        for param in params:
            param.grad = torch.randn_like(param)
        made[name] = make([{"params": params[i::groups]} for i in range(groups)])
    return made


def turns(steppers, count, steps):
    """Seconds per step of each, turn by turn."""
    times = {name: [] for name in steppers}
    for _ in range(3):  # states, kernels, caches
        for stepper in steppers.values():
            stepper.step()
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None  # a GPU goes on after `step` has returned
    for _ in range(count):
        for name, stepper in steppers.items():
            wait()
            start = time.perf_counter()
            for _ in range(steps):
                stepper.step()
            wait()
            times[name].append((time.perf_counter() - start) / steps)
    return times


def ratio(times, a, b):
    """The median over the turns of how long a took by how long b took right beside it."""
    return statistics.median(x / y for x, y in zip(times[a], times[b]))


def fastest(times):
    """The name with the least median."""
    return min(times, key=lambda name: statistics.median(times[name]))
