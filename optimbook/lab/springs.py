"""A chain of springs between two walls: the quadratic on which no method that follows gradients is fast
(Nesterov's worst function in the world). Each mass feels its two neighbours alone, so that news travels one mass a step."""

import numpy

from .paths import advance, states


def pull(heights):
    """The gradient at ``heights [mass, ...]``; the walls are at 1 and 0, and no curvature exceeds 1."""
    walls = numpy.ones_like(heights[:1]), numpy.zeros_like(heights[:1])
    row = numpy.concatenate([walls[0], heights, walls[1]])
    return (2 * heights - row[:-2] - row[2:]) / 4


def rest(masses):
    """The minimum: a straight line from wall to wall."""
    return 1 - numpy.arange(1, masses + 1) / (masses + 1)


def excess(heights):
    """How far the function is above its minimum, in units of the squared distance from heights 0 to the minimum."""
    still = rest(len(heights)).reshape(-1, *[1] * (heights.ndim - 1))
    return ((heights - still) * pull(heights)).sum(0) / 2 / (still**2).sum()


def relax(rule, masses, steps, *, lr=1.0, sigma=0.0, runs=1, seed=0, **hyperparameters):
    """The excess ``[steps, ..., runs]`` after each step of ``rule`` from heights 0.

    It is taken where a plain gradient step leads from the point at which the gradient was taken: the point of which
    theorems on Nesterov's method speak, and for gradient descent the parameters.

    Args:
        lr, sigma: learning rates and standard deviations of the gradient's noise, of shapes that go together.
        runs: how often the noise is drawn; the same draws for every rate.
    """
    lr, sigma = (numpy.asarray(x, dtype=float)[..., None] for x in (lr, sigma))
    shape = masses, *numpy.broadcast_shapes(lr.shape, sigma.shape, (runs,))
    names = "param", *states(rule, **hyperparameters)
    values, draw, seen = {name: numpy.zeros(shape) for name in names}, numpy.random.default_rng(seed), []
    with numpy.errstate(all="ignore"):  # a rate that is too large ends in inf and NaN
        for step in range(1, steps + 1):
            noise = draw.standard_normal((masses, *[1] * (len(shape) - 2), runs))
            given = {**values, "grad": pull(values["param"]) + sigma * noise, "step": step, "first": step == 1}
            seen.append(excess(values["param"] - lr * given["grad"]))
            values = advance(rule, given, lr=lr, **hyperparameters)
    return numpy.array(seen)
