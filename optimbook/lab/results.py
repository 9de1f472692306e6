"""All algorithms on the book's tasks, as `make results` measured them: the files in `measured/`, as tables and pictures."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .display import Html, both
from .scripts import SORT
from .style import figure, line
from .tables import spread, table

FOLDER = Path(__file__).parent / "measured"
TASKS = {  # what a task is called, and to how many digits its loss is told
    "regression": (both("病态回归", "Ill-conditioned regression"), "regression", 4),
    "digits_cnn": (both("手写数字 CNN", "Digits CNN"), "digits CNN", 4),
    "text": (both("字符 Transformer", "Character transformer"), "transformer", 3),
}
LEVEL, CLOSE = 0.05, 0.01  # of the test that finds ties, and what is one in any case
GOOD = 0.8  # progress of a good rate


@dataclass(frozen=True)
class Entry:
    """A method on a task.

    Attributes:
        task, method: names.
        knob, lr, value: the knob beside the rate, and the pair that tuning chose.
        at_edge: whether that rate was the smallest or the largest tried.
        tuning: ``{(lr, value): loss}`` on the data set aside, of the first seed for tuning.
        loss, accuracy: on the test data at the end, of each final seed.
        curves: the loss on the test data ``[seed, look]``, a look every ``every`` gradients.
        every, target: of the task.
        parameters, state_bytes: of the task's model.
        step, whole: microseconds of one thread per gradient, of ``step()`` and of all: lower quartile, median, upper quartile.
    """

    task: str
    method: str
    knob: str
    lr: float
    value: float
    at_edge: bool
    tuning: dict
    loss: np.ndarray
    accuracy: np.ndarray
    curves: np.ndarray
    every: int
    target: float
    parameters: int
    state_bytes: int
    step: tuple
    whole: tuple

    @property
    def best(self):
        """The lowest test loss of each final seed on its way."""
        return self.curves.min(1)

    @property
    def steps(self):
        """Gradients until the test loss is at the target, of each final seed; inf where it never is."""
        reached = self.curves <= self.target
        return np.where(reached.any(1), reached.argmax(1) * float(self.every), np.inf)

    @property
    def diverged(self):
        """How many final runs ended in no number."""
        return int((~np.isfinite(self.loss)).sum())

    @property
    def by_rate(self):
        """``{lr: loss}`` in tuning, with the best value of the knob at each rate."""
        rates = sorted({lr for lr, _ in self.tuning})
        return {rate: min(loss for (lr, _), loss in self.tuning.items() if lr == rate) for rate in rates}


class Measured:
    """What was measured: ``results[task][method]`` holds the chosen hyperparameters, losses, curves and times of a method on a task.

    Attributes:
        made: the settings, and when and where it was measured.
        runs: every run, as a dictionary of texts.
    """

    def __init__(self, folder=None):
        """``folder``: of `runs.csv`, `times.csv` and `made.json`; the package's own if None."""
        folder = FOLDER if folder is None else folder
        self.made = json.loads((folder / "made.json").read_text())
        self.runs = _lines(folder / "runs.csv")
        self.times = {(line["task"], line["method"]): line for line in _lines(folder / "times.csv")}
        self.tasks = tuple(self.made["steps"])
        self.methods = tuple(self.made["knobs"])

    def __getitem__(self, task):
        return self._entries[task]

    @cached_property
    def _entries(self):
        found = {(task, method): [] for task in self.tasks for method in self.methods}
        for line in self.runs:
            found[line["task"], line["method"]].append(line)
        return {task: {m: self._entry(task, m, found[task, m]) for m in self.methods} for task in self.tasks}

    def _entry(self, task, method, runs):
        final = [run for run in runs if int(run["seed"]) in self.made["final_seeds"]]
        tuning = {_pair(run): _number(run["valid_loss"]) for run in runs if int(run["seed"]) == self.made["tuning_seeds"][0]}
        (lr, value), *others = {_pair(run) for run in final}
        assert not others and len(final) == len(self.made["final_seeds"])
        rates = [rate for rate, _ in tuning]
        time = self.times[task, method]
        return Entry(
            task, method, self.made["knobs"][method], lr, value, lr in (min(rates), max(rates)), tuning,
            np.array([_number(run["test_loss"]) for run in final]), np.array([float(run["accuracy"]) for run in final]),
            np.array([[_number(x) for x in run["curve"].split()] for run in final]), self.made["every"], self.made["targets"][task],
            int(time["parameters"]), int(time["state_bytes"]),
            *(tuple(float(time[f"{what}_{part}"]) for part in ("low", "us", "high")) for what in ("step", "whole")),
        )  # fmt: skip

    def ranking(self, task):
        """The names of the methods, the least mean loss first."""
        return sorted(self.methods, key=lambda name: self[task][name].loss.mean())

    def ties(self, task):
        """The names of the methods that these seeds do not tell from the best, which is one of them.

        Each method meets the same seeds, so that a paired t-test compares its losses with the best's, in logarithms; Holm's correction
        keeps the chance of any false difference among all of them below 5 %. What is less than 1 % worse is a tie, whatever the test
        says. A method that diverged is none.
        """
        from scipy.stats import ttest_rel

        best, *others = self.ranking(task)
        loss = {name: self[task][name].loss for name in others}
        close = [name for name in others if loss[name].mean() <= (1 + CLOSE) * self[task][best].loss.mean()]
        against = np.log(self[task][best].loss)
        p = {name: ttest_rel(np.log(loss[name]), against).pvalue if np.isfinite(loss[name]).all() else 0.0 for name in others}
        told = True
        ties = [best]
        for place, name in enumerate(sorted(others, key=p.get)):
            told = told and p[name] <= LEVEL / (len(others) - place)
            if not told or name in close:
                ties.append(name)
        return ties

    def scale(self, task):
        """From what to what losses go on a task: the mean before the first step, and the least in all the tuning."""
        return self[task][self.methods[0]].curves[:, 0].mean(), min(min(e.by_rate.values()) for e in self[task].values())

    def progress(self, task, name):
        """``{lr: progress}``: how far tuning got at each rate with its best knob, from 0 (start) to 1 (the best of all), in logarithms."""
        start, best = self.scale(task)
        return {lr: np.log(start / min(loss, start)) / np.log(start / best) for lr, loss in self[task][name].by_rate.items()}

    def valley(self, task, name, good=GOOD):
        """The rates that made this much of the progress, those next to each other about the method's best; maybe none."""
        rates, progress = zip(*self.progress(task, name).items())
        best = int(np.argmax(progress))
        bad = [p < good for p in progress]
        low = next((i + 1 for i in range(best, -1, -1) if bad[i]), 0)
        high = next((i for i in range(best, len(bad)) if bad[i]), len(bad))
        return rates[low:high]


