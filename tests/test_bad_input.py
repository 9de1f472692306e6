"""What cannot be done is said clearly, and a step that fails leaves parameters, states and gradients bit for bit."""

import copy
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import optimbook
from optimbook import optimizer, row_mean, rule, sqrt

PATHS = {"default": {}, "loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
names = pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])


def ones(*shape, **kwargs):
    param = torch.nn.Parameter(torch.ones(*shape or (3,), **kwargs))
    param.grad = torch.ones_like(param)
    return param


def snapshot(optim):
    params = [p for g in optim.param_groups for p in g["params"]]
    tensors = [p.detach().clone() for p in params]
    grads = [None if p.grad is None else p.grad.clone() for p in params]
    return copy.deepcopy(optim.state_dict()["state"]), tensors, grads, len(optim.state)


def assert_untouched(optim, before):
    states, params, grads, count = snapshot(optim)
    assert count == before[3] and states.keys() == before[0].keys()
    for i, state in states.items():
        assert state.keys() == before[0][i].keys()
        assert all(torch.equal(v, before[0][i][k]) for k, v in state.items())
    assert all(torch.equal(a, b) for a, b in zip(params, before[1]))
    for a, b in zip(grads, before[2]):
        assert (a is None) == (b is None) and (a is None or torch.equal(a.to_dense(), b.to_dense()))


def fails(optim, error, match):
    before = snapshot(optim)
    with pytest.raises(error, match=match):
        optim.step()
    assert_untouched(optim, before)


# ------------------------------------------------------------------------------------------- hyperparameters

WRONG = [
    ("lr", -1), ("lr", math.nan), ("lr", math.inf), ("lr", torch.tensor(math.inf)), ("lr", torch.tensor(-1.0)), ("lr", torch.ones(2)),
    ("weight_decay", -0.1), ("weight_decay", math.nan), ("weight_decay", math.inf), ("eps", -1), ("eps", math.nan), ("eps", math.inf),
    ("betas", (1.0, 0.9)), ("betas", (0.9, 1.0)), ("betas", (-0.1, 0.9)), ("betas", (0.9, math.nan)), ("betas", (math.inf, 0.9)),
    ("betas", (0.9,)), ("momentum", -0.5), ("momentum", math.nan), ("momentum", math.inf), ("dampening", math.nan), ("dampening", math.inf),
]  # fmt: skip


HAS = {"SGD": ("lr", "weight_decay", "momentum", "dampening"), "Adam": ("lr", "weight_decay", "eps", "betas")}


@pytest.mark.parametrize("name, option, value", [(n, *w) for n in HAS for w in WRONG if w[0] in HAS[n]], ids=str)
def test_wrong_hyperparameters(name, option, value):
    """Refused by the constructor and for a group, with a message that names the option."""
    make = getattr(optimbook, name)
    word = {"lr": "learning rate|lr", "eps": "epsilon|eps", "betas": "beta"}.get(option, option)
    with pytest.raises((ValueError, IndexError) if value == (0.9,) else ValueError, match=word):
        make([ones()], **{option: value})
    with pytest.raises((ValueError, IndexError) if value == (0.9,) else ValueError, match=word):
        make([{"params": [ones()]}, {"params": [ones()], option: value}])
    optim = make([ones()])
    with pytest.raises((ValueError, IndexError) if value == (0.9,) else ValueError, match=word):
        optim.add_param_group({"params": [ones()], option: value})
    assert len(optim.param_groups) == 1
    optim.step()


@names
@paths
@pytest.mark.parametrize("value", [math.nan, math.inf, torch.tensor(math.nan), torch.ones(2)], ids=str)
@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("warm", [False, True])
def test_a_bad_rate_set_later(name, path, value, group, warm):
    """Set in param_groups between steps, in the second group too: nothing of the first is touched."""
    optim = getattr(optimbook, name)([{"params": [ones()]}, {"params": [ones()]}], **path)
    if warm:
        optim.step()
    optim.param_groups[group]["lr"] = value
    fails(optim, ValueError, f"{name}.*lr.*(finite|1-element)")
    optim.param_groups[group]["lr"] = 0.1
    optim.step()


