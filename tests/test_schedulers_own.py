"""The book's own schedulers: every step of long runs against formulas written down here once more, and resumed in every way."""

import copy
import io
import math
import pickle

import pytest
import torch
from torch.optim import lr_scheduler as torchs

import optimbook
from optimbook import lr_scheduler as ours
from optimbook.lr_scheduler.chained_scheduler import ChainedScheduler
from optimbook.lr_scheduler.constant_lr import ConstantLR
from optimbook.lr_scheduler.cosine_annealing_warm_restarts import CosineAnnealingWarmRestarts
from optimbook.lr_scheduler.cosine_decay_lr import CosineDecayLR, cosine_decay
from optimbook.lr_scheduler.cyclic_lr import CyclicLR
from optimbook.lr_scheduler.exponential_lr import ExponentialLR
from optimbook.lr_scheduler.factor_lr import FactorLR, factor_decay
from optimbook.lr_scheduler.inverse_sqrt_lr import InverseSqrtLR, inverse_sqrt
from optimbook.lr_scheduler.linear_decay_lr import LinearDecayLR, linear_decay
from optimbook.lr_scheduler.linear_lr import LinearLR
from optimbook.lr_scheduler.multi_factor_lr import MultiFactorLR, multi_factor
from optimbook.lr_scheduler.multi_step_lr import MultiStepLR
from optimbook.lr_scheduler.multiplicative_lr import MultiplicativeLR
from optimbook.lr_scheduler.noam_lr import NoamLR, noam
from optimbook.lr_scheduler.one_cycle_lr import OneCycleLR
from optimbook.lr_scheduler.polynomial_lr import PolynomialLR
from optimbook.lr_scheduler.quarter_cosine_lr import QuarterCosineLR, quarter_cosine
from optimbook.lr_scheduler.reduce_lr_on_plateau import ReduceLROnPlateau
from optimbook.lr_scheduler.sequential_lr import SequentialLR
from optimbook.lr_scheduler.step_lr import StepLR
from optimbook.lr_scheduler.warmup_lr import WarmupLR, warmup
from optimbook.lr_scheduler.warmup_stable_decay_lr import WarmupStableDecayLR, warmup_stable_decay

RATES = [0.1, 0.5]


def optimizer(tensor=False, kind=optimbook.AdamW, started=False):
    wrap = (lambda x: torch.tensor(x, dtype=torch.float64)) if tensor else float
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": wrap(rate)} for rate in RATES]
    if started:
        for group, rate in zip(groups, RATES):
            group["initial_lr"] = wrap(rate)
    return kind(groups, lr=wrap(1.0))


# Each schedule: how it is built, and its rate at step t, written from the paper or the definition and not from our rule.


def phases(t, warm, stable, decay, shape, floor=0.0):
    n = t + 1  # the number of the update
    if n <= warm:
        return n / warm
    if t < warm + stable:
        return 1.0
    p = (t - warm - stable) / decay
    return floor + (1 - floor) * shape(p) if p < 1 else floor


def floored(t, base, factor, least, times=None):
    rate = base
    times = range(t) if times is None else [m for m in times if m <= t]
    for _ in times:  # the recursion of the book, step by step
        rate = max(rate * factor, min(least, rate))
    return rate


def line(p):
    return 1 - p


