"""Schedulers that move the momentum too, that listen to a metric, or that are made of schedulers, against torch's."""

import copy
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torchs

import optimbook
from optimbook import lr_scheduler as ours


class Halves:
    """A callable object: its __dict__ is saved."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, x):
        return self.rate**x


def sgd(tensor=False):
    return _optimizer(torch.optim.SGD, tensor, momentum=0.9)


def adam(tensor=False):
    return _optimizer(optimbook.AdamW, tensor, betas=(0.9, 0.99))


def _optimizer(kind, tensor, **options):
    wrap = (lambda x: torch.tensor(x, dtype=torch.float64)) if tensor else float
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))]}, {"params": [torch.nn.Parameter(torch.ones(1))], "lr": wrap(0.5)}]
    return kind(groups, lr=wrap(0.1), **options)


def now(optimizer):
    """Every group's rate, then every group's momentum or betas."""
    groups = optimizer.param_groups
    momenta = [float(m) for g in groups for m in (g["betas"] if "betas" in g else [g["momentum"]])]
    return [float(g["lr"]) for g in groups] + momenta


def advance(optimizer, scheduler, steps, hand=None):
    """What stands now and after each step; `hand` changes it at some steps."""
    optimizer.step()
    path = [now(optimizer)]
    for step in range(steps):
        if hand:
            hand(step, optimizer)
        scheduler.step()
        path.append(now(optimizer))
        assert path[-1][:2] == [float(rate) for rate in scheduler.get_last_lr()]
    return torch.tensor(path, dtype=torch.float64)


def run(module, make, steps, hand=None, one=sgd, tensor=False):
    optimizer = one(tensor)
    return advance(optimizer, make(module, optimizer), steps, hand)


def foreseen(scheduler, steps):
    return torch.tensor([scheduler.lr_at(step) for step in steps], dtype=torch.float64)


def assert_equal(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


# ------------------------------------------------------------------------------------- CyclicLR, OneCycleLR

CYCLED = {
    "triangular": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 20, **k),
    "triangular, uneven": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 13, 31, base_momentum=[0.6, 0.7], max_momentum=0.95, **k),
    "triangular2": lambda m, o, **k: m.CyclicLR(o, [0.01, 0.02], [0.2, 0.7], 20, mode="triangular2", **k),
    "exp_range": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 7, 12, mode="exp_range", gamma=0.99, **k),
    "sawtooth": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 20, 0, **k),
    "scaled by cycle": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 20, scale_fn=lambda cycle: [1, 0.7, 0.4][cycle % 3], **k),
    "scaled by step": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 20, scale_fn=Halves(0.98), scale_mode="iterations", **k),
    "cycle, still momentum": lambda m, o, **k: m.CyclicLR(o, 0.01, 0.2, 20, cycle_momentum=False, **k),
    "one cycle": lambda m, o, **k: m.OneCycleLR(o, 0.3, 300, **k),
    "one cycle, linear": lambda m, o, **k: m.OneCycleLR(o, [0.3, 0.4], 300, anneal_strategy="linear", pct_start=0.123, **k),
    "one cycle, three phases": lambda m, o, **k: m.OneCycleLR(o, 0.3, epochs=3, steps_per_epoch=100, three_phase=True, **k),
    "one cycle, three linear phases": lambda m, o, **k: m.OneCycleLR(
        o, 0.3, 300, 0, 0, 0.4, "linear", True, [0.8, 0.7], 0.9, 10.0, 50.0, True, **k
    ),
    "one cycle, two and a half phases": lambda m, o, **k: m.OneCycleLR(o, 0.3, 300, pct_start=0.7, three_phase=True, **k),
    "one cycle, all up": lambda m, o, **k: m.OneCycleLR(o, 0.3, 301, pct_start=1.0, **k),
    "one cycle, all down": lambda m, o, **k: m.OneCycleLR(o, 0.3, 300, pct_start=0.0, final_div_factor=math.inf, **k),
    "one cycle, still momentum": lambda m, o, **k: m.OneCycleLR(o, 0.3, 300, cycle_momentum=False, **k),
}
cycled = pytest.mark.parametrize("make", CYCLED.values(), ids=CYCLED)
kinds = pytest.mark.parametrize("one", [sgd, adam], ids=["momentum", "betas"])
rates = pytest.mark.parametrize("tensor", [False, True], ids=["number", "tensor"])


def to_and_fro(make, one, tensor, when, steps):
    """Saved by one and loaded by the other: what was, what would have been, what is."""
    whole = run(torchs, make, steps, one=one, tensor=tensor)
    for first, second in ((ours, ours), (ours, torchs), (torchs, ours)):
        old, new = one(tensor), one(tensor)
        scheduler, resumed = make(first, old), make(second, new)
        advance(old, scheduler, when)
        new.load_state_dict(copy.deepcopy(old.state_dict()))
        saved = copy.deepcopy(scheduler.state_dict())
        resumed.load_state_dict(saved)
        if second is ours:
            assert repr(saved) == repr(scheduler.state_dict())  # what is loaded stays as it was
        assert_equal(advance(new, resumed, steps - when), whole[when:])


@cycled
@kinds
@rates
def test_cycled_every_step(make, one, tensor):
    assert_equal(*(run(m, make, 300, one=one, tensor=tensor) for m in (ours, torchs)))


@cycled
def test_cycled_closed_form(make):
    """`lr_at` and `momentum_at` are where the path goes, and move nothing."""
    optimizer = sgd()
    scheduler = make(ours, optimizer)
    before = now(optimizer)
    rates = foreseen(scheduler, range(301))
    momenta = [scheduler.momentum_at(t) for t in range(301)] if scheduler.cycle_momentum else [[0.9, 0.9]] * 301
    assert now(optimizer) == before and scheduler.last_epoch == 0
    assert_equal(advance(optimizer, scheduler, 300), torch.cat([rates, torch.tensor(momenta, dtype=torch.float64)], 1))


@cycled
@kinds
@pytest.mark.parametrize("when", [1, 20, 211])
def test_cycled_saved_and_loaded(make, one, when):
    to_and_fro(make, one, False, when, 300)


@cycled
def test_cycled_state_dict_keys(make):
    states = [make(m, sgd()).state_dict() for m in (ours, torchs)]
    assert states[0].keys() == states[1].keys()


@cycled
@kinds
@pytest.mark.parametrize("last_epoch", [0, 20, 60, 210])
def test_cycled_resumed_by_last_epoch(make, one, last_epoch):
    paths = []
    for module in (ours, torchs):
        old, new = one(), one()
        advance(old, make(module, old), last_epoch + 1)
        new.load_state_dict(old.state_dict())
        paths.append(advance(new, make(module, new, last_epoch=last_epoch), 80))
    assert_equal(*paths)


@cycled
def test_cycled_rates_changed_by_hand(make):
    def hand(step, optimizer):
        if step in (3, 100):
            optimizer.param_groups[0].update(lr=7.0, momentum=0.1)

    assert_equal(*(run(m, make, 200, hand) for m in (ours, torchs)))


@cycled
@kinds
@pytest.mark.parametrize("loaded", ["never", "before"])
def test_cycled_optimizer_loaded_late_or_never(make, one, loaded):
    """Where torch leaves the first rate and momentum until the next step."""
    old, new = one(), one()
    scheduler = make(ours, old)
    whole = advance(old, scheduler, 70)
    if loaded == "before":
        new.load_state_dict(old.state_dict())
    resumed = make(ours, new)
    resumed.load_state_dict(scheduler.state_dict())
    assert_equal(torch.tensor(now(new), dtype=torch.float64), whole[-1])


def test_cyclic_begins_at_its_own_rate():
    """Another scheduler has set `initial_lr` before: torch's first rate is that one."""
    optimizer = sgd()
    ours.StepLR(optimizer, 10)
    assert ours.CyclicLR(optimizer, 0.01, 0.2).get_last_lr() == [0.01, 0.01] == [g["lr"] for g in optimizer.param_groups]
    assert [g["initial_lr"] for g in optimizer.param_groups] == [0.1, 0.5]


