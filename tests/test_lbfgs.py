"""LBFGS against torch's: each evaluation of the closure, each state; against the mathematics; and where torch goes wrong."""

import copy
import inspect
import io
import math
import pickle
import random

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from optimbook.optim import lbfgs
from optimbook.optim.lbfgs import LBFGS

STEPS = 50
BOTH = (LBFGS, torch.optim.LBFGS)


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# ------------------------------------------------------------------------------------------- problems


def normal(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


DATA = normal(60, 8)
LABELS = (DATA @ torch.linspace(-1, 1, 8, dtype=torch.float64) + 0.3 * normal(60) > 0).double()


def quadratic(x):
    return (torch.logspace(0, 3, x.numel()) * (x - 1) ** 2).sum()


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def logistic(weight, bias):
    logits = DATA.to(weight.dtype) @ weight + bias
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, LABELS.to(weight.dtype)) + 1e-3 * (weight**2).sum()


def mlp(weight, bias, out):
    return ((torch.tanh(DATA.to(weight.dtype) @ weight + bias) @ out - LABELS.to(weight.dtype)) ** 2).mean()


def complex_valued(z):
    return (z.abs() ** 4).sum() + ((z - (1 + 2j)) * (z - 1j)).abs().square().sum()


PROBLEMS = {
    "quadratic": (quadratic, lambda: [torch.zeros(12)]),
    "rosenbrock": (rosenbrock, lambda: [torch.linspace(-1.2, 1, 10)]),
    "logistic": (logistic, lambda: [torch.zeros(8), torch.zeros(())]),
    "mlp": (mlp, lambda: [normal(8, 6), torch.zeros(6), normal(6)]),
    "complex": (complex_valued, lambda: [normal(3, 2, dtype=torch.complex128)]),
}
problems = pytest.mark.parametrize("problem", PROBLEMS)
searches = pytest.mark.parametrize("search", [None, "strong_wolfe"])


class Run:
    """An optimizer on a problem; keeps the parameters and the loss of each evaluation."""

    def __init__(self, cls, loss, start, **kwargs):
        self.loss, self.trace = loss, []
        self.params = [torch.nn.Parameter(x.clone()) for x in start]
        self.optimizer = cls(self.params, **kwargs)

    def closure(self):
        self.optimizer.zero_grad()
        loss = self.loss(*self.params)
        loss.backward()
        self.trace.append(([p.detach().tolist() for p in self.params], loss.item()))
        return loss

    def steps(self, count):
        for _ in range(count):
            self.optimizer.step(self.closure)
        return self

    @property
    def state(self):
        return self.optimizer.state[self.params[0]]


def pair(problem, **kwargs):
    loss, start = PROBLEMS[problem]
    return [Run(cls, loss, start(), **kwargs) for cls in BOTH]


def furthest(ours, torchs):
    most = max(p.detach().abs().max() for p in torchs.params)
    return max((p - q).detach().abs().max() for p, q in zip(ours.params, torchs.params)) / most


def assert_equal(a, b):
    """Numbers, tensors and lists of them; a number and a tensor of one element may stand for each other."""
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert_equal(x, y)
    elif a is None or b is None:
        assert a is b
    else:
        torch.testing.assert_close(torch.as_tensor(a).double(), torch.as_tensor(b).double(), rtol=1e-12, atol=1e-12, equal_nan=True)


def assert_states_equal(ours, torchs):
    a, b = ours.optimizer.state_dict(), torchs.optimizer.state_dict()
    assert a["param_groups"] == b["param_groups"] and list(a["state"]) == list(b["state"]) == [0]
    assert a["state"][0].keys() == b["state"][0].keys()
    for key, value in b["state"][0].items():
        assert_equal(a["state"][0][key], value)


# ------------------------------------------------------------------------------------------- torch, number by number

OPTIONS = {
    "default": {},
    "short history": {"max_iter": 4, "history_size": 3},
    "few evaluations": {"max_iter": 6, "max_eval": 4},
    "one": {"max_iter": 1, "max_eval": 1},
    "tensor lr": {"max_iter": 4, "lr": torch.tensor(0.05, dtype=torch.float64)},
    "tensor lr of another dtype and shape": {"max_iter": 4, "lr": torch.tensor([0.05], dtype=torch.float32)},
    "tolerances": {"max_iter": 4, "tolerance_grad": 1e-3, "tolerance_change": 1e-4},
    "no tolerance": {"tolerance_grad": -1.0, "tolerance_change": 0.0, "max_iter": 5},
}


