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
    """A callable object for LambdaLR and MultiplicativeLR: its __dict__ is saved."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate**step


MAKE = {
    "lambda": lambda m, o, **k: m.LambdaLR(o, lambda step: 0.99**step, **k),
    "lambdas": lambda m, o, **k: m.LambdaLR(o, [lambda step: 1 / (1 + step), Decay(0.97)], **k),
    "multiplicative": lambda m, o, **k: m.MultiplicativeLR(o, lambda step: 1 - 1 / (step + 20), **k),
    "multiplicatives": lambda m, o, **k: m.MultiplicativeLR(o, [lambda step: 1 + math.sin(step) / 9, Decay(0.999)], **k),
    "step": lambda m, o, **k: m.StepLR(o, 13, 0.6, **k),
    "step of one": lambda m, o, **k: m.StepLR(o, 1, 0.97, **k),
    "multi-step": lambda m, o, **k: m.MultiStepLR(o, [20, 61, 20, 5], 0.3, **k),
    "multi-step from 0": lambda m, o, **k: m.MultiStepLR(o, iter([0, 37]), **k),
    "constant": lambda m, o, **k: m.ConstantLR(o, 0.1, 37, **k),
    "constant for ever": lambda m, o, **k: m.ConstantLR(o, total_iters=math.inf, **k),
    "linear": lambda m, o, **k: m.LinearLR(o, **k),
    "linear down": lambda m, o, **k: m.LinearLR(o, 1.0, 0.01, 61, **k),
    "linear to zero": lambda m, o, **k: m.LinearLR(o, 0.7, 0, 37, **k),
    "exponential": lambda m, o, **k: m.ExponentialLR(o, 0.93, **k),
    "exponential upwards": lambda m, o, **k: m.ExponentialLR(o, 1.01, **k),
    "polynomial": lambda m, o, **k: m.PolynomialLR(o, 61, **k),
    "polynomial of a power": lambda m, o, **k: m.PolynomialLR(o, 37, 0.9, **k),
    "cosine": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=37, eta_min=0.003, **k),
    "cosine to zero": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=50, **k),
    "cosine of one step": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=1, eta_min=0.01, **k),
    "cosine upwards": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=20, eta_min=0.7, **k),
    "cosine of a float": lambda m, o, **k: m.CosineAnnealingLR(o, T_max=12.5, eta_min=0.003, **k),
    "restarts": lambda m, o, **k: m.CosineAnnealingWarmRestarts(o, 13, **k),
    "longer restarts": lambda m, o, **k: m.CosineAnnealingWarmRestarts(o, 3, 3, 0.003, **k),
    "doubled restarts": lambda m, o, **k: m.CosineAnnealingWarmRestarts(o, 7, T_mult=2, eta_min=1, **k),
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
    paths = [advance(o, make(m, o), 300) for m, o in ((m, optimizer(tensor)) for m in (ours, torchs))]
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
        assert not tensor or all(a is g["lr"] for a, g in zip(before, one.param_groups))
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


def double(step, one):
    """A hand that doubles the first group's rate now and then."""
    if step in (10, 36, 37, 74):
        rate = one.param_groups[0]["lr"]
        one.param_groups[0]["lr"] = rate.mul_(2) if isinstance(rate, torch.Tensor) else rate * 2


@schedules
@rates
@pytest.mark.parametrize("last_epoch", [0, 5, 37, 60, 200])
def test_resumed_by_last_epoch(make, tensor, last_epoch):
    """With an optimizer that was not loaded: it stands where the closed form says, and goes on from there."""
    foreseen = make(ours, optimizer())
    one = optimizer(tensor)
    for group in one.param_groups:
        group["initial_lr"] = copy.deepcopy(group["lr"])
    scheduler = make(ours, one, last_epoch=last_epoch)
    assert scheduler.last_epoch == last_epoch + 1
    path = torch.cat([torch.tensor([[float(rate) for rate in scheduler.get_last_lr()]], dtype=torch.float64), advance(one, scheduler, 80)])
    truth = torch.tensor([foreseen.lr_at(last_epoch + step) for step in range(1, 82)], dtype=torch.float64)
    torch.testing.assert_close(path, truth, rtol=1e-10, atol=1e-13)