def test_tensor_betas_stay_tensors_of_their_own():
    betas = torch.tensor(0.9), torch.tensor(0.99)
    optimizer = torch.optim.Adam([{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(2)], betas=betas)
    scheduler = ours.OneCycleLR(optimizer, 0.3, 30, base_momentum=[0.8, 0.7])
    firsts = [g["betas"][0] for g in optimizer.param_groups]
    advance(optimizer, scheduler, 8)
    assert [g["betas"][0] for g in optimizer.param_groups] == firsts == pytest.approx([0.8, 0.7], abs=1e-6) and betas[0] == 0.9
    assert all(g["betas"][0] is first for g, first in zip(optimizer.param_groups, firsts))
    for group in optimizer.param_groups:
        group["betas"] = betas
    ours.OneCycleLR(optimizer, 0.3, 30, last_epoch=7)
    assert [float(g["betas"][0]) for g in optimizer.param_groups] == pytest.approx([0.8, 0.7], abs=1e-6) and betas[0] == 0.9


def test_one_cycle_that_starts_at_the_top():
    """The way up is no step long: torch divides by 0."""
    with pytest.raises(ZeroDivisionError):
        torchs.OneCycleLR(sgd(), 0.3, 10, pct_start=0.1)
    scheduler = ours.OneCycleLR(sgd(), 0.3, 10, pct_start=0.1)
    assert scheduler.lr_at(0) == [0.3, 0.3] and scheduler.momentum_at(0) == [0.85, 0.85]
    assert scheduler.lr_at(9) == pytest.approx([0.3 / 25 / 1e4] * 2)


def test_one_cycle_ends():
    for module in (ours, torchs):
        optimizer = sgd()
        scheduler = module.OneCycleLR(optimizer, 0.3, 10)
        advance(optimizer, scheduler, 10)
        with pytest.raises(ValueError, match="Tried to step 11 times. The specified number of total steps is 10"):
            scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 11 times. The specified number of total steps is 10"):
        ours.OneCycleLR(sgd(), 0.3, 10).lr_at(11)


def test_cycled_rules():
    """The rules are what the classes do; the printed forms are the rules."""
    cyclic = ours.CyclicLR(sgd(), 0.01, 0.2, 20, mode="triangular2")
    assert cyclic.rule(35, base_lr=0.01, max_lr=0.2, total_size=40, step_ratio=0.5, triangular2=True)[0] == cyclic.lr_at(35)[0]
    assert cyclic.rule.equations(triangular2=True)[3].rhs == r"a_t \cdot 2^{1 - k_t}"
    assert cyclic.lr_at(10**6) == [0.01, 0.01]  # torch's factor leaves the range of floats
    one = ours.OneCycleLR(sgd(), 0.3, 100)
    ends = {"base_lr": 0.012, "max_lr": 0.3, "min_lr": 0.3 / 25 / 1e4, "peak": 29, "last": 99}
    assert one.rule(29, **ends) == (0.3, 0.85) and one.rule(99, **ends) == (pytest.approx(1.2e-6), 0.95)
    assert "three" not in one.rule.javascript() and "Math.cos" in one.rule.javascript()


@pytest.mark.parametrize("step", [-1, math.nan, math.inf])
def test_cycled_closed_form_refuses(step):
    with pytest.raises(ValueError, match="CyclicLR.lr_at: step must be finite and not negative"):
        ours.CyclicLR(sgd(), 0.01, 0.2).lr_at(step)
    with pytest.raises(ValueError, match="CyclicLR.momentum_at: cycle_momentum is False"):
        ours.CyclicLR(sgd(), 0.01, 0.2, cycle_momentum=False).momentum_at(3)


BAD_CYCLED = {  # what torch says, or None where it says nothing or dies
    "base_lr must have the same length": lambda m, o: m.CyclicLR(o, [0.1], 0.2),
    "max_lr must have the same length": lambda m, o: m.CyclicLR(o, 0.1, [0.2] * 3),
    "base_momentum must have the same length": lambda m, o: m.CyclicLR(o, 0.1, 0.2, base_momentum=[0.8]),
    "mode is invalid and scale_fn is None": lambda m, o: m.CyclicLR(o, 0.1, 0.2, mode="square"),
    "max_momentum must have the same length": lambda m, o: m.OneCycleLR(o, 0.1, 10, max_momentum=[0.8]),
    "Expected positive integer total_steps, but got 0": lambda m, o: m.OneCycleLR(o, 0.1, 0),
    "Expected positive integer total_steps, but got 2.5": lambda m, o: m.OneCycleLR(o, 0.1, 2.5),
    "Expected positive integer epochs, but got -1": lambda m, o: m.OneCycleLR(o, 0.1, epochs=-1, steps_per_epoch=3),
    "You must define either total_steps OR": lambda m, o: m.OneCycleLR(o, 0.1, epochs=3),
    "Expected float between 0 and 1 pct_start, but got 1": lambda m, o: m.OneCycleLR(o, 0.1, 10, pct_start=1),
    "anneal_strategy must be one of 'cos' or 'linear', instead got sin": lambda m, o: m.OneCycleLR(o, 0.1, 10, anneal_strategy="sin"),
}
BAD_OURS = {
    "Invalid step_size_up: 0": (ValueError, lambda o: ours.CyclicLR(o, 0.1, 0.2, 0)),
    "Invalid step_size_down: -1": (ValueError, lambda o: ours.CyclicLR(o, 0.1, 0.2, 5, -1)),
    "Invalid max_lr: nan": (ValueError, lambda o: ours.CyclicLR(o, 0.1, math.nan)),
    "Invalid gamma: inf": (ValueError, lambda o: ours.CyclicLR(o, 0.1, 0.2, gamma=math.inf)),
    "scale_fn must be a function, and is 0.5": (TypeError, lambda o: ours.CyclicLR(o, 0.1, 0.2, scale_fn=0.5)),
    "Invalid div_factor: 0": (ValueError, lambda o: ours.OneCycleLR(o, 0.1, 10, div_factor=0)),
    "Invalid final_div_factor: nan": (ValueError, lambda o: ours.OneCycleLR(o, 0.1, 10, final_div_factor=math.nan)),
}


@pytest.mark.parametrize("message", BAD_CYCLED)
def test_cycled_bad_arguments(message):
    with pytest.raises(ValueError, match=message):
        BAD_CYCLED[message](torchs, sgd())
    optimizer = sgd()
    before = repr(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        BAD_CYCLED[message](ours, optimizer)
    assert repr(optimizer.state_dict()) == before  # torch leaves the groups half changed


@pytest.mark.parametrize("message", BAD_OURS)
def test_cycled_arguments_that_torch_dies_of(message):
    optimizer = sgd()
    before = repr(optimizer.state_dict())
    error, make = BAD_OURS[message]
    with pytest.raises(error, match=message):
        make(optimizer)
    assert repr(optimizer.state_dict()) == before


@pytest.mark.parametrize("make", [lambda m, o: m.CyclicLR(o, 0.1, 0.2), lambda m, o: m.OneCycleLR(o, 0.1, 10)])
def test_cycled_needs_an_optimizer_with_momentum(make):
    for module in (ours, torchs):
        with pytest.raises(ValueError, match="optimizer must support momentum or beta1 with `cycle_momentum` option enabled"):
            make(module, torch.optim.Adagrad([torch.nn.Parameter(torch.ones(1))]))
        with pytest.raises(TypeError, match="object is not an Optimizer"):
            make(module, object())


# ---------------------------------------------------------------------------------------- ReduceLROnPlateau

PLATEAU = {
    "as it is": {},
    "impatient": {"patience": 0, "factor": 0.5},
    "up": {"mode": "max", "patience": 2},
    "up, absolute": {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 1},
    "down, absolute": {"threshold_mode": "abs", "threshold": 0.05, "patience": 1, "cooldown": 2},
    "with cooldown": {"patience": 1, "cooldown": 4, "factor": 0.7},
    "with lowest rates": {"patience": 0, "min_lr": [0.01, 0.2]},
    "with a coarse eps": {"patience": 0, "eps": 0.06, "factor": 0.6},
    "with an eps of one reduction": {"patience": 0, "eps": 0.05, "factor": 0.5},
    "to the floor at once": {"patience": 3, "factor": 0, "min_lr": 1e-3},
    "never": {"patience": math.inf},
}
plateau = pytest.mark.parametrize("options", PLATEAU.values(), ids=PLATEAU)
metrics = st.lists(st.one_of(st.floats(-2, 2), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])), max_size=60)