def test_a_decay_rate_of_one_set_later():
    """Its bias correction divides by zero; torch gives infinities."""
    optim = optimbook.AdamW(second(ones()))
    optim.param_groups[1]["betas"] = (0.9, 1.0)
    fails(optim, ValueError, "beta|divi")


@pytest.mark.parametrize("path", [*PATHS.values(), {"differentiable": True}], ids=[*PATHS, "called"])
@pytest.mark.parametrize("option, value", [("betas", (0.9, math.inf)), ("eps", math.nan), ("weight_decay", math.inf)], ids=str)
def test_other_bad_numbers_set_later(path, option, value):
    params = [torch.ones(3), torch.ones(3)] if "differentiable" in path else [ones(), ones()]
    for param in params:
        param.grad = torch.ones(3)
    optim = optimbook.AdamW([{"params": params[:1]}, {"params": params[1:]}], **path)
    optim.param_groups[1][option] = value
    fails(optim, ValueError, "finite")


@names
def test_unknown_options_and_empty_parameters(name):
    make = getattr(optimbook, name)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rate'"):
        make([ones()], rate=0.1)
    with pytest.raises(ValueError, match="empty parameter list"):
        make([])
    with pytest.raises(ValueError, match="empty parameter list"):
        make(iter(()))
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        make(torch.ones(2))
    with pytest.raises(TypeError, match="optimizer can only optimize Tensors"):
        make([1.0])
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        make([ones() * 2])
    make([{"params": []}, {"params": [ones()]}]).step()


# ------------------------------------------------------------------------------------------- gradients


def second(param, **kwargs):
    """A good parameter, then one in the second group that will not do."""
    return [{"params": [ones()]}, {"params": [param], **kwargs}]


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@paths
@pytest.mark.parametrize("warm", [False, True])
def test_sparse_gradients(name, path, warm):
    param = ones(4, 2)
    optim = getattr(optimbook, name)(second(param), **path)
    if warm:
        optim.step()
    param.grad = torch.ones(4, 2).to_sparse()
    fails(optim, RuntimeError, "(Adam|AdamW|`_fused_adamw?`) does not support sparse gradients")
    param.grad = torch.ones(4, 2)
    optim.step()


@paths
def test_sparse_gradients_with_decay(path):
    """Where torch refuses, because decay adds the dense parameter: a clear error, or the dense gradient's step."""
    param, dense = ones(4, 2), ones(4, 2)
    optim = optimbook.SGD(second(param, weight_decay=0.1), **path)
    param.grad = torch.ones(4, 2).to_sparse()
    before = snapshot(optim)
    try:
        optim.step()
    except RuntimeError as error:
        assert "sparse" in str(error)
        assert_untouched(optim, before)
    else:
        optimbook.SGD(second(dense, weight_decay=0.1)).step()
        assert torch.equal(param, dense)


@names
def test_fused_refuses_sparse(name):
    param = ones(4, 2)
    optim = getattr(optimbook, name)(second(param), fused=True)
    param.grad = torch.ones(4, 2).to_sparse()
    fails(optim, RuntimeError, "sparse gradients")


@names
@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool], ids=str)
def test_fused_refuses_other_dtypes(name, dtype):
    param = torch.ones(3, dtype=dtype).requires_grad_(dtype.is_complex)
    param.grad = torch.ones(3, dtype=dtype)
    fails(getattr(optimbook, name)(second(param), fused=True), RuntimeError, f"`fused=True` requires all the params to be floating point.*{dtype}")


@names
@paths
def test_integer_parameters(name, path):
    param = torch.ones(3, dtype=torch.int64)
    param.grad = torch.ones(3, dtype=torch.int64)
    fails(getattr(optimbook, name)(second(param), **path), RuntimeError, "floating.point")


