"""Limited-memory BFGS, with the strong Wolfe line search, as in `torch.optim.LBFGS`.

N&W is Nocedal and Wright, *Numerical Optimization*, second edition, 2006. A point along a
direction d is x + t d; its slope is the loss's derivative there, g·d.
"""

import copy
import math
from typing import NamedTuple

import torch

from ..engine.numbers import plain_number
from ..engine.optimizer import non_negative
from ..functions import sqrt
from ..rule import rule

__all__ = ["LBFGS", "first_length", "curvature_scale", "cubic_minimiser"]

C1, C2 = 1e-4, 0.9  # of the Wolfe conditions, N&W section 3.1
LEAST_BRACKET = 1e-9  # the line search ends where no parameter could change by more, whatever `tolerance_change` is, as in torch
LEAST_CURVATURE = 1e-10  # what s·y must be above for a pair to be kept, so that H stays positive definite (N&W equation 6.7)


@rule(symbols={"grad_sum": r"\left\lVert g \right\rVert_1"})
def first_length(*, lr, grad_sum):
    """The length tried along the very first direction, -g: no parameter moves by more than the rate."""
    alpha = (1 / grad_sum) * lr if grad_sum > 1 else lr
    return alpha


@rule(symbols={"H_diag": "H", "sy": r"s \cdot y", "yy": r"y \cdot y"})
def curvature_scale(*, sy, yy):
    """What the two loops start from, as a multiple of the identity: the curvature along the last move (N&W equation 7.20)."""
    H_diag = sy / yy
    return H_diag


@rule(symbols={"loss_a": r"\phi(a)", "loss_b": r"\phi(b)", "slope_a": r"\phi'(a)", "slope_b": r"\phi'(b)"})
def cubic_minimiser(*, a, b, loss_a, loss_b, slope_a, slope_b):
    """Where the cubic with these values and slopes at a < b is lowest (N&W equation 3.59)."""
    z = slope_a + slope_b - 3 * (loss_a - loss_b) / (a - b)
    w = sqrt(z**2 - slope_a * slope_b)
    alpha = b - (b - a) * ((slope_b + w - z) / (slope_b - slope_a + 2 * w))
    return alpha


