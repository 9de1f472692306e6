"""Every optimizer of the package on the book's tasks: `optimbook/lab/measured/`, from which the book's comparison is drawn.

    python -m benchmarks.results        # or: make results

The protocol, the same for every method and task:

1. The last fifth of the training data, at most 300 examples, is set aside: on it rates are tuned; the test data are for the end.
2. All rates fall to 0 on half a cosine over the run. A constant rate would compare the noise that methods end in, and
   each would have to be tuned for either speed or calm. What counts as a step is one gradient (also within L-BFGS's search).
3. Tuning: nine learning rates, 10^(1/3) apart, times three values of one knob (`benchmarks.methods`), on one seed; the four
   best pairs again on a second one; the least mean wins. If its rate lies at an end of the grid and is better by more than 1 % than
   the best inside, the grid grows by one rate there, and so on, at most six times.
4. The winner runs on five fresh seeds. A seed draws the first weights and the order of the data, the same for all methods.
5. Time is measured in turn: one step of each method after another, many times, in seconds of one thread of the processor.

Each run is one line, written as it ends. A line's key is made of all that the run was made with, and a second start runs only
what is missing, so that a change of one setting costs the runs that it touches.
"""

import csv
import datetime
import hashlib
import json
import math
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

import optimbook
from optimbook.lab.training import _model

from .methods import LEFT_OUT, MAKE, METHODS, STEPS, TARGETS

FOLDER = Path(optimbook.__file__).parent / "lab" / "measured"
RUNS = ("key", "task", "method", "lr", "value", "seed", "train_loss", "valid_loss", "test_loss", "accuracy", "curve")
TIMES = ("task", "method", "parameters", "state_bytes", "step_us", "step_low", "step_high", "whole_us", "whole_low", "whole_high")
TUNING, FINAL = (1000, 1001), (0, 1, 2, 3, 4)  # seeds
RATES, CONTENDERS, GROWTH, EQUAL = 9, 4, 6, 0.01
EVERY = 10  # gradients between two looks at the test data
ASIDE = 300  # most examples that are set aside
LAST = 20  # losses of batches that the training loss is the mean of


# ------------------------------------------------------------------------------------- one run


