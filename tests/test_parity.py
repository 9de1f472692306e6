"""Ours against torch.optim: every input and error input of torch's own table, every option, 50 steps."""

import copy
import inspect
import pickle
import re
import sys
import warnings
from functools import cache

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import optimbook

common = pytest.importorskip("torch.testing._internal.common_optimizers", reason="torch's optim_db needs expecttest")

INFO = {i.name: i for i in common.optim_db if i.name in ("SGD", "Adam", "AdamW")}
STEPS = 50
IMPLEMENTATIONS = {
    "default": {},
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "differentiable": {"differentiable": True},
    "capturable": {"capturable": True},
    "capturable-foreach": {"capturable": True, "foreach": True},
}
names = pytest.mark.parametrize("name", INFO)
implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def float64():
    """Number states take the default dtype, so float64 is seen only under a float64 default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def capturable_on_cpu(monkeypatch):
    """Lets both libraries run `capturable` here: on a CPU both refuse it, and its arithmetic needs no GPU."""
    name = "_get_capturable_supported_devices"
    for module in [m for n, m in sys.modules.items() if n.startswith(("torch.optim.", "optimbook.")) and name in vars(m)]:
        monkeypatch.setattr(module, name, lambda *args, **kwargs: ["cpu", "cuda"])


def options(name):
    """Every input of torch's table (those for CUDA too, without what needs it), with no boolean option, each, and all."""
    inputs = [dict(i.kwargs) for d in ("cpu", "cuda") for i in INFO[name].optim_inputs_func(device=d)]
    inputs.append({"lr": torch.tensor(0.01), "weight_decay": 0.1})
    switches = ["maximize"] if name == "SGD" else ["maximize", "amsgrad"]
    if name == "SGD":
        inputs += [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "dampening": 0.2, "weight_decay": 0.1}]
    if name == "Adam":
        switches.append("decoupled_weight_decay")
    seen = {}
    for kwargs in inputs:
        kwargs.pop("capturable", None)
        for chosen in [(), *([s] for s in switches), switches]:
            merged = kwargs | dict.fromkeys(chosen, True)
            seen[repr(sorted(merged.items()))] = merged
    return list(seen.values())


