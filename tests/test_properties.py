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
from hypothesis import HealthCheck, Phase, given, settings
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
    """The same examples in every run, without a limit on the time of one (it may have to compile) and as they were drawn."""
    return settings(max_examples=most, phases=[Phase.generate], derandomize=True, deadline=None, database=None,
                    suppress_health_check=list(HealthCheck))  # fmt: skip


# ------------------------------------------------------------------------------------------- what is drawn

# Options of a group, but for the rate: the least, the most that go together, and a third choice where those leave a branch out.
OPTIONS = {
    "SGD": [{}, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, {"momentum": 0.9, "nesterov": True, "maximize": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3, "maximize": True}],
    "RMSprop": [{}, {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9, "maximize": True}],
    "Adadelta": [{"eps": 1e-3}, {"eps": 1e-2, "rho": 0.7, "weight_decay": 0.1, "maximize": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1, "betas": (0.7, 0.9)},
             {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True}],
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
}  # fmt: skip
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
    bad: tuple = ()  # (parameter, step, element, value) of gradients that are not finite

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
    for which, when, where, value in case.bad:
        if which % len(case.specs) == index and when % case.steps == step and values.numel():
            values.view(-1)[where % values.numel()] = value
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


def give(case, params, step):
    """Sets this step's gradients."""
    for i, (param, spec) in enumerate(zip(params, case.specs)):
        param.grad = None if spec.missing[step % case.steps] else gradient(case, i, step)


def train(case, module=optimbook, **kwargs):
    """Parameters, optimizer, and the largest number that each kind of tensor ever had."""
    params, optim = start(case, module, **kwargs)
    largest = {}
    for step in range(case.steps):
        give(case, params, step)
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
    """Whether torch has the class, and can train these parameters rightly."""
    each = [(options, spec) for options, specs in case.groups for spec in specs]
    fails = {
        "Adafactor": any(0 in s.shape for _, s in each),  # divides by the number of elements
        "SGD": any(s.grad_lies == "sparse" and (o.get("weight_decay") or s.dtype in (F16, BF16)) for o, s in each),  # cannot add them
        "Muon": any(s.dtype == BF16 and not o.get("nesterov", True) for o, s in each),  # scales its momentum by the norm, in place
    }
    return hasattr(torch.optim, case.name) and not fails.get(case.name)


def torchs_loop(name):
    return loop(getattr(torch.optim, name))


def loop(cls):
    return {"foreach": False} if "foreach" in inspect.signature(cls).parameters else {}


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
            if dtype == "number" and value.is_floating_point() and value.dtype != other.dtype:  # torch casts a loaded number to its parameter's dtype
                bound = max(bound, torch.finfo(value.dtype).eps * largest[what, dtype])
            assert_close(other.double(), value.double(), bound, f"{what} of parameter {i}, {dtype}")


def within(dtype, steps, few, largest):
    if dtype == "number":
        return 4 * torch.finfo(torch.get_default_dtype()).eps * steps * largest
    if dtype == F64:
        return 1e-11 * largest
    return few * steps * torch.finfo(dtype).eps * largest


def assert_close(a, b, bound, what):
    good = b.isfinite()  # whether infinite or not a number depends on the order of operations: torch's `lerp` makes one of the other
    assert torch.equal(a.isfinite(), good), f"{what}: finite in other places"
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
            assert other.dtype == value.dtype, key
            assert same_bits(other, value), (key, i)


def same_bits(a, b):
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())  # NaN too


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


@names
def test_a_parameter_twice(name):
    """In one group: torch warns, and its loop updates it twice."""
    runs = []
    with default_dtype(F64):
        ways = [(optimbook, kwargs) for kwargs in paths(Case(name, (), 1, 0)).values()]
        for module, kwargs in [*ways, (torch.optim, torchs_loop(name))] if hasattr(torch.optim, name) else ways:
            param, largest = numbers((4, 3), F64, 1), {}
            with pytest.warns(UserWarning, match="duplicate parameters"):
                optim = getattr(module, name)([param, param], **kwargs)
            for step in range(3):
                grad = numbers((4, 3), F64, 2, step)
                param.grad = grad.to_sparse(1) if name == "SparseAdam" else grad
                optim.step()
                note([param], optim, largest)
            runs.append(([param], optim, largest))
        for run in runs:
            assert_agree(run, runs[-1], 3)


def test_sparse_gradient_of_a_view():
    """A vector within a larger tensor; torch writes beside it."""
    whole = torch.zeros(6)
    param = whole[1:4]
    param.grad = torch.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (3,), check_invariants=True)
    optimbook.SGD([param], lr=1.0).step()
    assert whole.tolist() == [0, -1, 0, -2, 0, 0]


