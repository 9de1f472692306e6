"""Adam with decoupled weight decay, as in `torch.optim.AdamW`."""

from .adam import Adam, adam

__all__ = ["AdamW", "adamw"]

adamw = adam.bind("adamw", decoupled_weight_decay=True)


class AdamW(Adam):
    r"""Adam whose weight decay shrinks the parameters and leaves the moments alone; a drop-in for `torch.optim.AdamW`.

    Args:
        weight_decay: :math:`\lambda`; each step first takes :math:`\gamma\lambda\theta` off the parameters.

    The other arguments, the states and the errors are those of `Adam`.

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