@cache
def _tensors(dtype, shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def tensors(dtype, shapes, seed=0):
    return [t.clone() for t in _tensors(dtype, tuple(shapes), seed)]


SHAPES = [(5,), (), (0,), (3, 4), (2, 3, 4, 5), (6, 4)]


def arranged(values):
    """The same numbers in unusual memory: the fourth-dimensional one channels_last, the last but one transposed."""
    values = list(values)
    values[4] = values[4].to(memory_format=torch.channels_last)
    values[5] = values[5].t().contiguous().t()
    return values


def train(optimizer, params, steps, dtype, shapes=SHAPES, lying=True):
    """Steps in which now one parameter, now another has no gradient; gradients lie in memory as their parameters do.

    With `fused`, or if they lie otherwise, all have one at first: torch's fused SGD fails where some have a buffer and others not.
    """
    together = optimizer.defaults["fused"] or not lying
    for step in range(steps):
        for i, (param, grad) in enumerate(zip(params, tensors(dtype, shapes, seed=step + 1))):
            missing = (step + i) % 4 == 0 and not (together and step == 0)
            param.grad = None if missing else torch.empty_like(param).detach().copy_(grad) if lying else grad
        optimizer.step()


def run(module, name, kwargs, dtype=torch.float64, steps=STEPS, shapes=SHAPES, lying=True):
    values = tensors(dtype, shapes)
    values = arranged(values) if shapes is SHAPES else values
    params = values if kwargs.get("differentiable") else [torch.nn.Parameter(v) for v in values]
    optimizer = getattr(module, name)([{"params": params[::2]}, {"params": params[1::2], "lr": 0.02}], **copy.deepcopy(kwargs))
    train(optimizer, params, steps, dtype, shapes, lying)
    return [p.detach() for p in params], optimizer


def legal(name, kwargs):
    """Whether torch itself takes these options."""
    if name == "SGD" and "capturable" in kwargs:
        return False
    is_tensor = any(isinstance(v, torch.Tensor) for v in (kwargs.get("lr"), *kwargs.get("betas", ())))
    return not (is_tensor and kwargs.get("foreach") and not kwargs.get("capturable"))


def furthest(a, b):
    most = max(y.abs().max() for y in b if y.numel())
    return float(max((x - y).abs().max() for x, y in zip(a, b) if y.numel()) / most)


def assert_states_equal(ours, torchs, tolerance):
    ours, torchs = ours.state_dict(), torchs.state_dict()
    assert ours["param_groups"] == torchs["param_groups"]
    assert ours["state"].keys() == torchs["state"].keys()
    for a, b in zip(ours["state"].values(), torchs["state"].values()):
        assert list(a) == list(b)
        for key in a:
            assert (a[key].dtype, a[key].shape, a[key].device) == (b[key].dtype, b[key].shape, b[key].device), key
            torch.testing.assert_close(a[key].detach(), b[key].detach(), rtol=tolerance, atol=tolerance, msg=key)


@names
@implementations
def test_float64(name, implementation, float64, capturable_on_cpu):
    for kwargs in options(name):
        kwargs |= IMPLEMENTATIONS[implementation]
        if legal(name, kwargs):
            (ours, a), (torchs, b) = (run(m, name, kwargs) for m in (optimbook, torch.optim))
            assert furthest(ours, torchs) <= 1e-12, kwargs
            assert_states_equal(a, b, 1e-12)


@names
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach", "fused"])
def test_gradients_that_lie_otherwise(name, implementation, float64):
    """Contiguous gradients of transposed and channels_last parameters. (torch's fused CPU step takes them in the wrong order.)"""
    torchs, _ = run(torch.optim, name, {"lr": 0.01, "weight_decay": 0.1}, lying=False)
    ours, _ = run(optimbook, name, {"lr": 0.01, "weight_decay": 0.1, **IMPLEMENTATIONS[implementation]}, lying=False)
    assert furthest(ours, torchs) <= 1e-12


@names
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach", "fused"])
def test_float32(name, implementation):
    """On tensors of 4096 numbers and more, no further from the float64 run than twice torch's own float32 is."""
    shapes = [(4096,), (64, 80)]
    default = torch.get_default_dtype()
    for kwargs in options(name):
        kwargs |= IMPLEMENTATIONS[implementation]
        if not legal(name, kwargs):
            continue
        torch.set_default_dtype(torch.float64)
        try:
            exact, _ = run(torch.optim, name, kwargs | {"fused": None}, shapes=shapes)
        finally:
            torch.set_default_dtype(default)
        ours, torchs = (run(m, name, kwargs, torch.float32, shapes=shapes)[0] for m in (optimbook, torch.optim))
        assert furthest(ours, exact) <= 2 * furthest(torchs, exact), kwargs


@names
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach", "fused"])
def test_half(name, dtype, implementation):
    """Low precision: no further from the float64 run than twice torch's."""
    kwargs = {"lr": 0.01, "weight_decay": 0.1, **({"momentum": 0.9} if name == "SGD" else {"eps": 1e-3})} | IMPLEMENTATIONS[implementation]
    shapes, steps = [(4096,), (64, 80)], 10
    exact, _ = run(torch.optim, name, kwargs | {"fused": None}, torch.float64, steps, shapes)
    ours, torchs = (run(m, name, kwargs, dtype, steps, shapes)[0] for m in (optimbook, torch.optim))
    assert {p.dtype for p in ours} == {dtype}
    assert furthest(ours, exact) <= 2 * furthest(torchs, exact)


@names
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach", "differentiable"])
def test_complex(name, implementation):
    for kwargs in options(name)[::3]:
        kwargs |= IMPLEMENTATIONS[implementation]
        if legal(name, kwargs):
            (ours, a), (torchs, b) = (run(m, name, kwargs, torch.complex128, 20, SHAPES[:3]) for m in (optimbook, torch.optim))
            assert max((x - y).abs().max() for x, y in zip(ours, torchs) if x.numel()) <= 1e-6  # tensor rates are float32 in torch
            assert {v.dtype for s in a.state.values() for k, v in s.items() if k != "step"} <= {torch.complex128}
            assert a.state_dict()["state"].keys() == b.state_dict()["state"].keys()


def error_inputs(name):
    return INFO[name].optim_error_inputs_func(device="cpu", dtype=torch.float32)


@names
def test_error_inputs(name):
    """What torch refuses is refused with torch's type and a message that has torch's."""
    assert len(error_inputs(name)) >= 7
    for case in error_inputs(name):
        given = case.optimizer_error_input
        params = [torch.nn.Parameter(torch.zeros(2))] if given.params is None else given.params
        with pytest.raises(case.error_type, match=case.error_regex) if case.error_type is not UserWarning else pytest.warns(
            UserWarning, match=case.error_regex
        ):
            getattr(optimbook, name)(params, **given.kwargs)


BOTH_REFUSE = [
    ({"foreach": True, "fused": True}, torch.float32),
    ({"fused": True, "differentiable": True}, torch.float32),
    ({"fused": True}, torch.complex64),
    ({"fused": True}, torch.int64),
    ({"capturable": True}, torch.float32),
    ({"unknown": 1}, torch.float32),
    ({"lr": -1.0}, torch.float32),
    ({"weight_decay": -0.1}, torch.float32),
    ({"eps": -1e-8}, torch.float32),
    ({"betas": (0.9, 1.0)}, torch.float32),
    ({"betas": (-0.1, 0.9)}, torch.float32),
    ({"betas": (torch.tensor([0.9, 0.9]), torch.tensor(0.9))}, torch.float32),
    ({"lr": float("nan")}, torch.float32),
    ({"momentum": -1}, torch.float32),
    ({"nesterov": True}, torch.float32),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.5}, torch.float32),
]


