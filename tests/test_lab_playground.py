"""The playground, as Python sees it: what is on offer, with which numbers, and that the walk of a setting is that of the classes."""

import math
import re

import numpy
import pytest
import torch

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("sklearn", reason="the lab's extra is not installed")

import sympy
from sympy.parsing import sympy_parser

import optimbook
from optimbook import lab, lr_scheduler, optim
from optimbook.lab.playground import words
from optimbook.lab.playground.noise import disturbances
from optimbook.lab.playground.optimizers import OPTIMIZERS, RANGES, defaults, flags, knobs, look, per_element
from optimbook.lab.playground.rates import RATES
from optimbook.lab.playground.schedules import SCHEDULES, rates
from optimbook.lab.playground.setting import Setting, read
from optimbook.lab.playground.surfaces import SURFACES
from optimbook.lab.sliders import NAMES

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_surface = pytest.mark.parametrize("surface", SURFACES)


# --- what is on offer ---------------------------------------------------------------------------


def test_every_rule_per_element_is_offered():
    classes = [getattr(optim, name) for name in optim.__all__ if name != "Optimizer"]
    offered = {offer.cls for offer in OPTIMIZERS.values()}
    assert {cls for cls in classes if per_element(cls)} == offered
    # These treat a tensor as a whole, have no rule, or want sparse gradients.
    assert set(classes) - offered == {optim.Adafactor, optim.LAMB, optim.LARS, optim.LBFGS, optim.Muon, optim.SparseAdam}


def test_every_flag_is_on_somewhere():
    on = {flag for name, offer in OPTIMIZERS.items() for flag in offer.cls.rule.flags if flag in knobs(name) or defaults(offer)[flag]}
    on |= {flag for offer in OPTIMIZERS.values() for flag in offer.cls.rule.fixed}
    assert {flag for offer in OPTIMIZERS.values() for flag in offer.cls.rule.flags} <= on


@every_optimizer
def test_knobs_begin_at_the_classes_defaults(name):
    offer = OPTIMIZERS[name]
    one = offer.cls([torch.zeros(1, requires_grad=True)]).defaults
    for argument, parts in offer.cls.packed.items():
        one |= dict(zip(parts, one[argument]))
    for knob_name, knob in knobs(name).items():
        assert knob.value == offer.options.get(knob_name, one[knob_name])
        assert knob.value == 0 or knob.low <= knob.value <= knob.high, knob_name
    missing = set(offer.cls.rule.hyperparameters) - set(knobs(name))
    assert missing <= {*offer.fixed, "nesterov", "centered", "amsgrad", "decoupled_weight_decay"}
    assert set(knobs(name)) <= set(RANGES)


@every_optimizer
def test_an_entry_looks_like_no_other(name):
    assert [other for other in OPTIMIZERS if look(other) == look(name)] == [name]


def test_everything_has_words_in_both_languages():
    said = [*words.WORDS.values(), *words.KNOBS.values(), *(s.words for s in SCHEDULES.values()), *(p.words for p in SURFACES.values())]
    assert all(zh and en for zh, en, *_ in said)
    assert not [en for _, en, *_ in said if re.search("[\u4e00-\u9fff，：（）]", en)]
    assert all(zh == en or re.search("[\u4e00-\u9fff]", zh) for zh, en, *_ in said)
    named = {n for name in OPTIMIZERS for n in knobs(name)} | {n for s in SCHEDULES.values() for n in s.knobs}
    assert named <= set(NAMES) | set(words.KNOBS)


@every_surface
def test_a_formula_is_that_of_its_rule(surface):
    x, y = sympy.symbols("x y", real=True)
    plain = {"²": "**2", "³": "**3", "⁴": "**4", "−": "-"}
    formula, *parts = SURFACES[surface].formula.translate(str.maketrans(plain)).split(", ")
    reading = (*sympy_parser.standard_transformations, sympy_parser.implicit_multiplication)
    names = {"x": x, "y": y}
    for part in reversed(parts):
        name, _, text = part.partition(" = ")
        names[name] = sympy_parser.parse_expr(text, names, reading)
    said = sympy.lambdify((x, y), sympy_parser.parse_expr(formula, names, reading))
    for point in ((0.3, -0.7), (-1.1, 0.4)):
        assert math.isclose(said(*point), SURFACES[surface].surface.value(*point), rel_tol=0.01)