class LBFGS(torch.optim.Optimizer):
    r"""Limited-memory BFGS; a drop-in for `torch.optim.LBFGS`.

    Each iteration goes along :math:`d = -H g`, where H approximates the inverse Hessian by
    the last pairs of a change of the parameters, s, and of the gradient, y. A step is up to
    ``max_iter`` iterations, on one flat real vector of all parameters.

    Args:
        params: real or complex tensors of one device, ``(name, tensor)`` pairs, or one dict with them; one group only.
        lr: length :math:`\gamma` of each move along d, or the first that the line search tries; a number or a 1-element tensor.
        max_iter: iterations per step.
        max_eval: evaluations of the closure per step; ``max_iter * 5 // 4`` if None. The line search may need one more.
        tolerance_grad: stop where no component of the gradient is larger.
        tolerance_change: stop where neither a parameter nor the loss changes by more, or the slope is not below ``-tolerance_change``.
        history_size: pairs to keep, at least 1.
        line_search_fn: ``"strong_wolfe"``, or None for moves of fixed length.

    State, all under the first parameter: ``func_evals`` and ``n_iter``, counted over all
    steps; ``old_dirs`` and ``old_stps``, up to ``history_size`` vectors y and s, with
    ``ro`` (:math:`1/s \cdot y`) and ``al`` (algorithm 7.4's :math:`\alpha`); ``H_diag``;
    and of the last iteration ``d``, ``t`` (the length moved), ``prev_flat_grad`` and ``prev_loss``.

    An error in the closure, or an interruption, undoes the iteration it falls into, and
    that alone: parameters and state are those after the iterations before it (as they were,
    if there were none), and a next step goes on from there.

    Evaluations, lengths and states are torch's, number by number, but for what goes wrong
    there: a trial of the line search whose loss or slope is no number counts as infinitely
    high, and the search turns back from it; a tensor rate that a scheduler fills between
    steps leaves the last move's length alone; gradients may lie in memory as they like; a
    copied or unpickled optimizer can step.

    Raises:
        ValueError: a second group, a rate that is negative or not finite, or no history.
        RuntimeError: a line search of another name.

    Source: Liu and Nocedal 1989; N&W, algorithms 7.4 and 7.5; line search: N&W, algorithms 3.5 and 3.6.
    """

    paper = {"title": "On the limited memory BFGS method for large scale optimization", "authors": "Liu and Nocedal", "year": 1989,
             "url": "https://doi.org/10.1007/BF01589116"}  # fmt: skip

    def __init__(self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9, history_size=100,
                 line_search_fn=None):  # fmt: skip
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        self._check(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group):
        """Takes the constructor's one group, and refuses a second.

        Args:
            param_group: a dict with ``params`` and any of the constructor's options.

        Raises:
            ValueError: there is a group already.
        """
        if isinstance(param_group, dict):
            self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            self.param_groups.pop()
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups): it takes one group")

    def _check(self, options):
        if isinstance(options["lr"], torch.Tensor) and options["lr"].numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        non_negative(self, options, lr="learning rate")
        if options["history_size"] < 1:
            raise ValueError(f"Invalid history_size: {options['history_size']}; LBFGS keeps at least one pair")
        check_search(options["line_search_fn"])

    def load_state_dict(self, state_dict):
        """Loads what `state_dict` gave, ours or `torch.optim`'s; the tensors are copies of the source's.

        Args:
            state_dict: the state of an LBFGS with as many parameters.
        """
        super().load_state_dict(state_dict)
        for key, state in self.state.items():
            self.state[key] = copy.deepcopy(state)

    @torch.no_grad()
    def step(self, closure):
        """Performs up to ``max_iter`` iterations.

        Args:
            closure: clears the gradients, evaluates the loss, runs its backward pass and
                returns it; called with gradients enabled, several times.

        Returns:
            The closure's first loss, at the parameters as they were.
        """
        options = self.param_groups[0]
        lr = own_number(options["lr"])
        check_search(options["line_search_fn"])
        params, closure = options["params"], torch.enable_grad()(closure)
        first_loss = closure()
        loss, grad = float(first_loss), flat_gradient(params)
        state = {"func_evals": 0, "n_iter": 0, **self.state.get(params[0], {})}
        state["func_evals"] += 1
        budget = options["max_eval"] - 1
        for left in reversed(range(options["max_iter"])):
            if largest(grad) <= options["tolerance_grad"]:
                break
            plan = aim(state, grad, lr, options["history_size"])
            line = Line(params, closure, plan["d"], loss, grad, options["tolerance_change"])
            plan["t"], loss, grad = travel(line, plan["t"], options["line_search_fn"], budget, left)
            self.state[params[0]] = state = {**state, **plan, **line.account(state)}
            budget -= line.evaluations
            if budget <= 0 or line.led_nowhere(plan["t"], loss):
                break
        self.state[params[0]] = state
        return first_loss


def own_number(lr):
    """The rate as a finite number, or as a tensor that no scheduler fills: the state may keep it."""
    plain_number("lr", lr, "LBFGS")
    return lr.detach().reshape(()).cpu().clone() if isinstance(lr, torch.Tensor) else lr


def check_search(name):
    if name not in (None, "strong_wolfe"):
        raise RuntimeError(f"only 'strong_wolfe' is supported as line_search_fn, or None; not {name!r}")


# ------------------------------------------------------------------------------------------- the direction