@schedules
@rates
@pytest.mark.parametrize("last_epoch", [0, 5, 12, 37, 60])
def test_resumed_by_last_epoch_with_a_loaded_optimizer(make, tensor, last_epoch):
    """The rates that the optimizer brings are those of the step to come, changed by hand or not, and stay."""
    one = optimizer(tensor)
    whole = advance(one, make(torchs, one), 100, double)
    one = optimizer(tensor)
    advance(one, make(ours, one), last_epoch + 1, double)
    other = optimizer(tensor)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    scheduler = make(ours, other, last_epoch=last_epoch)
    if not follows(scheduler):
        assert [float(g["lr"]) for g in other.param_groups] == [float(g["lr"]) for g in one.param_groups]
    assert_equal(advance(other, scheduler, 99 - last_epoch, double), whole[last_epoch + 1 :])


def follows(scheduler):
    """Whether its rates are the closed form's whatever stands."""
    return isinstance(scheduler, (torchs.LambdaLR, torchs.CosineAnnealingWarmRestarts))


@schedules
@rates
@pytest.mark.parametrize("order", ["optimizer first", "no optimizer"])
@pytest.mark.parametrize("saved", [ours, torchs], ids=["ours", "torchs"])
def test_loaded_in_another_order(make, tensor, order, saved):
    """Building a scheduler writes rates; where the optimizer was loaded before it, or not at all, loading mends them."""
    one = optimizer(tensor)
    whole = advance(one, make(torchs, one), 100, double)
    one = optimizer(tensor)
    scheduler = make(saved, one)
    advance(one, scheduler, 40, double)
    other = optimizer(tensor)
    if order == "optimizer first":
        other.load_state_dict(copy.deepcopy(one.state_dict()))
    resumed = make(ours, other)
    resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    assert [float(g["lr"]) for g in other.param_groups] == [float(g["lr"]) for g in one.param_groups]
    assert all(isinstance(g["lr"], torch.Tensor) == tensor for g in other.param_groups)
    assert_equal(advance(other, resumed, 60, double), whole[40:])


@schedules
@pytest.mark.parametrize("order", ["built first", "optimizer first"])
def test_loading_keeps_what_the_optimizer_brings(make, order):
    """A rate that was changed by hand after the last step is in the optimizer's state, not in the scheduler's."""
    one = optimizer()
    scheduler = make(ours, one)
    advance(one, scheduler, 7)
    one.param_groups[0]["lr"] *= 1.5
    other = optimizer()
    built = make(ours, other) if order == "built first" else None
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    resumed = built or make(ours, other)
    resumed.load_state_dict(scheduler.state_dict())
    assert [g["lr"] for g in other.param_groups] == pytest.approx([g["lr"] for g in one.param_groups], rel=1e-15)


@schedules
def test_loading_keeps_a_rate_set_by_hand(make):
    one, other = optimizer(), optimizer()
    scheduler, resumed = make(ours, one), make(ours, other)
    advance(one, scheduler, 7)
    other.param_groups[1]["lr"] = 0.123
    resumed.load_state_dict(scheduler.state_dict())
    assert [g["lr"] for g in other.param_groups] == [one.param_groups[0]["lr"], 0.123]


def test_loading_leaves_a_rate_that_happens_to_be_the_first():
    """A warmup from a tenth, then a drop to a tenth: the rate is again what building the warmup gives, and it must stay."""

    def build(one):
        return torchs.SequentialLR(one, [ours.ConstantLR(one, 0.1, 3), ours.StepLR(one, 5, 0.1)], [5])

    one, other = optimizer(), optimizer()
    scheduler, resumed = build(one), build(other)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*epoch parameter")
        advance(one, scheduler, 12)
    assert one.param_groups[0]["lr"] == other.param_groups[0]["lr"]
    other.load_state_dict(one.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in one.param_groups]


def test_last_epoch_needs_initial_rates():
    for module in (ours, torchs):
        with pytest.raises(KeyError, match="initial_lr"):
            module.CosineAnnealingLR(optimizer(), 10, last_epoch=3)


@schedules
@rates
def test_rates_changed_by_hand(make, tensor):
    """A rate set from outside is carried on as torch carries it, also from the very floor."""
    assert_equal(*(advance(o, make(m, o), 150, double) for m, o in ((m, optimizer(tensor)) for m in (ours, torchs))))