@names
@paths
@pytest.mark.parametrize("warm", [False, True])
def test_gradients_of_another_dtype(name, path, warm):
    param = ones(3, dtype=torch.bfloat16)
    param.grad_dtype = None
    optim = getattr(optimbook, name)(second(param), **path)
    if warm:
        optim.step()
    param.grad = torch.ones(3, dtype=torch.float32)
    fails(optim, RuntimeError, "bfloat16.*float32|float32.*bfloat16")


@pytest.mark.parametrize("name, kwargs", [("SGD", {"momentum": 0.9}), ("AdamW", {})], ids=str)
@paths
def test_states_of_another_dtype_or_shape(name, kwargs, path):
    """A parameter halved, or cut, in the middle does not fit its states any more."""
    for change in (torch.Tensor.half, lambda t: t[:2], lambda t: t.reshape(2, 2)):
        param = ones(4)
        optim = getattr(optimbook, name)(second(param), **kwargs, **path)
        optim.step()
        param.grad = None
        param.data = change(param.data)
        param.grad = torch.ones_like(param)
        fails(optim, RuntimeError, "momentum_buffer|exp_avg|state")


@names
@paths
def test_mixed_devices(name, path):
    """A parameter on one device and its gradient or states on another."""
    param = torch.nn.Parameter(torch.ones(3, device="meta"))
    param.grad = torch.ones(3, device="meta")
    cpu = ones()
    optim = getattr(optimbook, name)([cpu, param], **({"momentum": 0.9} if name == "SGD" else {}), **path)
    before = cpu.detach().clone()
    if path.get("fused"):
        with pytest.raises(RuntimeError, match="fused=True.*meta"):
            optim.step()
        assert torch.equal(cpu, before) and not optim.state
        return
    optim.step()  # the meta device only counts
    before = cpu.detach().clone()
    for state in optim.state.values():
        state.update({k: v.to("meta") for k, v in state.items() if v.dim()})
    with pytest.raises(RuntimeError, match="meta"):
        optim.step()
    assert torch.equal(cpu, before)


@names
@paths
def test_memory_that_overlaps_itself(name, path):
    param = torch.nn.Parameter(torch.ones(1, 3).expand(4, 3))
    param.grad = torch.ones(4, 3)
    fails(getattr(optimbook, name)(second(param), **path), RuntimeError, "expanded|overlap|fused=True")


def test_capturable_on_a_cpu():
    fails(optimbook.Adam(second(ones()), capturable=True), AssertionError, "If capturable=True, params and state_steps must be on supported devices")


@paths
def test_a_failing_closure_changes_nothing(path):
    optim = optimbook.AdamW(second(ones()), **path)

    def closure():
        raise KeyError("mine")

    before = snapshot(optim)
    with pytest.raises(KeyError, match="mine"):
        optim.step(closure)
    assert_untouched(optim, before)


# ------------------------------------------------------------------------------------------- kernels that cannot be


@rule
def whitened(param, grad, square, *, lr=0.1, reduced=False):
    if reduced:
        square = square + row_mean(grad**2) + 0 * param
    else:
        square = square + grad**2
    param = param - lr * grad / sqrt(square)
    return param, square


def test_a_kernel_that_cannot_be_printed():
    """In the second group: with `fused=True` an error and nothing touched, else the foreach path without a word."""
    make = optimizer(whitened)
    optim = make(second(ones(), reduced=True), fused=True)
    fails(optim, RuntimeError, "fused=True.*whitened.*rows, columns or whole tensors")
    one, two = ones(), ones()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optim = make([{"params": [one]}, {"params": [two], "reduced": True}])
        for _ in range(3):
            optim.step()
    assert not caught and torch.allclose(one, two) and one[0] < 1


SCRIPT = """
import sys, warnings
warnings.simplefilter("always")
import torch, optimbook
param = torch.nn.Parameter(torch.ones(3))
def train(**path):
    optim = optimbook.AdamW([param], lr=0.5, weight_decay=0.0, **path)
    for _ in range(5):
        param.grad = torch.ones(3)
        optim.step()
    return optim
try:
    train(fused=True)
except RuntimeError as error:
    print("error:", error, "value", param.tolist())
else:
    param.data.fill_(1.0)
train(), train()
print("value", [round(x, 4) for x in param.tolist()])
"""


