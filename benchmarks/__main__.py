"""The table of speeds: every row is a ratio taken in one run, in turn, from medians.

    python -m benchmarks [--runs N] [--threads N]

On a shared machine a single time says little; the ratio of two turns beside each other
says much. Each run makes its own tensors.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch

import optimbook
from optimbook import rule

LARGE = [25_000_000]  # one tensor: memory speed
SMALL = [32] * 600  # bookkeeping


@rule
def identity(param, grad, exp_avg, exp_avg_sq, *, lr=1.0):
    """Reads and writes what AdamW does and computes next to nothing: the floor of a generated loop."""
    exp_avg = lr * exp_avg + 0.0 * grad
    exp_avg_sq = lr * exp_avg_sq + 0.0 * grad
    param = lr * param + 0.0 * grad
    return param, exp_avg, exp_avg_sq


Identity = optimbook.optimizer(identity)


def optimizers(sizes, **makers):
    """One optimizer for each maker, on tensors of its own."""
    made = {}
    for name, make in makers.items():
        params = [torch.nn.Parameter(torch.randn(size)) for size in sizes]
        for param in params:
            param.grad = torch.randn_like(param)
        made[name] = make(params)
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


def large():
    adamw = torch.optim.AdamW
    pair = turns(optimizers(LARGE, ours=optimbook.AdamW, torch=lambda p: adamw(p, fused=True)), count=15, steps=3)
    floor = turns(optimizers(LARGE, ours=optimbook.AdamW, floor=Identity), count=15, steps=3)
    foreach = turns(optimizers(LARGE, ours=_foreach(optimbook.AdamW), torch=_foreach(adamw)), count=7, steps=1)
    return {
        "AdamW, 25 M float32: fused / torch fused": ratio(pair, "ours", "torch"),
        "AdamW, 25 M float32: fused / identity rule": ratio(floor, "ours", "floor"),
        "AdamW, 25 M float32: foreach / torch foreach": ratio(foreach, "ours", "torch"),
    }


def small():
    adamw = torch.optim.AdamW
    makers = {
        "ours": optimbook.AdamW,
        "fused": lambda p: adamw(p, fused=True),
        "ours foreach": _foreach(optimbook.AdamW),
        "foreach": _foreach(adamw),
        "loop": lambda p: adamw(p, foreach=False),
    }
    times = turns(optimizers(SMALL, **makers), count=25, steps=10)
    best = min(("fused", "foreach", "loop"), key=lambda name: statistics.median(times[name]))
    return {
        "AdamW, 600 tensors of 32: torch's best / ours": ratio(times, best, "ours"),
        "AdamW, 600 tensors of 32: foreach / torch foreach": ratio(times, "ours foreach", "foreach"),
    }


def _foreach(cls):
    return lambda params: cls(params, foreach=True)


# -------------------------------------------------------------------------------------------- memory and builds

PEAK = """
import sys, torch, optimbook
cls = getattr(optimbook if sys.argv[1] == "ours" else torch.optim, "AdamW")
params = [torch.nn.Parameter(torch.zeros(1_000_000)) for _ in range(25)]
for param in params:
    param.grad = torch.ones_like(param)
optimizer = cls(params, foreach=True)
optimizer.step()
with torch.profiler.profile(profile_memory=True) as profile:
    optimizer.step()
held = peak = 0
for event in profile.profiler.kineto_results.events():
    if event.name() == "[memory]":
        held += event.nbytes()
        peak = max(peak, held)
print(peak)
"""

BUILD = """
import time, torch, optimbook
from optimbook.engine import cpu
cpu.driver()
start = time.perf_counter()
cpu.function(optimbook.AdamW.rule.lowered(weight_decay=1), torch.float32)
print(time.perf_counter() - start)
"""


def python(source, *arguments, **environment):
    """What a fresh process prints, as a number."""
    command = [sys.executable, "-c", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return float(done.stdout)


def memory():
    return {"foreach: peak of temporaries / torch foreach's": python(PEAK, "ours") / python(PEAK, "torch")}


def builds():
    with tempfile.TemporaryDirectory() as folder:
        first, second = (python(BUILD, OPTIMBOOK_CACHE=folder) for _ in range(2))
    return {"a kernel is built in (s)": first, "the next process has it after (s)": second}


# -------------------------------------------------------------------------------------------- the table

BARS = {
    "AdamW, 25 M float32: fused / torch fused": "≤ 1.05",
    "AdamW, 25 M float32: fused / identity rule": "≤ 1.15",
    "AdamW, 25 M float32: foreach / torch foreach": "≤ 1",
    "AdamW, 600 tensors of 32: torch's best / ours": "≥ 5",
    "AdamW, 600 tensors of 32: foreach / torch foreach": "≤ 1",
    "foreach: peak of temporaries / torch foreach's": "≤ 1",
    "a kernel is built in (s)": "< 2",
    "the next process has it after (s)": "",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, optimbook {optimbook.__version__}, {options.threads} threads, {options.runs} runs\n")
    runs = [{**large(), **small(), **memory(), **builds()} for _ in range(options.runs)]
    for name, bar in BARS.items():
        print(f"{name:52s} {bar:>6s}   " + "  ".join(f"{run[name]:6.3f}" for run in runs), flush=True)


if __name__ == "__main__":
    main()
