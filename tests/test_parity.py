"""The arithmetic of every class of torch.optim: every input of torch's own table, every option, 50 steps."""

import sys

import pytest
import torch
from torch_classes import (
    IMPLEMENTATIONS,
    INFO,
    LARGE,
    NAMES,
    assert_states_equal,
    common,
    default_dtype,
    each,
    float64,
    furthest,
    options,
    others,
    run,
    shapes_of,
    signature,
    torch_run,
)

import optimbook

BIT_EQUAL = {"Muon"}  # its products are torch's own, so nothing may differ


@pytest.fixture
def capturable_on_cpu(monkeypatch):
    """Lets both libraries run `capturable` here: on a CPU both refuse it, and its arithmetic needs no GPU."""
    name = "_get_capturable_supported_devices"
    for module in [m for n, m in sys.modules.items() if n.startswith(("torch.optim.", "optimbook.")) and name in vars(m)]:
        monkeypatch.setattr(module, name, lambda *args, **kwargs: ["cpu", "cuda"])


def test_every_class_of_torch_is_here():
    """And every option of each has another value to be tried with."""
    assert {i.name for i in common.optim_db} == set(NAMES) <= set(optimbook.optim.__all__)
    for name in NAMES:
        booleans = [n for n, default in signature(name).items() if isinstance(default, bool)]
        assert signature(name).keys() == {*others(name), *booleans}
        assert len(options(name, "default", torch.float64)) >= 4 * 2 ** len(booleans)


@each()
@pytest.mark.usefixtures("float64", "capturable_on_cpu")
def test_float64(name, implementation):
    for kwargs in options(name, implementation, torch.float64):
        (ours, a), (torchs, b) = run(optimbook, name, kwargs), torch_run(name, kwargs)
        assert furthest(ours, torchs) <= (0 if name in BIT_EQUAL else 1e-12), kwargs
        assert_states_equal(a, b, 1e-12, **IMPLEMENTATIONS[implementation])


@each("default", "loop", "foreach", "fused")
@pytest.mark.usefixtures("float64")
def test_gradients_that_lie_otherwise(name, implementation):
    """Contiguous gradients of transposed and channels_last parameters. (torch's fused CPU step takes them in the wrong order.)"""
    kwargs = others(name, "lr", "weight_decay")
    torchs, _ = torch_run(name, kwargs, lying=False)
    ours, _ = run(optimbook, name, kwargs | IMPLEMENTATIONS[implementation], lying=False)
    assert furthest(ours, torchs) <= 1e-12


@each("default", "loop", "foreach", "fused")
def test_float32(name, implementation):
    """On tensors of 4096 numbers and more, no further from the float64 run than twice torch's own float32 is."""
    shapes, steps = shapes_of(name, LARGE), 10 if INFO[name].step_requires_closure else 50  # LBFGS's takes 20 iterations each
    for kwargs in options(name, implementation, torch.float32):
        exact = exactly(name, kwargs, steps, shapes)
        ours, _ = run(optimbook, name, kwargs, torch.float32, steps, shapes)
        torchs, _ = torch_run(name, kwargs, torch.float32, steps, shapes)
        assert furthest(ours, exact) <= 2 * furthest(torchs, exact), kwargs
        exact_rate = not isinstance(kwargs.get("lr"), torch.Tensor)  # torch works a tensor's coefficients out in float32
        assert name not in BIT_EQUAL or not exact_rate or all(map(torch.equal, ours, torchs)), kwargs


def exactly(name, kwargs, steps, shapes):
    """torch's run in float64, numbers and all."""
    with default_dtype(torch.float64):
        return torch_run(name, {n: v for n, v in kwargs.items() if n != "fused"}, torch.float64, steps, shapes)[0]


@each("default", "loop", "foreach", "fused", names=[n for n in NAMES if not INFO[n].step_requires_closure])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half(name, implementation, dtype):
    """Low precision (LBFGS's dot products overflow in it): no further from the float64 run than twice torch's."""
    kwargs = others(name, "weight_decay", "momentum", "eps") | {"lr": 0.01} | IMPLEMENTATIONS[implementation]
    shapes, steps = shapes_of(name, LARGE), 10
    exact = exactly(name, kwargs, steps, shapes)
    ours, torchs = run(optimbook, name, kwargs, dtype, steps, shapes)[0], torch_run(name, kwargs, dtype, steps, shapes)[0]
    assert {p.dtype for p in ours} == {dtype}
    assert furthest(ours, exact) <= 2 * furthest(torchs, exact)


@each("default", "loop", "foreach", "differentiable", names=[n for n in NAMES if INFO[n].supports_complex])
@pytest.mark.usefixtures("float64")
def test_complex(name, implementation):
    for kwargs in options(name, implementation, torch.float64)[::3]:
        case = name, kwargs, torch.complex128, 20, shapes_of(name)[:4]
        (ours, a), (torchs, b) = run(optimbook, *case), torch_run(*case)
        assert furthest(ours, torchs) <= 1e-12, kwargs
        assert_states_equal(a, b, 1e-12, **IMPLEMENTATIONS[implementation])


@each("default", "loop", "foreach", names=[n for n in NAMES if INFO[n].supports_sparse or INFO[n].only_supports_sparse_grads])
@pytest.mark.parametrize("maximize", [False, True])
def test_sparse(name, implementation, maximize):
    """Sparse gradients in which a row comes twice; where a class takes dense ones too, beside those and after those."""
    takes_dense = not INFO[name].only_supports_sparse_grads

    def path(module, kwargs):
        params = [torch.nn.Parameter(torch.ones(4, 3)), torch.nn.Parameter(torch.ones(5))]
        optimizer = getattr(module, name)(params, lr=0.1, maximize=maximize, **kwargs)
        for step in range(6):
            rows = torch.tensor([[step % 4, 1, step % 4]])
            grad = torch.sparse_coo_tensor(rows, torch.arange(9.0).view(3, 3) - step, (4, 3), check_invariants=True)
            params[0].grad = grad.to_dense() if takes_dense and step < 2 else grad
            params[1].grad = torch.full((5,), 0.1 * step) if takes_dense else None
            optimizer.step()
        return [p.detach() for p in params], optimizer

    for kwargs in ({}, others(name, "momentum"), others(name, "lr_decay", "initial_accumulator_value"), others(name, "betas", "eps")):
        (ours, a), (torchs, b) = (path(m, kwargs | IMPLEMENTATIONS[implementation]) for m in (optimbook, torch.optim))
        assert furthest(ours, torchs) <= 1e-6
        assert_states_equal(a, b, 1e-6)
