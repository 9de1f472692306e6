"""Adam with Nesterov's momentum, as in `torch.optim.NAdam`."""

from ..engine.optimizer import UNFUSED, check_betas, non_negative, optimizer
from ..functions import sqrt
from ..rule import rule

__all__ = ["NAdam", "nadam"]


@rule(symbols={"momentum_decay": r"\psi", "mu_next": r"\tilde{\mu}", "mu_product": r"\Pi"})
def nadam(param, grad, exp_avg, exp_avg_sq, step, mu_product=1, *,
          lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8,
          weight_decay=0, momentum_decay=4e-3, decoupled_weight_decay=False):
    if weight_decay != 0:
        if decoupled_weight_decay:
            param = param - lr * weight_decay * param
        else:
            grad = grad + weight_decay * param
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product = mu_product * mu
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    exp_avg_hat = mu_next * exp_avg / (1 - mu_product * mu_next) + (1 - mu) * grad / (1 - mu_product)
    exp_avg_sq_hat = exp_avg_sq / (1 - beta2**step)
    param = param - lr * exp_avg_hat / (sqrt(exp_avg_sq_hat) + eps)
    return param, exp_avg, exp_avg_sq, mu_product


class NAdam(optimizer(nadam, packed={"betas": ("beta1", "beta2")}, options=UNFUSED)):
    r"""Adam that steps along the momentum of the step to come; a drop-in for `torch.optim.NAdam`.

    The momentum warms up from about :math:`\beta_1/2` to :math:`\beta_1`, as :math:`\mu_t = \beta_1(1 - 0.96^{t\psi}/2)`;
    :math:`\tilde\mu_t` is :math:`\mu_{t+1}`, and :math:`\Pi_t` the product :math:`\mu_1\cdots\mu_t`. As in torch, and
    otherwise than in the paper, :math:`m_t` itself averages with :math:`\beta_1` and not with :math:`\mu_t`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments.
        eps: :math:`\epsilon`, added to the root of the second moment.
        weight_decay: :math:`\lambda`, added to the gradient as :math:`\lambda\theta` unless it is decoupled.
        momentum_decay: :math:`\psi`, how fast the momentum warms up; the default is the paper's 1/250.
        decoupled_weight_decay: shrink the parameters by :math:`\gamma\lambda` instead, as `AdamW` does.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        capturable: keep ``step`` and ``mu_product`` on the device, so that a CUDA graph can hold the step.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` and ``mu_product`` (numbers), ``exp_avg`` and ``exp_avg_sq`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Dozat 2016, the algorithm Nadam.
    """

    captured = "params, mu_products and state_steps"
    paper = {"title": "Incorporating Nesterov Momentum into Adam", "authors": "Dozat", "year": 2016,
             "url": "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ"}  # fmt: skip

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
                 decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False, differentiable=False):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, eps="epsilon value")
        check_betas(self, options["betas"])
        non_negative(self, options, weight_decay="weight_decay value", momentum_decay="momentum_decay value")
