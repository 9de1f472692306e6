"""torch's own table of its optimizers, `optim_db`: what each takes, and how to train with any of them alike."""

import contextlib
import copy
import inspect
import itertools
from functools import cache

import pytest
import torch

import optimbook

common = pytest.importorskip("torch.testing._internal.common_optimizers", reason="torch's optim_db needs expecttest")

INFO = {i.name: i for i in common.optim_db if hasattr(optimbook, i.name)}
NAMES = list(INFO)
IMPLEMENTATIONS = {
    "default": {},
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "differentiable": {"differentiable": True},
    "capturable": {"capturable": True},
    "capturable-foreach": {"capturable": True, "foreach": True},
}
SCRATCH = {"al"}  # what torch's LBFGS keeps among its states from the loop that worked out the last direction
ENGINE = ("foreach", "fused", "differentiable", "capturable")  # options that choose an implementation and leave the arithmetic


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture
def float64():
    """Number states take the default dtype, so float64 is seen only under a float64 default."""
    with default_dtype(torch.float64):
        yield


# ------------------------------------------------------------------------------------------- what each class takes


def implementations(name):
    """Those of `IMPLEMENTATIONS` that torch has for a class on a CPU."""
    info = INFO[name]
    has = {*info.supported_impls, *(["capturable"] if info.has_capturable_arg else [])}
    return [label for label, kwargs in IMPLEMENTATIONS.items() if has.issuperset(kwargs)]


def each(*labels, names=NAMES):
    """Parametrizes a test over classes and those of their implementations (all, or these)."""
    pairs = [(n, i) for n in names for i in implementations(n) if not labels or i in labels]
    return pytest.mark.parametrize("name, implementation", pairs, ids=map("-".join, pairs))


def signature(name):
    """A class's options with torch's defaults, without those that choose an implementation."""
    parameters = list(inspect.signature(getattr(torch.optim, name)).parameters.values())[1:]
    return {p.name: p.default for p in parameters if p.name not in ENGINE}


# One value other than the default for every option that is not a boolean; an entry for a class goes before that for all.
OTHER = {
    "lr": 0.05, "weight_decay": 0.1, "momentum": 0.9, "dampening": 0.3, "betas": (0.7, 0.95), "eps": 1e-3, "lr_decay": 0.1,
    "initial_accumulator_value": 0.5, "alpha": 0.9, "rho": 0.7, "lambd": 0.01, "t0": 10, "momentum_decay": 0.02, "etas": (0.4, 1.3),
    "step_sizes": (1e-4, 1.0), "beta2_decay": -0.5, "d": 2.0, "ns_coefficients": (3.4, -4.7, 2.0), "ns_steps": 3,
    "adjust_lr_fn": "match_rms_adamw", "max_iter": 5, "max_eval": 4, "tolerance_grad": 1e-3, "tolerance_change": 1e-5, "history_size": 2,
    "line_search_fn": "strong_wolfe", ("Adafactor", "eps"): (1e-20, 1e-2),
}  # fmt: skip


def others(name, *options):
    """Other values than the default for all options of a class that are not booleans, or for those among ``options``."""
    chosen = [n for n, default in signature(name).items() if not isinstance(default, bool) and (not options or n in options)]
    return {n: OTHER.get((name, n), OTHER[n]) for n in chosen}


@cache
def options(name, implementation, dtype):
    """Every input of torch's table (those for CUDA too, without what needs it), and all options at other values, each with
    every combination of the boolean options; and each option alone at another value. ``dtype`` is that of tensor rates.
    """
    with default_dtype(dtype):
        table = [dict(i.kwargs) for device in ("cpu", "cuda") for i in INFO[name].optim_inputs_func(device=device)]
    together = others(name)
    table += [together, {**together, "lr": torch.tensor(0.01, dtype=dtype)}]
    booleans = [n for n, default in signature(name).items() if isinstance(default, bool)]
    combinations = [dict(zip(booleans, c)) for c in itertools.product((False, True), repeat=len(booleans))]
    every = [given | chosen for given in table for chosen in combinations] + [{n: value} for n, value in together.items()]
    every = [{n: v for n, v in kwargs.items() if n not in ENGINE} | IMPLEMENTATIONS[implementation] for kwargs in every]
    return [kwargs for kwargs in {key(kwargs): kwargs for kwargs in every}.values() if legal(name, kwargs)]


def key(kwargs):
    return repr(sorted(kwargs.items()))


def legal(name, kwargs):
    """Whether torch itself takes these options together."""
    try:
        getattr(torch.optim, name)([torch.zeros(2, 2)], **kwargs)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------- training


SMALL = {
    "all": ((5,), (), (0,), (3, 4), (2, 3, 4, 5), (6, 4)),
    "Adafactor": ((5,), (), (3, 4), (2, 3, 4, 5), (6, 4)),  # torch's divides by the number of elements
    "LBFGS": ((5,), (), (0,), (3, 4)),
    "Muon": ((3, 4), (4, 3), (5, 5), (1, 6)),
    "SparseAdam": ((5,), (4, 3), (6, 2, 3)),
}
LARGE = {"all": ((4096,), (64, 80)), "LBFGS": ((64, 80),), "Muon": ((64, 64),), "SparseAdam": ((64, 80),)}


