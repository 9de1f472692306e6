"""State dicts load both ways in the middle of training, and training goes on as if nothing had happened."""

import copy
import inspect
import io
import pickle
from functools import cache

import pytest
import torch
from torch_classes import INFO, advance, legal, others, shapes_of, signature, tensors

import optimbook

CLASSES = [name for name in optimbook.optim.__all__ if name != "Optimizer"]
SHARED = [n for n in CLASSES if hasattr(torch.optim, n)]
PATHS = {"default": {}, "loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
WAYS = {"there and back": ("torch", "ours", "torch"), "here and back": ("ours", "torch", "ours"), "ours alone": ("ours", "ours", "ours")}
NUMBERS = ("mu_product", "eta", "mu")  # states, beside `step`, that are one number for each parameter
NO_KERNEL = ("Adafactor", "SparseAdam", "Muon")  # which look at rows, columns or whole matrices, or take sparse gradients
CHANGE = 7  # the step after which the checkpoint moves


@pytest.fixture(autouse=True)
def float64():
    """Number states take the default dtype, so float64 is seen only under a float64 default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# ------------------------------------------------------------------------------------------- what is trained


NEEDS = {"nesterov": {"momentum": 0.9}}  # what a boolean option takes beside it
QUICK = {"LBFGS": {"max_iter": 4}}


def choices(name):
    """No option; all that are not booleans, at other values; and each boolean, alone and with these."""
    if name not in SHARED:
        return [{}, {"weight_decay": 0.1}]
    rest, booleans = others(name), [n for n, default in signature(name).items() if isinstance(default, bool)]
    every = [{}, rest, *({**given, n: True} for n in booleans for given in (NEEDS.get(n, {}), rest))]
    return [kwargs for kwargs in every if legal(name, kwargs)]


def paths(name):
    """Those of `PATHS` that a class of ours can be told to take, and takes."""
    arguments = inspect.signature(getattr(optimbook, name)).parameters
    return [path for path, flags in PATHS.items() if flags.keys() <= arguments.keys() and not (path == "fused" and name in NO_KERNEL)]


def over(arguments, rows):
    """Parametrizes a test; options are shown by their items."""
    show = lambda x: ",".join(f"{n}={v}" for n, v in x.items()) or "plain" if isinstance(x, dict) else x  # noqa: E731
    return pytest.mark.parametrize(arguments, rows, ids=["-".join(map(show, row)) for row in rows])


each_class = over("name, path", [(name, path) for name in CLASSES for path in paths(name)])
each_choice = over("name, kwargs", [(name, kwargs) for name in SHARED for kwargs in choices(name)])
shared = pytest.mark.parametrize("name", SHARED)


def fresh(module, name, kwargs, values=None):
    """New parameters and their optimizer, with two groups where a class has groups."""
    params = [torch.nn.Parameter(v.clone()) for v in values or tensors(torch.get_default_dtype(), shapes_of(name))]
    grouped = name not in SHARED or INFO[name].supports_param_groups
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.03}] if grouped else params
    return params, getattr(module, name)(groups, **{"lr": 0.02, **QUICK.get(name, {}), **kwargs})


def train(name, params, optimizer, begin, end):
    """The last parameter has no gradient before the change, others miss some steps; at the first step all others have one."""
    for step in range(begin, end):
        grads = tensors(params[0].dtype, [p.shape for p in params], seed=100 + step)
        for i in range(len(params)):
            if (i == len(params) - 1 and step < CHANGE) or (step and (step + i) % 4 == 0):
                grads[i] = None
            elif name == "SparseAdam":
                grads[i][step % 2 :: 2] = 0
                grads[i] = grads[i].to_sparse(1)
        if name in SHARED:
            advance(name, optimizer, params, grads)
        else:
            for param, grad in zip(params, grads):
                param.grad = grad
            optimizer.step()


def go_on(name, optimizer, begin, end):
    """Trains the optimizer's own parameters; gives them."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    train(name, params, optimizer, begin, end)
    return [p.detach() for p in params]


@cache
def _uninterrupted(name, items):
    params, optimizer = fresh(torch.optim if name in SHARED else optimbook, name, dict(items))
    return go_on(name, optimizer, 0, 3 * CHANGE), optimizer.state_dict()


def uninterrupted(name, kwargs):
    """Parameters and state dict of a run without a change: torch's, where torch has the class."""
    return _uninterrupted(name, tuple(kwargs.items()))


def through_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def refit(state_dict, path):
    """The same checkpoint with the implementation flags of another path: loading takes the flags from the checkpoint."""
    for group in state_dict["param_groups"]:
        group |= {n: None for n in ("foreach", "fused") if n in group} | PATHS[path]
    return state_dict


def states(state_dict):
    """The states of a state dict; torch's SparseAdam counts its steps in an int, and ours as all others do."""
    count = lambda n, v: torch.tensor(float(v)) if n == "step" and isinstance(v, int) else v  # noqa: E731
    return {i: {n: count(n, v) for n, v in state.items()} for i, state in state_dict["state"].items()}


def assert_close(a, b, tolerance=1e-12, **more):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True, **more)