SCHEDULES = {
    "linear": (lambda o, **k: LinearDecayLR(o, 100, **k), lambda t, b: b * max(0, 1 - t / 100)),
    "linear to a floor": (lambda o, **k: LinearDecayLR(o, 60, 0.1, **k), lambda t, b: b * (1 - 0.9 * min(t, 60) / 60)),
    "linear of a float": (lambda o, **k: LinearDecayLR(o, 12.5, **k), lambda t, b: b * max(0, 1 - t / 12.5)),
    "cosine": (lambda o, **k: CosineDecayLR(o, 100, **k), lambda t, b: b * math.cos(math.pi * min(t, 100) / 200) ** 2),
    "cosine to a floor": (
        lambda o, **k: CosineDecayLR(o, 60, scale_min=0.1, **k),
        lambda t, b: b * (0.1 + 0.45 * (1 + math.cos(math.pi * min(t, 60) / 60))),
    ),
    "quarter cosine": (lambda o, **k: QuarterCosineLR(o, 100, **k), lambda t, b: b * math.sin(math.pi / 2 * (1 - min(t, 100) / 100))),
    "quarter cosine to a floor": (
        lambda o, **k: QuarterCosineLR(o, 60, 0.2, **k),
        lambda t, b: b * (0.2 + 0.8 * math.sin(math.pi / 2 * (1 - min(t, 60) / 60))),
    ),
    "inverse sqrt": (
        lambda o, **k: InverseSqrtLR(o, 20, **k),
        lambda t, b: b * (t + 1) / 20 if t + 1 <= 20 else b * math.sqrt(20) / math.sqrt(t + 1),
    ),
    "noam": (
        lambda o, **k: NoamLR(o, 512, 30, factor=2.0, **k),
        lambda t, b: b * 2 / math.sqrt(512) * ((t + 1) / 30**1.5 if t + 1 <= 30 else 1 / math.sqrt(t + 1)),
    ),
    "wsd": (lambda o, **k: WarmupStableDecayLR(o, 10, 50, 40, **k), lambda t, b: b * phases(t, 10, 50, 40, line)),
    "wsd cosine": (
        lambda o, **k: WarmupStableDecayLR(o, 10, 50, 40, "cosine", 0.1, **k),
        lambda t, b: b * phases(t, 10, 50, 40, lambda p: (1 + math.cos(math.pi * p)) / 2, 0.1),
    ),
    "wsd 1-sqrt": (
        lambda o, **k: WarmupStableDecayLR(o, 1, 0, 70, decay="1-sqrt", **k),
        lambda t, b: b * phases(t, 1, 0, 70, lambda p: 1 - p**0.5),
    ),
    "wsd cold": (lambda o, **k: WarmupStableDecayLR(o, 0, 30, 20, scale_min=0.01, **k), lambda t, b: b * phases(t, 0, 30, 20, line, 0.01)),
    "wsd without end": (lambda o, **k: WarmupStableDecayLR(o, 25, math.inf, 20, **k), lambda t, b: b * min(1, (t + 1) / 25)),
    "factor": (lambda o, **k: FactorLR(o, 0.9, **k), lambda t, b: b * 0.9**t),
    "factor to a floor": (lambda o, **k: FactorLR(o, 0.95, min_lr=0.2, **k), lambda t, b: floored(t, b, 0.95, 0.2)),
    "multi factor": (lambda o, **k: MultiFactorLR(o, [15, 30], 0.5, **k), lambda t, b: b * 0.5 ** ((t >= 15) + (t >= 30))),
    "multi factor to a floor": (
        lambda o, **k: MultiFactorLR(o, [40, 3, 3, 80], 0.3, min_lr=0.02, **k),
        lambda t, b: floored(t, b, 0.3, 0.02, [3, 3, 40, 80]),
    ),
    "warmup": (lambda o, **k: WarmupLR(o, 30, **k), lambda t, b: b * min(1, (t + 1) / 30)),
    "warmup of one": (lambda o, **k: WarmupLR(o, 1, **k), lambda t, b: b),
    "warmup from a share": (
        lambda o, **k: WarmupLR(o, 30, start_factor=0.25, power=2.0, **k),
        lambda t, b: b * (0.25 + 0.75 * (min(30, t + 1) / 30) ** 2),
    ),
    "warmup, cosine": (
        lambda o, **k: WarmupLR(o, 20, CosineDecayLR(o, 80), **k),
        lambda t, b: b * (t + 1) / 20 if t < 20 else b * math.cos(math.pi * min(t - 20, 80) / 160) ** 2,
    ),
    "no warmup, cosine": (
        lambda o, **k: WarmupLR(o, 0, CosineDecayLR(o, 80), **k),
        lambda t, b: b * math.cos(math.pi * min(t, 80) / 160) ** 2,
    ),
    "warmup, annealing": (  # an affine closed form, whose floor is not scaled
        lambda o, **k: WarmupLR(o, 20, ours.CosineAnnealingLR(o, 30, eta_min=0.01), **k),
        lambda t, b: b * (t + 1) / 20 if t < 20 else 0.01 + (b - 0.01) * math.cos(math.pi * (t - 20) / 60) ** 2,
    ),
    "warmup, lower": (  # one that scales the rates when it is built
        lambda o, **k: WarmupLR(o, 20, LinearLR(o, 0.5, 0.1, total_iters=40), power=0.5, **k),
        lambda t, b: b * math.sqrt((t + 1) / 20) if t < 20 else b * (0.5 - 0.4 * min(t - 20, 40) / 40),
    ),
    "warmup, function": (
        lambda o, **k: WarmupLR(o, 20, ours.LambdaLR(o, [lambda t: 0.7 / (1 + t), lambda t: 0.99**t]), **k),
        lambda t, b: b * (t + 1) / 20 if t < 20 else b * (0.7 / (t - 19) if b == 0.1 else 0.99 ** (t - 20)),
    ),
    "warmup, warmup": (
        lambda o, **k: WarmupLR(o, 10, WarmupLR(o, 15, StepLR(o, 7, 0.5)), **k),
        lambda t, b: b * ((t + 1) / 10 if t < 10 else (t - 9) / 15 if t < 25 else 0.5 ** ((t - 25) // 7)),
    ),
}
schedules = pytest.mark.parametrize(("make", "truth"), SCHEDULES.values(), ids=SCHEDULES)
rates = pytest.mark.parametrize("tensor", [False, True], ids=["number", "tensor"])


def now(one):
    return [float(group["lr"]) for group in one.param_groups]


def advance(one, scheduler, steps, hand=None):
    """Every group's rate after each step; `hand` changes rates by hand at some steps."""
    path = []
    one.step()
    for _ in range(steps):
        if hand:
            hand(scheduler.last_epoch, one)
        scheduler.step()
        path.append(now(one))
        assert path[-1] == [float(rate) for rate in scheduler.get_last_lr()]
    return path


def path_of(truth, start, stop):
    return [[truth(t, base) for base in RATES] for t in range(start, stop)]


def assert_equal(a, b):
    torch.testing.assert_close(*(torch.tensor(x, dtype=torch.float64) for x in (a, b)), rtol=1e-10, atol=1e-14)


@schedules
@rates
def test_every_step(make, truth, tensor):
    one = optimizer(tensor)
    scheduler = make(one)
    assert_equal([now(one), *advance(one, scheduler, 400)], path_of(truth, 0, 401))


@schedules
def test_closed_form(make, truth):
    """`lr_at` is the truth at every step and moves nothing."""
    one = optimizer()
    scheduler = make(one)
    before = now(one), scheduler.last_epoch
    assert_equal([scheduler.lr_at(t) for t in range(400)], path_of(truth, 0, 400))
    assert (now(one), scheduler.last_epoch) == before
    assert scheduler.lr_at(1e9)[0] <= scheduler.lr_at(0)[0] + RATES[0]
    for step in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{type(scheduler).__name__}.lr_at: step must be finite and not negative"):
            scheduler.lr_at(step)


@schedules
def test_between_steps(make, truth):
    """A curve drawn at fractions of a step stays between its neighbours."""
    scheduler = make(optimizer())
    for t in range(120):
        (a, _), (b, _), (half, _) = (scheduler.lr_at(t + x) for x in (0, 1, 0.5))
        assert min(a, b) - 1e-12 <= half <= max(a, b) + 1e-12


@schedules
@rates
def test_start(make, truth, tensor):
    """The rates at construction, `initial_lr`, and that tensors of rates are filled in place and not shared."""
    one = optimizer(tensor)
    before = [group["lr"] for group in one.param_groups]
    scheduler = make(one)
    assert [float(g["initial_lr"]) for g in one.param_groups] == RATES == [float(base) for base in scheduler.base_lrs]
    advance(one, scheduler, 45)
    assert [float(g["initial_lr"]) for g in one.param_groups] == RATES
    if tensor:
        assert all(a is g["lr"] is not rate for a, g, rate in zip(before, one.param_groups, scheduler.get_last_lr()))


def build_and_load(make, one, state, saved):
    scheduler = make(one)
    one.load_state_dict(state)
    scheduler.load_state_dict(saved)
    return scheduler


def build_and_load_the_other_way_round(make, one, state, saved):
    scheduler = make(one)
    scheduler.load_state_dict(saved)
    one.load_state_dict(state)
    return scheduler


def build_after_the_optimizer_was_loaded(make, one, state, saved):
    one.load_state_dict(state)
    return load_no_optimizer(make, one, state, saved)


def load_no_optimizer(make, one, state, saved):
    scheduler = make(one)
    scheduler.load_state_dict(saved)
    return scheduler


LOADS = [build_and_load, build_and_load_the_other_way_round, build_after_the_optimizer_was_loaded, load_no_optimizer]


@schedules
@rates
@pytest.mark.parametrize("load", LOADS)
def test_saved_and_loaded(make, truth, tensor, load):
    """Saved at any time, through a file, and loaded in any order: the path goes on."""
    for when in (1, 9, 19, 20, 21, 60):
        one = optimizer(tensor)
        scheduler = make(one)
        advance(one, scheduler, when)
        file = io.BytesIO()
        torch.save([one.state_dict(), scheduler.state_dict()], file)
        file.seek(0)
        state, saved = torch.load(file, weights_only=True)
        untouched = copy.deepcopy(saved)
        other = optimizer(tensor)
        resumed = load(make, other, state, saved)
        assert_equal([now(other), *advance(other, resumed, 50)], path_of(truth, when, when + 51))
        assert saved == untouched


@schedules
@rates
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "not loaded"])
def test_resumed_by_last_epoch(make, truth, tensor, loaded):
    """With the optimizer loaded or not, nothing is replayed and the path goes on."""
    for last_epoch in (0, 8, 18, 19, 20, 47, 99, 250):
        one = optimizer(tensor, started=True)
        if loaded:
            for group, base in zip(one.param_groups, RATES):
                group["lr"] = group["lr"] * 0 + truth(last_epoch + 1, base)
        scheduler = make(one, last_epoch=last_epoch)
        assert scheduler.last_epoch == last_epoch + 1
        assert_equal([now(one), *advance(one, scheduler, 30)], path_of(truth, last_epoch + 1, last_epoch + 32))


@pytest.mark.parametrize("name", ["linear", "noam", "warmup"])
def test_last_epoch_needs_initial_rates(name):
    with pytest.raises(KeyError, match="initial_lr"):
        SCHEDULES[name][0](optimizer(), last_epoch=3)


@pytest.mark.filterwarnings("ignore:Seems like")
@pytest.mark.parametrize("name", [n for n in SCHEDULES if "function" not in n])  # a lambda cannot be pickled
def test_copies(name):
    """A copy, and what comes out of a pickle, go their own way with their own optimizer."""
    make, truth = SCHEDULES[name]
    one = optimizer()
    scheduler = make(one)
    advance(one, scheduler, 15)
    del one.step  # torch's wrapper around it can be neither pickled nor copied
    for other in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        assert_equal(advance(other.optimizer, other, 60), path_of(truth, 16, 76))
    assert scheduler.last_epoch == 15
    assert_equal([now(one)], path_of(truth, 15, 16))


# ------------------------------------------------------------------------------------------ with others on one optimizer

PROPORTIONAL = [n for n in SCHEDULES if "factor to a floor" not in n and "annealing" not in n and "function" not in n]


@pytest.mark.parametrize("name", PROPORTIONAL)
@rates
def test_rates_changed_by_hand(name, tensor):
    """A rate set from outside is carried on: what was doubled stays doubled."""
    make, truth = SCHEDULES[name]

    def hand(step, one):
        if step in (5, 19, 33, 48):
            rate = one.param_groups[0]["lr"]
            one.param_groups[0]["lr"] = rate.mul_(2) if tensor else rate * 2

    one = optimizer(tensor)
    path = advance(one, make(one), 90, hand)
    wanted = [[rate * 2 ** sum(t > k for k in (5, 19, 33, 48)), other] for t, (rate, other) in enumerate(path_of(truth, 1, 91), 1)]
    assert_equal(path, wanted)


def test_hand_and_floor():
    """A floor stops what falls to it, and does not lift what lies below it."""
    one = optimizer()
    scheduler = FactorLR(one, 0.5, min_lr=0.02)
    path = advance(one, scheduler, 6, lambda step, one: one.param_groups[0].update(lr=0.01) if step == 4 else None)
    assert path == [[0.05, 0.25], [0.025, 0.125], [0.02, 0.0625], [0.02, 0.03125], [0.01, 0.02], [0.01, 0.02]]
    one = optimizer()
    scheduler = MultiFactorLR(one, [2, 4], 0.5, min_lr=0.02)
    path = advance(one, scheduler, 5, lambda step, one: one.param_groups[0].update(lr=0.03) if step == 2 else None)
    assert path == [[0.1, 0.5], [0.05, 0.25], [0.03, 0.25], [0.02, 0.125], [0.02, 0.125]]


def test_hand_in_the_warmup_reaches_what_follows():
    one = optimizer()
    scheduler = WarmupLR(one, 10, ours.CosineAnnealingLR(one, 20, eta_min=0.05))
    path = advance(one, scheduler, 30, lambda step, one: one.param_groups[0].update(lr=0.02) if step == 0 else None)
    assert path[8][0] == pytest.approx(0.2)  # doubled: 0.02 instead of 0.01 at the first step
    assert path[19][0] == pytest.approx(0.05 + 0.15 / 2)  # half way down to a floor that stays where it is
    assert path[29] == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize("name", PROPORTIONAL)
@pytest.mark.parametrize("first", [True, False], ids=["ours first", "ours second"])
@pytest.mark.parametrize("chain", [None, torchs.ChainedScheduler, ChainedScheduler], ids=["apart", "torch's chain", "our chain"])
def test_two_schedulers_on_one_optimizer(name, first, chain):
    """The factors multiply. A warmup with something after it sets the rates anew, so it is built first."""
    make, truth = SCHEDULES[name]
    one = optimizer()
    if first or "warmup," in name:
        both = [make(one), torchs.LinearLR(one, 0.5, total_iters=25)]
    else:
        both = [torchs.LinearLR(one, 0.5, total_iters=25), make(one)]
    path = [now(one)]
    one.step()
    moved = [chain(both)] if chain else both
    for _ in range(120):
        for scheduler in moved:
            scheduler.step()
        path.append(now(one))
    wanted = [[rate * (0.5 + 0.5 * min(t, 25) / 25) for rate in pair] for t, pair in enumerate(path_of(truth, 0, 121))]
    assert_equal(path, wanted)


SEQUENCES = {  # after another schedule, and as the first
    "second": (
        lambda make, o: [torchs.LinearLR(o, 0.5, total_iters=10), make(o)],
        [10],
        lambda truth: lambda t, b: b * (0.5 + t / 20) if t < 10 else truth(t - 10, b),
    ),
    "first": (
        lambda make, o: [make(o), StepLR(o, 10, 0.5)],
        [50],
        lambda truth: lambda t, b: truth(t, b) if t < 50 else b * 0.5 ** (t // 10 - 5),
    ),
}


@pytest.mark.filterwarnings("ignore:.*epoch parameter")
@schedules
@pytest.mark.parametrize("sequence", [torchs.SequentialLR, SequentialLR], ids=["torch", "ours"])
@pytest.mark.parametrize(("parts", "milestones", "whole"), SEQUENCES.values(), ids=SEQUENCES)
def test_inside_sequential(make, truth, sequence, parts, milestones, whole):
    one = optimizer()
    scheduler = sequence(one, parts(make, one), milestones)
    assert_equal([now(one), *advance(one, scheduler, 120)], path_of(whole(truth), 0, 121))


@pytest.mark.filterwarnings("ignore:.*epoch parameter")
@schedules
def test_inside_our_sequential_resumed(make, truth):
    """`lr_at` through a sequence, and a sequence that goes on at any step."""
    parts, milestones, whole = SEQUENCES["first"]
    planned = SequentialLR(one := optimizer(), parts(make, one), milestones)
    assert_equal([planned.lr_at(t) for t in range(100)], path_of(whole(truth), 0, 100))
    for last_epoch in (5, 24, 49, 60):
        one = optimizer(started=True)
        scheduler = SequentialLR(one, parts(make, one), milestones, last_epoch=last_epoch)
        assert_equal([now(one), *advance(one, scheduler, 60)], path_of(whole(truth), last_epoch + 1, last_epoch + 62))


def test_drives_torch_optimizers():
    one = optimizer(kind=torch.optim.SGD)
    make, truth = SCHEDULES["warmup, cosine"]
    assert_equal(advance(one, make(one), 80), path_of(truth, 1, 81))
    assert all(isinstance(make(optimizer()), torchs.LRScheduler) for make, _ in SCHEDULES.values())


def test_warnings_are_torchs():
    for name in ("linear", "warmup", "warmup, cosine"):
        scheduler = SCHEDULES[name][0](optimizer())
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            scheduler.step()
        with pytest.warns(UserWarning, match="please use `get_last_lr"):
            scheduler.get_lr()


# -------------------------------------------------------------------------------------------------------------- warmup


def test_no_first_update_is_wasted():
    """The first rate is never 0, the warmup's last is the peak, in all schedules that warm up, and all agree on it."""
    one, two, three, four = (
        InverseSqrtLR(optimizer(), 16),
        WarmupLR(optimizer(), 16),
        WarmupStableDecayLR(optimizer(), 16, 10, 10),
        NoamLR(optimizer(), model_size=4, warmup_steps=16, factor=8.0),  # 8 / sqrt(4 * 16) = 1
    )
    for t in range(16):
        assert all(other.lr_at(t) == pytest.approx(one.lr_at(t)) for other in (two, three, four))
    assert two.lr_at(0) == pytest.approx([rate / 16 for rate in RATES]) and two.lr_at(15) == RATES
    assert all(one.lr_at(t) == pytest.approx(four.lr_at(t)) for t in range(16, 300))


def test_after_has_all_its_steps():
    """A run of 100 updates: 20 of the warmup, 80 of the decay, whose floor would be the rate of update 101."""
    one = optimizer()
    scheduler = WarmupLR(one, 20, LinearDecayLR(one, 80))
    path = [now(one), *advance(one, scheduler, 100)]
    assert path[19] == path[20] == pytest.approx(RATES)
    assert path[99] == pytest.approx([rate / 80 for rate in RATES]) and path[100] == [0, 0]


def test_after_is_built_before():
    """Building `after` scales the rates; building the warmup sets them right, at its own first step."""
    one = optimizer()
    after = LinearLR(one, 0.5, total_iters=10)
    assert now(one) == pytest.approx([0.05, 0.25])
    scheduler = WarmupLR(one, 5, after)
    assert now(one) == pytest.approx([0.02, 0.1]) == scheduler.get_last_lr() and after.last_epoch == 0
    advance(one, scheduler, 8)
    assert after.last_epoch == 3 and after.get_last_lr() == now(one)


FOLLOWERS = {
    "constant": lambda o: ConstantLR(o, 0.5, 10),
    "exponential": lambda o: ExponentialLR(o, 0.9),
    "polynomial": lambda o: PolynomialLR(o, 30, 2.0),
    "multi step": lambda o: MultiStepLR(o, [5, 9, 40], 0.1),
    "multiplicative": lambda o: MultiplicativeLR(o, lambda t: 0.95),
    "restarts": lambda o: CosineAnnealingWarmRestarts(o, 7, 2, eta_min=0.001),
    "cyclic": lambda o: CyclicLR(o, RATES, [1.0, 2.0], 6, 9, cycle_momentum=False),
    "one cycle": lambda o: OneCycleLR(o, [1.0, 2.0], total_steps=200),
    "sequence": lambda o: SequentialLR(o, [LinearLR(o, 0.5, total_iters=9), CosineDecayLR(o, 30)], [9]),
    "chain": lambda o: ChainedScheduler([StepLR(o, 7, 0.5), LinearLR(o, 0.5, total_iters=30)]),
    "sequence of chains": lambda o: SequentialLR(
        o, [ChainedScheduler([LinearLR(o, 0.5, total_iters=9), FactorLR(o, 0.9)]), WarmupLR(o, 5, StepLR(o, 9))], [12]
    ),
}


@pytest.mark.filterwarnings("ignore:.*epoch parameter")
@pytest.mark.parametrize("follower", FOLLOWERS.values(), ids=FOLLOWERS)
@rates
def test_whatever_follows(follower, tensor):
    """A warmup before each of our schedulers: every step, saved and loaded, resumed."""

    def make(one, **kwargs):
        return WarmupLR(one, 8, follower(one), **kwargs)

    one = optimizer(tensor)
    scheduler = make(one)
    bases = [float(group["initial_lr"]) for group in one.param_groups]
    wanted = [[base * (t + 1) / 8 for base in bases] for t in range(8)] + [scheduler.after.lr_at(t) for t in range(70)]
    assert_equal([scheduler.lr_at(t) for t in range(78)], wanted)
    assert_equal([now(one), *advance(one, scheduler, 77)], wanted)
    for when in (3, 7, 8, 9, 15, 30):
        one = optimizer(tensor)
        scheduler = make(one)
        advance(one, scheduler, when)
        for load in LOADS:
            other = optimizer(tensor)
            resumed = load(make, other, *copy.deepcopy([one.state_dict(), scheduler.state_dict()]))
            assert_equal([now(other), *advance(other, resumed, 40)], wanted[when : when + 41])
        other = optimizer(tensor)
        for group, base in zip(other.param_groups, bases):
            group["initial_lr"] = base
        resumed = make(other, last_epoch=when - 1)
        assert_equal([now(other), *advance(other, resumed, 40)], wanted[when : when + 41])


def test_after_that_had_begun_is_set_back():
    one = optimizer()
    after = CosineDecayLR(one, 80)
    advance(one, after, 30)
    scheduler = WarmupLR(one, 20, after)
    assert_equal([now(one), *advance(one, scheduler, 120)], path_of(SCHEDULES["warmup, cosine"][1], 0, 121))


@pytest.mark.parametrize("plateau", [torchs.ReduceLROnPlateau, ReduceLROnPlateau], ids=["torch", "ours"])
@rates
def test_plateau_after_the_warmup(plateau, tensor):
    """It sees no metric of the warmup, then goes by it; `lr_at` knows the warmup alone."""
    one = optimizer(tensor)
    scheduler = WarmupLR(one, 4, plateau(one, factor=0.5, patience=1))
    path = [now(one)]
    one.step()
    for metric in [9.0, 9.0, 9.0, 9.0, 5.0, 5.0, 5.0, 5.0, 5.0]:
        scheduler.step(metric)
        path.append(now(one))
        if scheduler.last_epoch == 4:
            assert scheduler.after.best == math.inf
        if scheduler.last_epoch == 7:
            saved = copy.deepcopy([one.state_dict(), scheduler.state_dict()])
    assert [pair[1] for pair in path] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125])
    assert scheduler.lr_at(4) == RATES and scheduler.lr_at(0) == pytest.approx([0.025, 0.125])
    with pytest.raises(ValueError, match="WarmupLR.lr_at: step must be at most 4, and is 5: from there on ReduceLROnPlateau"):
        scheduler.lr_at(5)
    for loaded in (True, False):
        other = optimizer(tensor)
        resumed = WarmupLR(other, 4, plateau(other, factor=0.5, patience=1))
        if loaded:
            other.load_state_dict(saved[0])
        resumed.load_state_dict(saved[1])
        assert now(other) == pytest.approx(path[7])
        other.step()
        assert [resumed.step(5.0) or now(other) for _ in range(2)] == [pytest.approx(pair) for pair in path[8:]]
    with pytest.raises(TypeError, match="float"):
        scheduler.step()


def test_what_cannot_follow():
    one = optimizer()
    with pytest.raises(TypeError, match="after must be a scheduler with lr_at, and StepLR has none"):
        WarmupLR(one, 5, torchs.StepLR(one, 5))
    with pytest.raises(TypeError, match="after must be a scheduler with lr_at, and int has none"):
        WarmupLR(one, 5, 100)
    with pytest.raises(ValueError, match="expects all schedulers to belong to the same optimizer, but CosineDecayLR has another"):
        WarmupLR(one, 5, CosineDecayLR(optimizer(), 10))
    with pytest.raises(ValueError, match="but not both"):
        WarmupLR(optimizer(), 5).load_state_dict(WarmupLR(one, 5, CosineDecayLR(one, 5)).state_dict())


# --------------------------------------------------------------------------------------------------- a run of open length


@pytest.mark.parametrize("decay", ["linear", "cosine", "1-sqrt"])
def test_prolonged(decay):
    """A run is prolonged from its stable phase: the path is that of a run that was planned so."""
    one = optimizer()
    scheduler = WarmupStableDecayLR(one, 10, 20, 30, decay, 0.1)
    advance(one, scheduler, 25)
    other = optimizer()
    longer = WarmupStableDecayLR(other, 10, 20, 30, decay, 0.1)
    longer.load_state_dict(scheduler.state_dict())
    longer.stable_steps = 70
    planned = WarmupStableDecayLR(optimizer(), 10, 70, 30, decay, 0.1)
    assert_equal(advance(other, longer, 120), [planned.lr_at(t) for t in range(26, 146)])
    assert_equal(advance(one, scheduler, 40), [planned.lr_at(max(t, 10) if t < 30 else t + 50) for t in range(26, 66)])


def test_decay_begun_at_will():
    one = optimizer()
    scheduler = WarmupStableDecayLR(one, 10, math.inf, 20)
    assert advance(one, scheduler, 57)[-1] == pytest.approx(RATES)
    scheduler.stable_steps = scheduler.last_epoch - scheduler.warmup_steps
    planned = WarmupStableDecayLR(optimizer(), 10, 47, 20)
    assert_equal(advance(one, scheduler, 40), [planned.lr_at(t) for t in range(58, 98)])


# ------------------------------------------------------------------------------------------------------------ bad input

BAD = [
    (LinearDecayLR, (0,), "Invalid total_steps: 0; LinearDecayLR takes a positive finite number of steps"),
    (LinearDecayLR, (-5,), "Invalid total_steps: -5"),
    (CosineDecayLR, (math.inf,), "Invalid total_steps: inf"),
    (CosineDecayLR, (10, 1.5), "Invalid scale_min: 1.5; CosineDecayLR takes a fraction of the rate, from 0 to 1"),
    (QuarterCosineLR, (math.nan,), "Invalid total_steps: nan"),
    (QuarterCosineLR, (10, -0.1), "Invalid scale_min: -0.1"),
    (LinearDecayLR, (10, math.nan), "Invalid scale_min: nan"),
    (InverseSqrtLR, (0,), "Invalid warmup_steps: 0; InverseSqrtLR takes a positive finite"),
    (NoamLR, (0, 10), "Invalid model_size: 0"),
    (NoamLR, (512, 0), "Invalid warmup_steps: 0"),
    (NoamLR, (512, 10, 0.0), "Invalid factor: 0.0"),
    (WarmupStableDecayLR, (-1, 10, 10), "Invalid warmup_steps: -1"),
    (WarmupStableDecayLR, (10, -1, 10), "Invalid stable_steps: -1"),
    (WarmupStableDecayLR, (10, math.nan, 10), "Invalid stable_steps: nan"),
    (WarmupStableDecayLR, (10, 10, 0), "Invalid decay_steps: 0"),
    (WarmupStableDecayLR, (10, 10, 10, "sqrt"), "Invalid decay: sqrt; WarmupStableDecayLR takes 'linear', 'cosine' or '1-sqrt'"),
    (FactorLR, (0.0,), "Invalid factor: 0.0; FactorLR takes a number above 0 and at most 1"),
    (FactorLR, (1.1,), "Invalid factor: 1.1"),
    (FactorLR, (0.9, -1.0), "Invalid min_lr: -1.0"),
    (FactorLR, (0.9, math.inf), "Invalid min_lr: inf"),
    (MultiFactorLR, ([0, 3],), "Invalid milestones: 0; MultiFactorLR takes whole steps, counted from 1"),
    (MultiFactorLR, ([2.5],), "Invalid milestones: 2.5"),
    (MultiFactorLR, ([3], math.nan), "Invalid factor: nan"),
    (WarmupLR, (-1,), "Invalid warmup_steps: -1; WarmupLR takes a whole number of steps, not negative"),
    (WarmupLR, (2.5,), "Invalid warmup_steps: 2.5"),
    (WarmupLR, (math.inf,), "Invalid warmup_steps: inf"),
    (WarmupLR, (5, None, 1.5), "Invalid start_factor: 1.5"),
    (WarmupLR, (5, None, 0.0, 0.0), "Invalid power: 0.0"),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), BAD, ids=[f"{kind.__name__}{arguments}" for kind, arguments, _ in BAD])
def test_bad_arguments(kind, arguments, message):
    one = optimizer()
    with pytest.raises(ValueError) as error:
        kind(one, *arguments)
    assert str(error.value).startswith(message)
    assert now(one) == RATES and "initial_lr" not in one.param_groups[0]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(LinearDecayLR, ("9",)), (NoamLR, (512, None)), (FactorLR, ("x",)), (MultiFactorLR, (["a"],)), (WarmupLR, ("5",))],
)
def test_what_is_no_number(kind, arguments):
    with pytest.raises(TypeError, match=f"{kind.__name__}: .* must be a number, and is "):
        kind(optimizer(), *arguments)
    with pytest.raises(TypeError, match="is not an Optimizer"):
        LinearDecayLR(object(), 5)


# -------------------------------------------------------------------------------------------------- rules, and others' code


@pytest.mark.parametrize(
    "rule", [linear_decay, cosine_decay, quarter_cosine, inverse_sqrt, noam, factor_decay, multi_factor, warmup_stable_decay, warmup]
)
def test_every_name_has_a_symbol(rule):
    """No name of a program stands in the printed equations."""
    names = {*rule.hyperparameters, *rule.variables, "progress", "shape", "update"} - {"step"}
    for flags in ({}, {"half_cosine": True}, {"one_minus_sqrt": True}) if rule is warmup_stable_decay else ({},):
        printed = rule.latex(**flags).replace(r"\_", "_").replace(r"\mathrm{after}", "")
        assert r"\gamma_t &=" in printed and not [name for name in names if f"{{{name}}}" in printed]


def test_against_transformers():
    """Where Hugging Face has the schedule: the same decay; its warmup is one step behind, with a first update at rate 0."""
    theirs = pytest.importorskip("transformers.optimization")
    pairs = [
        (LinearDecayLR(optimizer(), 70), theirs.get_linear_schedule_with_warmup(optimizer(), 0, 70), range(100)),
        (CosineDecayLR(optimizer(), 70), theirs.get_cosine_schedule_with_warmup(optimizer(), 0, 70), range(71)),
    ]
    for mine, other, steps in pairs:
        for t in steps:
            assert mine.lr_at(t) == pytest.approx([b * f(t) for b, f in zip(RATES, other.lr_lambdas)], abs=1e-15)
    behind = theirs.get_inverse_sqrt_schedule(optimizer(), 15).lr_lambdas[0]
    mine = InverseSqrtLR(optimizer(), 15)
    assert behind(0) == 0 and all(mine.lr_at(t)[0] == pytest.approx(RATES[0] * behind(t + 1)) for t in range(200))
    phases = theirs.get_wsd_schedule(optimizer(), 10, 30, num_stable_steps=40).lr_lambdas[0]
    mine = WarmupStableDecayLR(optimizer(), 10, 40, 30, "cosine")
    assert all(mine.lr_at(t)[0] == pytest.approx(RATES[0] * phases(t + 1 if t < 10 else t)) for t in range(120))