@names
def test_tied_modules(name):
    """A weight that two modules share is one parameter, with the gradients of both."""
    if name == "SparseAdam":
        pytest.skip("takes no dense gradients")
    runs = []
    with default_dtype(F64):
        for kwargs in [*paths(Case(name, (), 1, 0)).values(), None]:
            if kwargs == {"differentiable": True} or (kwargs is None and not hasattr(torch.optim, name)):
                continue  # it takes no leaf
            torch.manual_seed(0)
            model = torch.nn.Sequential(*(torch.nn.Linear(4, 4, bias=False) for _ in range(3)))
            model[2].weight = model[0].weight
            module = optimbook if kwargs is not None else torch.optim
            optim = getattr(module, name)(model.parameters(), **(torchs_loop(name) if kwargs is None else kwargs))
            params, largest = list(model.parameters()), {}
            assert len(params) == 2
            for step in range(4):
                optim.zero_grad()
                model(numbers((5, 4), F64, step)).tanh().sum().backward()
                optim.step()
                note(params, optim, largest)
            runs.append((params, optim, largest))
    for run in runs[1:]:
        with default_dtype(F64):
            assert_agree(run, runs[0], 4)


# ------------------------------------------------------------------------------------------- 2. gradients that are not finite


@names
def test_gradients_that_are_not_finite(name):
    """NaN and infinities go where torch's go, or, where torch has no such class, where the loop's go; everything else agrees."""
    bad = st.tuples(st.integers(0, 15), st.integers(0, 6), st.integers(0, 10**6), st.sampled_from([math.nan, math.inf, -math.inf]))

    @examples(8)
    @given(cases(name, dtypes=(F32, F64, BF16), missing=False, large=False), st.lists(bad, min_size=1, max_size=3))
    def holds(case, bad):
        case = dataclasses.replace(case, bad=tuple(bad))
        with default_dtype(F64):
            reference = train(case, torch.optim, **torchs_loop(name)) if torch_has(case) else train(case, **loop(case.cls))
            for path, kwargs in paths(case).items():
                # An average that is called as it is written keeps an infinity where torch's lerp makes NaN, whose sign is 0.
                if (name, path) != ("Lion", "differentiable"):
                    assert_agree(train(case, **kwargs), reference, case.steps)

    holds()


# ------------------------------------------------------------------------------------------- 3. a failing step changes nothing


def wrong_shape(case, optim, param, group):
    name = next(n for n, v in optim.state[param].items() if n not in NUMBER_STATES)
    optim.state[param][name] = optim.state[param][name].new_zeros(3, 5, 7)


def wrong_dtype(case, optim, param, group):
    name = next(n for n, v in optim.state[param].items() if n not in NUMBER_STATES)
    optim.state[param][name] = optim.state[param][name].to(torch.complex64)


def wrong_number(case, optim, param, group):
    name = next(n for n in optim.state[param] if n in NUMBER_STATES)
    optim.state[param][name] = torch.ones(2)


def another_shape(case, optim, param, group):
    param.data = param.data.new_zeros(3, 5, 7)


def integers(case, optim, param, group):
    param.grad = None
    param.data = param.data.long()
    param.grad = torch.ones_like(param)


def expanded(case, optim, param, group):
    param.grad = None
    param.data = param.data.new_ones(()).expand((*param.shape[:-1], 2))
    param.grad = param.data.clone()


def rate_of_nan(case, optim, param, group):
    group["lr"] = math.nan


def rate_of_infinity(case, optim, param, group):
    group["lr"] = torch.tensor(math.inf)


def rate_of_two(case, optim, param, group):
    group["lr"] = torch.ones(2)


def rate_of_words(case, optim, param, group):
    group["lr"] = "small"


def no_rate(case, optim, param, group):
    del group["lr"]


def other_layout(case, optim, param, group):
    """Sparse gradients where they are refused, dense ones where only sparse ones are taken."""
    param.grad = param.grad.to_dense() if param.grad.is_sparse else param.grad.to_sparse()


def decay_of_one(case, optim, param, group):
    group["betas"] = (1.0, 1.0)


def closure_that_raises():
    raise KeyError("mine")


ERRORS = (RuntimeError, ValueError, TypeError, KeyError)
FAILURES = (wrong_shape, wrong_dtype, wrong_number, another_shape, integers, expanded, rate_of_nan, rate_of_infinity, rate_of_two,
            rate_of_words, no_rate, other_layout, decay_of_one, closure_that_raises)  # fmt: skip


