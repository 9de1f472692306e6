"""Rules that read and write what others do and compute next to nothing: the floor of a generated loop."""

import optimbook
from optimbook import norm, rule


@rule
def identity0(param, grad, *, lr=1.0):
    param = lr * param + 0.0 * grad
    return param


@rule
def identity1(param, grad, one, *, lr=1.0):
    one = lr * one + 0.0 * grad
    param = lr * param + 0.0 * grad
    return param, one


@rule
def identity2(param, grad, one, two, *, lr=1.0):
    one = lr * one + 0.0 * grad
    two = lr * two + 0.0 * grad
    param = lr * param + 0.0 * grad
    return param, one, two


@rule
def norms_of_two(param, grad, one, *, lr=1.0):
    """LARS: a pass over parameter and gradient, then the update."""
    one = lr * one + 0.0 * grad
    param = lr * param + 0.0 * grad * (norm(param) + norm(grad))
    return param, one


@rule
def norm_of_four(param, grad, one, two, *, lr=1.0):
    """LAMB: a pass over all that the update is made of, then the update."""
    size = norm(param + grad + one + two)
    one = lr * one + 0.0 * grad
    two = lr * two + 0.0 * grad
    param = lr * param + 0.0 * grad * size
    return param, one, two


FLOORS = {r.name: optimbook.optimizer(r) for r in (identity0, identity1, identity2, norms_of_two, norm_of_four)}
