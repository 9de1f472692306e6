"""Side by side: every figure is a ratio of two optimizers that took turns in one run.

On a shared machine a single time says little; the ratio of two turns beside each other
says much. Each optimizer has tensors of its own.
"""

import statistics
import time

import torch


def optimizers(sizes, makers, groups=1):
    """One optimizer for each maker, which is given its parameter groups."""
    made = {}
    for name, make in makers.items():
        params = [torch.nn.Parameter(torch.randn(size)) for size in sizes]
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
    for _ in range(count):
        for name, stepper in steppers.items():
            start = time.perf_counter()
            for _ in range(steps):
                stepper.step()
            times[name].append((time.perf_counter() - start) / steps)
    return times


def ratio(times, a, b):
    """The median over the turns of how long a took by how long b took right beside it."""
    return statistics.median(x / y for x, y in zip(times[a], times[b]))


def fastest(times):
    """The name with the least median."""
    return min(times, key=lambda name: statistics.median(times[name]))