def listen(module, options, seen, tensor=False):
    """The rates and the states after each metric."""
    optimizer = sgd(tensor)
    scheduler = module.ReduceLROnPlateau(optimizer, **options)
    path = []
    for metric in seen:
        scheduler.step(metric)
        states = scheduler.best, scheduler.num_bad_epochs, max(scheduler.cooldown_counter, 0), scheduler.last_epoch
        path.append(repr((now(optimizer), states, scheduler.get_last_lr(), scheduler.in_cooldown)))
    return path


@plateau
@settings(max_examples=40, deadline=None)
@given(seen=metrics)
def test_plateau(options, seen):
    assert listen(ours, options, seen) == listen(torchs, options, seen)


def noise(steps):
    generator = torch.Generator().manual_seed(0)
    return (1 / (1 + torch.arange(steps)) + 0.1 * torch.rand(steps, generator=generator)).tolist()


@plateau
def test_plateau_long_run(options):
    for tensor in (False, True):
        path = listen(ours, options, noise(300), tensor)
        assert path == listen(torchs, options, noise(300), tensor)
        assert (len({line.split("]")[0] for line in path}) > 1) == (options != PLATEAU["never"])  # the rates did move


def test_plateau_saved_and_loaded():
    for first, second in ((ours, ours), (ours, torchs), (torchs, ours)):
        old, new = sgd(), sgd()
        scheduler = first.ReduceLROnPlateau(old, patience=1, cooldown=2, mode="max")
        resumed = second.ReduceLROnPlateau(new)
        for metric in noise(40):
            scheduler.step(metric)
        new.load_state_dict(old.state_dict())
        resumed.load_state_dict(scheduler.state_dict())
        for metric in noise(40):
            scheduler.step(metric)
            resumed.step(torch.tensor([metric]))
            assert now(new) == now(old)
        assert repr(resumed.state_dict()) == repr(scheduler.state_dict())


