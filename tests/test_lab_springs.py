"""The chain of springs: its gradient, its minimum, and how news travels along it."""

import numpy
import pytest

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")

from optimbook import lab
from optimbook.optim.sgd import sgd


def energy(heights):
    return numpy.sum(numpy.diff([1, *heights, 0]) ** 2) / 8


def test_the_pull_is_the_gradient_of_the_energy():
    heights = numpy.random.default_rng(0).normal(size=6)
    nudges = 1e-6 * numpy.eye(6)
    slopes = [(energy(heights + n) - energy(heights - n)) / 2e-6 for n in nudges]
    numpy.testing.assert_allclose(lab.springs.pull(heights), slopes, atol=1e-8)


def test_a_straight_line_is_at_rest_and_has_no_excess():
    still = lab.springs.rest(9)
    numpy.testing.assert_allclose(lab.springs.pull(still), 0, atol=1e-15)
    assert abs(lab.springs.excess(still)) < 1e-15
    heights = numpy.random.default_rng(0).normal(size=9)
    expected = (energy(heights) - energy(still)) / (still**2).sum()
    numpy.testing.assert_allclose(lab.springs.excess(heights), expected)


def test_every_column_relaxes_on_its_own():
    rates, noise = numpy.array([[0.5], [1.0]]), numpy.array([0.0, 0.1])
    together = lab.springs.relax(sgd, 5, 30, lr=rates, sigma=noise, runs=3, momentum=0.9, nesterov=True)
    assert together.shape == (30, 2, 2, 3)
    alone = lab.springs.relax(sgd, 5, 30, lr=1.0, runs=3, momentum=0.9, nesterov=True)
    numpy.testing.assert_allclose(together[:, 1, 0], alone)
    assert (together[-1, :, 1] != together[-1, :, 0]).all()