@pytest.mark.parametrize("name", ["plateau", "himmelblau"])
def test_the_new_surfaces(name):
    surface, (x, y) = getattr(lab, name), sympy.symbols("x y", real=True)
    for variable, slope in zip((x, y), surface.gradient(x, y)):
        assert sympy.simplify(sympy.diff(surface.value(x, y), variable) - slope) == 0


@every_surface
def test_minima_are_flat_and_lowest(surface):
    place = SURFACES[surface].surface
    for point in (place.minimum, *place.others):
        assert max(map(abs, place.gradient(*point))) < 1e-12
        assert place.value(*point) <= place.grid()[2].min() + 1e-12


# --- numbers --------------------------------------------------------------------------------------


def test_noise_is_gaussian_and_uncorrelated():
    draws = numpy.array(disturbances(20_000, 1.0, 7))
    assert abs(draws.mean()) < 0.02 and abs(draws.std() - 1) < 0.02
    flat = draws.ravel()
    assert abs(numpy.corrcoef(draws.T)[0, 1]) < 0.02 and abs(numpy.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.02
    assert abs((flat**4).mean() - 3) < 0.15  # the tails, too
    first = numpy.array([disturbances(1, 1.0, seed)[0] for seed in range(1, 400)])
    assert abs(first.mean()) < 0.15 and abs(first.std() - 1) < 0.1  # neighbouring seeds are not alike
    assert disturbances(5, 2.0, 3) == [(2 * a, 2 * b) for a, b in disturbances(5, 1.0, 3)] == disturbances(9, 2.0, 3)[:5]


def test_schedules_are_those_of_the_classes():
    def of(make, **options):
        scheduler = make(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3), **options)
        return [scheduler.lr_at(step)[0] for step in range(120)]

    def after_warmup(optimizer, **_):
        return lr_scheduler.WarmupLR(optimizer, 20, lr_scheduler.CosineAnnealingLR(optimizer, 100))

    classes = {
        "StepLR": of(lr_scheduler.StepLR, step_size=50, gamma=0.1),
        "ExponentialLR": of(lr_scheduler.ExponentialLR, gamma=0.98),
        "LinearDecayLR": of(lr_scheduler.LinearDecayLR, total_steps=120),
        "CosineAnnealingLR": of(lr_scheduler.CosineAnnealingLR, T_max=120),
        "CosineAnnealingWarmRestarts": of(lr_scheduler.CosineAnnealingWarmRestarts, T_0=50),
        "WarmupLR": of(after_warmup),
        "OneCycleLR": of(lr_scheduler.OneCycleLR, max_lr=0.3, total_steps=120, cycle_momentum=False),
        "WarmupStableDecayLR": of(lr_scheduler.WarmupStableDecayLR, warmup_steps=10, stable_steps=90, decay_steps=20),
    }
    assert set(classes) == set(SCHEDULES) - {"constant"}
    for name, expected in classes.items():
        given = {n: knob.value for n, knob in SCHEDULES[name].knobs.items()}
        assert numpy.allclose(rates(name, 0.3, 120, given), expected, rtol=1e-12, atol=0), name


@every_optimizer
def test_a_walk_is_that_of_the_class(name):
    """States, their beginnings and the changing rate: against the optimizer and the scheduler themselves."""
    offer, setting = OPTIMIZERS[name], Setting([(name, {"lr": 0.02})], steps=40, schedule=("CosineAnnealingLR", {}))
    param = torch.tensor(lab.ravine.start, dtype=torch.float64, requires_grad=True)
    optimizer = offer.cls([param], lr=0.02, **offer.options)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for _ in range(40):
        param.grad = torch.stack(lab.ravine.gradient(*param.detach()))
        optimizer.step(), scheduler.step()
    assert numpy.allclose(setting.paths()[0][-1], param.detach().numpy(), rtol=0, atol=1e-6)  # the class counts steps in float32