def test_plateau_leaves_a_rate_that_it_does_not_lower():
    for module in (ours, torchs):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1)
        module.ReduceLROnPlateau(optimizer).step(0.5)
        assert repr(optimizer.param_groups[0]["lr"]) == "1"


def test_plateau_with_groups_added():
    for module in (ours, torchs):
        optimizer = sgd()
        scheduler = module.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.05)
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3})
        scheduler.step(1.0)
        scheduler.step(1.0)
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.05, 0.05, 0.05]) and scheduler.min_lrs == [0.05] * 3
        optimizer = sgd()
        scheduler = module.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.05, 0.01])
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
        with pytest.raises(RuntimeError, match="The number of param groups in the `optimizer` .3. differs"):
            for _ in range(2):
                scheduler.step(1.0)


def test_plateau_is_its_rule():
    best, bad, cooldown, lr = ours.ReduceLROnPlateau.rule(0.5, 0.4, 10, 0, 0.1, factor=0.1, cooldown=3)
    assert (best, bad, cooldown, lr) == (0.4, 0, 3, pytest.approx(0.01))
    assert ours.ReduceLROnPlateau.rule(math.nan, 0.4, 1, 2, 0.1) == (0.4, 0, 1, 0.1)
    assert [e.lhs for e in ours.ReduceLROnPlateau.rule.equations(relative=True)][0] == "B_t"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"factor": 1.0}, "Factor should be < 1.0."), ({"mode": "down"}, "mode down is unknown!"),
     ({"threshold_mode": "both"}, "threshold mode both is unknown!"), ({"min_lr": [0.1]}, "expected 2 min_lrs, got 1")],
)  # fmt: skip
def test_plateau_bad_arguments(options, message):
    for module in (ours, torchs):
        with pytest.raises(ValueError, match=message):
            module.ReduceLROnPlateau(sgd(), **options)
    with pytest.raises(TypeError, match="object is not an Optimizer"):
        ours.ReduceLROnPlateau(object())


@pytest.mark.parametrize("options", [{"factor": -0.1}, {"factor": math.nan}, {"patience": -1}, {"cooldown": math.nan},
                                     {"threshold": math.nan}, {"min_lr": math.nan}, {"min_lr": [0, math.nan]}], ids=str)  # fmt: skip
def test_plateau_arguments_that_make_no_sense(options):
    with pytest.raises(ValueError, match=f"Invalid {next(iter(options))}: "):
        ours.ReduceLROnPlateau(sgd(), **options)


def test_plateau_metric_that_is_no_number_changes_nothing():
    scheduler = ours.ReduceLROnPlateau(sgd())
    before = repr(scheduler.state_dict())
    with pytest.raises((TypeError, ValueError)):
        scheduler.step("low")
    assert repr(scheduler.state_dict()) == before


# ------------------------------------------------------------------------------ SequentialLR, ChainedScheduler


def sequence(milestones, *parts):
    def make(m, o, **k):
        built = [part(m, o) for part in parts]
        return m.SequentialLR(o, built, milestones, **k)

    return make


def chain(*parts):
    def make(m, o):
        built = [part(m, o) for part in parts]
        return m.ChainedScheduler(built)

    return make


def part(name, *args, **kwargs):
    return lambda m, o: getattr(m, name)(o, *args, **kwargs)


