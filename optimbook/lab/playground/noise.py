"""Noise that is the same in Python and in the page: a generator of random numbers, written as a rule."""

from ...functions import cos, log, pi, sqrt
from ...rule import rule

WARMUP = 8  # draws that are thrown away: the first ones of small seeds are alike


@rule
def gaussian(one, two, *, deviation):
    """A draw of mean 0, from two generators of L'Ecuyer (1988), whose products stay exact in doubles, by Box and Muller (1958)."""
    one = 40014 * one % 2147483563
    two = 40692 * two % 2147483399
    length = sqrt(-2 * log(one / 2147483563))
    draw = deviation * (length * cos(2 * pi * two / 2147483399))
    return one, two, draw


def disturbances(steps, deviation, seed):
    """What is added to the gradient at each step, ``[steps, 2]``; see `optimbook.lab.path`."""
    one = two = seed
    draws = []
    for _ in range(WARMUP + 2 * steps):
        one, two, draw = gaussian(one, two, deviation=deviation)
        draws.append(draw)
    return list(zip(draws[WARMUP::2], draws[WARMUP + 1 :: 2]))