def applies(failure, case, optim, param, label):
    """Whether a class and a path can fail so."""
    states = optim.state.get(param, {})
    if failure in (wrong_shape, wrong_dtype):
        return any(n not in NUMBER_STATES for n in states)
    if failure is wrong_number:
        return any(n in NUMBER_STATES for n in states)
    if failure is expanded:
        return param.dim() > 0 and not param.grad.is_sparse
    if failure is integers:
        return not param.grad.is_sparse
    if failure is other_layout:
        return param.dim() > 0 and (case.name not in ("SGD", "Adagrad") or label == "fused")
    if failure is decay_of_one:  # called on tensors the rule divides by zero, as torch does, and Yogi's class names the two alike
        return case.name in ("Adam", "AdamW", "RAdam", "LAMB", "Yogi") and label != "differentiable"
    return True


def remember(optim, params):
    """Everything that a step may change: the very tensors, and copies of them."""
    state = {i: dict(optim.state[p]) for i, p in enumerate(params) if p in optim.state}
    tensors = [p.data for p in params] + [v for s in state.values() for v in s.values()] + [p.grad for p in params]
    return state, tensors, copy.deepcopy(tensors), [dict(g) for g in optim.param_groups]


def assert_as_before(optim, params, before):
    state, tensors, copies, _ = before
    assert {i: dict(optim.state[p]) for i, p in enumerate(params) if p in optim.state}.keys() == state.keys()
    for i, values in state.items():
        now = optim.state[params[i]]
        assert now.keys() == values.keys() and all(now[n] is v for n, v in values.items())
    for tensor, kept in zip(tensors, copies):
        assert (tensor is None) == (kept is None)
        if isinstance(tensor, torch.Tensor):
            assert same_bits(tensor.to_dense(), kept.to_dense())


def repair(optim, params, before):
    """As it was before the failure was made."""
    state, tensors, _, groups = before
    grads = tensors[len(tensors) - len(params) :]
    for i, (param, data, grad) in enumerate(zip(params, tensors, grads)):
        param.grad = None
        param.data = data
        param.grad = grad
        if i in state:
            optim.state[param].clear()
            optim.state[param].update(state[i])
    for group, options in zip(optim.param_groups, groups):
        group.clear()
        group.update(options)


@names
def test_a_failing_step_changes_nothing(name):
    """Whatever member of whatever group fails; and the steps after it go on as if it had not been."""
    member = st.tuples(st.integers(0, 15), st.integers(0, 6))

    @examples(12)
    @given(cases(name, missing=False, large=False), st.sampled_from(FAILURES), member, st.sampled_from(list(IMPLEMENTATIONS)))
    def holds(case, failure, member, label):
        which, when = member[0] % len(case.specs), member[1] % case.steps
        label = label if label in paths(case) else "default"
        expected = train(case, **IMPLEMENTATIONS[label])
        params, optim = start(case, **IMPLEMENTATIONS[label])
        for step in range(case.steps):
            give(case, params, step)
            if step == when and applies(failure, case, optim, params[which], label):
                before = remember(optim, params)
                closure = failure if failure is closure_that_raises else None
                if closure is None:
                    group = next(g for g in optim.param_groups if any(p is params[which] for p in g["params"]))
                    failure(case, optim, params[which], group)
                broken = remember(optim, params)
                with pytest.raises(ERRORS):
                    optim.step(closure)
                assert_as_before(optim, params, broken)
                repair(optim, params, before)
            optim.step()
        assert_equal((params, optim), expected[:2])

    holds()


# ------------------------------------------------------------------------------------------- 4. training goes on


def pickled(run):
    return pickle.loads(pickle.dumps(run))


def copied(run):
    return copy.deepcopy(run)


def through_a_file(run):
    """A checkpoint, loaded into an optimizer of the same parameters that has the same groups."""
    params, optim = run
    file = io.BytesIO()
    torch.save(optim.state_dict(), file)
    file.seek(0)
    kwargs = {"state_dtype": optim.state_dtype} if isinstance(optim, optimbook.engine.optimizer.Optimizer) else {}  # part of no checkpoint
    fresh = type(optim)([{"params": g["params"]} for g in optim.param_groups], **kwargs)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return params, fresh


def regrouped(run):
    """The same parameters one by one in groups of a fresh optimizer, in the other order, with the states that they had."""
    params, optim = run
    options = [({k: v for k, v in g.items() if k != "params"}, p) for g in optim.param_groups for p in g["params"]]
    fresh = type(optim)([{"params": [options[0][1]], **options[0][0]}])
    for more, param in options[:0:-1]:
        fresh.add_param_group({"params": [param], **more})
    for param in params:
        if param in optim.state:
            fresh.state[param] = optim.state[param]
    return params, fresh