@pytest.mark.parametrize("name", ["ExponentialLR", "StepLR", "MultiStepLR"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_factors_beyond_floats(name, gamma):
    """After 1100 steps gamma ** step is 0 or infinite; a rate that was set by hand moves on all the same."""
    arguments = {"ExponentialLR": (), "StepLR": (1,), "MultiStepLR": (range(2000),)}[name]

    def reset(step, one):
        if step % 200 == 0:
            one.param_groups[0]["lr"] = 0.3

    paths = []
    for module in (ours, torchs):
        one = optimizer()
        paths.append(advance(one, getattr(module, name)(one, *arguments, gamma=gamma), 1500, reset))
    assert_equal(*paths)


@pytest.mark.parametrize("name", ["step", "multi-step", "constant", "linear", "linear to zero", "exponential", "polynomial"])
def test_group_added_on_the_way(name):
    """It joins in from the rate it brings, as in torch."""
    paths = []
    for module in (ours, torchs):
        one = optimizer()
        scheduler = MAKE[name](module, one)
        advance(one, scheduler, 4)
        one.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.7})
        paths.append(advance(one, scheduler, 100))
    assert_equal(*paths)


PAIRS = {
    "torch's": lambda m, o: torchs.StepLR(o, 13, 0.5),
    "linear": lambda m, o: m.LinearLR(o, 0.1, total_iters=30),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 20, 0.001),
}


