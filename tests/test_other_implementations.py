"""LARS, LAMB, Lion, Yogi and Adafactor beside those of another package, pytorch_optimizer, which has no code in common with ours.

Where it departs from the paper, its options are set anew at each step, or its result is mended, so
that the paper's equation comes out; the docstring of each test says how. There γ is the rate of the
step, μ and β are decay rates, λ is the weight decay, w a weight and g its gradient.
"""

import math

import pytest
import torch

import optimbook

others = pytest.importorskip("pytorch_optimizer", reason="the implementations to compare with are in the package pytorch_optimizer")

SHAPES = [(7, 5), (4, 3, 3, 2), (6,), ()]  # a matrix, a convolution's kernel, a bias, a scalar
STEPS = 50
NEAR = 1e-11  # of the largest number of a parameter, in float64

decays = pytest.mark.parametrize("decays", [(0.0, 0.0), (0.1, 0.02)], ids=["plain", "decayed"])


def two_groups(**options):
    """Parameters in two groups; each option is a pair, one value for each group."""
    torch.manual_seed(0)
    params = [[torch.randn(s, dtype=torch.float64, requires_grad=True) for s in SHAPES] for _ in range(2)]
    return [{"params": p, **{n: pair[i] for n, pair in options.items()}} for i, p in enumerate(params)]


def same_groups(groups, shape=lambda p: p.shape):
    """Copies of the parameters, those of each group parted into matrices and vectors, since the other package may need options for each."""
    parted = []
    for group in groups:
        copies = {p: p.detach().reshape(shape(p)).clone().requires_grad_() for p in group["params"]}
        parted += [{"params": [copies[p] for p in group["params"] if (p.dim() > 1) == is_matrix]} for is_matrix in (True, False)]
    return parted


def follow(ours, theirs, translate, varied=True):
    """Trains both with the same gradients, and compares their parameters after every step.

    Args:
        ours: an optimizer over `two_groups`.
        theirs: one over `same_groups` of those.
        translate: (our group, step, whether of matrices) -> the options with which theirs does the same at this step.
        varied: whether the learning rate changes from step to step.
    """
    starts = [g["lr"] for g in ours.param_groups]
    for step in range(1, STEPS + 1):
        for i, group in enumerate(ours.param_groups):
            group["lr_before"], group["lr"] = group["lr"], starts[i] * (1 + math.cos(step) / 2 if varied else 1)
            for is_matrix, their_group in zip((True, False), theirs.param_groups[2 * i : 2 * i + 2]):
                their_group.update(translate(group, step, is_matrix))
        pairs = list(zip(params_of(ours), params_of(theirs), strict=True))
        for a, b in pairs:
            a.grad = a.detach() / 10 + torch.randn_like(a)
            if a.dim():
                a.grad[0] = 0  # the signs, the roots and the floors of nothing
            b.grad = a.grad.clone().view_as(b)
        ours.step()
        theirs.step()
        for a, b in pairs:
            furthest = (a - b.view_as(a)).detach().abs().max()
            assert furthest <= NEAR * b.detach().abs().max(), f"step {step}, shape {tuple(a.shape)}"


def params_of(optimizer):
    return [p for g in optimizer.param_groups for p in g["params"]]


@decays
@pytest.mark.parametrize("adapt_vectors", [False, True])
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
def test_lars(decays, adapt_vectors, momentum, nesterov):
    """LARS, as in You, Gitman and Ginsburg 2017, algorithm 1.

    The paper's buffer holds steps, v ← μ v + γ ρ (g + λ w) and w ← w - v, where ρ = η ‖w‖ / (‖g‖ + λ ‖w‖). Theirs holds v / γ, as
    torch's SGD does, so that a new rate acts on the old part of the buffer too: μ is multiplied by the old rate over the
    new. (Nesterov's form, which the paper has not, uses μ twice: there the rate is constant.) Neither the paper nor theirs
    has an eps in ρ, so ours is 0. Theirs never adapts vectors, so it is given columns where ours does.
    """
    groups = two_groups(lr=(3.0, 1.0), weight_decay=decays, trust_coefficient=(0.02, 0.1))
    ours = optimbook.optim.LARS(groups, momentum=momentum, nesterov=nesterov, eps=0, adapt_vectors=adapt_vectors)
    theirs = others.LARS(same_groups(groups, shape=lambda p: (-1, 1) if adapt_vectors and p.dim() < 2 else p.shape), nesterov=nesterov)

    def translate(group, step, is_matrix):
        return {
            "lr": group["lr"],
            "momentum": momentum * group["lr_before"] / group["lr"],
            "weight_decay": group["weight_decay"],
            "trust_coefficient": group["trust_coefficient"],
        }

    follow(ours, theirs, translate, varied=not nesterov)


class Lamb(others.Lamb):
    """Theirs divides by the norm of the update and eps; the paper by the norm alone."""

    def step(self):
        starts = [p.detach().clone() for p in params_of(self)]
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                start, norm = starts.pop(0), self.state[p]["adam_norm"]
                if not group["adam"]:
                    p.data = torch.lerp(start, p.data, (norm + group["eps"]) / norm)