def one_more_group(run):
    params, optim = run
    new = numbers((9, 8), F64, 7, len(params))
    optim.add_param_group({"params": [new], "lr": 0.05})
    return [*params, new], optim


def set_option(name, value):
    def change(run):
        for group in run[1].param_groups:
            if name in group:
                group[name] = value
        return run

    change.__name__ = f"{name}={value}"
    return change


EVENTS = [pickled, copied, through_a_file, regrouped, one_more_group, set_option("lr", 0.02), set_option("weight_decay", 0.2),
          set_option("weight_decay", 0), set_option("maximize", True), set_option("momentum", 0.9), set_option("betas", (0.8, 0.85)),
          set_option("amsgrad", True), set_option("centered", True)]  # fmt: skip
# What torch cannot begin in the middle, since it makes all states at the first step.
LATE = {("RMSprop", "momentum=0.9"), ("RMSprop", "centered=True"), ("Adam", "amsgrad=True"), ("AdamW", "amsgrad=True")}


def live(case, events, module, renew, **kwargs):
    """Trains, with an event before each step but the first; ``renew``: what a plan remembers is forgotten each time."""
    run, largest = start(case, module, **kwargs), {}
    for step, event in enumerate([None, *events]):
        if event:
            run = event(run)
        if renew:
            run = copied(run)
        params, optim = run
        for i, param in enumerate(params):
            shape, index = param.shape, min(i, len(case.specs) - 1)
            own = i < len(case.specs)
            spec = case.specs[index]
            sparse = spec.grad_lies == "sparse"
            if own and spec.missing[step % case.steps]:
                param.grad = None
            elif own:
                param.grad = gradient(case, i, step)
            else:
                grad = numbers(shape, F64, 5, i, step)
                param.grad = grad.to_sparse(1) if sparse and case.name == "SparseAdam" else grad
        optim.step()
        note(params, optim, largest)
    return params, optim, largest


@names
def test_training_goes_on(name):
    """After copies, checkpoints, other groups and other options as after none: as torch's does, and as a plan made anew would."""

    @examples(12)
    @given(cases(name, dtypes=(F64, F32), large=False, most=3), st.lists(st.sampled_from(EVENTS), min_size=1, max_size=4), st.data())
    def holds(case, events, data):
        if case.name in ("SGD", "LARS") and any("nesterov" in o or "dampening" in o for o, _ in case.groups):
            events = [e for e in events if e.__name__ != "momentum=0.9"]
        label = data.draw(st.sampled_from([n for n in paths(case) if n in ("default", "loop", "foreach")]))
        kwargs = IMPLEMENTATIONS[label]
        with default_dtype(F64):
            ours = live(case, events, optimbook, False, **kwargs)
            assert_equal(ours[:2], live(case, events, optimbook, True, **kwargs)[:2])
            if torch_has(case) and not any((name, e.__name__) in LATE for e in events):
                assert_agree(ours, live(case, events, torch.optim, False, **torchs_loop(name)), len(events) + 1)

    holds()


# ------------------------------------------------------------------------------------------- 5. the keywords that torch has not


def clipped(case, norm):
    """The two halves of `torch.nn.utils.clip_grad_norm_` before each step; of sparse gradients they have the rows' sums."""
    params, optim = start(case, **loop(case.cls))
    largest = {}
    for step in range(case.steps):
        give(case, params, step)
        given = [p for p in params if p.grad is not None]
        values = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in given]
        total, holders = torch.nn.utils.get_total_norm(values), [torch.empty_like(v) for v in values]
        for param, holder, value in zip(given, holders, values):
            holder.grad = value.clone()
            if param.grad.is_sparse:
                param.grad = torch.sparse_coo_tensor(param.grad.coalesce().indices(), holder.grad, param.shape, check_invariants=True)
            else:
                param.grad = holder.grad
        torch.nn.utils.clip_grads_with_norm_(holders, norm, total)
        optim.step()
        note(params, optim, largest)
    return params, optim, largest


