"""The comparison: the script end to end on a tiny budget, the file that is in the repository, and the tables drawn from it."""

import re

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("sklearn", reason="the lab's extra is not installed")
pytest.importorskip("tqdm", reason="the script's progress bar is not installed")

import optimbook
from benchmarks import results as script
from benchmarks.methods import LEFT_OUT, MAKE, METHODS, STEPS, arguments
from optimbook import lab
from optimbook.language import Kind

FEW = "SGD", "ASGD", "LBFGS"
TINY = {"regression": 12}


@pytest.fixture(scope="module")
def measured():
    return lab.measured()


# --- the methods ----------------------------------------------------------------------------------


def test_no_optimizer_is_forgotten():
    compared = {method.cls.__name__ for method in METHODS.values()}
    assert compared | set(LEFT_OUT) == set(optimbook.optim.__all__) and not compared & set(LEFT_OUT)


def test_every_knob_is_one_of_its_class():
    for name, method in METHODS.items():
        knobs = {method.knob: method.values[0], "lr": 0.1, **method.fixed}
        method.cls([torch.nn.Parameter(torch.ones(2, 2))], **arguments(method.cls, knobs))
        assert len(method.values) == len(set(method.values)) == 3, name
        assert set(method.middle) == set(STEPS), name


def test_muon_leaves_embeddings_head_biases_and_norms_to_adamw():
    make, kwargs = MAKE["text"]
    model = make(**kwargs).model()
    muon, adamw = METHODS["Muon"].optimizers(model, lr=0.1, momentum=0.9)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in muon.param_groups[0]["params"]} == {"mix.weight", "out.weight", "think.0.weight", "think.2.weight"}
    assert sum(len(o.param_groups[0]["params"]) for o in (muon, adamw)) == len(names)


# --- a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_bytes_of_state_are_those_of_the_rule(name):
    data, _ = script.task_of("digits_cnn")
    method = METHODS[name]
    numbers = {"lr": script.rate(method.middle["digits_cnn"]), method.knob: method.values[-1]}
    _, optimizers, losses, _ = script.train(data, method, 60, 0, numbers)
    assert len(losses) in (60, 61) and np.isfinite(losses).all()
    assert script.state_bytes(optimizers) == sum(map(bytes_by_rule, optimizers))


def bytes_by_rule(optimizer):
    """From the names of the states alone; Adafactor's are as large as rows and columns, L-BFGS's are vectors of all parameters."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    if isinstance(optimizer, optimbook.LBFGS):
        return 4 * (2 * optimizer.param_groups[0]["history_size"] + 2) * sum(p.numel() for p in params) + numbers_of(optimizer)
    options = optimizer._values(optimizer.param_groups[0])
    total = 0
    for param in params:
        flags = {name: options[name] for name in optimizer.rule.flags if name in options} | {"matrix": param.dim() > 1}
        program = optimizer.rule.program(**{name: value for name, value in flags.items() if name in optimizer.rule.flags})
        for state in program.states:
            shape = {"row_var": param.shape[:-1], "col_var": param.shape[:-2] + param.shape[-1:]}.get(state, param.shape)
            total += 4 * (1 if program.variables[state] == Kind.NUMBER else shape.numel())
    return total


def numbers_of(optimizer):
    """L-BFGS's single numbers that are tensors."""
    (state,) = (s for s in optimizer.state.values() if s)
    kept = [x for value in state.values() for x in (value if isinstance(value, list) else [value])]
    return sum(x.element_size() for x in kept if isinstance(x, torch.Tensor) and x.numel() == 1)


def test_the_rate_falls_on_half_a_cosine_to_nothing(monkeypatch):
    seen = []
    monkeypatch.setattr(script, "step", lambda optimizers, closure, left: (closure(), seen.append(optimizers[0].param_groups[0]["lr"])))
    script.train(script.task_of("regression")[0], METHODS["SGD"], 20, 0, {"lr": 2.0, "weight_decay": 0})
    assert np.allclose(seen, [1 + np.cos(np.pi * t / 20) for t in range(20)])


def test_asgd_is_tested_by_its_average_and_trains_on_from_its_parameters():
    data, aside = script.task_of("regression")
    model, optimizers, *_ = script.train(data, METHODS["ASGD"], 20, 0, {"lr": 0.1, "t0": 0})
    before = [p.clone() for p in model.parameters()]
    loss, _ = script.score(data, model, optimizers, aside)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before))
    assert loss != data.loss(model(aside[0]), aside[1]).item()


def test_a_curve_holds_what_was_there_at_each_look_and_inf_after_a_divergence():
    points = [(0, 3.0), (9, 2.0), (12, 1.0), (20, 0.5)]
    assert script.curve_of(points, [1.0] * 20, 20) == [3.0, 2.0, 0.5]
    assert script.curve_of(points[:3], [1.0] * 14 + [np.inf], 30) == [3.0, 2.0, np.inf, np.inf]