@decays
@pytest.mark.parametrize("adapt_vectors", [False, True])
@pytest.mark.parametrize("largest", [None, 3.0])
def test_lamb(decays, adapt_vectors, largest):
    """LAMB, as in You et al. 2020, algorithm 2.

    The algorithm corrects both moments for bias: u = m̂ / (√v̂ + ε) + λ w. Theirs follows an older version of the paper,
    and corrects none (with ``adam_debias``; without it, the first moment, but outside the norm). With a = √(1 - β₂ᵗ)
    and c = a / (1 - β₁ᵗ), u = c (m / (√v + a ε) + λ/c w), and a factor as c has no effect on φ(‖w‖) u / ‖u‖: it is given
    aε and λ/c. Vectors that are not adapted take its ``adam``, with the rate cγ and no decay. Its φ has a largest value
    only, 10 unless ``clamp`` is set.
    """
    groups = two_groups(lr=(0.02, 0.01), betas=[(0.9, 0.99), (0.8, 0.95)], eps=(1e-2, 1e-6), weight_decay=decays)
    ours = optimbook.optim.LAMB(groups, bounds=None if largest is None else (0, largest), adapt_vectors=adapt_vectors)
    theirs = Lamb(same_groups(groups), weight_decouple=False, adam_debias=True)
    theirs.clamp = largest or math.inf

    def translate(group, step, is_matrix):
        beta1, beta2 = group["betas"]
        a = math.sqrt(1 - beta2**step)
        c = a / (1 - beta1**step)
        options = {"betas": group["betas"], "eps": a * group["eps"]}
        if is_matrix or adapt_vectors:
            return {**options, "lr": group["lr"], "weight_decay": group["weight_decay"] / c}
        return {**options, "lr": c * group["lr"], "weight_decay": 0.0, "adam": True}

    follow(ours, theirs, translate)


@decays
def test_lion(decays):
    """Lion, as in Chen et al. 2023, algorithm 2, in both."""
    groups = two_groups(lr=(0.02, 0.01), betas=[(0.9, 0.99), (0.95, 0.98)], weight_decay=decays)
    follow(
        optimbook.optim.Lion(groups),
        others.Lion(same_groups(groups)),
        lambda group, step, is_matrix: {n: group[n] for n in ("lr", "betas", "weight_decay")},
    )


class Yogi(others.Yogi):
    """Theirs starts both moments at ``initial_accumulator``; the paper's m₀ is 0."""

    def init_group(self, group, **kwargs):
        new = [p for p in group["params"] if not self.state[p]]
        super().init_group(group, **kwargs)
        for p in new:
            self.state[p]["exp_avg"].zero_()


@decays
@pytest.mark.parametrize("start", [0.0, 1e-6, 0.1])
def test_yogi(decays, start):
    """Yogi: the second moment of Zaheer et al. 2018, algorithm 2, v ← v - (1 - β₂) sign(v - g²) g².

    Both correct both moments for bias, as Adam does and the algorithm does not, and take λ w into the gradient, theirs when told to.
    """
    groups = two_groups(lr=(0.02, 0.01), betas=[(0.9, 0.99), (0.8, 0.95)], eps=(1e-3, 1e-2), weight_decay=decays)
    ours = optimbook.optim.Yogi(groups, initial_accumulator=start)
    theirs = (others.Yogi if start == 0 else Yogi)(same_groups(groups), initial_accumulator=start, weight_decouple=False)
    follow(ours, theirs, lambda group, step, is_matrix: {n: group[n] for n in ("lr", "betas", "eps", "weight_decay")})


@decays
@pytest.mark.parametrize("least", [1e-3, 1.0])
@pytest.mark.parametrize("d", [1.0, 1.5])
def test_adafactor(decays, least, d):
    """Adafactor, as in Shazeer and Stern 2018, algorithms 4 and 5, with the rates of algorithm 6.

    The paper's relative step is min(10⁻², 1/√t); its bound is ours to set, and theirs takes the step itself. The paper has
    no decay: here as in torch it takes γλ w off, where theirs takes λ of its own. The paper and theirs add
    ε₁ = 10⁻³⁰ to the squared gradients, where ours, as torch's, bounds the estimate below by the square of the dtype's
    machine epsilon: neither counts unless gradients are as small as 10⁻¹⁵, and those of 0 give a step of 0 with both.
    """
    groups = two_groups(lr=(0.3, 0.05), weight_decay=decays)
    ours = optimbook.optim.Adafactor(groups, eps=(None, least), d=d)
    theirs = others.AdaFactor(same_groups(groups), betas=(None, 0.999), eps2=least, clip_threshold=d, relative_step=False, fixed_decay=True)

    def translate(group, step, is_matrix):
        return {"lr": min(group["lr"], 1 / math.sqrt(step)), "weight_decay": group["lr"] * group["weight_decay"]}

    follow(ours, theirs, translate)
