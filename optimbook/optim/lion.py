"""Lion, which steps along the sign of an interpolated momentum; torch.optim has no such class."""

from ..engine.optimizer import check_betas, non_negative, optimizer
from ..functions import sign
from ..rule import rule

__all__ = ["Lion", "lion"]


@rule(symbols={"mixture": "c"})
def lion(param, grad, exp_avg, *, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0):
    mixture = beta1 * exp_avg + (1 - beta1) * grad
    if weight_decay != 0:
        param = param - lr * (sign(mixture) + weight_decay * param)
    else:
        param = param - lr * sign(mixture)
    exp_avg = beta2 * exp_avg + (1 - beta2) * grad
    return param, exp_avg


class Lion(optimizer(lion, packed={"betas": ("beta1", "beta2")})):
    r"""Evolved sign momentum: every element moves by the learning rate, up or down.

    The direction mixes more of the present gradient in (:math:`\beta_1`) than the momentum that is
    kept does (:math:`\beta_2`). The paper advises a rate 3 to 10 times lower than AdamW's, and a
    weight decay as many times higher.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: :math:`\beta_1`, how much of the momentum goes into the direction, and :math:`\beta_2`, its decay rate.
        weight_decay: :math:`\lambda`, decoupled: each step takes :math:`\gamma\lambda\theta` off the parameters.
        maximize: ascend instead.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``exp_avg``, of its shape. Where the mixture is exactly 0, the element only decays.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Chen et al. 2023, algorithm 2.
    """

    paper = {"title": "Symbolic Discovery of Optimization Algorithms", "authors": "Chen et al.", "year": 2023,
             "url": "https://arxiv.org/abs/2302.06675"}  # fmt: skip

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0, *,
                 maximize=False, foreach=None, differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, lr, betas, weight_decay, maximize=maximize, foreach=foreach, differentiable=differentiable, fused=fused)

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, weight_decay="weight_decay value")
        check_betas(self, options["betas"])