def run(tmp_path, **environment):
    """A fresh process with this environment; None removes a variable."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(optimbook.__file__).parents[1])
    env = dict(os.environ) | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPTIMBOOK_CACHE": str(tmp_path / "cache")} | environment
    env = {k: v for k, v in env.items() if v is not None}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done


def assert_slower_path(done, reason):
    """An error with `fused=True` that touches nothing; else the right numbers, and one warning that says why."""
    assert "error: `fused=True`" in done.stdout and f"{reason}" in done.stdout and "value [1.0, 1.0, 1.0]" in done.stdout
    assert "value [-4.0, -4.0, -4.0]" in done.stdout
    assert done.stderr.count("UserWarning") == 1 and reason in done.stderr, done.stderr


def hostile(tmp_path, kind):
    """A cache folder that must not be used, as environment variables, and what is said of it."""
    cache = tmp_path / "cache"
    if kind == "no compiler":
        return {"PATH": str(tmp_path), "CC": None}, "no C compiler was found"
    if kind == "broken compiler":
        fake = tmp_path / "cc"
        fake.write_text("#!/bin/sh\ncat > /dev/null\necho 'mine: out of order' >&2\nexit 1\n")
        fake.chmod(0o755)
        return {"CC": str(fake)}, "the C compiler failed: mine: out of order"
    if kind == "others may write":
        cache.mkdir()
        cache.chmod(0o777)
        return {}, "can be written by others"
    if kind == "symbolic link":
        (tmp_path / "real").mkdir(mode=0o700)
        cache.symlink_to(tmp_path / "real")
        return {}, "is a symbolic link"
    if kind == "a file":
        cache.write_text("")
        return {}, "the cache folder"
    if kind == "cannot be made":
        return {"OPTIMBOOK_CACHE": "/proc/no/such/folder"}, "the cache folder /proc/no/such/folder cannot be used"
    if kind == "another owner":
        if os.getuid() != 0:
            pytest.skip("only root can give a folder away")
        cache.mkdir(mode=0o700)
        os.chown(cache, 12345, 12345)
        return {}, "belongs to another user"
    raise AssertionError(kind)


KINDS = ["no compiler", "broken compiler", "others may write", "symbolic link", "a file", "cannot be made", "another owner"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_kernel_is_said_once(tmp_path, kind):
    environment, reason = hostile(tmp_path, kind)
    assert_slower_path(run(tmp_path, **environment), reason)


def test_a_read_only_cache(tmp_path):
    """The user's own folder, in which nothing can be written."""
    if os.getuid() == 0:
        pytest.skip("root writes into read-only folders; the case 'cannot be made' stands for it")
    (tmp_path / "cache").mkdir(mode=0o500)
    assert_slower_path(run(tmp_path), "cannot be built or loaded")


def test_no_home(tmp_path):
    """HOME and XDG_CACHE_HOME unset: the user's home comes from the password file, or there is one warning."""
    done = run(tmp_path, OPTIMBOOK_CACHE=None, XDG_CACHE_HOME=None, HOME=None)
    assert "value [-4.0, -4.0, -4.0]" in done.stdout and done.stderr.count("UserWarning") <= 1


def test_no_home_and_no_such_user(tmp_path, monkeypatch):
    """A user without an entry in the password file, as in many containers."""
    from optimbook.engine import cache

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("OPTIMBOOK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(cache.CannotBuild):
        cache.folder()


def test_a_damaged_kernel(tmp_path):
    """A truncated library in the cache is rebuilt or passed by with a warning; it is never a crash."""
    assert "value [-4.0" in run(tmp_path).stdout
    for built in (tmp_path / "cache").iterdir():
        built.write_bytes(b"")
    done = run(tmp_path)
    assert "value [-4.0, -4.0, -4.0]" in done.stdout and done.stderr.count("UserWarning") <= 1
