"""What holds for every class that a rule makes, whatever it is given.

Hypothesis draws the mixtures: shapes, dtypes, ways to lie in memory, groups, options, missing gradients. Their numbers come
from a seed, and keep off the two places where rounding decides: 0 for signs, and what float16 cannot hold.
"""

import contextlib
import copy
import dataclasses
import inspect
import io
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import optimbook

NAMES = [n for n in optimbook.optim.__all__ if hasattr(getattr(optimbook, n), "rule")]  # all but LBFGS
names = pytest.mark.parametrize("name", NAMES)
F64, F32, BF16, F16 = torch.float64, torch.float32, torch.bfloat16, torch.float16
IMPLEMENTATIONS = {
    "default": {},
    "fused": {"fused": True},
    "foreach": {"foreach": True},
    "loop": {"foreach": False},
    "differentiable": {"differentiable": True},
}
FEW = 8  # units in the last place, each step


def examples(most):
    """The same examples in every run, without a limit on the time of one: it may have to compile."""
    return settings(max_examples=most, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


# ------------------------------------------------------------------------------------------- what is drawn

# Options of a group, but for the rate: the least, the most that go together, and a third choice where those leave a branch out.
OPTIONS = {
    "SGD": [{}, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, {"momentum": 0.9, "nesterov": True, "maximize": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3, "maximize": True}],
    "RMSprop": [{}, {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9, "maximize": True}],
    "Adadelta": [{"eps": 1e-3}, {"eps": 1e-2, "rho": 0.7, "weight_decay": 0.1, "maximize": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1, "betas": (0.7, 0.9)}, {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True}],
    "AdamW": [{}, {"amsgrad": True, "weight_decay": 0.1, "betas": (0.7, 0.9), "maximize": True}],
    "Adamax": [{}, {"weight_decay": 0.1, "betas": (0.7, 0.9), "maximize": True}],
    "NAdam": [{}, {"weight_decay": 0.1, "betas": (0.7, 0.9)}, {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True}],
    "RAdam": [{}, {"weight_decay": 0.1, "betas": (0.7, 0.9)}, {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True}],
    "ASGD": [{}, {"lambd": 0.01, "alpha": 0.5, "t0": 1, "weight_decay": 0.1, "maximize": True}],
    "Rprop": [{}, {"etas": (0.4, 1.3), "step_sizes": (1e-2, 0.05), "maximize": True}],
    "Adafactor": [{}, {"weight_decay": 0.1, "eps": (1e-3, 1e-2), "d": 2.0, "beta2_decay": -0.5, "maximize": True}],
    "SparseAdam": [{}, {"betas": (0.7, 0.9), "maximize": True}],
    "Muon": [{}, {"nesterov": False, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}],
    "LARS": [{}, {"weight_decay": 0.1, "nesterov": True, "clip": True, "adapt_vectors": True}, {"momentum": 0, "maximize": True}],
    "LAMB": [{}, {"bounds": (0.5, 3.0), "adapt_vectors": True, "weight_decay": 0.1, "maximize": True}],
    "Lion": [{}, {"weight_decay": 0.1, "betas": (0.8, 0.9), "maximize": True}],
    "Yogi": [{}, {"weight_decay": 0.01, "betas": (0.7, 0.9), "maximize": True}],
}
SHAPES = [(), (1,), (7,), (0,), (2, 3), (5, 1), (0, 4), (9, 8), (2, 3, 4), (2, 3, 2, 3), (1, 4, 3, 1), (130, 131)]
MATRICES = [s for s in SHAPES if len(s) == 2]
LAYOUTS = ["contiguous", "transposed", "channels_last", "gaps", "offset"]


@dataclasses.dataclass(frozen=True)
class Spec:
    """One parameter, how its gradient lies, and at which steps it has none."""

    shape: tuple
    dtype: torch.dtype
    lies: str
    grad_lies: str
    missing: tuple


@dataclasses.dataclass(frozen=True)
class Case:
    """Groups of parameters, and what they are trained with."""

    name: str
    groups: tuple  # of (options, specs)
    steps: int
    seed: int

    @property
    def specs(self):
        return [spec for _, specs in self.groups for spec in specs]

    @property
    def cls(self):
        return getattr(optimbook, self.name)


@st.composite
def cases(draw, name, dtypes=(F32, F64, BF16, F16), most=4, large=True, missing=True):
    """Any mixture that a class takes. A third of all gradients is missing."""
    shapes = MATRICES if name == "Muon" else [s for s in SHAPES if s or name != "SparseAdam"]
    shapes = shapes if large else [s for s in shapes if math.prod(s) < 1000]
    sparse = ["sparse"] if name in ("SGD", "Adagrad") else []
    steps = draw(st.sampled_from([1, 2, 3] if name == "Lion" else [1, 2, 3, 7]))  # few enough that no momentum comes near 0
    spec = st.builds(
        Spec,
        shape=st.sampled_from(shapes),
        dtype=st.sampled_from(dtypes),
        lies=st.sampled_from(LAYOUTS),
        grad_lies=st.just("sparse") if name == "SparseAdam" else st.sampled_from(["alike", "alike", *LAYOUTS, "expanded", *sparse]),
        missing=st.tuples(*[st.sampled_from([False, False, missing])] * steps),
    )
    options = st.builds(lambda lr, chosen: {"lr": lr, **chosen}, st.sampled_from([0.1, 0.03]), st.sampled_from(OPTIONS[name]))
    groups = draw(st.lists(st.tuples(options, st.lists(spec, min_size=1, max_size=4)), min_size=1, max_size=most))
    groups = tuple((group, tuple(possible(name, group, s) for s in specs)) for group, specs in groups)
    return Case(name, groups, steps, draw(st.integers(0, 1000)))


def possible(name, group, spec):
    """Adagrad's decay refuses sparse gradients, as torch's does; torch adds those wrongly to a vector within a larger tensor."""
    if spec.grad_lies != "sparse":
        return spec
    if not spec.shape or group.get("weight_decay") and name == "Adagrad":
        return dataclasses.replace(spec, grad_lies="alike")
    return dataclasses.replace(spec, lies="contiguous") if len(spec.shape) == 1 else spec


# ------------------------------------------------------------------------------------------- what is done with it


def numbers(shape, dtype, *seed):
    """From 0.5 to 1.5 in size, of either sign."""
    generator = torch.Generator().manual_seed(hash(seed))
    size = 0.5 + torch.rand(shape, generator=generator, dtype=F64)
    return (size * (2 * torch.randint(2, shape, generator=generator) - 1)).to(dtype)


def lay(values, how):
    """The same numbers in other memory."""
    if how == "transposed" and values.dim() > 1:
        return values.transpose(0, -1).contiguous().transpose(0, -1)
    if how == "channels_last" and values.dim() == 4:
        return values.contiguous(memory_format=torch.channels_last)
    if how == "gaps":
        return values.new_zeros((*values.shape, 2))[..., 0].copy_(values)
    if how == "offset":
        return values.new_zeros(values.numel() + 1)[1:].view(values.shape).copy_(values)
    return values.clone()


def gradient(case, index, step):
    spec = case.specs[index]
    values = numbers(spec.shape, spec.dtype, case.seed, index, step + 1)
    if spec.grad_lies == "sparse":
        rows = torch.arange(spec.shape[0])[step % 2 :: 2]
        rows = torch.cat([rows, rows[:1]])  # one comes twice
        return torch.sparse_coo_tensor(rows.unsqueeze(0), values[rows], spec.shape, check_invariants=True)
    if spec.grad_lies == "expanded" and spec.shape and spec.shape[0]:
        return values[:1].expand(spec.shape)
    return lay(values, spec.lies if spec.grad_lies == "alike" else spec.grad_lies)


def start(case, module=optimbook, **kwargs):
    """Parameters that no autograd knows, so that ``differentiable`` takes them too, and the optimizer."""
    params, groups = [], []
    for options, specs in case.groups:
        mine = [lay(numbers(s.shape, s.dtype, case.seed, len(params) + i), s.lies) for i, s in enumerate(specs)]
        params += mine
        groups.append({"params": mine, **options})
    return params, getattr(module, case.name)(groups, **kwargs)


def give(case, params, step, change=None):
    """Sets this step's gradients; ``change`` may have its way with one."""
    for i, (param, spec) in enumerate(zip(params, case.specs)):
        param.grad = None if spec.missing[step % case.steps] else gradient(case, i, step)
        if change and param.grad is not None:
            change(i, step, param.grad)


def train(case, module=optimbook, *, change=None, **kwargs):
    """Parameters, optimizer, and the largest number that each kind of tensor ever had."""
    params, optim = start(case, module, **kwargs)
    largest = {}
    for step in range(case.steps):
        give(case, params, step, change)
        optim.step()
        note(params, optim, largest)
    return params, optim, largest


def paths(case):
    """The implementations that a class has for these parameters: a kernel wants no gaps, no sparse gradients, no rows and columns."""
    has = inspect.signature(case.cls).parameters
    out = {label: kwargs for label, kwargs in IMPLEMENTATIONS.items() if has.keys() >= kwargs.keys()}
    kernel = case.name not in ("Adafactor", "SparseAdam", "Muon") and not is_sparse(case)
    if not kernel or any(s.lies == "gaps" and math.prod(s.shape) > 1 for s in case.specs):
        del out["fused"]
    if is_sparse(case):
        out.pop("differentiable", None)
    return out


def is_sparse(case):
    return any(s.grad_lies == "sparse" for s in case.specs)


def torch_has(case):
    """Whether torch has the class, and can train these parameters."""
    empty = case.name == "Adafactor" and any(0 in s.shape for s in case.specs)  # torch's divides by the number of elements
    decayed = case.name == "SGD" and is_sparse(case) and any("weight_decay" in options for options, _ in case.groups)
    return hasattr(torch.optim, case.name) and not empty and not decayed


def torchs_loop(name):
    return {"foreach": False} if "foreach" in inspect.signature(getattr(torch.optim, name)).parameters else {}


@contextlib.contextmanager
def default_dtype(dtype):
    """Number states take the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# ------------------------------------------------------------------------------------------- what is compared


def columns(params, optim):
    """All numbers, in columns of one meaning and dtype, in which the largest sets the scale: ``{(what, dtype): {index: tensor}}``."""
    found = {}
    for i, param in enumerate(params):
        found.setdefault(("param", param.dtype), {})[i] = param.detach()
        for name, value in optim.state.get(param, {}).items():
            if value is not None:
                value = torch.as_tensor(value).detach()
                value = value.to_dense() if value.is_sparse else value  # torch's SGD keeps sparse momentum
                kind = (name, param.dtype) if value.dim() or name not in NUMBER_STATES else (name, "number")
                found.setdefault(kind, {})[i] = value
    return found


NUMBER_STATES = ("step", "mu_product", "eta", "mu")


def note(params, optim, largest):
    """Keeps the largest number that each kind of tensor has had: what is a difference of such is as wrong as they are."""
    for kind, values in columns(params, optim).items():
        finite = [float(v[v.isfinite()].abs().max()) for v in values.values() if v.isfinite().any()]
        largest[kind] = max([largest.get(kind, 0.0), *finite])


def assert_agree(mine, reference, steps, few=FEW, state_dtype=None):
    """Parameters and states: the same ones, finite in the same places, within the rounding of their dtype."""
    ours, theirs, largest = columns(*mine[:2]), columns(*reference[:2]), reference[2]
    assert ours.keys() == theirs.keys()
    for (what, dtype), values in theirs.items():
        assert ours[what, dtype].keys() == values.keys(), what
        for i, value in values.items():
            other = ours[what, dtype][i]
            assert other.shape == value.shape, what
            if dtype != "number":
                assert other.dtype == value.dtype, what
            bound = within(dtype if what == "param" or not state_dtype else state_dtype, steps, few, largest[what, dtype])
            assert_close(other.double(), value.double(), bound, f"{what} of parameter {i}, {dtype}")


def within(dtype, steps, few, largest):
    if dtype == "number":
        return 4 * torch.finfo(torch.get_default_dtype()).eps * steps * largest
    if dtype == F64:
        return 1e-11 * largest
    return few * steps * torch.finfo(dtype).eps * largest


def assert_close(a, b, bound, what):
    assert torch.equal(a.isnan(), b.isnan()), f"{what}: not a number in other places"
    assert torch.equal(a.isinf() * a.sign(), b.isinf() * b.sign()), f"{what}: infinite in other places"
    good = b.isfinite()
    distance = float((a - b)[good].abs().max()) if good.any() else 0.0
    assert distance <= bound, f"{what}: {distance} apart, and {bound} allowed"


def assert_equal(mine, reference):
    """Bit for bit, NaN too."""
    ours, theirs = columns(*mine), columns(*reference)
    assert ours.keys() == theirs.keys()
    for key, values in theirs.items():
        assert ours[key].keys() == values.keys()
        for i, value in values.items():
            other = ours[key][i]
            assert (other.dtype, other.shape) == (value.dtype, value.shape), key
            assert torch.equal(other.nan_to_num(12345.0), value.nan_to_num(12345.0)), (key, i)


# ------------------------------------------------------------------------------------------- 1. all paths agree


@names
def test_all_paths_agree(name):
    """And torch's loop, where torch has the class."""

    @examples(12)
    @given(cases(name))
    def holds(case):
        with default_dtype(F64):
            reference = train(case)
            for kwargs in paths(case).values():
                assert_agree(train(case, **kwargs), reference, case.steps)
            if torch_has(case):
                assert_agree(reference, train(case, torch.optim, **torchs_loop(name)), case.steps)

    holds()