@problems
@searches
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_follows_torch(problem, search, options):
    """The same evaluations at the same points, and the same states, over 50 steps (20, where each has 20 iterations)."""
    rate = {} if search or "lr" in options else {"lr": 0.5 if problem == "logistic" else 0.01}
    steps = STEPS if search or "max_iter" in options else 20
    ours, torchs = (run.steps(steps) for run in pair(problem, line_search_fn=search, **rate, **options))
    assert len(ours.trace) == len(torchs.trace) == ours.state["func_evals"]
    assert_equal([loss for _, loss in ours.trace], [loss for _, loss in torchs.trace])
    assert furthest(ours, torchs) <= 1e-12
    assert_states_equal(ours, torchs)


DTYPES = [(p, d) for p in PROBLEMS for d in (torch.float32, torch.bfloat16) if (p, d) != ("complex", torch.bfloat16)]  # there is none


@searches
@pytest.mark.parametrize("problem, dtype", DTYPES, ids=str)
def test_follows_torch_in_other_dtypes(problem, search, dtype):
    loss, start = PROBLEMS[problem]
    values = [x.to(torch.complex64 if x.is_complex() else dtype) for x in start()]
    kwargs = {"line_search_fn": search, "lr": 1 if search else 0.01, "history_size": 4}
    torch.set_default_dtype(torch.float32)
    ours, torchs = (Run(cls, loss, values, **kwargs).steps(10) for cls in BOTH)
    assert {p.dtype for p in ours.params} == {v.dtype for v in values}
    assert str(ours.trace) == str(torchs.trace)  # with torch's nan, where there is one


def rugged(seed):
    """A loss with kinks, waves, plateaus or no bottom, and options, such that line searches take all their ways."""
    choose = random.Random(seed)
    size, kind = choose.choice([1, 2, 5]), choose.choice(["waves", "kinks", "plateaus", "straight", "corners"])
    generator = torch.Generator().manual_seed(seed)
    half, slope = torch.randn(size, size, generator=generator), choose.choice([1, 5, 20]) * torch.randn(size, generator=generator)
    bowl, height = half @ half.T, choose.choice([0, 0.1, 3])

    def loss(x):
        if kind == "waves":
            return x @ bowl @ x / 2 + height * torch.sin(slope * x).sum()
        if kind == "kinks":
            return torch.relu(slope * x + 1).sum() + height * (x**2).sum()
        if kind == "plateaus":  # a value in steps, under a smooth gradient: many equal losses
            value = x @ bowl @ x / 2
            return value + (torch.round(value.detach(), decimals=1) - value.detach())
        if kind == "straight":
            return slope @ x
        return (slope * (x - 1)).abs().sum() + height * (x**4).sum()

    options = {"lr": [0.001, 0.1, 1, 1, 10, 100], "max_iter": [1, 5, 20], "max_eval": [None, 1, 2, 7], "history_size": [1, 3, 100],
               "tolerance_change": [1e-9, 0, 1e-3], "tolerance_grad": [1e-7, -1]}  # fmt: skip
    return loss, [torch.randn(size, generator=generator)], {name: choose.choice(values) for name, values in options.items()}


@pytest.mark.parametrize("start", range(0, 240, 60))
def test_line_search_on_rugged_ground(start, monkeypatch):
    """Bit for bit torch's evaluations; and every branch of the search was taken."""
    seen = set()
    for name in ("bracket", "zoom", "between"):
        original = getattr(lbfgs, name)
        monkeypatch.setattr(lbfgs, name, lambda *a, name=name, original=original: _noted(seen, name, a, original(*a)))
    for seed in range(start, start + 60):
        loss, x, kwargs = rugged(seed)
        ours, torchs = (Run(cls, loss, x, line_search_fn="strong_wolfe", **kwargs).steps(4) for cls in BOTH)
        assert ours.trace == torchs.trace, (seed, kwargs)
    assert seen >= {("bracket", 1), ("bracket", 2), ("zoom", None), ("between", (False, True)), ("between", (True, False))}


def _noted(seen, name, given, result):
    seen.add((name, len(result) if name == "bracket" else (given[-1], result[-1]) if name == "between" else None))
    return result