@schedules
@pytest.mark.parametrize("other", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("chained", [False, True])
def test_two_schedulers_on_one_optimizer(make, other, chained):
    paths = []
    for module in (ours, torchs):
        one = optimizer()
        both = [make(module, one), other(module, one)]
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
@pytest.mark.parametrize("place", [0, 1, 2])
def test_inside_sequential(make, place):
    """Before, between and after others, saved and loaded in the middle too."""

    def build(module, one):
        parts = [torchs.LinearLR(one, 0.1, total_iters=10), torchs.ExponentialLR(one, 0.9)]
        parts.insert(place, make(module, one))
        return torchs.SequentialLR(one, parts, [10, 60])

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
            paths.append(torch.cat([*path, advance(other, resumed, 120)]))
    assert_equal(*paths)


@schedules
def test_closed_form(make):
    """`lr_at` is where the path goes if nobody touches it, it moves nothing, and it is the rule."""
    one = optimizer()
    scheduler = make(ours, one)
    rates = scheduler.get_last_lr()
    assert scheduler.lr_at(0) == pytest.approx(rates)
    foreseen = torch.tensor([scheduler.lr_at(step) for step in range(1, 301)], dtype=torch.float64)
    assert scheduler.last_epoch == 0 and [g["lr"] for g in one.param_groups] == rates
    torch.testing.assert_close(advance(one, scheduler, 300), foreseen, rtol=1e-10, atol=1e-13)


def test_closed_form_of_cosine():
    scheduler = ours.CosineAnnealingLR(optimizer(), T_max=10, eta_min=0.01)
    assert scheduler.lr_at(10) == pytest.approx([0.01, 0.01]) and scheduler.lr_at(2.5)[0] > scheduler.lr_at(3)[0]
    assert scheduler.lr_at(5)[0] == pytest.approx((0.1 + 0.01) / 2)
    assert scheduler.rule(5, base_lr=0.1, T_max=10, eta_min=0.01) == scheduler.lr_at(5)[0]


@pytest.mark.parametrize("step", [-1, math.nan, math.inf])
def test_closed_form_refuses(step):
    with pytest.raises(ValueError, match="CosineAnnealingLR.lr_at: step must be finite and not negative"):
        MAKE["cosine"](ours, optimizer()).lr_at(step)


def test_closed_form_of_restarts():
    """At every restart the top, though the logarithms that count restarts are rounded; the bottom just before, the middle halfway."""
    for T_mult in range(1, 11):
        scheduler = ours.CosineAnnealingWarmRestarts(optimizer(), 10, T_mult, eta_min=0.01)
        start, length = 0, 10
        for _ in range(9):
            assert scheduler.lr_at(start) == [0.1, 0.5]
            assert scheduler.lr_at(start + length / 2) == pytest.approx([0.055, 0.255])
            start, length = start + length, length * T_mult
            assert scheduler.lr_at(start - 1e-5) == pytest.approx([0.01, 0.01], rel=1e-6)


@pytest.mark.parametrize("T_mult", [1, 2, 3])
def test_steps_to_fractions_of_epochs(T_mult):
    """Restarts take `step(epoch)` with fractions, then steps without; no warning, and torch's rates."""
    paths = []
    for module in (ours, torchs):
        one = optimizer()
        scheduler = module.CosineAnnealingWarmRestarts(one, 3, T_mult, eta_min=0.01)
        path = []
        for epoch in [0.25, 0.5, 2.75, None, None, 7.5, None, 1, None, 100.3, None, 0, *[None] * 50]:
            scheduler.step(epoch)
            path.append([g["lr"] for g in one.param_groups])
            if module is ours and epoch is not None:
                assert path[-1] == pytest.approx(scheduler.lr_at(epoch))
        paths.append(torch.tensor(path, dtype=torch.float64))
    assert_equal(*paths)


def test_step_to_a_restart():
    """torch counts the restarts by a logarithm, and takes the 5th for the end of the 4th."""
    one = optimizer()
    scheduler = ours.CosineAnnealingWarmRestarts(one, 10, 3)
    scheduler.step(10 * (3**5 - 1) // 2)
    assert [g["lr"] for g in one.param_groups] == [0.1, 0.5]
    scheduler.step()
    assert [g["lr"] for g in one.param_groups] == pytest.approx(scheduler.lr_at(scheduler.last_epoch))


def test_restarts_begin_anew():
    """A composite that starts a schedule over sets its clock, fraction and all."""
    one = optimizer()
    scheduler = ours.CosineAnnealingWarmRestarts(one, 4, 2)
    scheduler.step(9.5)
    for start in (0, 17):
        scheduler._update_lr(start)
        assert advance(one, scheduler, 3).tolist() == [pytest.approx(scheduler.lr_at(start + step)) for step in (1, 2, 3)]


def test_closed_form_of_a_product_takes_whole_steps():
    with pytest.raises(ValueError, match="Invalid step: 2.5; MultiplicativeLR takes whole steps"):
        MAKE["multiplicative"](ours, optimizer()).lr_at(2.5)


def test_one_over_zero():
    """From a factor of 0 torch cannot come back; the closed form can."""
    one = optimizer()
    scheduler = ours.ConstantLR(one, 0.0, 3)
    assert advance(one, scheduler, 4).tolist() == [[0, 0], [0, 0], [0.1, 0.5], [0.1, 0.5]]


LENGTHS = {"CosineAnnealingLR": "T_max", "StepLR": "step_size"} | dict.fromkeys(["LinearLR", "PolynomialLR", "ConstantLR"], "total_iters")
BAD = [
    *[(name, argument, value, ValueError) for name, argument in LENGTHS.items() for value in (0, -3, math.nan)],
    *[(name, argument, math.inf, ValueError) for name, argument in LENGTHS.items() if name != "ConstantLR"],
    *[(name, argument, "5", TypeError) for name, argument in LENGTHS.items() if name != "CosineAnnealingLR"],
    *[(name, "gamma", value, error) for name in ("StepLR", "MultiStepLR", "ExponentialLR")
      for value, error in [(math.nan, ValueError), (math.inf, ValueError), ("0.1", TypeError), (None, TypeError)]],
    ("StepLR", "step_size", 2.5, ValueError),
    *[("MultiStepLR", "milestones", value, ValueError) for value in ([2.5], [-1], [3, math.nan], [math.inf])],
    ("MultiStepLR", "milestones", ["3"], TypeError),
    ("PolynomialLR", "power", -1, ValueError),
    ("PolynomialLR", "power", math.nan, ValueError),
    ("PolynomialLR", "power", "1", TypeError),
    ("CosineAnnealingLR", "eta_min", math.nan, ValueError),
    ("CosineAnnealingWarmRestarts", "eta_min", math.nan, ValueError),
]  # fmt: skip
NEEDED = {"StepLR": {"step_size": 3}, "MultiStepLR": {"milestones": [3]}, "CosineAnnealingLR": {"T_max": 3},
          "CosineAnnealingWarmRestarts": {"T_0": 3}}  # fmt: skip


@pytest.mark.parametrize("name, argument, value, error", BAD, ids=str)
def test_bad_arguments(name, argument, value, error):
    """Refused before anything is changed."""
    one = optimizer()
    message = f"Invalid {argument}: .*{name} takes" if error is ValueError else f"{name}: {argument} must be a number"
    with pytest.raises(error, match=message):
        getattr(ours, name)(one, **{**NEEDED.get(name, {}), argument: value})
    assert [g["lr"] for g in one.param_groups] == [0.1, 0.5] and "initial_lr" not in one.param_groups[0]


@pytest.mark.parametrize("name, arguments", [
    ("ConstantLR", {"factor": 1.1}), ("ConstantLR", {"factor": -0.1}),
    ("LinearLR", {"start_factor": 0}), ("LinearLR", {"start_factor": 1.1}),
    ("LinearLR", {"end_factor": -0.1}), ("LinearLR", {"end_factor": 1.1}),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}), ("CosineAnnealingWarmRestarts", {"T_0": 2.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 0}), ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 1.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "eta_min": "0"}),
    ("MultiplicativeLR", {"lr_lambda": [max]}), ("MultiplicativeLR", {"lr_lambda": 0.5}), ("MultiplicativeLR", {"lr_lambda": [max, 0.5]}),
    ("LambdaLR", {"lr_lambda": [max]}),
], ids=str)  # fmt: skip
def test_bad_arguments_in_torchs_words(name, arguments):
    one = optimizer()
    with pytest.raises((ValueError, TypeError)) as theirs:
        getattr(torchs, name)(optimizer(), **arguments)
    with pytest.raises(theirs.type) as error:
        getattr(ours, name)(one, **arguments)
    assert str(error.value).startswith(str(theirs.value))
    assert [g["lr"] for g in one.param_groups] == [0.1, 0.5] and "initial_lr" not in one.param_groups[0]


