"""State dicts load both ways in the middle of training, and training goes on as if nothing had happened."""

import copy
import io

import pytest
import torch

import optimbook

OPTIONS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"amsgrad": True}),
    ("AdamW", {"maximize": True}),
]
PATHS = [{}, {"foreach": False}, {"foreach": True}, {"fused": True}]
CHANGE = 7  # the step after which the checkpoint moves
SHAPES = [(4,), (3, 5), (2, 3), ()]

options = pytest.mark.parametrize("name, kwargs", OPTIONS, ids=str)


@pytest.fixture(autouse=True)
def float64():
    """Number states take the default dtype, so float64 is seen only under a float64 default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def gradient(step, i, shape):
    """The last parameter has none before the change, others miss some steps; at the first step all others have one."""
    if (i == len(SHAPES) - 1 and step <= CHANGE) or (step and (step + i) % 4 == 0):
        return None
    return torch.randn(shape, generator=torch.Generator().manual_seed(100 * step + i))


def fresh(module, name, kwargs, values=None):
    values = values or [torch.randn(s, generator=torch.Generator().manual_seed(i)) for i, s in enumerate(SHAPES)]
    params = [torch.nn.Parameter(v.clone()) for v in values]
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
    return params, getattr(module, name)(groups, lr=0.02, **kwargs)


def advance(params, optimizer, begin, end):
    for step in range(begin, end):
        for i, param in enumerate(params):
            param.grad = gradient(step, i, param.shape)
        optimizer.step()


def through_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def refit(state_dict, path):
    """The same checkpoint with the implementation flags of another path: loading takes the flags from the checkpoint."""
    for group in state_dict["param_groups"]:
        group.update({"fused": None, "foreach": None} | path)
    return state_dict


@options
@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("way", ["torch, ours, torch", "ours, torch, ours"])
def test_there_and_back(name, kwargs, path, way):
    torchs, ours = (torch.optim, {}), (optimbook, path)
    legs = [torchs, ours, torchs] if way.startswith("torch") else [ours, torchs, ours]
    params, optimizer = fresh(torch.optim, name, kwargs)
    advance(params, optimizer, 0, 3 * CHANGE)
    reference, kept = [p.detach() for p in params], optimizer.state_dict()
    values, state_dict = None, None
    for leg, (module, flags) in enumerate(legs):
        params, optimizer = fresh(module, name, {**kwargs, **flags}, values)
        if state_dict:
            optimizer.load_state_dict(refit(through_file(state_dict), flags))
        advance(params, optimizer, leg * CHANGE, (leg + 1) * CHANGE)
        values, state_dict = [p.detach() for p in params], optimizer.state_dict()
    for a, b in zip(values, reference):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert state_dict["state"].keys() == kept["state"].keys()
    for i, state in kept["state"].items():
        for key, value in state.items():
            torch.testing.assert_close(state_dict["state"][i][key], value, rtol=1e-12, atol=1e-12, check_dtype="fused" not in path)


@options
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_kinds_of_state(name, kwargs, path):
    """Names, order, dtypes, shapes and devices of every state are torch's, in a float32 world too."""
    torch.set_default_dtype(torch.float32)
    kinds = []
    for module in (torch.optim, optimbook):
        params, optimizer = fresh(module, name, {**kwargs, **path})
        advance(params, optimizer, 0, 2)
        state_dict = optimizer.state_dict()
        kinds.append([(i, [(k, v.dtype, v.shape, v.device, v.requires_grad) for k, v in s.items()]) for i, s in state_dict["state"].items()])
        kinds[-1].append([sorted(g.items()) for g in state_dict["param_groups"]])
    assert kinds[0] == kinds[1]


@options
def test_nothing_is_shared_with_the_source(name, kwargs):
    """Training on after a load changes nothing in the dictionary that was loaded, nor in the optimizer it came from."""
    params, optimizer = fresh(optimbook, name, kwargs)
    advance(params, optimizer, 0, 5)
    state_dict = optimizer.state_dict()
    before = copy.deepcopy(state_dict)
    twins, twin = fresh(optimbook, name, kwargs, [p.detach() for p in params])
    twin.load_state_dict(state_dict)
    advance(twins, twin, 5, 9)
    assert_same(state_dict, before)
    assert_same(optimizer.state_dict(), before)