def shapes_of(name, table=SMALL):
    return table.get(name, table["all"])


@cache
def _tensors(dtype, shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def tensors(dtype, shapes, seed=0):
    return [t.clone() for t in _tensors(dtype, tuple(shapes), seed)]


def arranged(values):
    """The same numbers in unusual memory: four-dimensional ones channels_last, the last one transposed."""
    values = [v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for v in values]
    return [*values[:-1], values[-1].t().contiguous().t()] if values[-1].ndim == 2 else values


def train(name, optimizer, params, steps, dtype, lying=True):
    """Steps in which now one parameter, now another has no gradient; gradients lie in memory as their parameters do.

    With `fused`, or if they lie otherwise, all have one at first: torch's fused SGD fails where some have a buffer and others not.
    """
    together = optimizer.defaults.get("fused") or not lying
    for step in range(steps):
        grads = tensors(dtype, [p.shape for p in params], seed=step + 1)
        for i, param in enumerate(params):
            if (step + i) % 4 == 0 and not (together and step == 0):
                grads[i] = None
            elif INFO[name].only_supports_sparse_grads:
                rows = torch.arange(step % len(param), len(param), 2)
                grads[i] = torch.sparse_coo_tensor(rows.unsqueeze(0), grads[i][rows], param.shape, check_invariants=True)
            elif lying:
                grads[i] = torch.empty_like(param).detach().copy_(grads[i])
        advance(name, optimizer, params, grads)


def advance(name, optimizer, params, grads):
    """One step with these gradients; where the step evaluates the model itself, they are the centre of a quadratic."""

    def closure():
        loss = 0.0
        for param, grad in zip(params, grads):
            distance = param.detach() + (0 if grad is None else grad)
            slope = distance * torch.linspace(0.5, 2, param.numel()).view(param.shape).to(distance.dtype)
            param.grad = None if grad is None else slope.contiguous()  # torch's LBFGS takes no other
            loss += 0.5 * float((distance.conj() * slope).real.sum())
        return torch.tensor(loss)

    if INFO[name].step_requires_closure:
        return optimizer.step(closure)
    for param, grad in zip(params, grads):
        param.grad = grad
    optimizer.step()


def run(module, name, kwargs, dtype=torch.float64, steps=50, shapes=None, lying=True):
    """Trains; gives the parameters and the optimizer."""
    values = arranged(tensors(dtype, shapes or shapes_of(name)))
    params = values if kwargs.get("differentiable") else [torch.nn.Parameter(v) for v in values]
    groups = [{"params": params[::2]}, {"params": params[1::2], "lr": 0.02}] if INFO[name].supports_param_groups else params
    optimizer = getattr(module, name)(groups, **copy.deepcopy(kwargs))
    train(name, optimizer, params, steps, dtype, lying)
    return [p.detach() for p in params], optimizer


_torch_runs = {}


def torch_run(name, kwargs, *args, **more):
    """`run` with torch's class by its for-loop, or by its fused kernel if told to; each run is done once for all that compare with it."""
    plain = {n: v for n, v in kwargs.items() if n == "fused" or n not in ENGINE}
    asked = (name, key(plain), args, key(more), torch.get_default_dtype())
    if asked not in _torch_runs:
        _torch_runs[asked] = run(torch.optim, name, plain, *args, **more)
    return _torch_runs[asked]


def furthest(a, b):
    """The largest difference of parameters, relative to the largest of them."""
    most = max(y.abs().max() for y in b if y.numel())
    return float(max((x - y).abs().max() for x, y in zip(a, b) if y.numel()) / most)


def assert_states_equal(ours, torchs, tolerance, **options):
    """The same states, of the same kinds; the groups have torch's options, but for these."""
    ours, torchs = ours.state_dict(), torchs.state_dict()
    for mine, theirs in zip(ours["param_groups"], torchs["param_groups"], strict=True):
        assert {n: mine[n] for n in theirs} == {**theirs, **options}
    assert ours["state"].keys() == torchs["state"].keys()
    for a, b in zip(ours["state"].values(), torchs["state"].values()):
        assert a.keys() - SCRATCH == b.keys() - SCRATCH
        for name in a.keys() - SCRATCH:
            assert_alike(a[name], b[name], tolerance, name)


def assert_alike(a, b, tolerance, name):
    if isinstance(a, torch.Tensor) and isinstance(b, int):  # torch's SparseAdam counts its steps in an int
        b = torch.tensor(float(b))
    assert type(a) is type(b), name
    if isinstance(a, list):
        assert len(a) == len(b), name
        for x, y in zip(a, b):
            assert_alike(x, y, tolerance, name)
    elif isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.device) == (b.dtype, b.shape, b.device), name
        torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance, equal_nan=True, msg=name)
    else:
        assert a == b or a == pytest.approx(b, rel=tolerance, abs=tolerance), name