# --- the file -------------------------------------------------------------------------------------


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch):
    collect = lambda steps: script.collect(tmp_path, ["regression"], FEW, steps, turns=2)  # noqa: E731
    collect(TINY)
    whole = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(whole) == {"runs.csv", "times.csv", "made.json"}

    made = []
    measure = script.Results.measure
    monkeypatch.setattr(script.Results, "measure", lambda self, *given: made.append(given) or measure(self, *given))
    collect(TINY)
    assert not made and {file.name: file.read_bytes() for file in tmp_path.iterdir()} == whole

    lines = whole["runs.csv"].decode().splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:-7]))  # stopped before the last seven
    collect(TINY)
    assert len(made) == 7 and (tmp_path / "runs.csv").read_bytes() == whole["runs.csv"]

    collect({"regression": 13})  # a changed setting: all anew, and nothing of the old stays
    assert len(made) == 7 + sum(1 for _ in script.read(tmp_path / "runs.csv"))
    assert not {line["key"] for line in script.read(tmp_path / "runs.csv")} & {line[:8] for line in lines}


def test_the_tiny_results_can_be_drawn(tmp_path):
    script.collect(tmp_path, ["regression"], FEW, TINY, turns=2)
    results = lab.results.Measured(tmp_path)
    assert {row.split()[0] for row in repr(lab.results.standings(results, "regression")).splitlines()[1:]} == set(FEW)


def test_every_method_was_measured_on_every_task_with_five_seeds(measured):
    assert set(measured.methods) == set(METHODS) and measured.tasks == tuple(STEPS)
    for task in measured.tasks:
        for name in METHODS:
            entry = measured[task][name]
            assert entry.loss.shape == (5,) and entry.curves.shape == (5, STEPS[task] // script.EVERY + 1)
            assert len(entry.tuning) >= 27, (task, name)


def test_the_file_is_what_the_script_would_make(tmp_path, monkeypatch):
    """Each line's key follows from the settings as they are now: a setting changed, and `make results` is due."""
    monkeypatch.setattr(script.Results, "measure", lambda self, *given: pytest.fail(f"not in the file: {given[1:]}"))
    monkeypatch.setattr(script, "clock", lambda *given: pytest.fail("a task's times are not in the file"))
    for file in script.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    script.collect(tmp_path)
    assert (tmp_path / "runs.csv").read_bytes() == (script.FOLDER / "runs.csv").read_bytes()
    assert sum(file.stat().st_size for file in script.FOLDER.iterdir()) < 300_000


def test_a_run_of_the_file_again(measured):
    """Full batches and few parameters: the same on every processor."""
    entry = measured["regression"]["Adam"]
    data, _ = script.task_of("regression")
    *_, curve = script.train(data, METHODS["Adam"], STEPS["regression"], 0, {"lr": entry.lr, "beta2": entry.value}, data.test)
    assert np.allclose(curve, entry.curves[0], rtol=0.02)


# --- what is drawn from it ------------------------------------------------------------------------


def test_tables_say_what_the_file_says(measured):
    for task in measured.tasks:
        table = lab.results.standings(measured, task).html
        rows = re.findall(r'<tr><th scope="row">(\w+)</th>(.*?)</tr>', table)
        losses = [measured[task][name].loss.mean() for name, _ in rows]
        assert len(rows) == len(METHODS) and all(a < b + 1e-3 for a, b in zip(losses, losses[1:]))
        for name, row in rows:
            runs = [run for run in measured.runs if (run["task"], run["method"]) == (task, name)]
            loss = [float(run["test_loss"]) for run in runs if int(run["seed"]) in script.FINAL]
            shown = re.search(r"([\d.]+) ± ([\d.]+)", row)
            if np.isfinite(loss).all():
                digits = len(shown[1].split(".")[1])
                assert shown.groups() == (f"{np.mean(loss):.{digits}f}", f"{np.std(loss, ddof=1):.{digits}f}")
            assert ("≈" in row) == (name in measured.ties(task))


def test_ties_are_what_seeds_do_not_tell_apart(measured):
    clear = next(name for name in measured.ranking("text") if name not in measured.ties("text"))
    best = measured.ranking("text")[0]
    assert (measured["text"][clear].loss > measured["text"][best].loss).all()
    assert measured.ranking("digits_cnn")[1] in measured.ties("digits_cnn")


def test_a_valley_is_one_stretch_about_the_best(measured):
    for task in measured.tasks:
        for name in measured.methods:
            progress, valley = measured.progress(task, name), measured.valley(task, name)
            assert all(progress[rate] >= lab.results.GOOD for rate in valley)
            assert bool(valley) == (max(progress.values()) >= lab.results.GOOD)
            assert not valley or max(progress, key=progress.get) in valley