@pytest.mark.parametrize("loss, stalled, expected", [
    (1e20, False, (0.1, False)),  # so high that the cubic's minimum rounds to the other end: moved inwards at once
    (50.0, False, (None, True)),  # near the end
    (50.0, True, (0.1, False)),  # near it again
    (0.5, True, (None, False)),  # well inside
])  # fmt: skip
def test_trials_keep_off_the_ends(loss, stalled, expected):
    ends = [lbfgs.Point(t, value, torch.tensor(slope), None) for t, value, slope in ((0.0, 0.0, -1.0), (1.0, loss, 2 * loss))]
    t, now_stalled = lbfgs.between(ends, stalled)
    assert now_stalled is expected[1] and (t == expected[0] if expected[0] else 0 < t < 1)


def test_a_direction_that_ascends_ends_the_step(monkeypatch):
    """One that rounding has spoilt, say: nothing moves, and nothing more is evaluated."""
    ours = pair("rosenbrock", tolerance_change=0.0, max_iter=3)[0].steps(1)
    before, evaluations, iterations = ours.params[0].detach().clone(), len(ours.trace), ours.state["n_iter"]
    monkeypatch.setattr(lbfgs, "two_loops", lambda grad, **memory: (grad.clone(), []))
    ours.steps(1)
    assert torch.equal(ours.params[0], before)
    assert len(ours.trace) == evaluations + 1 and ours.state["n_iter"] == iterations + 1


def test_evaluations_stay_within_the_budget():
    for budget in range(1, 9):
        ours, torchs = (run.steps(1) for run in pair("rosenbrock", max_eval=budget, line_search_fn="strong_wolfe", lr=100))
        assert len(ours.trace) == len(torchs.trace) <= budget + 1


# ------------------------------------------------------------------------------------------- checkpoints


@problems
@searches
@pytest.mark.parametrize("first", [0, 1], ids=["ours first", "torch first"])
@pytest.mark.parametrize("saved", [False, True])
def test_checkpoints_go_over_in_the_middle(problem, search, first, saved):
    """One starts, the other goes on, the first takes over again: as if torch had done it all."""
    kwargs = {"line_search_fn": search, "lr": 1 if search else 0.01, "max_iter": 3, "history_size": 4}
    loss, start = PROBLEMS[problem]
    whole = Run(torch.optim.LBFGS, loss, start(), **kwargs).steps(STEPS)
    run = None
    for index, count in ((first, 5), (1 - first, 10), (first, STEPS - 15)):
        fresh = Run(BOTH[index], loss, start() if run is None else [p.detach() for p in run.params], **kwargs)
        if run is not None:
            checkpoint = run.optimizer.state_dict()
            if saved:
                file = io.BytesIO()
                torch.save(checkpoint, file)
                file.seek(0)
                checkpoint = torch.load(file)
            fresh.optimizer.load_state_dict(checkpoint)
        run = fresh.steps(count)
    assert furthest(run, whole) <= 1e-12
    assert run.state["func_evals"] == len(whole.trace)


def test_a_loaded_state_is_its_own():
    """What torch does to the source later (it writes into its gradient) does not reach us."""
    ours, torchs = pair("rosenbrock", max_iter=3)
    torchs.steps(2)
    ours.optimizer.load_state_dict(torchs.optimizer.state_dict())
    before = copy.deepcopy(ours.state)
    for value in torchs.state.values():
        for tensor in value if isinstance(value, list) else [value]:
            if isinstance(tensor, torch.Tensor):
                tensor.fill_(7.0)
    for key, value in before.items():
        assert_equal(ours.state[key], value)


def test_a_snapshot_stays_as_it_was():
    """A state dict is not written into by later steps."""
    ours = pair("rosenbrock", max_iter=3, history_size=2)[0].steps(3)
    snapshot = ours.optimizer.state_dict()["state"][0]
    before = copy.deepcopy(snapshot)
    ours.steps(3)
    for key, value in before.items():
        assert_equal(snapshot[key], value)


@searches
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_go_on(search, duplicate):
    """(torch's copies have lost their parameters and cannot step.)"""
    ours = pair("rosenbrock", max_iter=3, line_search_fn=search, lr=1 if search else 0.001)[0].steps(3)
    twin = object.__new__(Run)
    twin.loss, twin.trace, twin.optimizer = ours.loss, [], duplicate(ours.optimizer)
    twin.params = twin.optimizer.param_groups[0]["params"]
    assert type(twin.optimizer) is LBFGS and twin.params[0] is not ours.params[0]
    before = ours.params[0].detach().clone()
    twin.steps(4)
    assert torch.equal(ours.params[0], before)
    ours.steps(4)
    assert torch.equal(ours.params[0], twin.params[0]) and not torch.equal(ours.params[0], before)


