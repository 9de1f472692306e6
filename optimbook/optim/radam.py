"""Adam whose adaptive step is rectified for its variance, as in `torch.optim.RAdam`."""

from ..engine.optimizer import UNFUSED, check_betas, non_negative, optimizer
from ..functions import sqrt
from ..rule import rule

__all__ = ["RAdam", "radam"]


@rule(symbols={"rho_inf": r"\rho_{\infty}", "rect": "r", "adaptive": "l"})
def radam(param, grad, exp_avg, exp_avg_sq, step, *,
          lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0, decoupled_weight_decay=False):
    if weight_decay != 0:
        if decoupled_weight_decay:
            param = param - lr * weight_decay * param
        else:
            grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    exp_avg_hat = exp_avg / (1 - beta1**step)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
    rect = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) if rho > 5 else 1
    adaptive = sqrt(1 - beta2**step) / (sqrt(exp_avg_sq) + eps) if rho > 5 else 1
    param = param - lr * rect * exp_avg_hat * adaptive
    return param, exp_avg, exp_avg_sq


class RAdam(optimizer(radam, packed={"betas": ("beta1", "beta2")}, options=UNFUSED)):
    r"""Rectified Adam; a drop-in for `torch.optim.RAdam`.

    At first :math:`v_t` amounts to a plain mean over few gradients, :math:`\rho_t` of them, and the adaptive step varies much.
    Until :math:`\rho_t` exceeds 5 the step is momentum alone; from then on :math:`r_t` brings the variance of the adaptive step
    down to that of a long run, where :math:`\rho_t` has come to :math:`\rho_\infty`. As in torch and in the authors' code the
    bound is 5, where the paper has 4, and :math:`\epsilon` is added before the bias correction, where it has none.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments.
        eps: :math:`\epsilon`, added to the root of the second moment.
        weight_decay: :math:`\lambda`, added to the gradient as :math:`\lambda\theta` unless it is decoupled.
        decoupled_weight_decay: shrink the parameters by :math:`\gamma\lambda` instead, as `AdamW` does.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_avg_sq`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Liu et al. 2020, algorithm 2.
    """

    paper = {"title": "On the Variance of the Adaptive Learning Rate and Beyond", "authors": "Liu et al.", "year": 2020,
             "url": "https://arxiv.org/abs/1908.03265"}  # fmt: skip

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
                 foreach=None, maximize=False, capturable=False, differentiable=False):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, eps="epsilon value")
        check_betas(self, options["betas"])
        non_negative(self, options, weight_decay="weight_decay value")
