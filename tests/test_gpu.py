"""Whole optimizers on a GPU: their paths, their numbers, CUDA graphs, and that no step waits for the device."""

import copy

import pytest
import torch

import optimbook
from optimbook import sign
from optimbook.engine import cuda

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

SIZES = [(3,), (40, 50), (0,), (), (70000,), (129, 65)]
RATES = {"SGD": {"momentum": 0.9}, "Muon": {"lr": 0.02}, "LARS": {"momentum": 0.9}}
BY_KERNEL = "SGD Adagrad RMSprop Adadelta Adam AdamW Adamax NAdam RAdam ASGD Rprop LARS LAMB Lion Yogi".split()
ON_DEVICE = [n for n in BY_KERNEL if "capturable" in vars(optimbook)[n]([torch.zeros(1)], lr=0.01).defaults]


def sizes_of(name):
    return [(40, 50), (129, 65)] if name == "Muon" else SIZES


def start(cls, device="cuda", dtype=torch.float32, **options):
    noise = torch.Generator().manual_seed(1)
    params = [torch.randn(s, generator=noise).to(device, dtype).requires_grad_() for s in sizes_of(cls.__name__)]
    rest = {**RATES.get(cls.__name__, {}), **options}
    return params, cls([{"params": params[:1]}, {"params": params[1:], "lr": rest.get("lr", 0.01)}], **rest)


def gradients(params, step):
    noise = torch.Generator().manual_seed(100 + step)
    return [torch.randn(p.shape, generator=noise).to(p.device, p.dtype) for p in params]


def train(params, optimizer, steps=range(6), missing=True):
    for step in steps:
        for i, (param, grad) in enumerate(zip(params, gradients(params, step))):
            param.grad = None if missing and (i + step) % 3 == 0 else grad
        optimizer.step()
    return params


def paths(optimizer):
    return {type(part).__name__ for plan in optimizer._plans.values() for part in (*plan.kernels, *plan.eager)}


def close(a, b, tolerance=3e-6):
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x.detach().cpu(), y.detach().cpu(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [*BY_KERNEL, "Adafactor", "Muon"])
def test_as_on_a_cpu(name):
    cls = getattr(optimbook, name)
    params, optimizer = start(cls)
    train(params, optimizer)
    if name in BY_KERNEL:
        assert paths(optimizer) == {"Kernels"}
        assert {type(k) for plan in optimizer._plans.values() for part in plan.kernels for k in part.kernels} == {cuda.TritonKernel}
    # Muon's products are of bfloat16, which the two devices add in another order
    close(params, train(*start(cls, "cpu")), 0.02 if name == "Muon" else 3e-6)


@pytest.mark.parametrize("name", [n for n in BY_KERNEL if hasattr(torch.optim, n)])
def test_as_torch(name):
    ours, theirs = (start(getattr(module, name)) for module in (optimbook, torch.optim))
    close(train(*ours), train(*theirs))
    for mine, its in zip(ours[1].state_dict()["state"].values(), theirs[1].state_dict()["state"].values(), strict=True):
        assert {n: (t.dtype, t.shape) for n, t in mine.items()} == {n: (t.dtype, t.shape) for n, t in its.items()}
        # torch's ASGD keeps its numbers on the device, and waits for them at each step
        assert name == "ASGD" or {n: t.device for n, t in mine.items()} == {n: t.device for n, t in its.items()}


@pytest.mark.parametrize("name", BY_KERNEL)
@pytest.mark.parametrize("how", ["fused", "capturable"])
def test_numbers_on_the_device(name, how):
    if how == "capturable" and name not in ON_DEVICE:
        pytest.skip("the class has no such option")
    cls = getattr(optimbook, name)
    params, optimizer = start(cls, **{how: True})
    train(params, optimizer)
    assert paths(optimizer) == {"DeviceKernels"}
    steps = [s["step"] for s in optimizer.state.values() if "step" in s]
    assert all(t.is_cuda for t in steps)
    close(params, train(*start(cls)), 1e-5)  # numbers from a float32 step


@pytest.mark.parametrize("name", ON_DEVICE)
def test_cuda_graph(name):
    """A captured step, replayed with other gradients and another rate, as the same steps one by one."""
    rate = torch.tensor(0.01, device="cuda")
    options = {"capturable": True} | ({"lr": rate} if name != "ASGD" else {})
    (params, optimizer), (expected, plain) = (start(getattr(optimbook, name), **{"lr": 0.01, **how}) for how in (options, {}))
    train(params, optimizer, range(3), missing=False), train(expected, plain, range(3), missing=False)
    for param in params:
        param.grad = torch.zeros_like(param)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for step in range(3, 8):
        if step == 5 and "lr" in options:
            rate.fill_(0.003)
            for group in plain.param_groups:
                group["lr"] = 0.003
        for param, grad in zip(params, gradients(params, step)):
            param.grad.copy_(grad)
        graph.replay()
        train(expected, plain, [step], missing=False)
    close(params, expected, 2e-5)


