"""Adafactor: the second moments of a matrix from those of its rows and columns, as in `torch.optim.Adafactor`."""

import math

from ..engine.optimizer import optimizer, require
from ..functions import column_mean, maximum, mean, minimum, row_mean, sqrt, where
from ..rule import rule

__all__ = ["Adafactor", "adafactor"]


@rule(symbols={"row_var": "R", "col_var": "C", "variance": "v", "beta2_decay": r"\tau", "eps1": r"\epsilon_1", "eps2": r"\epsilon_2",
               "precision": r"\epsilon_{\mathrm{dtype}}", "floor1": r"\hat\epsilon_1", "beta2": r"\beta_2", "estimate": r"\hat V",
               "update": "u", "rms": "r", "size": "s"})  # fmt: skip
def adafactor(param, grad, row_var, col_var, variance, step, precision, *,
              lr=1e-2, beta2_decay=-0.8, eps1=-1, eps2=1e-3, d=1.0, weight_decay=0, matrix=False):
    beta2 = 1 - step**beta2_decay
    floor1 = precision if eps1 < 0 else eps1
    rms = sqrt(mean(param**2))
    size = where(rms > eps2, rms, eps2) * minimum(lr, 1 / sqrt(step))
    if weight_decay != 0:
        param = param - lr * weight_decay * param
    if matrix:
        row_var = beta2 * row_var + (1 - beta2) * row_mean(grad**2)
        col_var = beta2 * col_var + (1 - beta2) * column_mean(grad**2)
        estimate = row_var * col_var / maximum(column_mean(row_var), floor1)
    else:
        variance = beta2 * variance + (1 - beta2) * grad**2
        estimate = variance
    update = grad / sqrt(maximum(estimate, floor1**2))
    rms = sqrt(mean(update**2)) / d
    param = param - size * update / where(rms > 1, rms, 1)
    return param, row_var, col_var, variance


class Adafactor(optimizer(adafactor, packed={"eps": ("eps1", "eps2")}, options=("foreach", "maximize"))):
    r"""Adam's second moment in the memory of its rows and columns, and steps relative to a parameter's size; as `torch.optim.Adafactor`.

    A parameter of two dimensions or more is taken as a stack of matrices, over its last two
    dimensions; one of less keeps a second moment for each element.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: bound :math:`\gamma` on the relative step :math:`\min(\gamma, 1/\sqrt t)`, a number or a 1-element tensor; the paper's is 0.01.
        beta2_decay: :math:`\tau \le 0`, with the decay rate :math:`\beta_{2,t} = 1 - t^{\tau}`.
        eps: :math:`\epsilon_1`, whose square is the least second moment (None: the dtype's machine epsilon), and
            :math:`\epsilon_2`, the least size that a parameter is taken to have.
        d: the update's root mean square is clipped to this.
        weight_decay: :math:`\lambda`; each step first takes :math:`\gamma\lambda\theta` off the parameters.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.

    State per parameter: ``step`` (a number); ``row_var`` of shape ``(..., rows, 1)`` and ``col_var``
    of shape ``(..., 1, columns)``, or ``variance`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range.
        RuntimeError: a parameter is complex, or a gradient sparse.

    Source: Shazeer and Stern 2018, algorithms 4 to 6, which have no momentum and no weight decay. They add :math:`\epsilon_1` to
    each squared gradient, :math:`g^2 + \epsilon_1`; here, as in torch, the estimate is at least :math:`\epsilon_1^2` instead.
    """

    lr_error = "Learning rate should be >= 0 but is: {}"
    paper = {"title": "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", "authors": "Shazeer and Stern", "year": 2018,
             "url": "https://arxiv.org/abs/1804.04235"}  # fmt: skip

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None, maximize=False):
        super().__init__(params, lr, beta2_decay, eps, d, weight_decay, foreach=foreach, maximize=maximize)

    def _check(self, options):
        super()._check(options)
        eps1, eps2 = options["eps"]
        beta2_decay, d, weight_decay = (options[n] for n in ("beta2_decay", "d", "weight_decay"))
        require(-math.inf < beta2_decay <= 0, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        require(eps1 is None or 0 <= eps1 < math.inf, f"epsilon1 should be >= 0 but is: {eps1}")
        require(0 <= eps2 < math.inf, f"epsilon2 should be >= 0 but is: {eps2}")
        require(1 <= d < math.inf, f"Clipping threshold d should be >= 1 but is: {d}")
        require(0 <= weight_decay < math.inf, f"weight_decay should be >= 0 but is: {weight_decay}")

    def _values(self, options):
        eps1, eps2 = options["eps"]
        return {**options, "eps1": -1 if eps1 is None else eps1, "eps2": eps2}

    def _refusal(self, param, options):
        return "Adafactor does not support complex parameters" if param.is_complex() else super()._refusal(param, options)