def complaint(module, name, kwargs, dtype):
    """The error that a constructor, or else the first step, gives."""
    try:
        param = torch.zeros(2, dtype=dtype).requires_grad_(dtype != torch.int64)
        optimizer = getattr(module, name)([param], **kwargs)
        param.grad = torch.ones(2, dtype=dtype)
        optimizer.step()
    except Exception as error:
        return error
    return None


@names
@pytest.mark.parametrize("kwargs, dtype", BOTH_REFUSE, ids=str)
def test_refused_alike(name, kwargs, dtype):
    theirs, ours = (complaint(m, name, kwargs, dtype) for m in (torch.optim, optimbook))
    if theirs is None:
        pytest.skip("torch takes it")
    assert type(ours) is type(theirs), (ours, theirs)
    beginning = re.split(r": \[|\d", str(theirs).removeprefix(f"{name}.__init__() "))[0]  # lists of devices differ
    assert beginning in str(ours), (ours, theirs)


# ------------------------------------------------------------------------------------------- the interface


@names
def test_signature_defaults_repr(name):
    ours, torchs = getattr(optimbook, name), getattr(torch.optim, name)
    strip = lambda cls: [(p.name, p.default, p.kind) for p in inspect.signature(cls.__init__).parameters.values()]  # noqa: E731
    assert strip(ours) == strip(torchs)
    param = [torch.nn.Parameter(torch.zeros(2))]
    assert ours(param).defaults == torchs(param).defaults
    assert repr(ours(param)) == repr(torchs(param))
    assert ours.__name__ == ours.__qualname__ == name and issubclass(ours, torch.optim.Optimizer)
    for argument in list(inspect.signature(ours).parameters)[1:]:
        assert f"{argument}:" in inspect.getdoc(ours) or ours is optimbook.AdamW, f"{argument} is not documented"


@names
def test_profiler_name(name):
    param = torch.nn.Parameter(torch.zeros(2))
    optimizer = getattr(optimbook, name)([param])
    param.grad = torch.ones(2)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        optimizer.step()
        optimizer.zero_grad()
    events = [e.name for e in profile.events()]
    assert events.count(f"Optimizer.step#{name}.step") == 1 and f"Optimizer.zero_grad#{name}.zero_grad" in events


@names
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach"])
def test_hooks_closures_names(name, implementation):
    """The order in which hooks, closure and step come, the closure's loss, and names of parameters are torch's."""

    def story(module):
        told, param = [], torch.nn.Parameter(torch.ones(2))
        optimizer = getattr(module, name)([("weight", param)], lr=0.1, **IMPLEMENTATIONS[implementation])
        handles = [
            register_optimizer_step_pre_hook(lambda o, a, k: told.append(("all pre", len(a)))),
            register_optimizer_step_post_hook(lambda o, a, k: told.append(("all post", len(a)))),
            optimizer.register_step_pre_hook(lambda o, a, k: told.append(("pre", [round(x, 5) for x in param.tolist()]))),
            optimizer.register_step_post_hook(lambda o, a, k: told.append(("post", [round(x, 5) for x in param.tolist()]))),
            optimizer.register_state_dict_post_hook(lambda o, d: told.append("saved")),
            optimizer.register_load_state_dict_pre_hook(lambda o, d: told.append("to load")),
            optimizer.register_load_state_dict_post_hook(lambda o: told.append("loaded")),
        ]

        def closure():
            optimizer.zero_grad()
            loss = (param**2).sum()
            loss.backward()
            told.append(("closure", torch.is_grad_enabled()))
            return loss

        told += [optimizer.step(closure).item(), optimizer.step(closure=closure).item(), optimizer.step()]
        optimizer.load_state_dict(optimizer.state_dict())
        told.append(optimizer.param_groups[0]["param_names"])
        for handle in handles:
            handle.remove()
        optimizer.step()
        return told

    theirs, ours = story(torch.optim), story(optimbook)
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours):
        assert a == b or a == pytest.approx(b)


