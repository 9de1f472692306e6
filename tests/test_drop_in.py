"""The interface of every class of torch.optim: signature, errors, hooks, names, copies, and torch's tools around it."""

import copy
import inspect
import pickle
import re
import warnings

import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch_classes import IMPLEMENTATIONS, INFO, NAMES, advance, assert_states_equal, common, each, float64, run, signature

import optimbook

names = pytest.mark.parametrize("name", NAMES)
DENSE = [n for n in NAMES if not INFO[n].only_supports_sparse_grads]
OPEN = [n for n in DENSE if not INFO[n].step_requires_closure]  # whose step needs nothing but dense gradients


def parameter(*shape):
    return torch.nn.Parameter(torch.linspace(-1, 1, 6).view(shape or (2, 3)))


def make(module, name, params, **kwargs):
    """An optimizer with all the states that its class can have, and few iterations in a step."""
    more = {"momentum": 0.9, "amsgrad": True, "centered": True, "max_iter": 4}
    return getattr(module, name)(params, **{n: v for n, v in more.items() if n in signature(name)}, **kwargs)


# ------------------------------------------------------------------------------------------- what is refused


@names
def test_error_inputs(name):
    """What torch's table says is refused, is: with torch's type, in torch's words."""
    cases = INFO[name].optim_error_inputs_func(device="cpu", dtype=torch.float32)
    assert len(cases) >= 6
    for case in cases:
        given = case.optimizer_error_input
        params = [parameter()] if given.params is None else given.params
        expected = pytest.warns if issubclass(case.error_type, Warning) else pytest.raises
        if case.error_on is common.OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with expected(case.error_type, match=case.error_regex):
                getattr(optimbook, name)(params, **given.kwargs)
        else:
            optimizer = getattr(optimbook, name)(params, **given.kwargs)
            with expected(case.error_type, match=case.error_regex):
                optimizer.step()


COMPLEX, INTEGERS, SPARSE, CUBE, NO_CLOSURE = "complex", "integers", "sparse", "cube", "no closure"
PERHAPS_REFUSED = [
    {"foreach": True, "fused": True}, {"fused": True, "differentiable": True}, {"capturable": True}, {"unknown": 1},
    {"lr": -1.0}, {"lr": float("nan")}, {"lr": torch.tensor([0.1, 0.1])}, {"lr": torch.tensor(0.1), "foreach": True},
    {"weight_decay": -0.1}, {"eps": -1e-8}, {"eps": (-1.0, 1e-3)}, {"eps": (1.0, -1e-3)}, {"lr_decay": -0.1},
    {"initial_accumulator_value": -0.1}, {"momentum": -1}, {"momentum_decay": -1.0},
    {"betas": (0.9, 1.0)}, {"betas": (1.0, 0.9)}, {"betas": (-0.1, 0.9)}, {"betas": (0.9, -0.1)},
    {"betas": (torch.tensor([0.9, 0.9]), torch.tensor(0.9))}, {"alpha": -0.1}, {"rho": 1.1}, {"rho": -0.1},
    {"etas": (1.1, 1.2)}, {"etas": (0.5, 0.9)}, {"etas": (0.0, 1.2)}, {"beta2_decay": 0.1}, {"d": 0.9}, {"ns_steps": 100},
    {"ns_coefficients": (1.0, 2.0)}, {"adjust_lr_fn": "no"}, {"line_search_fn": "no"}, {"nesterov": True},
    {"nesterov": True, "momentum": 0.9, "dampening": 0.5},
]  # fmt: skip
PERHAPS_REFUSED = [
    *((kwargs, "") for kwargs in PERHAPS_REFUSED),
    *(({}, what) for what in (COMPLEX, SPARSE, CUBE, NO_CLOSURE)),
    *(({"fused": True}, what) for what in (COMPLEX, INTEGERS, SPARSE)),
]