def measured():
    """The results that ship with the package."""
    return Measured()


def _lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _pair(run):
    return float(run["lr"]), float(run["value"])


def _number(text):
    """A loss; what is no number, or none, is the worst."""
    value = float(text)
    return value if np.isfinite(value) else np.inf


# ------------------------------------------------------------------------------------- tables


def settings(results):
    """What each task is: parameters, gradients of a run, target, and how many runs stand in the file."""
    head = (
        both("任务", "Task"), both("参数", "Parameters"), both("每次训练的梯度数", "Gradients per run"),
        both("目标", "Target"), both("训练次数", "Runs"),
    )  # fmt: skip
    runs = [line["task"] for line in results.runs]
    made = results.made
    size = {task: results[task][results.methods[0]].parameters for task in results.tasks}
    rows = [(TASKS[t][0], f"{size[t]:,}", str(made["steps"][t]), f"{made['targets'][t]:g}", str(runs.count(t))) for t in results.tasks]
    return table(head, rows)


def glance(results):
    """All methods on all tasks: the mean of the final test loss as a multiple of the task's best; ties are marked."""
    ties = {task: results.ties(task) for task in results.tasks}
    best = {task: results[task][results.ranking(task)[0]].loss.mean() for task in results.tasks}

    def ratio(task, name):
        loss = results[task][name].loss.mean() / best[task]
        shown = f"{loss:.2f}" if np.isfinite(loss) else "–"
        return f"<b>{shown} ≈</b>" if name in ties[task] else shown

    order = sorted(results.methods, key=lambda name: sum(results.ranking(task).index(name) for task in results.tasks))
    head = both("方法", "Method"), *(TASKS[task][0] for task in results.tasks), both("状态（字节/参数）", "State (bytes per parameter)")
    return sortable(head, [(name, *(ratio(task, name) for task in results.tasks), _state(results["text"][name])) for name in order])


def standings(results, task):
    """A task's table: what was chosen, what came of it, and how soon; where losses look the same, the sooner is first."""
    digits, ties, classes = TASKS[task][2], results.ties(task), task != "regression"

    def place(name):
        return float(f"{results[task][name].loss.mean():.{digits}f}"), results[task][name].steps.mean()

    rows = []
    for name in sorted(results.methods, key=place):
        entry = results[task][name]
        loss = _diverged(entry) or spread(entry.loss, digits)
        row = f"<b>{loss} ≈</b>" if name in ties else loss, _steps(entry), *([spread(100 * entry.accuracy, 1)] if classes else [])
        rows.append((name, *row, f"{entry.best.mean():.{digits}f}", f"{entry.lr:g}", f"<code>{entry.knob}</code> {entry.value:g}"))
    head = (
        both("方法", "Method"), both("最终测试损失", "Final test loss"), both("达标步数", "Steps to target"),
        *([both("准确率 / %", "Accuracy / %")] if classes else []), both("途中最低", "Lowest on the way"),
        both("学习率", "Rate"), both("另一个超参数", "The other knob"),
    )  # fmt: skip
    return sortable(head, rows)