def aim(state, grad, lr, history_size):
    """The next direction and the first length to try along it, with the memory they rest on, as entries of the state."""
    if state.get("d") is None:
        memory = {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
        return {**memory, "d": -grad, "t": first_length(lr=lr, grad_sum=grad.abs().sum().cpu())}
    memory = remember(state, grad, history_size)
    direction, al = two_loops(grad, **memory)
    return {**memory, "al": al + [None] * (history_size - len(al)), "d": direction, "t": lr}


def remember(state, grad, history_size):
    """The memory with the last move's pair, s = t d and y = g - g', if the loss curves upwards along it (N&W equation 7.18)."""
    y, s = grad - state["prev_flat_grad"], state["d"] * state["t"]
    sy = y.dot(s)
    memory = {n: state[n] for n in ("old_dirs", "old_stps", "ro", "H_diag")}
    if sy > LEAST_CURVATURE:
        for name, new in (("old_dirs", y), ("old_stps", s), ("ro", 1 / sy)):
            memory[name] = [*memory[name], new][-history_size:]
        memory["H_diag"] = curvature_scale(sy=sy, yy=y.dot(y))
    return memory


def two_loops(grad, old_dirs, old_stps, ro, H_diag):
    """-H g without forming H, and the alphas, oldest first (N&W algorithm 7.4)."""
    r, al = -grad, []
    for y, s, rho in zip(reversed(old_dirs), reversed(old_stps), reversed(ro)):
        alpha = s.dot(r) * rho
        r.add_(y, alpha=-alpha)
        al.append(alpha)
    al.reverse()
    r.mul_(H_diag)
    for y, s, rho, alpha in zip(old_dirs, old_stps, ro, al):
        beta = y.dot(r) * rho
        r.add_(s, alpha=alpha - beta)
    return r, al


# ------------------------------------------------------------------------------------------- the line


class Point(NamedTuple):
    """A point along the direction. As in torch, slopes and lengths worked out from them round in the parameters' dtype."""

    t: float | torch.Tensor
    loss: float
    slope: torch.Tensor
    grad: torch.Tensor


class Line:
    """The parameters along a direction d from where they stand, x, which is ``start``.

    Attributes:
        ascends: whether the loss does not fall at once by more than ``change`` per length; a slope that is no number passes, as in torch.
        reach: how far the parameter that moves most goes per length.
        evaluations: of the closure along the line, so far.
    """

    def __init__(self, params, closure, direction, loss, grad, change):
        self.params, self.closure, self.direction, self.change, self.evaluations = params, closure, direction, change, 0
        self.start = Point(0, loss, grad.dot(direction).cpu(), grad)
        self.ascends, self.reach = float(self.start.slope) > -change, largest(direction)
        views = [real(p) for p in params]
        self.origin = [v.clone() for v in views]
        self.parts = [part.view_as(v) for v, part in zip(views, direction.split([v.numel() for v in views]))]

    def led_nowhere(self, t, loss):
        """Whether neither a parameter nor the loss changed by more than ``change`` on the way to t."""
        return self.ascends or self.reach * abs(float(t)) <= self.change or abs(loss - self.start.loss) < self.change

    def account(self, state):
        """The entries of the state that tell of the iteration along this line."""
        counts = {"func_evals": state["func_evals"] + self.evaluations, "n_iter": state["n_iter"] + 1}
        return {**counts, "prev_flat_grad": self.start.grad, "prev_loss": self.start.loss}

    def go(self, t):
        """Takes the parameters from x to x + t d."""
        torch._foreach_add_([real(p) for p in self.params], self.parts, alpha=t)

    def back(self):
        """Puts the parameters at x."""
        torch._foreach_copy_([real(p) for p in self.params], self.origin)

    def __call__(self, t):
        """Goes to x + t d; returns the loss and the gradient there. If there is an error, the parameters go back to x."""
        self.go(t)
        try:
            loss, grad = float(self.closure()), flat_gradient(self.params)
        except BaseException:
            self.back()
            raise
        self.evaluations += 1
        return loss, grad


def travel(line, t, search, budget, left):
    """Moves along the line, t far or as far as a line search says; returns how far, and the loss and the gradient there."""
    if line.ascends:
        return t, line.start.loss, line.start.grad
    if search:
        there = strong_wolfe(line, t, budget)
        line.go(there.t)
        return there.t, there.loss, there.grad
    if left:
        return t, *line(t)
    line.go(t)  # the step's last iteration: nothing looks at the loss there
    return t, line.start.loss, line.start.grad


def real(tensor):
    """A complex tensor as pairs of numbers."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def flat_gradient(params):
    """All gradients in one real vector, zero where there is none."""
    grads = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense().resolve_conj() for p in params]
    return torch.cat([real(g).reshape(-1) for g in grads])


def largest(vector):
    """The largest magnitude in a vector."""
    least, most = vector.aminmax()
    return float(torch.maximum(-least, most))


# ------------------------------------------------------------------------------------------- the line search


def strong_wolfe(line, t, budget):
    """A point with a sufficiently lower loss and a sufficiently flatter slope (N&W 3.7), or the lowest found.

    Args:
        line: the line to search, from its start.
        t: the first length to try.
        budget: evaluations after the first.
    """
    ends = bracket(line, t, budget)
    return ends[0] if len(ends) == 1 else zoom(line, ends, budget)


def bracket(line, t, budget):
    """One point that will do, or two with one between them (N&W algorithm 3.5)."""
    previous, point = line.start, probe(line, t)
    while line.evaluations <= budget:
        # Algorithm 3.5 compares with the previous point from the second on; torch from the third, and so does this.
        if too_high(point, line.start) or (line.evaluations > 2 and point.loss >= previous.loss):
            return [previous, point]
        if flat(point, line.start):
            return [point]
        if point.slope >= 0:
            return [previous, point]
        t = interpolate(previous, point, point.t + 0.01 * (point.t - previous.t), 10 * point.t)
        previous, point = point, probe(line, t)
    return [line.start, point]


def zoom(line, ends, budget):
    """Narrows the bracket around a point that will do; the lower end when nothing is left (N&W algorithm 3.6)."""
    low, stalled = lower(ends), False
    while line.evaluations <= budget and not abs(ends[1].t - ends[0].t) * line.reach < LEAST_BRACKET:
        t, stalled = between(ends, stalled)
        point = probe(line, t)
        if too_high(point, line.start) or point.loss >= ends[low].loss:
            ends[1 - low] = point
            low = lower(ends)
            continue
        if flat(point, line.start):
            return point
        if point.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
    return ends[low]


def probe(line, t):
    """The point at t; one whose loss or slope is no number counts as infinitely high."""
    loss, grad = line(t)
    line.back()
    slope = grad.dot(line.direction).cpu()
    return Point(t, math.inf if math.isnan(loss) or math.isnan(slope) else loss, slope, grad)


def too_high(point, start):
    """Whether the loss did not fall in proportion to the length (N&W equation 3.7a fails)."""
    return point.loss > start.loss + C1 * point.t * start.slope


def flat(point, start):
    """Whether the slope is flat enough (N&W equation 3.7b)."""
    return abs(point.slope) <= -C2 * start.slope


def lower(ends):
    """Which end of a bracket is lower."""
    return 0 if ends[0].loss <= ends[1].loss else 1


def between(ends, stalled):
    """The next length to try inside a bracket, and whether it is near an end.

    Twice in a row near an end, or on one, and it is moved inwards by a tenth of the bracket.
    """
    left, right = sorted(end.t for end in ends)
    t, margin = interpolate(*ends, left, right), 0.1 * (right - left)
    near = min(right - t, t - left) < margin
    if near and (stalled or not left < t < right):
        return (right - margin if right - t < t - left else left + margin), False
    return t, bool(near)


def interpolate(one, other, least, most):
    """Where the cubic through both points is lowest (N&W equation 3.59), within bounds; their middle if it is nowhere."""
    a, b = sorted((one, other), key=lambda point: point.t)
    if a.t == b.t:
        return a.t  # a rate of 0
    t = cubic_minimiser(a=a.t, b=b.t, loss_a=a.loss, loss_b=b.loss, slope_a=a.slope, slope_b=b.slope)
    return (least + most) / 2 if math.isnan(t) else min(max(t, least), most)
