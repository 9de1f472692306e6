"""RMSprop, plain, centered and with momentum, as in `torch.optim.RMSprop`."""

from ..engine.optimizer import UNFUSED, non_negative, optimizer
from ..functions import sqrt
from ..rule import rule

__all__ = ["RMSprop", "rmsprop"]


@rule(symbols={"square_avg": "v", "grad_avg": r"\bar{g}", "denominator": "d"})
def rmsprop(param, grad, square_avg, step, momentum_buffer=None, grad_avg=None, *,
            lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    square_avg = alpha * square_avg + (1 - alpha) * grad**2
    if centered:
        grad_avg = alpha * grad_avg + (1 - alpha) * grad
        denominator = sqrt(square_avg - grad_avg**2) + eps
    else:
        denominator = sqrt(square_avg) + eps
    if momentum > 0:
        momentum_buffer = momentum * momentum_buffer + grad / denominator
        param = param - lr * momentum_buffer
    else:
        param = param - lr * grad / denominator
    return param, square_avg, momentum_buffer, grad_avg


class RMSprop(optimizer(rmsprop, options=UNFUSED)):
    r"""Divides by the root of a running mean of squared gradients; a drop-in for `torch.optim.RMSprop`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        alpha: decay rate :math:`\alpha` of the running means.
        eps: :math:`\epsilon`, added to the root (TensorFlow adds it under the root).
        weight_decay: L2 penalty :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        momentum: factor :math:`\mu` on the buffer of updates; 0 keeps none.
        centered: take the square of the gradient's mean off, which leaves an estimate of its variance.
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number, only counted) and ``square_avg`` of its shape,
    if ``momentum`` is not 0 also ``momentum_buffer``, with ``centered`` also ``grad_avg``.

    Raises:
        ValueError: a hyperparameter is negative or not finite.
        RuntimeError: options that exclude each other.

    Source: Tieleman and Hinton 2012, lecture 6.5; ``centered`` and its momentum: Graves 2013, equations 38 to 41,
    who adds :math:`\epsilon` under the root.
    """

    paper = {"title": "Lecture 6.5-rmsprop: Divide the Gradient by a Running Average of Its Recent Magnitude",
             "authors": "Tieleman and Hinton", "year": 2012,
             "url": "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf"}  # fmt: skip

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False,
                 capturable=False, foreach=None, maximize=False, differentiable=False):  # fmt: skip
        super().__init__(params, lr, alpha, eps, weight_decay, momentum, centered,
                         capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, eps="epsilon value", momentum="momentum value", weight_decay="weight_decay value", alpha="alpha value")