# ------------------------------------------------------------------------------------------- the mathematics


@pytest.mark.parametrize("pairs", range(5))
def test_two_loops_are_the_matrix_recursion(pairs):
    """N&W equation 6.17, with the matrices written out."""
    *half, grad = normal(7, 6)
    half, steps, scale = torch.stack(half), list(normal(pairs + 1, 6)[1:]), 0.7
    changes = [half @ half.T @ s for s in steps]
    inverse = scale * torch.eye(6)
    for s, y in zip(steps, changes):
        rho = 1 / y.dot(s)
        turn = torch.eye(6) - rho * torch.outer(y, s)
        inverse = turn.T @ inverse @ turn + rho * torch.outer(s, s)
    direction, alphas = lbfgs.two_loops(grad, changes, steps, [1 / y.dot(s) for s, y in zip(steps, changes)], scale)
    torch.testing.assert_close(direction, -inverse @ grad, rtol=1e-10, atol=1e-10)
    assert len(alphas) == pairs


def test_cubic_minimiser():
    """Of cubics whose minimum is known: x³/3 - m²x has it at m; and none where the slope never turns."""
    for m, a, b in ((1.0, 0.2, 3.0), (2.0, -1.0, 2.5), (0.5, 0.4, 0.6)):
        point = lambda x, m=m: (x**3 / 3 - m**2 * x, x**2 - m**2)  # noqa: E731
        (loss_a, slope_a), (loss_b, slope_b) = point(a), point(b)
        found = lbfgs.cubic_minimiser(a=a, b=b, loss_a=loss_a, loss_b=loss_b, slope_a=slope_a, slope_b=slope_b)
        assert found == pytest.approx(m, rel=1e-12)
    flat = lbfgs.cubic_minimiser(a=0.0, b=1.0, loss_a=0.0, loss_b=-1.0, slope_a=torch.tensor(-1.0), slope_b=torch.tensor(-3.0))
    assert math.isnan(flat)


def test_first_length_and_scale():
    assert lbfgs.first_length(lr=0.5, grad_sum=4.0) == 0.125 and lbfgs.first_length(lr=0.5, grad_sum=0.1) == 0.5
    y, s = normal(2, 5)
    assert lbfgs.curvature_scale(sy=s.dot(y), yy=y.dot(y)) == s.dot(y) / y.dot(y)
    assert r"\frac{s \cdot y}{y \cdot y}" in lbfgs.curvature_scale.latex()
    assert r"\sqrt" in lbfgs.cubic_minimiser.latex() and "sqrt" in lbfgs.cubic_minimiser.javascript()


@pytest.mark.parametrize("drop, slope, high, steep", [
    (1.01e-4, -0.95, False, True), (0.99e-4, -0.95, True, True),
    (0.5, -0.89, False, False), (0.5, 0.89, False, False), (0.5, 0.91, False, True),
])  # fmt: skip
def test_wolfe_conditions(drop, slope, high, steep):
    """N&W equation 3.7 with 1e-4 and 0.9, at twice the length and a start of slope -1."""
    start, point = (lbfgs.Point(t, loss, torch.tensor(s), None) for t, loss, s in ((0, 3.0, -1.0), (2.0, 3.0 - 2 * drop, slope)))
    assert bool(lbfgs.too_high(point, start)) is high and bool(lbfgs.flat(point, start)) is not steep


@pytest.mark.parametrize("problem", ["rosenbrock", "logistic", "mlp", "complex"])
@pytest.mark.parametrize("lr", [0.01, 1, 30])
def test_accepted_points_satisfy_the_strong_wolfe_conditions(problem, lr, monkeypatch):
    found = []

    def search(line, t, budget):
        point = strong_wolfe(line, t, budget)
        found.append((line.start, point))
        return point

    strong_wolfe = lbfgs.strong_wolfe
    monkeypatch.setattr(lbfgs, "strong_wolfe", search)
    loss, start = PROBLEMS[problem]
    Run(LBFGS, loss, start(), lr=lr, line_search_fn="strong_wolfe", max_iter=12, max_eval=1000).steps(1)
    assert len(found) >= 3
    for at, to in found:
        assert to.loss <= at.loss + 1e-4 * to.t * at.slope and abs(to.slope) <= 0.9 * abs(at.slope)