RISE, COSINE = part("LinearLR", 0.1, total_iters=20), part("CosineAnnealingLR", 50, 0.001)
STEPS, DECAY = part("StepLR", 10, 0.7), part("ExponentialLR", 0.97)
LOW, CYCLE, ONE = part("ConstantLR", 0.1, 20), part("CyclicLR", 0.01, 0.2, 20, 30), part("OneCycleLR", 0.3, 280)
LAMBDA, RESTARTS = part("LambdaLR", lambda step: 1 / (1 + step)), part("CosineAnnealingWarmRestarts", 7, 2)
PRODUCT, DROPS = part("MultiplicativeLR", lambda step: 0.97), part("MultiStepLR", [3, 9, 100], 0.5)

SEQUENCES = {
    "warmup and cosine": sequence([20], RISE, COSINE),
    "four parts": sequence([20, 70, 120], RISE, COSINE, STEPS, DECAY),
    "one part": sequence([], DECAY),
    "first part skipped": sequence([0, 90], RISE, COSINE, DECAY),
    "second part skipped": sequence([20, 20], RISE, COSINE, DECAY),
    "milestones before the start": sequence([-3, 20], RISE, COSINE, DECAY),
    "milestones that are floats": sequence([20.0, 70.0], RISE, COSINE, DECAY),
    "never the second": sequence([math.inf], RISE, COSINE),
    "cycle after": sequence([20], RISE, CYCLE),
    "cycle before": sequence([20], CYCLE, DECAY),
    "one cycle after": sequence([20], RISE, ONE),
    "one cycle before": sequence([270], ONE, DECAY),
    "both cycles": sequence([20, 90], RISE, CYCLE, part("OneCycleLR", 0.3, 220)),
    "restarts and a function": sequence([20, 90], RISE, RESTARTS, LAMBDA),
    "product first": sequence([90], PRODUCT, DECAY),
    "product after": sequence([20, 90], RISE, PRODUCT, DECAY),
}
CHAINS = {
    "one": chain(DECAY),
    "constant and decay": chain(LOW, DECAY),
    "many factors": chain(RISE, STEPS, DROPS, part("PolynomialLR", 200, 2)),
    "to a floor": chain(RISE, COSINE),
    "through zero": chain(DECAY, part("CosineAnnealingLR", 50)),
    "overwritten": chain(RISE, LAMBDA, STEPS),
    "restarts": chain(RESTARTS, DECAY),
    "cycle": chain(CYCLE, DECAY),
    "one cycle": chain(part("OneCycleLR", 0.3, 300), DECAY),
    "products": chain(DROPS, PRODUCT),
    "chain in it": chain(chain(LOW, DECAY), STEPS),
    "sequence in it": chain(sequence([20], RISE, COSINE), STEPS),
}
NESTED = {  # as torch has them only sometimes
    "chain, then steps": sequence([30], chain(LOW, DECAY), STEPS),
    "steps, then a chain": sequence([30], STEPS, chain(LOW, DECAY)),
    "steps, then a chain with a floor": sequence([30], STEPS, chain(RISE, COSINE)),
    "sequence, then steps": sequence([50], sequence([20], RISE, COSINE), STEPS),
    "steps, then a sequence": sequence([50], STEPS, sequence([20], RISE, COSINE)),
    "three deep": sequence([40], chain(sequence([15], RISE, DECAY), STEPS), chain(DECAY, sequence([20], LOW, STEPS))),
}
COMPOSED = {**{f"sequence: {n}": m for n, m in SEQUENCES.items()}, **{f"chain: {n}": m for n, m in CHAINS.items()}}
EVERYTHING = {**COMPOSED, **{f"nested: {n}": m for n, m in NESTED.items()}}
composed = pytest.mark.parametrize("make", COMPOSED.values(), ids=COMPOSED)
everything = pytest.mark.parametrize("make", EVERYTHING.values(), ids=EVERYTHING)
sequences = pytest.mark.parametrize("make", SEQUENCES.values(), ids=SEQUENCES)


class Mixed:
    """Our composites of torch's parts, or torch's of ours."""

    def __init__(self, composites, parts):
        self.composites, self.parts = composites, parts

    def __getattr__(self, name):
        return getattr(self.composites if name in ("SequentialLR", "ChainedScheduler") else self.parts, name)


@composed
@rates
def test_composed_every_step(make, tensor):
    expected = run(torchs, make, 300, tensor=tensor)
    for module in (ours, Mixed(ours, torchs), Mixed(torchs, ours)):
        assert_equal(run(module, make, 300, tensor=tensor), expected)


@everything
def test_composed_closed_form(make):
    """`lr_at` is where the path goes if nobody touches it, and moves nothing."""
    optimizer = sgd()
    scheduler = make(ours, optimizer)
    before = repr([optimizer.state_dict(), scheduler.state_dict()])
    rates = foreseen(scheduler, range(301))
    assert repr([optimizer.state_dict(), scheduler.state_dict()]) == before
    assert_equal(advance(optimizer, scheduler, 300)[:, :2], rates)
    assert_equal(foreseen(scheduler, range(300, -1, -10)), rates.flip(0)[::10])


@composed
@rates
@pytest.mark.parametrize("when", [20, 57])
def test_composed_saved_and_loaded(make, tensor, when):
    to_and_fro(make, sgd, tensor, when, 150)