@pytest.mark.parametrize("name, argument", [("ConstantLR", "factor"), ("LinearLR", "start_factor"), ("LinearLR", "end_factor")])
def test_factors_that_are_no_numbers(name, argument):
    with pytest.raises(ValueError, match="multiplicative factor expected to be .* It is nan"):
        getattr(ours, name)(optimizer(), **{argument: math.nan})


def test_negative_epoch():
    for module in (ours, torchs):
        with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
            module.CosineAnnealingWarmRestarts(optimizer(), 3).step(-1)


def test_bad_lambdas():
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


@schedules
@rates
@pytest.mark.parametrize("epoch", [0, 3, 37, 50])
@pytest.mark.filterwarnings("ignore:.*epoch parameter")
def test_step_to_an_epoch(make, tensor, epoch):
    """The deprecated `step(epoch)` jumps to the closed form, as in torch."""
    paths = []
    for module in (ours, torchs):
        one = optimizer(tensor)
        scheduler = make(module, one)
        advance(one, scheduler, 5)
        scheduler.step(epoch)
        path = [float(g["lr"]) for g in one.param_groups]
        paths.append(torch.cat([torch.tensor([path], dtype=torch.float64), advance(one, scheduler, 50)]))
    assert_equal(*paths)


def test_step_to_an_epoch_warns():
    one = optimizer()
    scheduler = MAKE["cosine"](ours, one)
    one.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(3)


@schedules
def test_rates_are_not_shared(make):
    """What a scheduler computes is never a tensor that the group or the scheduler keeps."""
    one = optimizer(tensor=True)
    scheduler = make(ours, one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(50):
            kept = [g["lr"] for g in one.param_groups] + scheduler.base_lrs
            for rates in (scheduler.get_lr(), scheduler._get_closed_form_lr()):
                assert not any(rate is other for rate in rates for other in kept)
            one.step()
            scheduler.step()


@schedules
def test_drives_torch_optimizers(make):
    paths = [advance(o, make(m, o), 80) for m, o in ((m, optimizer(kind=torch.optim.SGD)) for m in (ours, torchs))]
    assert_equal(*paths)
    assert isinstance(make(ours, optimizer()), type(make(torchs, optimizer())))