def complaint(module, name, kwargs, what):
    """The error that a constructor, or else the first step, gives."""
    dtype = {COMPLEX: torch.complex64, INTEGERS: torch.int64}.get(what, torch.float32)
    shape = (2, 3, 2) if what == CUBE else (2, 3)
    try:
        param = torch.zeros(shape, dtype=dtype).requires_grad_(what != INTEGERS)
        optimizer = getattr(module, name)([param], **kwargs)
        grad = torch.ones(shape, dtype=dtype)
        if what == NO_CLOSURE:
            optimizer.step()
        advance(name, optimizer, [param], [grad.to_sparse(1) if what == SPARSE or name not in DENSE else grad])
    except Exception as error:
        return error
    return None


def concerns(name, kwargs):
    """Whether torch's class has these options, and what is given has the form of the default."""
    has = {"unknown": None, **{n: p.default for n, p in inspect.signature(getattr(torch.optim, name)).parameters.items()}}
    return all(n in has and isinstance(v, tuple) == isinstance(has[n], tuple) for n, v in kwargs.items())


CONCERNED = [(n, kwargs, what) for n in NAMES for kwargs, what in PERHAPS_REFUSED if concerns(n, kwargs)]
REFUSED = [case for case in CONCERNED if complaint(torch.optim, *case) is not None]


def test_one_changed_import_finds_every_name():
    """But for one that swaps tensors under torch's own classes."""
    for torchs, ours in ((torch.optim, optimbook), (torch.optim.lr_scheduler, optimbook.lr_scheduler), (torch.optim.swa_utils, optimbook.swa_utils)):
        missing = {n for n in torchs.__all__ if not hasattr(ours, n)}
        assert missing <= {"swap_in_optimizer_params_and_state"}
    assert optimbook.Optimizer is torch.optim.Optimizer and optimbook.lr_scheduler.LRScheduler is torch.optim.lr_scheduler.LRScheduler


def test_torch_refuses_each_of_these_somewhere():
    refused = [(kwargs, what) for _, kwargs, what in REFUSED]
    assert [case for case in PERHAPS_REFUSED if repr(case) not in map(repr, refused)] == []


@pytest.mark.parametrize("name, kwargs, what", REFUSED, ids=str)
def test_refused_alike(name, kwargs, what):
    theirs, ours = (complaint(m, name, kwargs, what) for m in (torch.optim, optimbook))
    assert type(ours) is type(theirs), (ours, theirs)
    beginning = re.split(r": \[|\d", str(theirs).removeprefix(f"{name}.__init__() "))[0]  # lists of devices differ
    assert beginning in str(ours), (ours, theirs)


def test_adagrad_refuses_a_decay_of_rows():
    for module in (torch.optim, optimbook):
        error = complaint(module, "Adagrad", {"weight_decay": 0.1}, SPARSE)
        assert type(error) is RuntimeError and "weight_decay option is not compatible with sparse gradients" in str(error)


# ------------------------------------------------------------------------------------------- the class itself


@names
def test_signature_defaults_repr(name):
    """torch's arguments in torch's order; what we add comes after them, by keyword."""
    ours, torchs = getattr(optimbook, name), getattr(torch.optim, name)
    mine, theirs = ([(p.name, p.default, p.kind) for p in inspect.signature(c).parameters.values()] for c in (ours, torchs))
    assert mine[: len(theirs)] == theirs and all(kind is inspect.Parameter.KEYWORD_ONLY for *_, kind in mine[len(theirs) :])
    mine, theirs = ours([parameter()]), torchs([parameter()])
    assert {n: mine.defaults[n] for n in theirs.defaults} == theirs.defaults
    assert set(repr(theirs).splitlines()) <= set(repr(mine).splitlines())
    assert ours.__name__ == ours.__qualname__ == name and issubclass(ours, torch.optim.Optimizer)


@names
def test_every_argument_is_documented(name):
    cls = getattr(optimbook, name)
    text = "\n".join(inspect.getdoc(c) or "" for c in cls.__mro__ if c.__module__.startswith("optimbook."))
    for argument in list(inspect.signature(cls).parameters):
        assert re.search(rf"\b{argument}\b[\w, ]*:", text), argument