def kinds(value):
    """What a state dict is made of, without its numbers."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.device, value.requires_grad
    if isinstance(value, dict):
        return {key: kinds(v) for key, v in value.items()}
    return [kinds(v) for v in value] if isinstance(value, list) else type(value)


def assert_options(ours, torchs, **but):
    """Ours has torch's options with torch's values, but for these; it may have more."""
    for mine, theirs in zip(ours["param_groups"], torchs["param_groups"], strict=True):
        assert {n: mine[n] for n in theirs} == {n: but.get(n, v) for n, v in theirs.items()}


# ------------------------------------------------------------------------------------------- going on


def journeys():
    for name in CLASSES:
        for kwargs in choices(name):
            for path in paths(name):
                yield from ((name, kwargs, path, way) for way in (WAYS if name in SHARED else ["ours alone"]))


@over("name, kwargs, path, way", list(journeys()))
def test_training_goes_on(name, kwargs, path, way):
    reference, kept = uninterrupted(name, kwargs)
    values, state_dict = None, None
    for leg, side in enumerate(WAYS[way]):
        module, taken = (optimbook, path) if side == "ours" else (torch.optim, "default")
        _, optimizer = fresh(module, name, {**kwargs, **PATHS[taken]}, values)
        if state_dict:
            optimizer.load_state_dict(refit(through_file(state_dict), taken))
        values, state_dict = go_on(name, optimizer, leg * CHANGE, (leg + 1) * CHANGE), optimizer.state_dict()
    assert_close(values, reference)
    assert_close(states(state_dict), states(kept), check_dtype=path != "fused")


@each_choice
def test_options_come_with_the_checkpoint(name, kwargs):
    """Whatever the constructor was given, such as amsgrad or its lack: states and options are the checkpoint's, as in torch."""
    reference, kept = uninterrupted(name, kwargs)
    _, optimizer = fresh(torch.optim, name, kwargs)
    values = go_on(name, optimizer, 0, CHANGE)
    _, loaded = fresh(optimbook, name, {"lr": 0.5}, values)
    loaded.load_state_dict(optimizer.state_dict())
    assert_options(loaded.state_dict(), kept)
    assert_close(go_on(name, loaded, CHANGE, 3 * CHANGE), reference)
    assert_close(states(loaded.state_dict()), states(kept))


@over("name, kwargs, path", [(n, k, p) for n in SHARED for k in choices(n) for p in paths(n)])
def test_kinds_of_state(name, kwargs, path):
    """Names, dtypes, shapes and devices of every state, and all options, are torch's, in a float32 world too."""
    torch.set_default_dtype(torch.float32)
    torchs_has_path = PATHS[path].keys() <= inspect.signature(getattr(torch.optim, name)).parameters.keys()
    made = []
    for module, flags in ((optimbook, PATHS[path]), (torch.optim, PATHS[path] if torchs_has_path else {})):
        _, optimizer = fresh(module, name, {**kwargs, **flags})
        go_on(name, optimizer, 0, 2)
        made.append(optimizer.state_dict())
    ours, torchs = made
    assert kinds(states(ours)) == kinds(states(torchs))
    assert_options(ours, torchs)


