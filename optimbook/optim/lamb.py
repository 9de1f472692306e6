"""LAMB: Adam's direction, with each layer's step as long as its weights say."""

import math

from ..engine.optimizer import Optimizer, check_betas, non_negative, optimizer, require
from ..functions import maximum, minimum, norm, sqrt, where
from ..rule import rule

__all__ = ["LAMB", "lamb"]


@rule(symbols={"update": "u", "size": r"\phi", "trust": r"\rho", "lower": r"\phi_{\min}", "upper": r"\phi_{\max}"})
def lamb(param, grad, exp_avg, exp_avg_sq, step, *,
         lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=1e-2, clip=False, lower=0.0, upper=10.0,
         adapt_vectors=False, matrix=False):
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    exp_avg_hat = exp_avg / (1 - beta1**step)
    exp_avg_sq_hat = exp_avg_sq / (1 - beta2**step)
    update = exp_avg_hat / (sqrt(exp_avg_sq_hat) + eps)
    if matrix or adapt_vectors:
        update = update + weight_decay * param
        size = norm(param)
        if clip:
            size = minimum(maximum(size, lower), upper)
        trust = where(size > 0, where(norm(update) > 0, size / norm(update), 1), 1)
        update = trust * update
    param = param - lr * update
    return param, exp_avg, exp_avg_sq


class LAMB(optimizer(lamb, packed={"betas": ("beta1", "beta2")})):
    r"""Adam's update, brought to the length of the weights it changes, tensor by tensor.

    Vectors and scalars, which are biases and the parameters of norms, take neither the scaling
    nor the weight decay: BERT does not decay them, and what is not decayed the authors' code does not scale.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments.
        eps: :math:`\epsilon`, added to the root of the second moment.
        weight_decay: :math:`\lambda`, decoupled, and inside the scaling.
        bounds: of the function :math:`\phi(z) = \min(\max(z, \phi_{\min}), \phi_{\max})` of a weight's norm; None: :math:`\phi(z) = z`.
        adapt_vectors: scale and decay vectors and scalars too.
        maximize: ascend instead.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_avg_sq`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: You et al. 2020, algorithm 2, :math:`\theta \gets \theta - \gamma\,\phi(\lVert\theta\rVert)\,u/\lVert u\rVert` with
    :math:`u = \hat m/(\sqrt{\hat v} + \epsilon) + \lambda\theta`. Implementations of earlier versions of the paper correct no bias
    in u, and some add :math:`\epsilon` to its norm. A weight or an update of norm 0 is not scaled, which the paper leaves open.
    """

    paper = {"title": "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", "authors": "You et al.", "year": 2020,
             "url": "https://arxiv.org/abs/1904.00962"}  # fmt: skip

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=1e-2, bounds=None, adapt_vectors=False, *,
                 maximize=False, foreach=None, capturable=False, differentiable=False, fused=None):  # fmt: skip
        Optimizer.__init__(self, params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "bounds": bounds, "adapt_vectors": adapt_vectors,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, eps="epsilon value", weight_decay="weight_decay value")
        check_betas(self, options["betas"])
        lower, upper = options["bounds"] or (0, 1)
        fits = 0 <= lower <= upper < math.inf and upper > 0
        require(fits, f"Invalid bounds: {options['bounds']}; LAMB takes (least, largest) norm or None")

    def _values(self, options):
        lower, upper = options["bounds"] or (0, 0)
        return {**super()._values(options), "clip": options["bounds"] is not None, "lower": lower, "upper": upper}
