"""Stochastic gradient descent, with momentum, dampening, Nesterov's form and weight decay, as in `torch.optim.SGD`."""

from ..engine.numbers import plain_number
from ..engine.optimizer import non_negative, optimizer
from ..rule import rule

__all__ = ["SGD", "sgd"]


@rule
def sgd(param, grad, momentum_buffer=None, first=False, *,
        lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        momentum_buffer = grad if first else momentum * momentum_buffer + (1 - dampening) * grad
        if nesterov:
            grad = grad + momentum * momentum_buffer
        else:
            grad = momentum_buffer
    param = param - lr * grad
    return param, momentum_buffer


class SGD(optimizer(sgd)):
    r"""Stochastic gradient descent, optionally with momentum; a drop-in for `torch.optim.SGD`.

    The buffer starts as the first gradient, undampened. Nesterov's form is the one of
    Sutskever et al., as in torch.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        momentum: factor :math:`\mu` on the buffer; 0 keeps none.
        dampening: the buffer takes ``1 - dampening`` of each later gradient.
        weight_decay: L2 penalty :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        nesterov: step along the gradient plus the momentum to come.
        maximize: ascend instead.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``momentum_buffer``, of its shape, if ``momentum`` is not 0.

    Raises:
        ValueError: a rate is negative or not finite, or Nesterov's form lacks a momentum or has a dampening.
        RuntimeError: options that exclude each other.

    Source: Robbins and Monro 1951; momentum: Polyak 1964; the form of Nesterov's: Sutskever et al. 2013, section 2,
    with the point where they take the gradient as the parameters (Bengio, Boulanger-Lewandowski and Pascanu 2013).
    """

    paper = {"title": "A Stochastic Approximation Method", "authors": "Robbins and Monro", "year": 1951, "url": "https://doi.org/10.1214/aoms/1177729586"}
    sparse = "dense"  # where more than the gradient's own rows move, as with momentum

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *,
                 maximize=False, foreach=None, differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov,
                         maximize=maximize, foreach=foreach, differentiable=differentiable, fused=fused)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, momentum="momentum value", weight_decay="weight_decay value")
        plain_number("dampening", options["dampening"], "SGD")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