@names
def test_rule_is_attached_and_pickles(name):
    """What torch can differentiate is elementwise, and comes from one rule."""
    rule = getattr(getattr(optimbook, name), "rule", None)
    assert rule is not None or "differentiable" not in INFO[name].supported_impls
    assert rule is None or (rule.name.replace("_", "") == name.lower() and pickle.loads(pickle.dumps(rule)) is copy.deepcopy(rule) is rule)


@names
def test_profiler_name(name):
    param = parameter()
    optimizer = getattr(optimbook, name)([param])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        advance(name, optimizer, [param], [torch.ones(2, 3) if name in DENSE else torch.ones(2, 3).to_sparse(1)])
        optimizer.zero_grad()
    events = [e.name for e in profile.events()]
    assert events.count(f"Optimizer.step#{name}.step") == 1 and f"Optimizer.zero_grad#{name}.zero_grad" in events


@each("default", "loop", "foreach", names=DENSE)
def test_hooks_closures_names(name, implementation):
    """The order in which hooks, closure and step come, the closure's loss, and names of parameters are torch's."""

    def story(module):
        told, param = [], parameter()
        values = lambda: [round(x, 5) for x in param.flatten().tolist()]
        optimizer = make(module, name, [("weight", param)], lr=0.1, **IMPLEMENTATIONS[implementation])
        handles = [
            register_optimizer_step_pre_hook(lambda o, a, k: told.append(("all pre", len(a)))),
            register_optimizer_step_post_hook(lambda o, a, k: told.append(("all post", len(a)))),
            optimizer.register_step_pre_hook(lambda o, a, k: told.append(("pre", values()))),
            optimizer.register_step_post_hook(lambda o, a, k: told.append(("post", values()))),
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

        told += [optimizer.step(closure).item(), optimizer.step(closure=closure).item()]
        told.append(optimizer.step() if name in OPEN else None)
        optimizer.load_state_dict(optimizer.state_dict())
        told.append(optimizer.param_groups[0]["param_names"])
        for handle in handles:
            handle.remove()
        optimizer.step(closure)
        return told

    theirs, ours = story(torch.optim), story(optimbook)
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours):
        assert a == b or a == pytest.approx(b)


@each("default", "loop", "foreach", "fused")
def test_copies_and_pickles(name, implementation):
    """deepcopy and pickle keep the states; a copy goes on as the original does and shares nothing with it."""
    kwargs = {n: v for n, v in {"momentum": 0.9, "amsgrad": True, "centered": True}.items() if n in signature(name)}
    _, optimizer = run(optimbook, name, kwargs | IMPLEMENTATIONS[implementation], steps=3)
    before = [p.detach().clone() for p in params_of(optimizer)]
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert type(twin) is type(optimizer) and not {*map(id, params_of(twin))} & {*map(id, params_of(optimizer))}
        original = copy.deepcopy(optimizer)
        for one in (original, twin):
            params = params_of(one)
            grads = [torch.full_like(p, 0.5) for p in params]
            advance(name, one, params, grads if name in DENSE else [g.to_sparse(1) for g in grads])
        assert all(map(torch.equal, params_of(original), params_of(twin)))
        assert_states_equal(original, twin, 0)
    assert all(map(torch.equal, params_of(optimizer), before))


def params_of(optimizer):
    return [p for g in optimizer.param_groups for p in g["params"]]


def test_a_subclass_passes_on_what_it_is_given():
    class Mine(optimbook.AdamW):
        def __init__(self, params, *more, lr=0.5, **kwargs):
            super().__init__(params, lr, *more, **kwargs)

    mine = Mine([torch.ones(2, requires_grad=True)], (0.8, 0.9), weight_decay=0.3, max_grad_norm=2.0)
    group = mine.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"], mine.max_grad_norm) == (0.5, (0.8, 0.9), 0.3, 2.0)
    assert list(inspect.signature(Mine).parameters)[-1] == "kwargs"


