"""Adam with decoupled weight decay, as in `torch.optim.AdamW`."""

from .adam import Adam, adam

__all__ = ["AdamW", "adamw"]

adamw = adam.bind("adamw", decoupled_weight_decay=True)


class AdamW(Adam):
    r"""Adam whose weight decay shrinks the parameters and leaves the moments alone; a drop-in for `torch.optim.AdamW`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        betas: decay rates :math:`\beta_1, \beta_2` of the two moments, both numbers or both 1-element tensors.
        eps: :math:`\epsilon`, added to the root of the second moment.
        weight_decay: :math:`\lambda`; each step first takes :math:`\gamma\lambda\theta` off the parameters.
        amsgrad: divide by the largest second moment so far (Reddi et al. 2018, algorithm 2).
        maximize: ascend instead.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number), ``exp_avg`` and ``exp_avg_sq`` of its shape,
    with ``amsgrad`` also ``max_exp_avg_sq``.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Loshchilov and Hutter 2019, algorithm 2, with its schedule multiplier :math:`\eta_t` and rate :math:`\alpha` as one,
    :math:`\gamma = \eta_t\alpha`. The paper takes :math:`\eta_t\lambda\theta` off, without :math:`\alpha`; torch and this class do not.
    """

    rule = adamw
    paper = {"title": "Decoupled Weight Decay Regularization", "authors": "Loshchilov and Hutter", "year": 2019,
             "url": "https://arxiv.org/abs/1711.05101"}  # fmt: skip

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *,
                 maximize=False, foreach=None, capturable=False, differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
                         differentiable=differentiable, fused=fused, decoupled_weight_decay=True)  # fmt: skip

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:  # whatever was loaded, as in torch
            group["decoupled_weight_decay"] = True