@over("name, path, dtype", [(n, p, d) for n in SHARED for p in paths(n) for d in ("float32", "bfloat16")])
def test_states_take_the_parameters_dtype(name, path, dtype):
    """A float64 checkpoint for shorter parameters: states are cast as torch casts them, and training goes on.

    torch keeps `step` from that. So is every other number here: in bfloat16 a product over all steps would soon be wrong.
    """
    dtype = getattr(torch, dtype)
    _, optimizer = fresh(torch.optim, name, {})
    values = [v.to(dtype) for v in go_on(name, optimizer, 0, 3)]
    source = refit(copy.deepcopy(optimizer.state_dict()), path)
    loaded = []
    for module in (optimbook, torch.optim):
        _, one = fresh(module, name, {}, values)
        one.load_state_dict(source)
        state = copy.deepcopy(states(one.state_dict()))
        if module is torch.optim:  # its fused SGD leaves bfloat16 parameters on a CPU as they are
            one.param_groups[0]["fused"] = one.param_groups[-1]["fused"] = None
        loaded.append((state, go_on(name, one, 3, 5)))
    (ours, a), (torchs, b) = loaded
    for i, state in torchs.items():
        state |= {n: source["state"][i][n] for n in NUMBERS if n in state}
    assert kinds(ours) == kinds(torchs)
    assert_close(ours, torchs, 0)
    assert_close(a, b, 2 * torch.finfo(dtype).eps)


# ------------------------------------------------------------------------------------------- copies


@each_class
def test_nothing_is_shared_with_the_source(name, path):
    """Training on after a load changes nothing in the dictionary that was loaded, nor in the optimizer it came from."""
    _, optimizer = fresh(optimbook, name, PATHS[path])
    values = go_on(name, optimizer, 0, 5)
    state_dict = optimizer.state_dict()
    before = copy.deepcopy(state_dict)
    _, twin = fresh(optimbook, name, {}, values)
    twin.load_state_dict(state_dict)
    twin.param_groups[0]["lr"] = 0.5
    go_on(name, twin, 5, 9)
    for after in (state_dict, optimizer.state_dict()):
        assert_close(after["state"], before["state"], 0)
        assert after["param_groups"] == before["param_groups"]


@each_class
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_go_on(name, path, copied):
    """A copy has parameters and states of its own, and goes on as the original does."""
    _, optimizer = fresh(optimbook, name, PATHS[path])
    go_on(name, optimizer, 0, CHANGE)
    before = copy.deepcopy(optimizer.state_dict())
    twin = copied(optimizer)
    assert type(twin) is type(optimizer) and kinds(twin.state_dict()) == kinds(before)
    values = go_on(name, twin, CHANGE, 2 * CHANGE)
    assert_close(optimizer.state_dict()["state"], before["state"], 0)
    assert_close(go_on(name, optimizer, CHANGE, 2 * CHANGE), values, 0)
    assert_close(optimizer.state_dict()["state"], twin.state_dict()["state"], 0)


# ------------------------------------------------------------------------------------------- other checkpoints


def outdated(name, optimizer):
    """A checkpoint from before the options that torch supplies itself, and with numbers in Python's own type."""
    old = copy.deepcopy(optimizer.state_dict())
    for option in set(old["param_groups"][0]) - {"params"}:
        lacking = copy.deepcopy(old)
        for group in lacking["param_groups"]:
            del group[option]
        _, probe = fresh(torch.optim, name, {})
        probe.load_state_dict(lacking)
        if option in probe.param_groups[0]:
            old = lacking
    for state in old["state"].values():
        state |= {n: v.item() for n, v in state.items() if n in ("step", *NUMBERS) and isinstance(v, torch.Tensor)}
    return old


