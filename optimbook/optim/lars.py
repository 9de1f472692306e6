"""LARS: each layer's rate follows from the norms of its weights and its gradient."""

from ..engine.optimizer import non_negative, optimizer
from ..functions import minimum, norm, where
from ..rule import rule

__all__ = ["LARS", "lars"]


@rule(symbols={"trust_coefficient": r"\eta", "denominator": "d", "trust": r"\rho", "rate": "r", "update": "u"})
def lars(param, grad, momentum_buffer=None, *,
         lr=1e-1, momentum=0.9, weight_decay=0, trust_coefficient=1e-3, eps=1e-8, nesterov=False, clip=False,
         adapt_vectors=False, matrix=False):
    if matrix or adapt_vectors:
        denominator = norm(grad) + weight_decay * norm(param) + eps
        trust = trust_coefficient * norm(param) / where(denominator > 0, denominator, 1)
        if clip:
            rate = minimum(trust, lr)
        else:
            rate = lr * trust
        rate = where(norm(param) > 0, rate, lr)
        update = rate * (grad + weight_decay * param)
    else:
        update = lr * grad
    if momentum != 0:
        momentum_buffer = momentum * momentum_buffer + update
        if nesterov:
            update = update + momentum * momentum_buffer
        else:
            update = momentum_buffer
    param = param - update
    return param, momentum_buffer


class LARS(optimizer(lars)):
    r"""Layer-wise adaptive rate scaling: momentum SGD whose every tensor steps by a fixed part of its own length.

    Vectors and scalars, which are biases and the parameters of norms, take neither the scaling
    nor the weight decay. The paper names no such exceptions; these are those of TensorFlow's ResNet-50.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: global learning rate :math:`\gamma`, a number or a 1-element tensor.
        momentum: factor :math:`\mu` on the buffer; 0 keeps none.
        weight_decay: L2 penalty :math:`\lambda`, inside the scaling.
        trust_coefficient: :math:`\eta`, the part of a weight's norm that a rate of 1 moves it by.
        eps: added to the denominator of the trust ratio; the paper has none, which is 0.
        nesterov: step along the gradient plus the momentum to come, which the paper has not.
        clip: take the rate :math:`\min(\rho, \gamma)` instead of :math:`\gamma\rho`, as LARC does; the paper has no such thing.
        adapt_vectors: scale and decay vectors and scalars too.
        maximize: ascend instead.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``momentum_buffer``, of its shape, if ``momentum`` is not 0.

    Raises:
        ValueError: a hyperparameter is negative or not finite, or Nesterov's form lacks a momentum.
        RuntimeError: options that exclude each other.

    Source: You, Gitman and Ginsburg 2017, algorithm 1. As there, the buffer holds steps, with the learning rate in
    them, :math:`v \gets \mu v + \gamma\rho(g + \lambda\theta)`; where it holds scaled gradients, as in most implementations,
    a change of the rate acts on old gradients too. A weight of norm 0 is not scaled, which the paper leaves open.
    """

    paper = {"title": "Large Batch Training of Convolutional Networks", "authors": "You, Gitman and Ginsburg", "year": 2017,
             "url": "https://arxiv.org/abs/1708.03888"}  # fmt: skip

    def __init__(self, params, lr=1e-1, momentum=0.9, weight_decay=0, trust_coefficient=1e-3, eps=1e-8, nesterov=False, clip=False,
                 adapt_vectors=False, *, maximize=False, foreach=None, differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, lr, momentum, weight_decay, trust_coefficient, eps, nesterov, clip, adapt_vectors,
                         maximize=maximize, foreach=foreach, differentiable=differentiable, fused=fused)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, momentum="momentum value", weight_decay="weight_decay value",
                     trust_coefficient="trust_coefficient", eps="epsilon value")  # fmt: skip
        if options["nesterov"] and options["momentum"] <= 0:
            raise ValueError("Nesterov momentum requires a momentum")