@every_surface
@every_optimizer
def test_the_first_rate_is_the_best_of_a_grid(name, surface):
    """As `rates` says; all rates walk at once."""
    offer, knob, place = OPTIMIZERS[name], knobs(name)["lr"], SURFACES[surface]
    grid = numpy.array([float(f"{m}e{e}") for e in range(-4, 4) for m in (1, 2, 5)])
    grid = grid[(knob.low <= grid) & (grid <= knob.high)]
    numbers = {**defaults(offer), "lr": grid}
    points = lab.path(
        offer.cls.rule, place.surface, [numpy.full(len(grid), x) for x in place.surface.start], 200, **numbers,
        begin={state: numbers[source] for state, source in offer.begin.items()}, disturbance=disturbances(200, place.noise, 1),
    )  # fmt: skip
    with numpy.errstate(all="ignore"):
        height = place.surface.value(points[:, 0], points[:, 1]) - place.surface.value(*place.surface.minimum)
        scores = numpy.log10(numpy.maximum(height, 1e-10)).mean(0)
    low, high = numpy.transpose(place.surface.box)[..., None]
    inside = ((low - (high - low) / 10 <= points) & (points <= high + (high - low) / 10)).all((0, 1))
    assert grid[numpy.where(inside, scores, numpy.inf).argmin()] == RATES[surface][name]


# --- the widget -----------------------------------------------------------------------------------


def test_the_widget_is_small_deterministic_and_asks_no_host():
    one, same, other = lab.playground(name="a").html, lab.playground(name="a").html, lab.playground(["SGD"], name="a").html
    assert one == same != other
    assert len(one.encode()) < 80_000
    assert not re.search(r"https?:|[\"'(]//|@import|url\(", one)


def test_a_widget_has_a_name_of_its_own():
    names = {lab.playground(runs).html.split('id="')[1].split('"')[0] for runs in (["SGD"], ["Adam"])}
    assert len(names) == 2 and 'id="mine"' in lab.playground(name="mine").html


@pytest.mark.parametrize("wrong", [{"optimizers": ["Adamm"]}, {"optimizers": []}, {"optimizers": ["SGD"] * 7}, {"surface": "hill"},
                                   {"schedule": ("steps", {})}, {"optimizers": [("SGD", {"momentun": 1})]}])  # fmt: skip
def test_a_mistake_in_a_preset_is_an_error(wrong):
    with pytest.raises((KeyError, ValueError, TypeError)):
        lab.playground(**wrong)


def test_a_link_is_read():
    setting = read("#a?surface=beale&start=1,-2.5&steps=50&noise=0.5&seed=3&schedule=StepLR,step_size:20&run=SGD,lr:0.05&run=Adam")
    assert setting == Setting([("SGD", {"lr": 0.05}), ("Adam", {})], "beale", (1, -2.5), 50, ("StepLR", {"step_size": 20}), 0.5, 3)
    assert [len(losses) for losses in lab.play("?run=SGD&run=SGD,lr:0.01&steps=30")] == [31, 31]


@pytest.mark.parametrize("link", ["surface=hill", "run=SGD,lr:x", "run=SGD,beta1:1", "run=SGD,lr:-1", "noise=9", "colour=red", "steps=inf"])
def test_a_malformed_link_is_an_error_in_python(link):
    with pytest.raises(ValueError):
        lab.play(link)


def test_flags_print_every_line_that_a_knob_needs():
    assert flags("AdamW") == {"weight_decay": 1, "amsgrad": False} and flags("SGD")["momentum"] == 0
    assert "momentum_buffer" in optimbook.SGD.rule.javascript(**flags("Nesterov"))