@names
def test_clipping_by_norm(name):
    """Within the step as before it, but that the gradients stay as they are; an infinite norm is clipped as torch does it."""
    bad = st.tuples(st.integers(0, 15), st.integers(0, 6), st.integers(0, 10**6), st.sampled_from([math.nan, math.inf]))

    @examples(6)
    @given(cases(name, dtypes=(F32, F64, BF16), large=False), st.sampled_from([0.5, 2.0, 1e4]), st.lists(bad, max_size=1))
    def holds(case, norm, bad):
        if name == "Lion":
            bad = []  # its sign makes finite numbers of NaN, and not of infinities
        case = dataclasses.replace(case, bad=tuple(bad))
        with default_dtype(F64):
            reference = clipped(case, norm)
            for kwargs in paths(case).values():
                params, optim = start(case, max_grad_norm=norm, **kwargs)
                for step in range(case.steps):
                    give(case, params, step)
                    before = copy.deepcopy([p.grad for p in params])
                    optim.step()
                    for param, grad in zip(params, before):
                        assert (grad is None) == (param.grad is None)
                        assert grad is None or same_bits(param.grad.to_dense(), grad.to_dense())
                assert_agree((params, optim), reference, case.steps, few=2 * FEW)

    holds()


@names
def test_states_of_another_dtype(name):
    """bfloat16 states beside wider parameters: the kernel and the rule called agree, and no copy or checkpoint loses it."""

    @examples(6)
    @given(cases(name, dtypes=(F32, F64), large=False), st.sampled_from([pickled, copied, through_a_file]))
    def holds(case, event):
        with default_dtype(F64):
            reference = train(case, state_dtype=BF16)
            for value in (v for s in reference[1].state.values() for n, v in s.items() if n not in NUMBER_STATES):
                assert value.dtype == BF16
            for kwargs in (loop(case.cls), {"foreach": True} if loop(case.cls) else {}):
                assert_agree(train(case, state_dtype=BF16, **kwargs), reference, case.steps, state_dtype=BF16)
            params, optim = start(case, state_dtype=BF16)
            for step in range(case.steps):
                give(case, params, step)
                params, optim = event((params, optim))
                give(case, params, step)
                optim.step()
            assert_equal((params, optim), reference[:2])

    holds()


def rounded(name, dtype, seed=0, stochastic=True, **kwargs):
    """One step over many numbers."""
    torch.manual_seed(seed)
    param, exact = (numbers((130, 131), BF16, 3).to(d) for d in (dtype, F32))
    for tensor in (param, exact):
        tensor.grad = numbers((130, 131), BF16, 4).to(tensor.dtype)
        tensor.grad = tensor.grad.to_sparse(1) if name == "SparseAdam" else tensor.grad
    make = getattr(optimbook, name)
    make([param], lr=0.003, stochastic_rounding=stochastic, **kwargs).step()
    make([exact], lr=0.003, **kwargs).step()
    return param, exact


def roundings(name):
    return {"default": {}, "loop": loop(getattr(optimbook, name))}.items()


@names
def test_stochastic_rounding(name):
    """To one of the two neighbours, and right in the mean, alike in every process; other dtypes are rounded as ever."""
    for label, kwargs in roundings(name):
        param, exact = rounded(name, BF16, **kwargs)
        error = (param.double() - exact.double()) / ulp(exact)
        assert error.abs().max() < 1.001, label
        assert error.abs().max() > 0.5, label  # or it was rounded to the nearest
        assert error.mean().abs() < 5 * 0.5 / error.numel() ** 0.5, label
        assert torch.equal(param, rounded(name, BF16, **kwargs)[0]), label
        assert torch.equal(param, rounded(name, BF16, seed=1, **kwargs)[0]), label  # so that copies in other processes stay equal
        for dtype in (F32, F64, F16):
            assert torch.equal(rounded(name, dtype, **kwargs)[0], rounded(name, dtype, stochastic=False, **kwargs)[0]), label


def ulp(x):
    """The distance of neighbours in bfloat16."""
    return torch.exp2(torch.floor(torch.log2(x.double().abs())) - 7)


@names
def test_stochastic_rounding_keeps_what_is_not_finite(name):
    for label, kwargs in roundings(name):
        runs = []
        for stochastic in (True, False):
            param = numbers((8, 8), BF16, 1)
            param[0, :3] = torch.tensor([math.inf, -math.inf, math.nan])
            grad = numbers((8, 8), BF16, 2)
            param.grad = grad.to_sparse(1) if name == "SparseAdam" else grad
            make = getattr(optimbook, name)
            decay = {"weight_decay": 0} if "weight_decay" in inspect.signature(make).parameters else {}  # of infinity it may be NaN
            make([param], stochastic_rounding=stochastic, **decay, **kwargs).step()
            runs.append(param)
        assert torch.equal(runs[0].isfinite(), runs[1].isfinite()), label
        if name != "Muon":  # which, called, takes no decay off as 0 times the parameter
            assert torch.equal(*(r.nan_to_num(7.0, 8.0, -8.0)[~r.isfinite()] for r in runs)), label