@everything
@pytest.mark.parametrize("loaded", ["never", "before", "between", "after"])
@pytest.mark.parametrize("when", [20, 57])
def test_composed_wherever_the_optimizer_is_loaded(make, loaded, when):
    """Never, before the scheduler is built, between that and its loading, or after: torch is right in two of four."""
    whole = run(ours, make, 120)
    old, new = sgd(), sgd()
    scheduler = make(ours, old)
    advance(old, scheduler, when)
    if loaded == "before":
        new.load_state_dict(old.state_dict())
    resumed = make(ours, new)
    if loaded == "between":
        new.load_state_dict(old.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    if loaded == "after":
        new.load_state_dict(old.state_dict())
    assert_equal(advance(new, resumed, 120 - when), whole[when:])


def make_and_leave(make):
    optimizer = sgd()
    make(ours, optimizer)
    return optimizer


@everything
@pytest.mark.parametrize("loaded", ["before", "between", "after"])
def test_rates_changed_by_hand_are_loaded_with_the_optimizer(make, loaded):
    if loaded == "before" and make is SEQUENCES["cycle before"]:
        loaded = "after"  # building a CyclicLR overwrites the rates that it finds: there is nothing to find again
    old, new = sgd(), sgd()
    scheduler = make(ours, old)
    advance(old, scheduler, 25)
    old.param_groups[0]["lr"] = 0.123 if loaded == "before" else now(make_and_leave(make))[0]  # as if nothing had been loaded
    if loaded == "before":
        new.load_state_dict(old.state_dict())
    resumed = make(ours, new)
    if loaded == "between":
        new.load_state_dict(old.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    if loaded == "after":
        new.load_state_dict(old.state_dict())
    assert_equal(advance(new, resumed, 60)[1:], advance(old, scheduler, 60)[1:])  # building a cycle overwrites the rate at once


@everything
def test_rates_set_by_hand_between_building_and_loading_stay(make):
    old, new = sgd(), sgd()
    scheduler, resumed = make(ours, old), make(ours, new)
    advance(old, scheduler, 25)
    new.param_groups[0]["lr"] = 0.123
    resumed.load_state_dict(scheduler.state_dict())
    assert now(new)[:2] == [0.123, now(old)[1]]


def clocks(sequence):
    return repr([part.last_epoch for part in sequence._schedulers])


@sequences
@pytest.mark.parametrize(("loaded", "tensor"), [(False, False), (True, True)])
@pytest.mark.parametrize("last_epoch", [0, 19, 94])
def test_sequence_resumed_by_last_epoch(make, loaded, tensor, last_epoch):
    """The step after the last one done, as from an untouched run; torch starts anew."""
    whole = run(ours, make, 120, tensor=tensor)
    optimizer = sgd()
    scheduler = make(torchs, optimizer)
    advance(optimizer, scheduler, last_epoch + 1)
    untouched = clocks(scheduler)
    for module in (ours, Mixed(ours, torchs)):
        optimizer = sgd(tensor)
        if loaded:
            old = sgd(tensor)
            advance(old, make(ours, old), last_epoch + 1)
            optimizer.load_state_dict(old.state_dict())
        scheduler = make(module, optimizer, last_epoch=last_epoch)
        assert scheduler.last_epoch == last_epoch + 1 and clocks(scheduler) == untouched
        assert_equal(advance(optimizer, scheduler, 119 - last_epoch), whole[last_epoch + 1 :])


def test_torch_sequence_is_wrong_where_ours_is_right():
    """pytorch issue 162591: what the tests above would say of torch."""
    make = SEQUENCES["warmup and cosine"]
    scheduler = make(torchs, sgd(), last_epoch=29)
    assert scheduler.last_epoch == 30 and scheduler.get_last_lr() == pytest.approx([0.01, 0.05])  # the very first rates
    assert make(ours, sgd(), last_epoch=29).get_last_lr() == pytest.approx(make(ours, sgd()).lr_at(30))


RESUMED = {
    "scaling": lambda o, k: [ours.ConstantLR(o, 0.1, 50, **k), ours.ExponentialLR(o, 0.97, **k), ours.StepLR(o, 10, 0.5, **k)],
    "to a floor": lambda o, k: [ours.LinearLR(o, 0.1, total_iters=20, **k), ours.CosineAnnealingLR(o, 50, 0.001, **k)],
    "overwritten": lambda o, k: [ours.LambdaLR(o, lambda step: 1 / (1 + step), **k), ours.ExponentialLR(o, 0.97, **k)],
    "cycle": lambda o, k: [ours.OneCycleLR(o, 0.3, 100, **k), ours.ExponentialLR(o, 0.97, **k)],
}


@pytest.mark.parametrize("parts", RESUMED.values(), ids=RESUMED)
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("last_epoch", [0, 7, 33])
def test_chain_resumed_by_last_epoch(parts, loaded, last_epoch):
    """Its parts are built with `last_epoch`, with the optimizer loaded before or its first rates marked as such."""
    old, new = sgd(), sgd()
    chain = ours.ChainedScheduler(parts(old, {}))
    advance(old, chain, last_epoch + 1)
    if loaded:
        old.param_groups[0]["lr"] = 0.123  # by hand
    for group, saved in zip(new.param_groups, old.param_groups):
        group.update({name: value for name, value in saved.items() if name not in ("params", "lr", "momentum")})
        group["lr"] = saved["lr"] if loaded else group["lr"]
    resumed = ours.ChainedScheduler(parts(new, {"last_epoch": last_epoch}))
    begin = 1 if loaded and parts is RESUMED["cycle"] else 0  # it overwrites the rate at once
    assert_equal(advance(new, resumed, 40)[begin:], advance(old, chain, 40)[begin:])


def test_chain_of_schedulers_that_have_run_leaves_the_rates():
    for module in (ours, torchs):
        optimizer = sgd()
        parts = [module.ConstantLR(optimizer, 0.1, 20), module.ExponentialLR(optimizer, 0.9)]
        optimizer.step()
        for scheduler in parts:
            scheduler.step()
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        module.ChainedScheduler(parts)
        assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]


@composed
def test_composed_rates_changed_by_hand(make):
    def hand(step, optimizer):
        if step in (3, 19, 20, 60):
            optimizer.param_groups[0]["lr"] *= 2

    assert_equal(*(run(m, make, 120, hand) for m in (ours, torchs)))


@composed
def test_composed_state_dict_keys(make):
    states = [make(m, sgd()).state_dict() for m in (ours, torchs)]
    assert states[0].keys() == states[1].keys()
    assert [s.keys() for s in states[0]["_schedulers"]] == [s.keys() for s in states[1]["_schedulers"]]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # which torch's own first step makes
@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED)
def test_nested_in_any_way(make):
    """pytorch issue 196243: a composite inside another begins one step late in torch, or cannot begin at all."""
    expected = run(ours, make, 120)
    assert_equal(run(Mixed(ours, torchs), make, 120), expected)
    assert_equal(run(OuterOurs(), make, 120), expected)
    assert_equal(run(OuterTorchs(), make, 120), expected)


