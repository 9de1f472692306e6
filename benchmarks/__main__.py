"""The table of speeds: every row is a ratio taken in one run, in turn, from medians.

    python -m benchmarks [--runs N] [--threads N] [--only NAME ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile

import torch

import optimbook

from .floors import FLOORS
from .timing import fastest, optimizers, ratio, turns

LARGE = [(5000, 5000)]  # one matrix of 25 M numbers: memory speed
SMALL = [32] * 600  # bookkeeping
GROUPS = 60
CASES = {  # arguments, and which floor reads and writes the same
    "SGD": ({"lr": 0.01, "momentum": 0.9}, "identity1"),
    "Adagrad": ({}, "identity1"),
    "RMSprop": ({}, "identity1"),
    "Adadelta": ({}, "identity2"),
    "Adam": ({}, "identity2"),
    "AdamW": ({}, "identity2"),
    "Adamax": ({}, "identity2"),
    "NAdam": ({}, "identity2"),
    "RAdam": ({}, "identity2"),
    "ASGD": ({}, "identity1"),
    "Rprop": ({}, "identity2"),
    "Lion": ({}, "identity1"),
    "Yogi": ({}, "identity2"),
    "LARS": ({}, "norms_of_two"),
    "LAMB": ({}, "norm_of_four"),
}
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")  # by torch
UNFUSED = ("RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop")  # which are to be three times faster than torch's


def ours(name):
    """How to make our optimizer."""
    return lambda groups: getattr(optimbook, name)(groups, **CASES[name][0])


def torchs(name, device="cpu"):
    """How to make every variant that torch has on a device; its fused Adagrad is there for CPUs only."""
    fused = name in FUSED and (name, device) != ("Adagrad", "cuda")
    variants = {"loop": {"foreach": False}, "foreach": {"foreach": True}, **({"fused": {"fused": True}} if fused else {})}
    return {n: lambda groups, how=how: getattr(torch.optim, name)(groups, **CASES[name][0], **how) for n, how in variants.items()}


def against_torch(name, sizes, groups=1, *, count, steps, **where):
    """Times of ours and of torch's fastest variant here, the two in turn."""
    variants = torchs(name, where.get("device"))
    best = fastest(turns(optimizers(sizes, variants, groups, **where), count=3, steps=1))
    return turns(optimizers(sizes, {"ours": ours(name), "torch": variants[best]}, groups, **where), count, steps)


def large(name):
    """At memory speed: against the floor, and against the fastest of torch's variants."""
    kwargs, floor = CASES[name]
    pair = turns(optimizers(LARGE, {"ours": ours(name), "floor": FLOORS[floor]}), count=15, steps=3)
    rows = {f"{name}, 25 M: fused / the floor": ("≤ 1.15", ratio(pair, "ours", "floor"))}
    if hasattr(torch.optim, name):
        times = against_torch(name, LARGE, count=15 if name in FUSED else 7, steps=1)
        if name in UNFUSED:
            rows[f"{name}, 25 M: torch's best / fused"] = "≥ 3", ratio(times, "torch", "ours")
        else:
            rows[f"{name}, 25 M: fused / torch's best"] = "≤ 1.05", ratio(times, "ours", "torch")
    return rows


def small(name):
    """Bookkeeping: many small tensors, in one group and in many."""
    rows = {}
    for groups in (1, GROUPS) if hasattr(torch.optim, name) else ():
        times = against_torch(name, SMALL, groups, count=25, steps=5)
        rows[f"{name}, 600 x 32, groups: {groups}: torch's best / fused"] = "≥ 5", ratio(times, "torch", "ours")
    return rows


def foreach():
    kinds = {"ours": lambda p: optimbook.AdamW(p, foreach=True), "torch": lambda p: torch.optim.AdamW(p, foreach=True)}
    rows = {}
    for what, sizes, count, steps in (("25 M", LARGE, 7, 1), ("600 x 32", SMALL, 25, 10)):
        times = turns(optimizers(sizes, kinds), count, steps)
        rows[f"AdamW, {what}: foreach / torch foreach"] = "≤ 1", ratio(times, "ours", "torch")
    return rows


def muon():
    """Few large matrices, odd ones, and many equal ones."""
    rows, kinds = {}, {"ours": optimbook.Muon, "torch": torch.optim.Muon}
    for what, sizes, bar in (
        ("2 of 256 x 256", [(256, 256)] * 2, "≤ 1.05"),  # without bfloat16 in hardware, larger ones take minutes
        ("64 x 64 to 256 x 64", [(64 * k, 64) for k in (1, 2, 3, 4)] * 2, "≤ 1.05"),
        ("50 of 64 x 64", [(64, 64)] * 50, "≤ 1"),
        ("200 of 16 x 16", [(16, 16)] * 200, "≤ 1"),
    ):
        times = turns(optimizers(sizes, kinds), count=7, steps=1)
        rows[f"Muon, {what}: ours / torch's"] = bar, ratio(times, "ours", "torch")
    return rows


# -------------------------------------------------------------------------------------------- memory, builds, imports

PEAK = """
import sys, torch, optimbook
cls = getattr(optimbook if sys.argv[1] == "ours" else torch.optim, sys.argv[2])
params = [torch.nn.Parameter(torch.zeros(600, 600)) for _ in range(6)]
for param in params:
    param.grad = torch.ones_like(param)
optimizer = cls(params, **eval(sys.argv[3]))
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
cpu.functions(optimbook.AdamW.rule.lowered(weight_decay=1), torch.float32)
print(time.perf_counter() - start)
"""

IMPORT = """
import time, torch
start = time.perf_counter()
import optimbook
print(time.perf_counter() - start)
"""


def python(source, *arguments, **environment):
    """What a fresh process prints, as a number."""
    command = [sys.executable, "-c", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return float(done.stdout)


def memory():
    rows = {}
    for name, how in (("AdamW", "{'foreach': True}"), ("Adafactor", "{}"), ("Muon", "{'ns_steps': 1}")):
        ours, theirs = (python(PEAK, whose, name, how) for whose in ("ours", "torch"))
        rows[f"{name} {how}: peak of temporaries / torch's"] = "≤ 1", ours / theirs
    return rows


def builds():
    with tempfile.TemporaryDirectory() as folder:
        first, second = (python(BUILD, OPTIMBOOK_CACHE=folder) for _ in range(2))
        python(IMPORT, PYTHONPYCACHEPREFIX=folder)
        imported = python(IMPORT, PYTHONPYCACHEPREFIX=folder, PYTHONDONTWRITEBYTECODE="")
    return {
        "a kernel is built in (s)": ("< 2", first),
        "the next process has it after (s)": ("", second),
        "import optimbook after torch (s)": ("< 0.2", imported),
    }


# -------------------------------------------------------------------------------------------- the table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", help="rules to measure; all, and the rest of the table, if none is named")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, optimbook {optimbook.__version__}, {options.threads} threads, {options.runs} runs\n")
    parts = [lambda name=name, part=part: part(name) for name in options.only or CASES for part in (large, small)]
    for part in parts if options.only else [*parts, foreach, muon, memory, builds]:
        runs = [part() for _ in range(options.runs)]
        for row, (bar, _) in runs[0].items():
            print(f"{row:60s} {bar:>6s}   " + "  ".join(f"{run[row][1]:6.3f}" for run in runs), flush=True)


if __name__ == "__main__":
    main()
