"""Averaged stochastic gradient descent, as in `torch.optim.ASGD`."""

from ..engine.numbers import plain_number
from ..engine.optimizer import UNFUSED, non_negative, optimizer
from ..functions import maximum
from ..rule import rule

__all__ = ["ASGD", "asgd"]


@rule(symbols={"ax": r"\bar{\theta}", "lambd": r"\lambda_0", "t0": "t_0"})
def asgd(param, grad, ax, step, eta, mu=1, *, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    grad = grad + lambd * param
    param = param - eta * grad
    ax = param if mu == 1 else ax + mu * (param - ax)
    eta = lr / (1 + lambd * lr * step) ** alpha
    mu = 1 / maximum(1, step - t0)
    return param, ax, eta, mu


class ASGD(optimizer(asgd, options=UNFUSED)):
    r"""Gradient descent with a falling rate, and the average of where it has been; a drop-in for `torch.optim.ASGD`.

    The average :math:`\bar\theta_t` is the state ``ax``: the parameters themselves up to step :math:`t_0 + 2`, then the mean
    of what they have been since, each step with the same weight. It is yours to evaluate; no step reads it.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma` of the first step, a number or a 1-element tensor.
        lambd: :math:`\lambda_0`, an L2 penalty that also makes the rate :math:`\eta_t` fall.
        alpha: the power :math:`\alpha` with which the rate falls.
        t0: the step :math:`t_0` about which averaging begins.
        weight_decay: L2 penalty :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        differentiable: let autograd run through the step.
        capturable: keep ``step``, ``eta`` and ``mu`` on the device, so that a CUDA graph can hold the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step``, ``eta`` and ``mu`` (numbers), ``ax`` of its shape. ``eta`` and ``mu`` are those of the
    step to come, so that a new learning rate takes effect one step late, as in torch.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Polyak and Juditsky 1992; the falling rate: Bottou 2010, section 5. Both average from the first step on: neither has ``t0``.
    """

    captured = "params, mus, etas, and state_steps"
    paper = {"title": "Acceleration of Stochastic Approximation by Averaging", "authors": "Polyak and Juditsky", "year": 1992,
             "url": "https://doi.org/10.1137/0330046"}  # fmt: skip

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
                 differentiable=False, capturable=False):  # fmt: skip
        super().__init__(params, lr, lambd, alpha, t0, weight_decay, foreach=foreach, maximize=maximize,
                         differentiable=differentiable, capturable=capturable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, weight_decay="weight_decay value")
        for name in ("lambd", "alpha", "t0"):
            plain_number(name, options[name], "ASGD")

    def _start(self, name, param, options):
        return float(options["lr"]) if name == "eta" else super()._start(name, param, options)