@pytest.mark.parametrize("name", BY_KERNEL)
def test_no_step_waits(name):
    """Neither reads anything back, nor copies from memory that the device cannot read by itself."""
    for how in ({}, {"foreach": True}) + (({"capturable": True},) if name in ON_DEVICE else ()):
        params, optimizer = start(getattr(optimbook, name), **how)
        train(params, optimizer, range(2), missing=False)
        torch.cuda.set_sync_debug_mode("error")
        try:
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_in_a_stream():
    """The step goes into the stream that is current, and sees what was put there before."""
    params, optimizer = start(optimbook.AdamW)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        train(params, optimizer)
    stream.synchronize()
    close(params, train(*start(optimbook.AdamW)), 0)


def test_many_steps_in_flight():
    """Each step's table stays as it is until the device has read it."""
    params, optimizer = start(optimbook.Adam)
    expected, plain = start(torch.optim.Adam)
    for pair in ((params, optimizer), (expected, plain)):
        torch.cuda._sleep(200_000_000)
        train(*pair, range(60), missing=False)
    close(params, expected)


@pytest.mark.parametrize("dtype, last_place", [(torch.bfloat16, 2**-7), (torch.float16, 2**-10)], ids=str)
def test_half(dtype, last_place):
    """Worked out in float32 and rounded once, on either device."""
    options = {"dtype": dtype, "eps": 1e-3}  # float16 has no 1e-8
    params, optimizer = start(optimbook.AdamW, **options)
    train(params, optimizer)
    assert paths(optimizer) == {"Kernels"}
    close(params, train(*start(optimbook.AdamW, "cpu", **options)), 2 * last_place)


def test_states_of_another_dtype_and_rounding_by_chance():
    params, optimizer = start(optimbook.AdamW, state_dtype=torch.bfloat16)
    train(params, optimizer)
    assert paths(optimizer) == {"Kernels"} and {s["exp_avg"].dtype for s in optimizer.state.values()} == {torch.bfloat16}
    param = torch.ones(100_000, dtype=torch.bfloat16, device="cuda", requires_grad=True)
    optimizer = optimbook.SGD([param], lr=1e-4, stochastic_rounding=True)  # less than half of bfloat16's last place below 1
    for _ in range(100):
        param.grad = torch.ones_like(param)
        optimizer.step()
    assert paths(optimizer) == {"Kernels"} and float(param.detach().float().mean()) == pytest.approx(0.99, abs=3e-4)


def test_gradient_scaler():
    """With a fused optimizer the scale is taken out in the step; a step with an infinite gradient is left out."""
    for module in (optimbook, torch.optim):
        for how in ({}, {"fused": True}):
            param = torch.ones(3, device="cuda", requires_grad=True)
            optimizer, scaler = module.AdamW([param], lr=0.1, **how), torch.amp.GradScaler("cuda", init_scale=8.0)
            for factor in (1.0, float("inf"), 2.0):
                optimizer.zero_grad()
                scaler.scale((factor * param).sum()).backward()
                scaler.step(optimizer)
                scaler.update()
            assert torch.isfinite(param).all() and 0.75 < float(param.detach()[0]) < 0.85
            assert float(optimizer.state[param]["step"]) == 2


def test_clipped_within_the_step():
    ours, theirs = start(optimbook.AdamW, max_grad_norm=1.0), start(torch.optim.AdamW)
    for step in range(4):
        for params, optimizer in (ours, theirs):
            for param, grad in zip(params, gradients(params, step)):
                param.grad = grad
            if optimizer is theirs[1]:
                torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
    close(ours[0], theirs[0])


def test_a_checkpoint_moves_between_devices():
    params, optimizer = start(optimbook.AdamW, "cpu")
    train(params, optimizer)
    moved, other = start(optimbook.AdamW)
    with torch.no_grad():
        for to, of in zip(moved, params):
            to.copy_(of)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert all(s["exp_avg"].is_cuda and s["step"].device.type == "cpu" for s in other.state.values())
    close(train(moved, other, range(6, 9)), train(params, optimizer, range(6, 9)))


def test_a_class_of_the_readers_own():
    @optimbook.rule
    def signed(param, grad, trace, *, lr=0.01, decay=0.9):
        trace = decay * trace + (1 - decay) * grad
        param = param - lr * sign(trace)
        return param, trace

    cls = optimbook.optimizer(signed, name="Signed")
    params, optimizer = start(cls)
    train(params, optimizer)
    assert paths(optimizer) == {"Kernels"}
    close(params, train(*start(cls, "cpu")))