def costs(results):
    """Bytes of state, and the time of a step, of all methods; the time to the target is that of the transformer."""

    def row(name):
        text = results["text"][name]
        steps = (f"{results[task][name].step[1]:.0f}" for task in results.tasks)
        there = f"{text.steps.mean() * text.whole[1] / 1e3:.0f}" if np.isfinite(text.steps).all() else "–"
        return name, _state(text), *steps, f"{text.whole[1]:.0f}", there

    tasks = (both(f"step()，{TASKS[task][0].zh} / µs", f"step(), {TASKS[task][0].en} / µs") for task in results.tasks)
    head = (
        both("方法", "Method"), both("状态（字节/参数）", "State (bytes per parameter)"), *tasks,
        both("整步，字符 Transformer / µs", "Whole step, character transformer / µs"), both("达标用时 / ms", "Time to target / ms"),
    )  # fmt: skip
    return sortable(head, [row(name) for name in sorted(results.methods, key=lambda name: results["text"][name].whole[1])])


def _state(entry):
    return f"{entry.state_bytes / entry.parameters:.2f}"


def _diverged(entry):
    """In how many of the runs training diverged, if in any."""
    count = f"{entry.diverged}/{len(entry.loss)}"
    return both(f"– （{count} 发散）", f"– ({count} diverged)") if entry.diverged else ""


def _steps(entry):
    """Mean and deviation, or in how many of the runs the target was reached."""
    reached = np.isfinite(entry.steps).sum()
    return spread(entry.steps, 0) if reached == len(entry.steps) else f"– ({reached}/{len(entry.steps)})"


def sortable(head, rows):
    """A `table` whose rows a press on a column's head puts in order; without scripts it is a table."""
    plain = table(head, rows)
    return Html(plain.html.replace('class="table"', 'class="table ob-sort"', 1) + f"\n<script>{SORT}</script>", repr(plain))


# ------------------------------------------------------------------------------------- pictures


def draw_rates(results):
    """Progress in tuning by learning rate, a row for each method, bright where high; a dot at the rate that was chosen."""
    width = {name: np.mean([len(results.valley(task, name)) for task in results.tasks]) for name in results.methods}
    order = sorted(results.methods, key=width.get, reverse=True)
    fig, axes = figure(1, len(results.tasks), width=6.4, height=5.4, sharey=True)
    for ax, task in zip(axes, results.tasks):
        progress = [{round(3 * np.log10(lr)): p for lr, p in results.progress(task, name).items()} for name in order]
        places = range(min(map(min, progress)), max(map(max, progress)) + 1)
        cells = [[row.get(k, np.nan) for k in places] for row in progress]
        edges = 10 ** ((np.arange(len(places) + 1) + places[0] - 0.5) / 3)
        shown = ax.pcolormesh(edges, np.arange(len(order) + 1) - 0.5, cells, cmap="cividis", vmin=0, vmax=1)
        ax.plot([results[task][name].lr for name in order], range(len(order)), "o", color="#D55E00", markeredgecolor="white", markersize=5)
        ax.set(xscale="log", title=TASKS[task][1], xlabel=r"rate $\gamma$", ylim=(len(order) - 0.5, -0.5))
        ax.grid(False)
    axes[0].set_yticks(range(len(order)), order)
    fig.colorbar(shown, ax=axes, location="bottom", aspect=40, label="progress, in logarithms of the loss")
    return fig


def draw_curves(results, names):
    """Mean test loss over the final run, the named methods in their colours, the others in grey."""
    fig, axes = figure(len(results.tasks), 1, height=7.2)
    for ax, task in zip(axes, results.tasks):
        for method in sorted(results.methods, key=lambda method: method in names):
            entry = results[task][method]
            look = {**line(method), "label": method, "zorder": 3} if method in names else {"color": "#bbbbbb", "linewidth": 0.8}
            ax.plot(np.arange(entry.curves.shape[1]) * entry.every, entry.curves.mean(0), **look)
        first = results[task][names[0]].curves[:, 0].mean()
        lowest = min(entry.curves.mean(0).min() for entry in results[task].values())
        ax.axhline(results.made["targets"][task], color="black", linewidth=0.8, linestyle=":")
        ax.set(yscale="log", ylim=(lowest / 1.05, first * 1.05), ylabel=f"test loss, {TASKS[task][1]}")
    axes[-1].set_xlabel("gradients")
    axes[0].legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig
