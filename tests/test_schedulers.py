"""Our schedulers against torch's, at every step of long runs, and the closed form."""

import copy
import math
import warnings

import pytest
import torch
from torch.optim import lr_scheduler as torchs

import optimbook
from optimbook import lr_scheduler as ours


class Decay:
    """A callable object for LambdaLR: its __dict__ is saved."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate**step


MAKE = {
    "cosine": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=37, eta_min=0.003, **k),
    "cosine to zero": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=50, **k),
    "cosine of one step": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=1, eta_min=0.01, **k),
    "cosine upwards": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=20, eta_min=0.7, **k),
    "cosine of a float": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=12.5, eta_min=0.003, **k),
    "lambda": lambda m, o, **k: m.LambdaLR(o, lambda step: 0.99**step, **k),
    "lambdas": lambda m, o, **k: m.LambdaLR(o, [lambda step: 1 / (1 + step), Decay(0.97)], **k),
}
schedules = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
rates = pytest.mark.parametrize("tensor", [False, True], ids=["number", "tensor"])


def optimizer(tensor=False, kind=optimbook.AdamW):
    wrap = (lambda x: torch.tensor(x, dtype=torch.float64)) if tensor else float
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))]}, {"params": [torch.nn.Parameter(torch.ones(1))], "lr": wrap(0.5)}]
    return kind(groups, lr=wrap(0.1))


def advance(one, scheduler, steps, hand=None):
    """Every group's rate after each step; `hand` changes rates by hand at some steps."""
    path = []
    one.step()  # the scheduler warns if there is none
    for _ in range(steps):
        if hand:
            hand(scheduler.last_epoch, one)
        scheduler.step()
        path.append([float(g["lr"]) for g in one.param_groups])
        assert path[-1] == [float(rate) for rate in scheduler.get_last_lr()]
    return torch.tensor(path, dtype=torch.float64)


def assert_equal(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-15)


@schedules
@rates
def test_every_step(make, tensor):
    paths = [advance(o, make(m, o), 1000) for m, o in ((m, optimizer(tensor)) for m in (ours, torchs))]
    assert_equal(*paths)


@pytest.mark.parametrize("T_max", [1000, 6000])
@pytest.mark.parametrize("eta_min", [0, 1e-5])
def test_very_long_runs(T_max, eta_min):
    paths = []
    for module in (ours, torchs):
        one = optimizer()
        paths.append(advance(one, module.CosineAnnealingLR(one, T_max, eta_min), 2 * T_max + 100))
    assert_equal(*paths)


@schedules
@rates
def test_start(make, tensor):
    """The rates at construction, `initial_lr`, and that tensors of rates are filled in place and not shared."""
    for module in (ours, torchs):
        one = optimizer(tensor)
        before = [g["lr"] for g in one.param_groups]
        scheduler = make(module, one)
        assert [float(g["initial_lr"]) for g in one.param_groups] == [0.1, 0.5] == [float(b) for b in scheduler.base_lrs]
        advance(one, scheduler, 3)
        assert all((a is g["lr"]) == tensor for a, g in zip(before, one.param_groups))
        assert [float(g["initial_lr"]) for g in one.param_groups] == [0.1, 0.5]


@schedules
@rates
@pytest.mark.parametrize("when", [1, 19, 37, 61])
def test_saved_and_loaded(make, tensor, when):
    """Saved in the middle and loaded into a new scheduler, ours or torch's: the path goes on."""
    one = optimizer(tensor)
    whole = advance(one, make(torchs, one), 100)
    for first, second in ((ours, ours), (ours, torchs), (torchs, ours)):
        one = optimizer(tensor)
        scheduler = make(first, one)
        advance(one, scheduler, when)
        other = optimizer(tensor)
        resumed = make(second, other)
        other.load_state_dict(copy.deepcopy(one.state_dict()))
        resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
        assert_equal(advance(other, resumed, 100 - when), whole[when:])


@schedules
def test_state_dict_keys(make):
    keys = []
    for module in (ours, torchs):
        one = optimizer()
        scheduler = make(module, one)
        advance(one, scheduler, 3)
        keys.append(set(scheduler.state_dict()))
    assert keys[0] == keys[1]


@schedules
@pytest.mark.parametrize("last_epoch", [0, 5, 37, 60])
def test_resumed_by_last_epoch(make, last_epoch):
    paths = []
    for module in (ours, torchs):
        one = optimizer()
        for group in one.param_groups:
            group["initial_lr"] = group["lr"]
        scheduler = make(module, one, last_epoch=last_epoch)
        paths.append(torch.cat([torch.tensor([scheduler.get_last_lr()], dtype=torch.float64), advance(one, scheduler, 80)]))
    assert_equal(*paths)


def test_last_epoch_needs_initial_rates():
    for module in (ours, torchs):
        with pytest.raises(KeyError, match="initial_lr"):
            module.CosineAnnealingLR(optimizer(), 10, last_epoch=3)


@schedules
@rates
def test_rates_changed_by_hand(make, tensor):
    """A rate set from outside is carried on as torch carries it, also from the very floor."""

    def hand(step, one):
        if step in (10, 36, 37, 74):
            rate = one.param_groups[0]["lr"]
            one.param_groups[0]["lr"] = rate.mul_(2) if tensor else rate * 2

    assert_equal(*(advance(o, make(m, o), 150, hand) for m, o in ((m, optimizer(tensor)) for m in (ours, torchs))))


PAIRS = {
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, 0.99),
    "LinearLR": lambda o: torchs.LinearLR(o, 0.1, total_iters=30),
    "StepLR": lambda o: torchs.StepLR(o, 13, 0.5),
}


@pytest.mark.parametrize("other", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("chained", [False, True])
def test_two_schedulers_on_one_optimizer(other, chained):
    paths = []
    for module in (ours, torchs):
        one = optimizer()
        both = [MAKE["cosine"](module, one), other(one)]
        if chained:
            scheduler = torchs.ChainedScheduler(both)
            paths.append(advance(one, scheduler, 120) if hasattr(scheduler, "last_epoch") else manual(one, [scheduler], 120))
        else:
            paths.append(manual(one, both, 120))
    assert_equal(*paths)


def manual(one, schedulers, steps):
    path = []
    for _ in range(steps):
        one.step()
        for scheduler in schedulers:
            scheduler.step()
        path.append([float(g["lr"]) for g in one.param_groups])
    return torch.tensor(path, dtype=torch.float64)


@schedules
def test_inside_sequential(make):
    """Warm-up, then ours, then an exponential decay, saved and loaded in the middle too."""

    def build(module, one):
        return torchs.SequentialLR(one, [torchs.LinearLR(one, 0.1, total_iters=10), make(module, one), torchs.ExponentialLR(one, 0.9)], [10, 60])

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*epoch parameter")
        paths = []
        for module in (ours, torchs):
            one = optimizer()
            scheduler = build(module, one)
            path = [advance(one, scheduler, 30)]
            other = optimizer()
            resumed = build(module, other)
            other.load_state_dict(one.state_dict())
            resumed.load_state_dict(scheduler.state_dict())
            paths.append(torch.cat([*path, advance(other, resumed, 60)]))
    assert_equal(*paths)


@schedules
def test_closed_form(make):
    """`lr_at` is where the path goes if nobody touches it, it moves nothing, and it is the rule."""
    one = optimizer()
    scheduler = make(ours, one)
    foreseen = torch.tensor([scheduler.lr_at(step) for step in range(1, 101)], dtype=torch.float64)
    assert scheduler.last_epoch == 0 and [g["lr"] for g in one.param_groups] == [0.1, 0.5]
    torch.testing.assert_close(advance(one, scheduler, 100), foreseen, rtol=1e-10, atol=1e-13)
    assert scheduler.lr_at(0) == pytest.approx([0.1, 0.5])


def test_closed_form_of_cosine():
    scheduler = ours.CosineAnnealingLR(optimizer(), T_max=10, eta_min=0.01)
    assert scheduler.lr_at(10) == pytest.approx([0.01, 0.01]) and scheduler.lr_at(2.5)[0] > scheduler.lr_at(3)[0]
    assert scheduler.lr_at(5)[0] == pytest.approx((0.1 + 0.01) / 2)
    assert scheduler.rule(5, base_lr=0.1, T_max=10, eta_min=0.01) == scheduler.lr_at(5)[0]


@pytest.mark.parametrize("step", [-1, math.nan, math.inf])
def test_closed_form_refuses(step):
    with pytest.raises(ValueError, match="CosineAnnealingLR.lr_at: step must be finite and not negative"):
        MAKE["cosine"](ours, optimizer()).lr_at(step)


@pytest.mark.parametrize("arguments", [{"T_max": 0}, {"T_max": -3}, {"T_max": math.nan}, {"T_max": math.inf}, {"T_max": 5, "eta_min": math.nan}], ids=str)
def test_bad_arguments(arguments):
    one = optimizer()
    with pytest.raises(ValueError, match="Invalid (T_max|eta_min): "):
        ours.CosineAnnealingLR(one, **arguments)
    assert [g["lr"] for g in one.param_groups] == [0.1, 0.5] and "initial_lr" not in one.param_groups[0]


def test_bad_lambdas():
    for module in (ours, torchs):
        with pytest.raises(ValueError, match="Expected 2 lr_lambdas, but got 1"):
            module.LambdaLR(optimizer(), [lambda step: 1])
    with pytest.raises(TypeError, match="lr_lambda must be a function of the step, and is 0.5"):
        ours.LambdaLR(optimizer(), 0.5)
    with pytest.raises(TypeError, match="is not an Optimizer"):
        ours.CosineAnnealingLR(object(), 5)


def test_warnings_are_torchs():
    """`scheduler.step()` before `optimizer.step()`, and `get_lr()` from outside, warn as in torch."""
    scheduler = MAKE["cosine"](ours, optimizer())
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()


@pytest.mark.parametrize("epoch", [0, 3, 37, 50])
def test_step_to_an_epoch(epoch):
    """The deprecated `step(epoch)` jumps to the closed form, as in torch."""
    rates = []
    for module in (ours, torchs):
        one = optimizer()
        scheduler = MAKE["cosine"](module, one)
        one.step()
        with pytest.warns(UserWarning, match="epoch parameter"):
            scheduler.step(epoch)
        rates.append([g["lr"] for g in one.param_groups])
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


def test_drives_torch_optimizers():
    paths = [advance(o, MAKE["cosine"](m, o), 80) for m, o in ((m, optimizer(kind=torch.optim.SGD)) for m in (ours, torchs))]
    assert_equal(*paths)
    assert issubclass(ours.CosineAnnealingLR, torchs.CosineAnnealingLR) and issubclass(ours.LambdaLR, torchs.LRScheduler)