@names
@implementations
def test_copies_and_pickles(name, implementation):
    """deepcopy and pickle keep the states; a copy goes on as the original does and shares nothing with it."""
    kwargs = {"momentum": 0.9} if name == "SGD" else {"amsgrad": True}
    kwargs |= IMPLEMENTATIONS[implementation]
    if "capturable" in kwargs or "differentiable" in kwargs:
        return
    params, optimizer = run(optimbook, name, kwargs, steps=3)
    params = [p for g in optimizer.param_groups for p in g["params"]]
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert type(twin) is type(optimizer) and twin.param_groups[0]["params"][0] is not params[0]
        original = copy.deepcopy(optimizer)
        for one in (original, twin):
            its = [p for g in one.param_groups for p in g["params"]]
            for p, g in zip(its, tensors(torch.float64, [p.shape for p in its], seed=9)):
                p.grad = g
            one.step()
        for a, b in zip(original.param_groups[1]["params"], twin.param_groups[1]["params"]):
            assert torch.equal(a, b)
        assert_states_equal(original, twin, 0)
    assert all(torch.equal(p, q) for p, q in zip(params, [p for g in optimizer.param_groups for p in g["params"]]))


@names
def test_rule_is_attached_and_pickles(name):
    rule = getattr(optimbook, name).rule
    assert rule.name == name.lower() and pickle.loads(pickle.dumps(rule)) is rule and copy.deepcopy(rule) is rule


# ------------------------------------------------------------------------------------------- with torch's tools


SCHEDULERS = {
    "StepLR": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "OneCycleLR": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=40),
    "CyclicLR": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=5, cycle_momentum="betas" in o.defaults or o.defaults["momentum"] > 0),
    "CosineAnnealingWarmRestarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    "SequentialLR": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o, [torch.optim.lr_scheduler.LinearLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)], [10]
    ),
}


@names
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
def test_torch_schedulers_drive_ours(name, scheduler, lr, float64):
    def path(module):
        param = torch.nn.Parameter(torch.ones(4))
        kwargs = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(module, name)([param], lr=copy.deepcopy(lr).to(torch.get_default_dtype()) if torch.is_tensor(lr) else lr, **kwargs)
        schedule, out = SCHEDULERS[scheduler](optimizer), []
        for step in range(30):
            param.grad = param.detach() * 0.5 + step % 3
            optimizer.step()
            schedule.step()
            out.append([float(optimizer.param_groups[0]["lr"]), *param.tolist()])
        return torch.tensor(out)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as "lr_scheduler.step() before optimizer.step()"
        warnings.filterwarnings("ignore", message=".*epoch parameter.*")
        torch.testing.assert_close(path(optimbook), path(torch.optim), rtol=1e-12, atol=1e-12)


@names
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach", "fused"])
@pytest.mark.parametrize("overflow", [False, True])
def test_grad_scaler(name, implementation, overflow):
    """Scaled losses, one of them infinite: skipped steps count nowhere, in either library.

    It is not the first: there torch's fused SGD leaves a momentum buffer uninitialised.
    """

    def path(module):
        param = torch.nn.Parameter(torch.linspace(-1, 1, 6))
        kwargs = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(module, name)([param], lr=0.1, **kwargs, **IMPLEMENTATIONS[implementation])
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
        for step in range(8):
            optimizer.zero_grad()
            loss = (param**2).sum() * (float("inf") if overflow and step == 4 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        assert hasattr(optimizer, "_step_supports_amp_scaling") == (implementation == "fused")
        counts = [float(s["step"]) for s in optimizer.state.values() if "step" in s]
        return param.detach(), torch.tensor([scaler.get_scale(), *counts]), param.grad

    for ours, torchs in zip(path(optimbook), path(torch.optim)):
        torch.testing.assert_close(ours, torchs, rtol=2e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("implementation", ["default", "loop", "foreach"])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_sparse_sgd(maximize, implementation, momentum):
    """SGD takes sparse gradients, also beside dense ones, and when they were dense a step before."""

    def path(module):
        params = [torch.nn.Parameter(torch.ones(4, 3)), torch.nn.Parameter(torch.ones(5))]
        optimizer = module.SGD(params, lr=0.1, maximize=maximize, momentum=momentum, **IMPLEMENTATIONS[implementation])
        for step in range(6):
            rows = torch.tensor([[step % 4, 1]])
            params[0].grad = torch.sparse_coo_tensor(rows, torch.full((2, 3), 0.5 + step), (4, 3))
            params[1].grad = torch.full((5,), 0.1 * step)
            optimizer.step()
        return [p.detach() for p in params]

    theirs = path(torch.optim)
    for a, b in zip(path(optimbook), theirs):
        torch.testing.assert_close(a, b)


def test_options_of_a_class_from_a_rule():
    """`optimbook.optimizer` gives the same class as the package's own, but for the checks and the documentation."""
    from optimbook.optim.sgd import sgd

    Made = optimbook.optimizer(sgd, name="Made")
    assert Made.__name__ == "Made" and Made.__module__ == __name__
    param = [torch.nn.Parameter(torch.ones(3))]
    assert Made(param, momentum=0.5).defaults == optimbook.SGD(param, momentum=0.5).defaults
    with pytest.raises(TypeError, match="Made.*unexpected keyword argument 'betas'"):
        Made(param, betas=1)