@over("name, path", [(n, p) for n in SHARED for p in paths(n)])
def test_old_checkpoints(name, path):
    """Checkpoints from before `maximize`, `foreach`, `capturable`..., with `step` as a Python number, go on as in torch."""
    _, optimizer = fresh(torch.optim, name, others(name, "weight_decay", "momentum"))
    values = go_on(name, optimizer, 0, CHANGE)
    old = outdated(name, optimizer)
    results = []
    for module in (optimbook, torch.optim):
        _, loaded = fresh(module, name, {}, values)
        loaded.load_state_dict(copy.deepcopy(old))
        state_dict = copy.deepcopy(loaded.state_dict())
        for group in loaded.param_groups:
            group |= PATHS[path] if module is optimbook else {}
        results.append((state_dict, go_on(name, loaded, CHANGE, 2 * CHANGE)))
    (ours, a), (torchs, b) = results
    assert kinds(states(ours)) == kinds(states(torchs))
    assert_close(states(ours), states(torchs), 0)
    assert_options(ours, torchs, fused=None)  # torch's SGD takes False, which would keep ours from the fast path
    assert_close(a, b)


def test_momentum_buffer_of_none():
    """torch's SGD used to save `momentum_buffer: None` for parameters that had had no gradient."""
    values = []
    for module in (optimbook, torch.optim):
        params, optimizer = fresh(module, "SGD", {"momentum": 0.9})
        if module is optimbook:
            optimizer.load_state_dict(optimizer.state_dict() | {"state": {i: {"momentum_buffer": None} for i in range(len(params))}})
        values.append(go_on("SGD", optimizer, 0, 3))
    assert_close(*values)


@pytest.mark.parametrize("name", CLASSES)
def test_a_wrong_checkpoint_is_refused(name):
    params, optimizer = fresh(optimbook, name, {})
    fewer = getattr(optimbook, name)(params[:1]).state_dict()
    more = fewer | {"param_groups": fewer["param_groups"] * (len(optimizer.param_groups) + 1)}
    same = fewer | {"param_groups": fewer["param_groups"] * len(optimizer.param_groups)}
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(more)
    with pytest.raises(ValueError, match="parameter group that doesn't match the size"):
        optimizer.load_state_dict(same)


@pytest.mark.parametrize("name", CLASSES)
def test_names_are_kept(name):
    named = [(f"weight {i}", torch.nn.Parameter(v)) for i, v in enumerate(tensors(torch.float64, shapes_of(name)))]
    optimizer, again = (getattr(optimbook, name)(named) for _ in range(2))
    again.load_state_dict(through_file(optimizer.state_dict()))
    assert again.param_groups[0]["param_names"] == [n for n, _ in named]


@shared
def test_hooks(name):
    """Hooks of saving and loading come when torch's do, and what they change or return is taken."""

    def story(module):
        told = []
        _, optimizer = fresh(module, name, {})
        values = go_on(name, optimizer, 0, 2)
        optimizer.register_state_dict_pre_hook(lambda o: told.append("to save"))
        optimizer.register_state_dict_post_hook(lambda o, d: d["param_groups"][0].update(lr=0.25))
        optimizer.register_state_dict_post_hook(lambda o, d: {**d, "more": told.append("saved")}, prepend=True)
        _, loaded = fresh(module, name, {}, values)
        loaded.register_load_state_dict_pre_hook(lambda o, d: {**d, "param_groups": [{**g, "seen": True} for g in d["param_groups"]]})
        loaded.register_load_state_dict_pre_hook(lambda o, d: told.append(("to load", "more" in d)), prepend=True)
        loaded.register_load_state_dict_post_hook(lambda o: told.append(("loaded", len(o.state))))
        loaded.load_state_dict(optimizer.state_dict())
        return told, [(g["lr"], g["seen"]) for g in loaded.param_groups], go_on(name, loaded, 2, 4)

    (*ours, a), (*torchs, b) = story(optimbook), story(torch.optim)
    assert ours == torchs
    assert_close(a, b)
