"""The same table on a GPU, where a fused step is one launch: ratios, and the bytes that a step moves in a second.

    python -m benchmarks.gpu [--runs N] [--only NAME ...]
"""

import argparse
import statistics

import torch

import optimbook

from .__main__ import CASES, GROUPS, against_torch, ours, torchs
from .timing import fastest, optimizers, ratio, turns

LARGE = [(10_000, 10_000)]  # 100 M numbers: memory speed
SMALL = [32] * 600  # bookkeeping and launches
MODEL = [(4096, 1024), (1024, 4096), (4096,), (1024,)] * 36  # 302 M numbers in 144 tensors: a language model of middle size
READ_AND_WRITTEN = {"identity1": 5, "identity2": 7, "norms_of_two": 7, "norm_of_four": 11}  # numbers per element of a step


def large(name, dtype=torch.float32):
    where = {"device": "cuda", "dtype": dtype}
    moved = READ_AND_WRITTEN[CASES[name][1]] * dtype.itemsize * 1e8 / 1e12
    times = turns(optimizers(LARGE, {"ours": ours(name)}, **where), count=7, steps=5)
    rows = {f"{name}, 100 M, {str(dtype)[6:]}: TB/s": moved / statistics.median(times["ours"])}
    if hasattr(torch.optim, name):
        times = against_torch(name, LARGE, count=7, steps=5, **where)
        rows[f"{name}, 100 M, {str(dtype)[6:]}: torch's best / fused"] = ratio(times, "torch", "ours")
    return rows


def small(name):
    rows = {}
    for groups in (1, GROUPS) if hasattr(torch.optim, name) else ():
        times = against_torch(name, SMALL, groups, count=15, steps=10, device="cuda")
        rows[f"{name}, 600 x 32, groups: {groups}: torch's best / fused"] = ratio(times, "torch", "ours")
    return rows


def model():
    """AdamW as a language model's training calls it, against each of torch's variants."""
    kinds = {"ours": ours("AdamW"), **torchs("AdamW")}
    times = turns(optimizers(MODEL, kinds, device="cuda"), count=9, steps=5)
    return {f"AdamW, 144 tensors, 302 M: torch's {name} / fused": ratio(times, name, "ours") for name in kinds if name != "ours"}


def muon():
    rows, kinds = {}, {"ours": optimbook.Muon, "torch": torch.optim.Muon}
    for what, sizes in (("12 of 1024 x 1024", [(1024, 1024)] * 12), ("50 of 64 x 64", [(64, 64)] * 50)):
        times = turns(optimizers(sizes, kinds, device="cuda"), count=7, steps=3)
        rows[f"Muon, {what}: torch's / ours"] = ratio(times, "torch", "ours")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, optimbook {optimbook.__version__}, {torch.cuda.get_device_name()}, {options.runs} runs\n")
    parts = [lambda name=name, part=part: part(name) for name in options.only or CASES for part in (large, small)]
    for part in parts if options.only else [*parts, lambda: large("AdamW", torch.bfloat16), model, muon]:
        runs = [part() for _ in range(options.runs)]
        for row in runs[0]:
            print(f"{row:60s}   " + "  ".join(f"{run[row]:6.3f}" for run in runs), flush=True)


if __name__ == "__main__":
    main()