def task_of(name):
    """A task whose last training data are set aside, a fifth of them or `ASIDE`, and those data."""
    make, kwargs = MAKE[name]
    task = make(**kwargs)
    count = len(task.train[0])
    cut = count - min(-(-count // 5), ASIDE)
    return replace(task, train=tuple(x[:cut] for x in task.train)), tuple(x[cut:] for x in task.train)


def train(task, method, steps, seed, numbers, test=None):
    """Trains a model, and returns it with its optimizers, the losses of all gradients, and a curve.

    Args:
        numbers: ``lr`` and the knob, by the rule's names.
        test: data; the curve is the loss on them after 0, 10, 20 ... gradients, inf from where training diverged. L-BFGS takes
            several gradients to a step: what it had at its last step counts.
    """
    model, (inputs, targets) = _model(task, seed), task.train
    optimizers = method.optimizers(model, **numbers)
    losses, points = [], []

    def closure():
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = task.loss(model(inputs[batch]), targets[batch])
        loss.backward()
        losses.append(loss.item())
        return loss

    for batch in task.batches(steps + 1, seed):
        if test and (len(losses) % EVERY == 0 or method.cls is optimbook.LBFGS):
            points.append((len(losses), score(task, model, optimizers, test)[0]))
        if len(losses) >= steps or not all(map(math.isfinite, losses[-1:])):
            break
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = numbers["lr"] * (1 + math.cos(math.pi * len(losses) / steps)) / 2
        step(optimizers, closure, steps - len(losses))
    return model, optimizers, losses, curve_of(points, losses, steps) if test else []


def curve_of(points, losses, steps):
    """The loss at every look from ``(gradients, loss)``: that of the last point before it, inf from where training diverged."""
    finite = math.isfinite(losses[-1])
    return [next(loss for n, loss in reversed(points) if n <= look) if finite or look < len(losses) else math.inf
            for look in range(0, steps + 1, EVERY)]  # fmt: skip


def step(optimizers, closure, left):
    """One step; L-BFGS's takes several gradients, of those that are left; its line search may need one more."""
    if isinstance(optimizers[0], optimbook.LBFGS):
        (group,) = optimizers[0].param_groups
        group["max_eval"] = min(group["max_eval"], left)
        optimizers[0].step(closure)
    else:
        closure()
        for optimizer in optimizers:
            optimizer.step()


@torch.no_grad()
def score(task, model, optimizers, data):
    """Loss and accuracy on some data; with ASGD those of its average, which is what it is for."""
    inputs, targets = data
    averages = [(p, s["ax"]) for optimizer in optimizers for p, s in optimizer.state.items() if "ax" in s]
    own = [(p, p.clone()) for p, _ in averages]
    for param, value in averages:
        param.copy_(value)
    outputs = model(inputs)
    for param, value in own:
        param.copy_(value)
    loss = task.loss(outputs, targets).item()
    right = math.nan if targets.is_floating_point() else (outputs.argmax(-1) == targets).double().mean().item()
    return (loss if math.isfinite(loss) else math.inf), right


# ------------------------------------------------------------------------------------- the file


class Results:
    """The lines of `runs.csv`, by key: those that were there, and those that are measured now."""

    def __init__(self, folder, steps, show):
        """As for `collect`."""
        self.path, self.steps, self.show = folder / "runs.csv", steps, show
        self.tasks, self.used, self.new = {}, {}, False
        self.lines = {line["key"]: line for line in read(self.path)}

    def run(self, task, name, lr, value, seed):
        """The line of a run, from the file if it is there; on a seed for tuning without the test data."""
        method, steps = METHODS[name], self.steps[task]
        numbers = {"lr": lr, method.knob: value}
        made_with = f"{task}{MAKE[task][1]} {steps} {method.settings(**numbers)} {seed}"
        key = hashlib.sha256(made_with.encode()).hexdigest()[:8]
        if key not in self.lines:
            self.lines[key] = {"key": key, "task": task, "method": name, "lr": f"{lr:g}", "value": f"{value:g}", "seed": str(seed),
                               **self.measure(task, method, steps, seed, numbers)}  # fmt: skip
            self.append(self.lines[key])
            self.new = True
        self.show(f"{task} {name}")
        self.used[key] = self.lines[key]
        return self.lines[key]

    def measure(self, task, method, steps, seed, numbers):
        """What a run ends with, as text of five digits."""
        if task not in self.tasks:
            self.tasks[task] = task_of(task)
        data, aside = self.tasks[task]
        test = data.test if seed in FINAL else None
        model, optimizers, losses, curve = train(data, method, steps, seed, numbers, test)
        measured = {"train_loss": statistics.fmean(losses[-LAST:]), "valid_loss": score(data, model, optimizers, aside)[0]}
        if test:
            measured["test_loss"], measured["accuracy"] = score(data, model, optimizers, test)
        return {**{k: f"{v:.5g}" for k, v in measured.items()}, "curve": " ".join(f"{v:.4g}" for v in curve)}

    def append(self, line):
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, RUNS, restval="", lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(line)

    def tidy(self):
        """Only the runs that were asked for, in order."""
        order = list(STEPS), list(METHODS)

        def place(line):
            seed, *pair = int(line["seed"]), float(line["value"]), float(line["lr"])
            return order[0].index(line["task"]), order[1].index(line["method"]), seed, pair

        write(self.path, RUNS, sorted(self.used.values(), key=place))


def read(path):
    """The lines of a file, as dictionaries; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path, head, lines):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, head, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


# ------------------------------------------------------------------------------------- tuning


def rate(k):
    """The learning rate of a place on the grid, 10^(k/3), to three digits."""
    return float(f"{10 ** (k / 3):.3g}")


def tune(results, task, name):
    """The learning rate and the knob's value that do best on the data set aside; see the module."""
    method = METHODS[name]
    low, high = method.middle[task] - RATES // 2, method.middle[task] + RATES // 2
    while True:
        pairs = [(rate(k), value) for k in range(low, high + 1) for value in method.values]
        first = {pair: _loss(results.run(task, name, *pair, TUNING[0])) for pair in pairs}
        loss = {p: first[p] + _loss(results.run(task, name, *p, TUNING[1])) for p in sorted(pairs, key=first.get)[:CONTENDERS]}
        inside = [pair for pair in loss if rate(low) < pair[0] < rate(high)]
        best = min(loss, key=loss.get)
        if inside and min(map(loss.get, inside)) <= loss[best] * (1 + EQUAL):
            return min(inside, key=loss.get)
        if high - low + 1 == RATES + GROWTH:
            return best
        lr = best[0]
        low, high = (low - 1, high) if lr == rate(low) else (low, high + 1)


def _loss(line):
    """What a pair is judged by; a run that diverged is the worst."""
    loss = float(line["valid_loss"])
    return loss if math.isfinite(loss) else math.inf


# ------------------------------------------------------------------------------------- time and state


def clock(task, chosen, turns=40):
    """Time per gradient of `step()` alone and of all that a step is, and bytes of state: a line for each method.

    Args:
        chosen: ``{method: (lr, value)}``.
        turns: how often each method has its turn.
    """
    data, _ = task_of(task)
    inputs, targets = data.train
    racers = {}
    for name, (lr, value) in chosen.items():
        model = _model(data, 0)
        racers[name] = model, METHODS[name].optimizers(model, lr=lr, **{METHODS[name].knob: value})
    times = {name: [] for name in chosen}
    for turn, batch in enumerate(data.batches(turns + 5, 0)):
        for name, (model, optimizers) in racers.items():
            spent, count = 0.0, 0

            def closure():
                nonlocal spent, count
                start = time.process_time()
                for optimizer in optimizers:  # noqa: B023
                    optimizer.zero_grad()
                loss = data.loss(model(inputs[batch]), targets[batch])  # noqa: B023
                loss.backward()
                spent, count = spent + time.process_time() - start, count + 1
                return loss

            start = time.process_time()
            step(optimizers, closure, 20)
            whole = time.process_time() - start
            if turn >= 5:  # kernels, states and caches are there
                times[name].append(((whole - spent) / count, whole / count))
    lines = []
    for name, (model, optimizers) in racers.items():
        count = sum(p.numel() for p in model.parameters())
        line = {"task": task, "method": name, "parameters": count, "state_bytes": state_bytes(optimizers)}
        for what, seconds in zip(("step", "whole"), zip(*times[name])):
            low, middle, high = (f"{q * 1e6:.4g}" for q in statistics.quantiles(seconds, n=4))
            line |= {f"{what}_us": middle, f"{what}_low": low, f"{what}_high": high}
        lines.append(line)
    return lines


def state_bytes(optimizers):
    """Bytes of all tensors that the optimizers keep between steps."""

    def size(kept):
        if isinstance(kept, torch.Tensor):
            return kept.numel() * kept.element_size()
        parts = kept.values() if isinstance(kept, dict) else kept if isinstance(kept, (list, tuple)) else ()
        return sum(map(size, parts))

    return sum(size(optimizer.state) for optimizer in optimizers)


# ------------------------------------------------------------------------------------- all of it


def collect(folder, tasks=tuple(STEPS), methods=tuple(METHODS), steps=STEPS, turns=40, show=lambda text: None):
    """Measures what the folder lacks; `runs.csv` grows run by run, `times.csv` and `made.json` task by task.

    Args:
        steps: gradients per run, by task.
        turns: of each method, when time is measured.
        show: told of each run.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder, steps, show)
    times, changed = read(folder / "times.csv"), False
    for done, task in enumerate(tasks, 1):
        chosen, results.new = {}, False
        for name in methods:
            chosen[name] = tune(results, task, name)
            for seed in FINAL:
                results.run(task, name, *chosen[name], seed)
        if results.new or {line["method"] for line in times if line["task"] == task} != set(methods):
            times = [line for line in times if line["task"] != task] + clock(task, chosen, turns)
            changed = True
        if changed:
            write(folder / "times.csv", TIMES, times)
            settings = provenance(tasks[:done], methods, steps)
            (folder / "made.json").write_text(json.dumps(settings, indent=1) + "\n")
    results.tidy()


def provenance(tasks, methods, steps):
    """The settings, and when and where it was measured, as far as it tells a reader something."""
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(), "torch": torch.__version__.split("+")[0], "optimbook": optimbook.__version__,
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}", "threads": torch.get_num_threads(),
        "tuning_seeds": TUNING, "final_seeds": FINAL, "rates": RATES, "contenders": CONTENDERS, "growth": GROWTH, "every": EVERY,
        "steps": {task: steps[task] for task in tasks}, "targets": {task: TARGETS[task] for task in tasks},
        "knobs": {name: METHODS[name].knob for name in methods}, "left_out": LEFT_OUT,
    }  # fmt: skip


def main():
    torch.set_num_threads(1)
    least = len(STEPS) * len(METHODS) * (RATES * 3 + CONTENDERS + len(FINAL))
    with tqdm(total=least, unit="run", smoothing=0.05) as bar:

        def show(text):
            bar.set_description(text, refresh=False)
            bar.update()

        collect(FOLDER, show=show)


if __name__ == "__main__":
    main()
