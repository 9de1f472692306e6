"""Adadelta, as in `torch.optim.Adadelta`."""

from ..engine.optimizer import UNFUSED, non_negative, optimizer, require
from ..functions import sqrt
from ..rule import rule

__all__ = ["Adadelta", "adadelta"]


@rule(symbols={"square_avg": "v", "acc_delta": "u"})
def adadelta(param, grad, square_avg, acc_delta, step, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    square_avg = rho * square_avg + (1 - rho) * grad**2
    delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * grad
    acc_delta = rho * acc_delta + (1 - rho) * delta**2
    param = param - lr * delta
    return param, square_avg, acc_delta


class Adadelta(optimizer(adadelta, options=UNFUSED)):
    r"""Scales each element by the ratio of its past updates to its past gradients; a drop-in for `torch.optim.Adadelta`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: factor :math:`\gamma` on the update, a number or a 1-element tensor; the paper has none, which is 1.
        rho: decay rate :math:`\rho` of both running means.
        eps: :math:`\epsilon`, added under both roots.
        weight_decay: L2 penalty :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        maximize: ascend instead.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number, only counted), ``square_avg`` and ``acc_delta`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Zeiler 2012, algorithm 1.
    """

    paper = {"title": "ADADELTA: An Adaptive Learning Rate Method", "authors": "Zeiler", "year": 2012,
             "url": "https://arxiv.org/abs/1212.5701"}  # fmt: skip

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *,
                 capturable=False, maximize=False, differentiable=False):  # fmt: skip
        super().__init__(params, lr, rho, eps, weight_decay,
                         foreach=foreach, capturable=capturable, maximize=maximize, differentiable=differentiable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        require(0.0 <= options["rho"] <= 1.0, f"Invalid rho value: {options['rho']}; Adadelta takes a number from 0 to 1")
        non_negative(self, options, eps="epsilon value", weight_decay="weight_decay value")
