"""Adam for sparse gradients, as in `torch.optim.SparseAdam`: only the rows that a gradient has are touched."""

import torch

from ..engine.optimizer import check_betas, optimizer, require
from ..functions import sqrt
from ..rule import rule

__all__ = ["SparseAdam", "sparse_adam"]


@rule
def sparse_adam(param, grad, exp_avg, exp_avg_sq, step, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    rate = lr * sqrt(1 - beta2**step) / (1 - beta1**step)
    param = param - rate * exp_avg / (sqrt(exp_avg_sq) + eps)
    return param, exp_avg, exp_avg_sq


class SparseAdam(optimizer(sparse_adam, packed={"betas": ("beta1", "beta2")}, options=("maximize",))):
    r"""Adam over the rows that a sparse gradient has; a drop-in for `torch.optim.SparseAdam`.

    The moments of the other rows do not fade while they wait, and the corrections of the bias count
    the parameter's steps, not the row's.

    Args:
        params: dense tensors whose gradients are sparse, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments.
        eps: :math:`\epsilon`, added to the root of the uncorrected second moment.
        maximize: ascend instead.

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_avg_sq`` of its shape, dense.

    Raises:
        ValueError: a hyperparameter is out of its range, or a parameter is sparse or complex.
        RuntimeError: a gradient is dense.

    Source: Kingma and Ba 2015, algorithm 1, in the order of computation that section 2 gives before 2.1, row by row.
    """

    sparse = "rows"
    paper = {"title": "Adam: A Method for Stochastic Optimization", "authors": "Kingma and Ba", "year": 2015,
             "url": "https://arxiv.org/abs/1412.6980"}  # fmt: skip

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        super().__init__(params, lr, betas, eps, maximize=maximize)
        params = [([i, j], p) for i, g in enumerate(self.param_groups) for j, p in enumerate(g["params"])]
        is_sparse, is_complex = ([at for at, p in params if kind(p)] for kind in (lambda p: p.is_sparse, torch.is_complex))
        require(not is_sparse, f"Sparse params at indices {is_sparse}: SparseAdam requires dense parameter tensors")
        require(not is_complex, f"Complex params at indices {is_complex}: SparseAdam does not support complex parameters")

    def _check(self, options):
        super()._check(options)
        require(options["lr"] > 0, f"Invalid learning rate: {options['lr']}")
        require(0 < options["eps"] < float("inf"), f"Invalid epsilon value: {options['eps']}")
        check_betas(self, options["betas"])

    def _refusal(self, param, options):
        if not param.grad.is_sparse:
            return "SparseAdam does not support dense gradients, please consider Adam instead"
        return super()._refusal(param, options)