def assert_same(a, b):
    assert a["param_groups"] == b["param_groups"] and a["state"].keys() == b["state"].keys()
    for i in a["state"]:
        assert a["state"][i].keys() == b["state"][i].keys()
        assert all(torch.equal(a["state"][i][k], v) for k, v in b["state"][i].items())


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_old_checkpoints(name, path):
    """Checkpoints from before `maximize`, `foreach`, `fused`... and with `step` as a Python number go on as new ones do."""
    kwargs = {"momentum": 0.9} if name == "SGD" else {"weight_decay": 0.1}
    params, optimizer = fresh(torch.optim, name, kwargs)
    advance(params, optimizer, 0, CHANGE)
    old = copy.deepcopy(optimizer.state_dict())
    newer = {"maximize", "foreach", "capturable", "differentiable", "fused", "amsgrad", "nesterov", "decoupled_weight_decay"}
    old["param_groups"] = [{k: v for k, v in g.items() if k not in newer} for g in old["param_groups"]]
    for state in old["state"].values():
        if "step" in state:
            state["step"] = int(state["step"])
    results = []
    for module in (torch.optim, optimbook):
        loaded, one = fresh(module, name, kwargs, [p.detach() for p in params])
        one.load_state_dict(copy.deepcopy(old))
        for group in one.param_groups:
            assert newer & set(one.defaults) <= set(group)
            group.update(path if module is optimbook else {})
        assert one.param_groups[0].get("decoupled_weight_decay", False) == (name == "AdamW")
        assert all(isinstance(s["step"], torch.Tensor) for s in one.state.values() if "step" in s)
        advance(loaded, one, CHANGE, 2 * CHANGE)
        results.append([p.detach() for p in loaded])
    for a, b in zip(*results):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


def test_momentum_buffer_of_none():
    """torch's SGD used to save `momentum_buffer: None` for parameters that had had no gradient."""
    params, optimizer = fresh(optimbook, "SGD", {"momentum": 0.9})
    state_dict = optimizer.state_dict() | {"state": {i: {"momentum_buffer": None} for i in range(len(params))}}
    optimizer.load_state_dict(state_dict)
    others, other = fresh(torch.optim, "SGD", {"momentum": 0.9})
    advance(params, optimizer, 0, 3)
    advance(others, other, 0, 3)
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(params, others))


def test_states_take_the_parameters_dtype():
    """A float64 checkpoint loaded for float32 parameters: states are cast, `step` is not."""
    params, optimizer = fresh(torch.optim, "Adam", {})
    advance(params, optimizer, 0, 3)
    shorter = [torch.nn.Parameter(p.detach().float()) for p in params]
    loaded = optimbook.Adam([{"params": shorter[:2]}, {"params": shorter[2:]}])
    loaded.load_state_dict(optimizer.state_dict())
    state = loaded.state[shorter[0]]
    assert state["exp_avg"].dtype == torch.float32 and state["step"].dtype == torch.float64 and state["step"] == 3


def test_options_come_with_the_checkpoint():
    """amsgrad off in the constructor, on in the checkpoint: the third state is there and is used, as in torch."""
    results = []
    for module in (torch.optim, optimbook):
        params, optimizer = fresh(module, "Adam", {"amsgrad": True})
        advance(params, optimizer, 0, 3)
        others, other = fresh(module, "Adam", {}, [p.detach() for p in params])
        other.load_state_dict(optimizer.state_dict())
        assert other.param_groups[0]["amsgrad"] and "max_exp_avg_sq" in other.state[others[0]]
        advance(others, other, 3, 6)
        results.append([p.detach() for p in others])
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(*results))


def test_a_wrong_checkpoint_is_refused():
    params, optimizer = fresh(optimbook, "Adam", {})
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(optimbook.Adam(params).state_dict())
    with pytest.raises(ValueError, match="parameter group that doesn't match the size"):
        optimizer.load_state_dict(optimbook.Adam([{"params": params[:1]}, {"params": params[1:]}]).state_dict())


def test_names_are_kept():
    named = [("first", torch.nn.Parameter(torch.ones(2))), ("second", torch.nn.Parameter(torch.ones(3)))]
    optimizer = optimbook.AdamW(named)
    again = optimbook.AdamW(named)
    again.load_state_dict(through_file(optimizer.state_dict()))
    assert again.param_groups[0]["param_names"] == ["first", "second"]
