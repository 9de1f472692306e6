"""Adamax, Adam with the infinity norm in place of the second moment, as in `torch.optim.Adamax`."""

from ..engine.optimizer import UNFUSED, check_betas, non_negative, optimizer
from ..functions import abs, maximum
from ..rule import rule

__all__ = ["Adamax", "adamax"]


@rule(symbols={"exp_inf": "u"})
def adamax(param, grad, exp_avg, exp_inf, step, *, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_inf = maximum(beta2 * exp_inf, abs(grad) + eps)
    exp_avg_hat = exp_avg / (1 - beta1**step)
    param = param - lr * exp_avg_hat / exp_inf
    return param, exp_avg, exp_inf


class Adamax(optimizer(adamax, packed={"betas": ("beta1", "beta2")}, options=UNFUSED)):
    r"""Adam whose second moment is a decaying maximum of gradients; a drop-in for `torch.optim.Adamax`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the first moment and of the maximum.
        eps: :math:`\epsilon`, added to the gradient's magnitude, so that the maximum is never 0; the paper has none.
        weight_decay: L2 penalty :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        differentiable: let autograd run through the step.
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_inf`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Kingma and Ba 2015, algorithm 2.
    """

    paper = {"title": "Adam: A Method for Stochastic Optimization", "authors": "Kingma and Ba", "year": 2015,
             "url": "https://arxiv.org/abs/1412.6980"}  # fmt: skip

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *,
                 maximize=False, differentiable=False, capturable=False):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay,
                         foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, eps="epsilon value", weight_decay="weight_decay value")
        check_betas(self, options["betas"])
