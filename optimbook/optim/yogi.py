"""Yogi: Adam whose second moment moves by steps that do not depend on its size."""

from ..engine.optimizer import check_betas, non_negative, optimizer
from ..functions import sign, sqrt
from ..rule import rule

__all__ = ["Yogi", "yogi"]


@rule
def yogi(param, grad, exp_avg, exp_avg_sq, step, *,
         lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-3, weight_decay=0, initial_accumulator=1e-6):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = exp_avg_sq - (1 - beta2) * sign(exp_avg_sq - grad**2) * grad**2
    exp_avg_hat = exp_avg / (1 - beta1**step)
    exp_avg_sq_hat = exp_avg_sq / (1 - beta2**step)
    param = param - lr * exp_avg_hat / (sqrt(exp_avg_sq_hat) + eps)
    return param, exp_avg, exp_avg_sq


class Yogi(optimizer(yogi, packed={"betas": ("beta1", "beta2")})):
    r"""Adam with an additive second moment; torch has no counterpart.

    Adam's :math:`v_t` moves by :math:`(1-\beta_2)(g_t^2 - v_{t-1})`, and so forgets large gradients fast when small ones
    follow. Yogi's moves in the same direction by :math:`(1-\beta_2)g_t^2`, so that the effective rate rises slowly.

    The paper's algorithm has neither bias corrections nor weight decay. The corrections here are Adam's, as in the
    implementations for PyTorch; the authors' own for TensorFlow differs in that :math:`\epsilon` is added before
    :math:`v_t` is corrected. Some of those for PyTorch also start :math:`m_0` at ``initial_accumulator``; here it starts
    at 0, as in the paper and in the authors' implementation.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments.
        eps: :math:`\epsilon`, added to the root of the second moment; the paper wants it far larger than Adam's.
        weight_decay: :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        initial_accumulator: what every number of ``exp_avg_sq`` starts with.
        maximize: ascend instead.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_avg_sq`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Zaheer et al. 2018, algorithm 2.
    """

    paper = {"title": "Adaptive Methods for Nonconvex Optimization", "authors": "Zaheer et al.", "year": 2018,
             "url": "https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization"}  # fmt: skip

    def __init__(self, params, lr=1e-2, betas=(0.9, 0.999), eps=1e-3, weight_decay=0, initial_accumulator=1e-6, *,
                 maximize=False, foreach=None, capturable=False, differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, initial_accumulator, maximize=maximize, foreach=foreach,
                         capturable=capturable, differentiable=differentiable, fused=fused)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, eps="epsilon value")
        check_betas(self, options["betas"])
        non_negative(self, options, weight_decay="weight_decay value", initial_accumulator="initial accumulator")

    def _start(self, name, param, options):
        return options["initial_accumulator"] if name == "exp_avg_sq" else super()._start(name, param, options)