class OuterOurs:
    """The outermost composite is ours, those inside are torch's."""

    outer, inner = ours, torchs

    def SequentialLR(self, optimizer, schedulers, milestones):
        composite = any(hasattr(scheduler, "_schedulers") for scheduler in schedulers)
        return (self.outer if composite else self.inner).SequentialLR(optimizer, schedulers, milestones)

    def ChainedScheduler(self, schedulers):
        return self.inner.ChainedScheduler(schedulers)

    def __getattr__(self, name):
        return getattr(ours, name)


class OuterTorchs(OuterOurs):
    """The other way round."""

    outer, inner = torchs, ours


def test_nested_twin_of_a_plain_sequence():
    """A sequence around one scheduler, whatever that is, changes nothing."""
    for make in COMPOSED.values():
        assert_equal(run(ours, sequence([], make), 60), run(ours, make, 60))
        assert_equal(run(ours, chain(make), 60), run(ours, make, 60))


def test_first_part_begins_where_torch_begins():
    """OneCycleLR, built later, has set `initial_lr`: the warmup ends there, and `lr_at` knows."""
    scheduler = sequence([20], RISE, ONE)(ours, sgd())
    assert scheduler.lr_at(19)[0] == pytest.approx(0.3 / 25 * 0.955) and scheduler.lr_at(20)[0] == pytest.approx(0.3 / 25)


def test_closed_form_is_had_at_once():
    """Where it can be: of a sequence, and of a chain that multiplies; as a float too."""
    scheduler = sequence([10**9, 2 * 10**9], chain(part("LinearLR", 0.1, total_iters=10**9), DROPS), COSINE, RESTARTS)(ours, sgd())
    assert scheduler.lr_at(5 * 10**8)[0] == pytest.approx(0.1 * 0.55 / 8)
    assert scheduler.lr_at(10**9 + 12.5)[0] == pytest.approx(0.001 + 0.099 * (1 + math.cos(math.pi / 4)) / 2)
    resumed = sequence([10**9], chain(part("LinearLR", 0.1, total_iters=10**9), DROPS), DECAY)(ours, sgd(), last_epoch=5 * 10**8 - 1)
    assert resumed.get_last_lr()[0] == pytest.approx(0.1 * 0.55 / 8)


def test_closed_form_follows_the_numbers():
    """The path that a copy has walked is walked again when a number has changed, and not when time has passed."""
    optimizer = sgd()
    scheduler = chain(RISE, COSINE)(ours, optimizer)
    before = scheduler.lr_at(40)
    advance(optimizer, scheduler, 3)
    assert scheduler.lr_at(40) == before
    scheduler._schedulers[1].T_max = 80
    assert scheduler.lr_at(40) != before and scheduler.lr_at(3) == pytest.approx(scheduler.lr_at(3.0))


class Heavy(torch.nn.Parameter):
    def __deepcopy__(self, memo):
        raise AssertionError("a parameter was copied")


def test_closed_form_copies_no_parameter():
    optimizer = torch.optim.SGD([Heavy(torch.ones(1))], lr=0.1)
    scheduler = chain(RISE, COSINE)(ours, optimizer)
    before = scheduler.lr_at(5)
    optimizer.load_state_dict(optimizer.state_dict())  # now the parts know groups that the optimizer has no more
    scheduler._schedulers[1].T_max = 80
    assert scheduler.lr_at(5) != before


def test_closed_form_of_a_chain_that_rises_from_zero():
    optimizer = sgd()
    scheduler = chain(DECAY, part("ConstantLR", 0.0, 20))(ours, optimizer)
    rates = foreseen(scheduler, range(41))
    assert_equal(advance(optimizer, scheduler, 40)[:, :2], rates)
    assert rates[20, 0] == 0.1 and rates[40, 0] == pytest.approx(0.1 * 0.97**20)  # the decay of nothing is lost