def test_a_quadratic_is_solved():
    """To nine digits and more, its curvatures being from 2 to 2000, and in fewer than a hundred evaluations."""
    kwargs = {"max_iter": 100, "tolerance_change": 0.0, "tolerance_grad": 1e-9}
    ours = pair("quadratic", line_search_fn="strong_wolfe", **kwargs)[0].steps(1)
    torch.testing.assert_close(ours.params[0].detach(), torch.ones(12), rtol=0, atol=1e-9)
    assert len(ours.trace) < 100


# ------------------------------------------------------------------------------------------- parameters and gradients


@searches
def test_complex_is_pairs_of_reals(search):
    kwargs = {"line_search_fn": search, "lr": 1 if search else 0.01}
    loss, start = PROBLEMS["complex"]
    one = Run(LBFGS, loss, start(), **kwargs).steps(5)
    two = Run(LBFGS, lambda x: loss(torch.view_as_complex(x)), [torch.view_as_real(start()[0])], **kwargs).steps(5)
    assert torch.equal(torch.view_as_real(one.params[0].detach()), two.params[0].detach())


def test_conjugate_gradients():
    """Autograd may leave a gradient that is only marked as conjugate. (torch fails there.)"""
    param = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex128))
    param.grad = torch.tensor([1 + 2j, 3 - 1j]).conj()
    assert param.grad.is_conj()
    LBFGS([param], max_iter=1, lr=0.1).step(lambda: torch.tensor(1.0))
    torch.testing.assert_close(param.detach(), -0.1 / 7 * torch.tensor([1 - 2j, 3 + 1j]))


@searches
def test_sparse_gradients_are_made_dense(search):
    """An embedding's, as in torch."""
    ends = []
    for cls, sparse in ((LBFGS, True), (LBFGS, False), (torch.optim.LBFGS, True)):
        torch.manual_seed(0)
        table = torch.nn.Embedding(6, 3, sparse=sparse)
        optimizer = cls(table.parameters(), lr=0.5, max_iter=4, line_search_fn=search)

        def closure(table=table, optimizer=optimizer):
            optimizer.zero_grad()
            loss = ((table(torch.tensor([0, 2, 2, 5])) - 1) ** 2).sum()
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        ends.append(table.weight.detach())
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])


@searches
def test_missing_gradients_and_empty_parameters(search):
    """A parameter without a gradient stays where it is; one without elements is no harm."""

    def loss(x, unused, empty):
        return rosenbrock(x) + empty.sum()

    values = [torch.linspace(-1.2, 1, 4), torch.ones(3), torch.zeros(0)]
    ours, torchs = (Run(cls, loss, values, line_search_fn=search, lr=1 if search else 0.001).steps(5) for cls in BOTH)
    assert ours.trace == torchs.trace and torch.equal(ours.params[1].detach(), torch.ones(3))
    assert ours.state["d"].shape == (7,)


