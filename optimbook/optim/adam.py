"""Adam and its AMSGrad variant, as in `torch.optim.Adam`; AdamW is the same rule with the decay decoupled."""

import torch

from ..engine.optimizer import check_betas, non_negative, optimizer
from ..functions import maximum, sqrt
from ..rule import rule

__all__ = ["Adam", "adam"]


@rule
def adam(param, grad, exp_avg, exp_avg_sq, step, max_exp_avg_sq=None, *,
         lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8,
         weight_decay=0, amsgrad=False, decoupled_weight_decay=False):
    if weight_decay != 0:
        if decoupled_weight_decay:
            param = param - lr * weight_decay * param
        else:
            grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    exp_avg_hat = exp_avg / (1 - beta1**step)
    if amsgrad:
        max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
        exp_avg_sq_hat = max_exp_avg_sq / (1 - beta2**step)
    else:
        exp_avg_sq_hat = exp_avg_sq / (1 - beta2**step)
    param = param - lr * exp_avg_hat / (sqrt(exp_avg_sq_hat) + eps)
    return param, exp_avg, exp_avg_sq, max_exp_avg_sq


class Adam(optimizer(adam, packed={"betas": ("beta1", "beta2")})):
    r"""Adaptive moment estimation; a drop-in for `torch.optim.Adam`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments, both numbers or both 1-element tensors.
        eps: :math:`\epsilon`, added to the root of the second moment.
        weight_decay: :math:`\lambda`, added to the gradient as :math:`\lambda\theta` unless it is decoupled.
        amsgrad: divide by the largest second moment so far (Reddi et al. 2018, algorithm 2).
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).
        decoupled_weight_decay: shrink the parameters by :math:`\gamma\lambda` instead (`AdamW`).

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_avg_sq`` of its shape,
    with ``amsgrad`` also ``max_exp_avg_sq``.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    no_sparse = "Adam does not support sparse gradients, please consider SparseAdam instead"  # torch says so of AdamW too
    paper = {"title": "Adam: A Method for Stochastic Optimization", "authors": "Kingma and Ba", "year": 2015,
             "url": "https://arxiv.org/abs/1412.6980"}  # fmt: skip

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *,
                 foreach=None, maximize=False, capturable=False, differentiable=False, fused=None,
                 decoupled_weight_decay=False):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        if isinstance(options["lr"], torch.Tensor) and options["foreach"] and not options["capturable"]:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        non_negative(self, options, eps="epsilon value")
        check_betas(self, options["betas"])
        non_negative(self, options, weight_decay="weight_decay value")
        _check_kinds(options["betas"], options)


def _check_kinds(betas, options):
    tensors = [isinstance(beta, torch.Tensor) for beta in betas]
    if any(tensors) and not all(tensors):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if tensors[i] and options["foreach"] and not options["capturable"]:
            raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
        if tensors[i] and beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element")