@pytest.mark.parametrize("make", [SEQUENCES["warmup and cosine"], SEQUENCES["one cycle before"], CHAINS["to a floor"]])
def test_optimizer_loaded_after_the_parts_were_built(make):
    old, new = sgd(), sgd()
    scheduler = make(ours, old)
    advance(old, scheduler, 30)
    old.param_groups[0]["lr"] = 0.123
    resumed = make(Late(lambda: new.load_state_dict(old.state_dict())), new)
    resumed.load_state_dict(scheduler.state_dict())
    assert_equal(advance(new, resumed, 30), advance(old, scheduler, 30))


class Late:
    """Does something when all parts are built and the composite is not."""

    def __init__(self, something):
        self.something = something

    def __getattr__(self, name):
        if name in ("SequentialLR", "ChainedScheduler"):
            self.something()
        return getattr(ours, name)


def test_composed_of_schedulers_that_torch_has_not():
    """One that holds another, and one with a floor that the others may pass."""

    def warm(m, o):
        return ours.WarmupLR(o, 10, ours.CosineAnnealingLR(o, 30, 0.001))

    def factor(m, o):
        return ours.FactorLR(o, 0.9, 0.05)

    for make in (chain(warm, STEPS), chain(factor, STEPS), sequence([15], STEPS, warm), sequence([25], warm, factor)):
        optimizer = sgd()
        scheduler = make(ours, optimizer)
        rates = foreseen(scheduler, range(61))
        assert_equal(advance(optimizer, scheduler, 60)[:, :2], rates)
    whole = run(ours, sequence([15], STEPS, warm), 60)
    optimizer = sgd()
    assert_equal(advance(optimizer, sequence([15], STEPS, warm)(ours, optimizer, last_epoch=29), 30), whole[30:])


def test_composed_copies_go_their_own_way():
    for make in (CHAINS["to a floor"], SEQUENCES["both cycles"]):
        optimizer = sgd()
        scheduler = make(ours, optimizer)
        scheduler.lr_at(30)
        advance(optimizer, scheduler, 30)
        other = copy.deepcopy(scheduler)
        assert_equal(advance(other.optimizer, other, 30), advance(optimizer, scheduler, 30))
        assert other.optimizer is other._schedulers[0].optimizer is not optimizer


@pytest.mark.parametrize("step", [-1, math.nan, math.inf])
def test_composed_closed_form_refuses(step):
    with pytest.raises(ValueError, match="SequentialLR.lr_at: step must be finite and not negative"):
        SEQUENCES["warmup and cosine"](ours, sgd()).lr_at(step)
    with pytest.raises(ValueError, match="ChainedScheduler.lr_at: step must be whole"):
        CHAINS["to a floor"](ours, sgd()).lr_at(2.5)
    with pytest.raises(ValueError, match="Tried to step 301 times"):
        CHAINS["one cycle"](ours, sgd()).lr_at(301)


BAD_COMPOSED = {
    "SequentialLR expects at least one scheduler, but got no scheduler": (ValueError, sequence([])),
    "ChainedScheduler expects at least one scheduler to be chained": (ValueError, chain()),
    "SequentialLR at index 0 should have `optimizer` as its attribute": (TypeError, sequence([5], lambda m, o: None, DECAY)),
    "ChainedScheduler at index 1 should have `optimizer` as its attribute": (TypeError, chain(DECAY, lambda m, o: 3)),
    "SequentialLR does not support `ReduceLROnPlateau`": (ValueError, sequence([5], DECAY, part("ReduceLROnPlateau"))),
    "ChainedScheduler does not support `ReduceLROnPlateau`": (ValueError, chain(part("ReduceLROnPlateau"), DECAY)),
    "SequentialLR expects all schedulers to belong to the same optimizer": (ValueError, sequence([], lambda m, o: m.StepLR(sgd(), 3))),
    "ChainedScheduler expects all schedulers to belong": (ValueError, chain(DECAY, lambda m, o: m.StepLR(sgd(), 3))),
    "number of schedulers 2 and the number of milestones to be equal to 2": (ValueError, sequence([3, 5], DECAY, DECAY)),
}


@pytest.mark.parametrize("message", BAD_COMPOSED)
def test_composed_bad_arguments(message):
    error, make = BAD_COMPOSED[message]
    for module in (ours, torchs):
        with pytest.raises(error, match=message):
            make(module, sgd())


@pytest.mark.parametrize("milestones", [[5, 3], [2.5, 4], [3, math.nan]])
def test_sequence_refuses_milestones_that_torch_gets_wrong(milestones):
    with pytest.raises(ValueError, match="Invalid milestones: .*; SequentialLR takes"):
        sequence(milestones, RISE, COSINE, DECAY)(ours, sgd())


def test_composed_warnings():
    """Nothing warns but a step taken before the optimizer's, as in torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in EVERYTHING.values():
            run(ours, make, 60)
        make(ours, sgd()).lr_at(30)
        SEQUENCES["product after"](ours, sgd(), last_epoch=40)
    for module in (ours, torchs):
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            SEQUENCES["one part"](module, sgd()).step()


def test_composed_are_torchs():
    assert issubclass(ours.SequentialLR, torchs.SequentialLR) and issubclass(ours.ChainedScheduler, torchs.ChainedScheduler)
    assert issubclass(ours.ReduceLROnPlateau, torchs.ReduceLROnPlateau) and issubclass(ours.OneCycleLR, torchs.OneCycleLR)
    optimizer = _optimizer(torch.optim.SGD, False, momentum=0.9)
    assert isinstance(ours.ChainedScheduler([ours.StepLR(optimizer, 3)], optimizer=optimizer), torchs.LRScheduler)