@searches
def test_memory_layouts(search):
    """Transposed and channels_last parameters, with gradients that lie as they do. (torch cannot view those as a vector.)"""

    def loss(weight, kernel):
        return quadratic(weight.reshape(-1)) + rosenbrock(kernel.reshape(-1))

    values = [torch.zeros(3, 4), torch.linspace(-1, 1, 48).reshape(2, 3, 4, 2)]
    ends = []
    for odd in (False, True):
        params = [torch.nn.Parameter(v.clone()) for v in values]
        if odd:
            arranged = values[0].t().contiguous().t(), values[1].to(memory_format=torch.channels_last)
            params = [torch.nn.Parameter(v) for v in arranged]
        optimizer = LBFGS(params, lr=1e-3 if search is None else 1, line_search_fn=search, max_iter=5)

        def closure(params=params, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(*params)
            for param, grad in zip(params, torch.autograd.grad(value, params)):
                param.grad = torch.empty_like(param).copy_(grad)
                assert param.grad.stride() == param.stride()
            return value

        for _ in range(4):
            optimizer.step(closure)
        ends.append([p.detach() for p in params])
    assert all(torch.equal(a, b) for a, b in zip(*ends))


@searches
def test_a_parameter_given_twice(search):
    """torch warns, and moves it twice."""
    ends = []
    for cls in BOTH:
        param = torch.nn.Parameter(torch.linspace(-1.2, 1, 4))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = cls([param, param], lr=1e-3, line_search_fn=search, max_iter=3)

        def closure(param=param, optimizer=optimizer):
            optimizer.zero_grad()
            loss = rosenbrock(param)
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        ends.append(param.detach())
    assert torch.equal(*ends)


# ------------------------------------------------------------------------------------------- what goes wrong


def barrier(x):
    """No number beyond 1, lowest at 1 - 1/20: a first step of the line search that goes too far."""
    return (-torch.log(1 - x) - 20 * x).sum()


def test_the_line_search_turns_back_from_what_is_no_number():
    ours, torchs = (Run(cls, barrier, [torch.zeros(1)], lr=10, line_search_fn="strong_wolfe").steps(10) for cls in BOTH)
    assert not math.isfinite(ours.trace[1][1])  # the first trial is beyond the barrier
    torch.testing.assert_close(ours.params[0].detach(), torch.tensor([0.95]), rtol=1e-7, atol=0)
    assert torchs.params[0].detach().abs() > 1e6 or torchs.params[0].isnan()  # or this is no longer worth a test


def steep(x):
    return torch.exp(300 * x.abs()).sum() + (x - 0.01).square().sum()


def cusp(x):
    """At 0 the loss is lowest, and its gradient is no number."""
    return (2 * x.abs().sqrt() + x.abs()).sum()


@pytest.mark.parametrize("loss, start, lr", [(steep, 2.0, 100), (cusp, 1.0, 1)], ids=["infinite loss", "gradient that is no number"])
def test_the_line_search_turns_back_from_other_bad_points(loss, start, lr):
    ours, torchs = (Run(cls, loss, [torch.tensor([start])], lr=lr, line_search_fn="strong_wolfe").steps(3) for cls in BOTH)
    assert ours.trace[1] == torchs.trace[1] and not ours.params[0].equal(torchs.params[0])
    assert ours.params[0].isfinite().all() and loss(ours.params[0]) < loss(torch.tensor([start]))
    assert not torchs.params[0].isfinite().all()  # or this is no longer worth a test


@searches
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_at_the_start(bad, search):
    """Without a line search as in torch, number by number; with one, too, the numbers that torch ruins are ruined, and no others."""
    ends = []
    for cls in BOTH:
        param = torch.nn.Parameter(torch.ones(3))

        def closure(param=param):
            param.grad = torch.tensor([1.0, bad, 2.0])
            return torch.tensor(1.0)

        optimizer = cls([param], max_iter=1, line_search_fn=search)
        optimizer.step(closure)
        ends.append(param.detach())
    if search is None:
        torch.testing.assert_close(*ends, rtol=0, atol=0, equal_nan=True)
    else:
        assert torch.equal(ends[0].isfinite(), ends[1].isfinite())


def test_a_rate_of_zero():
    """Nothing moves, and nothing divides by zero. (torch's line search does.)"""
    for search in (None, "strong_wolfe"):
        ours = pair("rosenbrock", lr=0.0, line_search_fn=search)[0]
        before = ours.params[0].detach().clone()
        ours.steps(2)
        assert torch.equal(ours.params[0], before)


@searches
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_failing_evaluation_undoes_its_iteration_and_no_more(search, error):
    """Whichever evaluation fails: parameters and state are those of a step that ended one iteration earlier."""
    kwargs = {"line_search_fn": search, "lr": 1 if search else 0.001, "max_eval": 100}
    loss, start = PROBLEMS["rosenbrock"]
    ended_after = set()
    for failing in range(1, 14):
        run = Run(LBFGS, loss, start(), max_iter=8, **kwargs)

        def closure(run=run, failing=failing):
            if len(run.trace) + 1 == failing:
                raise error("mine")
            return run.closure()

        with pytest.raises(error, match="mine"):
            for _ in range(2):
                run.optimizer.step(closure)
        done = run.optimizer.state.get(run.params[0], {}).get("n_iter", 0)
        steps, rest = divmod(done, 8)
        shorter = Run(LBFGS, loss, start(), max_iter=8, **kwargs).steps(steps)
        if rest:
            shorter.optimizer.param_groups[0]["max_iter"] = rest
            shorter.steps(1)
        assert torch.equal(run.params[0], shorter.params[0])
        if done:
            for key, value in shorter.state.items():
                if key != "func_evals":  # an iteration without a line search is not evaluated at its end if it is the last
                    assert_equal(run.state[key], value)
        else:
            assert not run.optimizer.state
        ended_after.add(done)
    assert len(ended_after) >= 5


def test_a_step_after_a_failing_one_goes_on():
    """Interrupted again and again, the path is the one that torch takes when its steps are cut there."""
    loss, start = PROBLEMS["rosenbrock"]
    run = Run(LBFGS, loss, start(), max_iter=20, line_search_fn="strong_wolfe")
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        if calls % 7 == 0:
            raise RuntimeError("every seventh")
        return run.closure()

    for _ in range(60):
        try:
            run.optimizer.step(closure)
        except RuntimeError as failed:
            assert "every seventh" in str(failed)
    assert loss(*run.params) < 1e-10
    whole = Run(torch.optim.LBFGS, loss, start(), max_iter=20, line_search_fn="strong_wolfe").steps(60)
    torch.testing.assert_close(run.params[0], whole.params[0], rtol=1e-6, atol=1e-6)


def test_a_rate_in_a_tensor_that_a_scheduler_fills():
    """The last move was as long as the rate was then. (torch's state holds the scheduler's own tensor, and the pair comes out wrong.)"""
    ends = []
    for lr in (0.01, torch.tensor(0.01)):
        run = Run(LBFGS, rosenbrock, [torch.linspace(-1.2, 1, 5)], lr=lr, max_iter=2)
        scheduler = torch.optim.lr_scheduler.StepLR(run.optimizer, 1, 0.5)
        for _ in range(6):
            run.steps(1)
            scheduler.step()
        ends.append(run.params[0].detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------- the interface


@pytest.fixture(scope="module")
def info():
    common = pytest.importorskip("torch.testing._internal.common_optimizers", reason="torch's optim_db needs expecttest")
    return next(i for i in common.optim_db if i.name == "LBFGS")


def test_optim_db_inputs(info):
    inputs = [i.kwargs for i in info.optim_inputs_func(device="cpu")]
    assert len(inputs) >= 5
    for kwargs in inputs:
        ours, torchs = (run.steps(15) for run in pair("logistic", **copy.deepcopy(kwargs)))
        assert furthest(ours, torchs) <= 1e-12 and len(ours.trace) == len(torchs.trace), kwargs
        assert_states_equal(ours, torchs)


def test_optim_db_error_inputs(info):
    cases = info.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    assert len(cases) >= 6
    for case in cases:
        given = case.optimizer_error_input
        params = [torch.nn.Parameter(torch.zeros(2))] if given.params is None else given.params
        catch = pytest.warns if case.error_type is UserWarning else pytest.raises
        with catch(case.error_type, match=case.error_regex):
            LBFGS(params, **given.kwargs)


def ones():
    return torch.nn.Parameter(torch.ones(2))


def test_one_group_only():
    for cls in BOTH:
        with pytest.raises(ValueError, match=r"LBFGS doesn't support per-parameter options \(parameter groups\)"):
            cls([{"params": [ones()]}, {"params": [ones()]}])
    optimizer = LBFGS([{"params": [ones()], "lr": 0.5}])
    assert optimizer.param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match="LBFGS doesn't support per-parameter options"):
        optimizer.add_param_group({"params": [ones()]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("lr", [-1.0, math.nan, math.inf, torch.tensor(-1.0), torch.tensor(math.nan)], ids=str)
def test_bad_rates(lr):
    with pytest.raises(ValueError, match="Invalid learning rate"):
        LBFGS([ones()], lr=lr)
    with pytest.raises(ValueError, match="Invalid learning rate"):
        LBFGS([{"params": [ones()], "lr": lr}])


@pytest.mark.parametrize("name, value, error, match", [
    ("lr", math.nan, ValueError, "LBFGS: lr must be finite"),
    ("lr", torch.ones(2), ValueError, "LBFGS: lr must be a number or a 1-element tensor"),
    ("lr", "fast", TypeError, "LBFGS: lr must be a number"),
    ("line_search_fn", "armijo", RuntimeError, "only 'strong_wolfe' is supported"),
])  # fmt: skip
def test_bad_options_set_later(name, value, error, match):
    """Refused before the closure runs."""
    ours = pair("rosenbrock", max_iter=2)[0].steps(1)
    before, state, calls = ours.params[0].detach().clone(), copy.deepcopy(ours.state), len(ours.trace)
    good, ours.optimizer.param_groups[0][name] = ours.optimizer.param_groups[0][name], value
    with pytest.raises(error, match=match):
        ours.steps(1)
    assert torch.equal(ours.params[0], before) and len(ours.trace) == calls and ours.state.keys() == state.keys()
    ours.optimizer.param_groups[0][name] = good
    ours.steps(1)


def test_bad_options():
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        LBFGS([ones()], line_search_fn="armijo")
    with pytest.raises(ValueError, match="Invalid history_size: 0"):
        LBFGS([ones()], history_size=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight_decay'"):
        LBFGS([ones()], weight_decay=0.1)
    with pytest.raises(ValueError, match="empty parameter list"):
        LBFGS([])


def test_the_closure_is_needed():
    for cls in BOTH:
        with pytest.raises(TypeError, match="closure"):
            cls([ones()]).step()
        with pytest.raises(TypeError, match="callable"):
            cls([ones()]).step(None)
        param = ones()
        param.grad = torch.ones(2)
        with pytest.raises(TypeError):  # it returns no loss
            cls([param]).step(lambda: None)
        assert torch.equal(param, torch.ones(2))


def test_signature_defaults_repr():
    strip = lambda cls: [(p.name, p.default, p.kind) for p in inspect.signature(cls.__init__).parameters.values()]  # noqa: E731
    assert strip(LBFGS) == strip(torch.optim.LBFGS)
    param = [ones()]
    assert LBFGS(param).defaults == torch.optim.LBFGS(param).defaults
    assert repr(LBFGS(param)) == repr(torch.optim.LBFGS(param))
    assert LBFGS.__name__ == LBFGS.__qualname__ == "LBFGS" and issubclass(LBFGS, torch.optim.Optimizer)
    assert LBFGS.paper.keys() == {"title", "authors", "year", "url"}
    for argument in list(inspect.signature(LBFGS).parameters):
        assert f"{argument}:" in inspect.getdoc(LBFGS), f"{argument} is not documented"


def test_profiler_name():
    ours = pair("rosenbrock")[0]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        ours.steps(1)
        ours.optimizer.zero_grad()
    events = [e.name for e in profile.events()]
    assert events.count("Optimizer.step#LBFGS.step") == 1 and "Optimizer.zero_grad#LBFGS.zero_grad" in events


def test_hooks_closures_names():
    """The order in which hooks, closure and step come, the loss that a step returns, and the parameters' names are torch's."""

    def story(cls):
        told, param = [], torch.nn.Parameter(torch.tensor([-1.0, 2.0]))
        optimizer = cls([("weight", param)], lr=0.01, max_iter=2)
        handles = [
            register_optimizer_step_pre_hook(lambda o, a, k: told.append(("all pre", len(a), len(k)))),
            register_optimizer_step_post_hook(lambda o, a, k: told.append(("all post", len(a), len(k)))),
            optimizer.register_step_pre_hook(lambda o, a, k: told.append(("pre", param.tolist()))),
            optimizer.register_step_post_hook(lambda o, a, k: told.append(("post", param.tolist()))),
            optimizer.register_state_dict_post_hook(lambda o, d: told.append("saved")),
            optimizer.register_load_state_dict_pre_hook(lambda o, d: told.append("to load")),
            optimizer.register_load_state_dict_post_hook(lambda o: told.append("loaded")),
        ]

        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(param)
            loss.backward()
            told.append(("closure", torch.is_grad_enabled(), param.tolist()))
            return loss

        told += [optimizer.step(closure).item(), optimizer.step(closure=closure).item()]
        optimizer.load_state_dict(optimizer.state_dict())
        told += [optimizer.param_groups[0]["param_names"], optimizer.step(closure).item()]
        for handle in handles:
            handle.remove()
        return told

    assert story(LBFGS) == story(torch.optim.LBFGS)


@searches
def test_torch_schedulers_drive_it(search):
    ends = []
    for cls in BOTH:
        run = Run(cls, rosenbrock, [torch.linspace(-1.2, 1, 5)], lr=0.01, max_iter=3, line_search_fn=search)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(run.optimizer, 5)
        for _ in range(20):
            run.steps(1)
            scheduler.step()
        ends.append(run.trace)
    assert ends[0] == ends[1]


def test_no_gradients_are_recorded():
    """A step inside no_grad still evaluates with gradients, and leaves nothing in the graph."""
    ours = pair("rosenbrock", line_search_fn="strong_wolfe")[0]
    with torch.no_grad():
        ours.steps(2)
    assert ours.params[0].is_leaf and ours.params[0].requires_grad
    assert not any(t.requires_grad for v in ours.state.values() for t in (v if isinstance(v, list) else [v]) if isinstance(t, torch.Tensor))