def test_options_of_a_class_from_a_rule():
    """`optimbook.optimizer` gives the same class as the package's own, but for the checks and the documentation."""
    from optimbook.optim.sgd import sgd

    Made = optimbook.optimizer(sgd, name="Made")
    assert Made.__name__ == "Made" and Made.__module__ == __name__
    param = [parameter()]
    assert Made(param, momentum=0.5).defaults == optimbook.SGD(param, momentum=0.5).defaults
    with pytest.raises(TypeError, match="Made.*unexpected keyword argument 'betas'"):
        Made(param, betas=1)


# ------------------------------------------------------------------------------------------- Adagrad's own ways


@pytest.mark.parametrize("implementation", ["default", "fused"])
def test_adagrad_has_its_states_from_the_start(implementation):
    """With the constructor's value in every group, twice in a complex number; a group that is added later gets it at its first step."""

    def made(module):
        params = [parameter(), torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))][: 1 if implementation == "fused" else 2]
        groups = [{"params": [p], "initial_accumulator_value": 5 + i} for i, p in enumerate(params)]
        optimizer = module.Adagrad(groups, initial_accumulator_value=0.5, **IMPLEMENTATIONS[implementation])
        optimizer.add_param_group({"params": [parameter()], "initial_accumulator_value": 7.0})
        return optimizer

    ours, torchs = made(optimbook), made(torch.optim)
    assert len(ours.state) == len(torchs.state)
    assert_states_equal(ours, torchs, 0)
    for optimizer in (ours, torchs):
        for param in params_of(optimizer):
            param.grad = torch.ones_like(param)
        optimizer.step()
    assert_states_equal(ours, torchs, 1e-6)


def test_adagrad_shares_its_sums():
    ours = optimbook.Adagrad([parameter()])
    ours.share_memory()
    (state,) = ours.state.values()
    assert state["sum"].is_shared() and not state["step"].is_shared()
    param = params_of(ours)[0]
    where = state["sum"].data_ptr()
    param.grad = torch.ones_like(param)
    ours.step()
    assert state["sum"].data_ptr() == where and torch.equal(state["sum"], torch.ones(2, 3)) and state["sum"].is_shared()


# ------------------------------------------------------------------------------------------- with torch's tools


def cycles(optimizer):
    """Whether a cyclic schedule can drive a momentum too."""
    return "betas" in optimizer.defaults or "momentum" in optimizer.defaults


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=40, cycle_momentum=cycles(o)),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=5, cycle_momentum=cycles(o)),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [10]),
}


@names
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1, dtype=torch.float64)], ids=["number", "tensor"])
@pytest.mark.usefixtures("float64")
def test_torch_schedulers_drive_ours(name, scheduler, lr):
    """A rate in a tensor gives what a number gives. (torch's LBFGS keeps the tensor as its last length, which a scheduler then changes.)"""

    def path(module, lr):
        param = torch.nn.Parameter(torch.linspace(-1, 1, 6).view(2, 3))
        optimizer = make(module, name, [param], lr=copy.deepcopy(lr))
        schedule, out = SCHEDULERS[scheduler](optimizer), []
        for step in range(30):
            grad = param.detach() * 0.5 + step % 3
            advance(name, optimizer, [param], [grad if name in DENSE else grad.to_sparse(1)])
            schedule.step()
            out.append([float(optimizer.param_groups[0]["lr"]), *param.flatten().tolist()])
        return torch.tensor(out)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as "lr_scheduler.step() before optimizer.step()"
        warnings.filterwarnings("ignore", message=".*epoch parameter.*|Sparse invariant checks.*")
        torch.testing.assert_close(path(optimbook, lr), path(torch.optim, float(lr)), rtol=1e-12, atol=1e-12)


@each("default", "loop", "foreach", "fused", names=OPEN)
@pytest.mark.parametrize("overflow", [False, True])
def test_grad_scaler(name, implementation, overflow):
    """Scaled losses, one of them infinite: skipped steps count nowhere, in either library.

    It is not the first: there torch's fused SGD leaves a momentum buffer uninitialised.
    """

    def path(module):
        param = parameter()
        optimizer = make(module, name, [param], lr=0.1, **IMPLEMENTATIONS[implementation])
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
