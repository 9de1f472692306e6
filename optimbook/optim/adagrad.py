"""Adagrad, as in `torch.optim.Adagrad`."""

from ..engine.optimizer import Optimizer, non_negative
from ..functions import sqrt
from ..rule import rule

__all__ = ["Adagrad", "adagrad"]


@rule(symbols={"sum": "G", "decayed_lr": r"\tilde{\gamma}", "lr_decay": r"\eta"})
def adagrad(param, grad, sum, step, *, lr=1e-2, lr_decay=0, weight_decay=0, eps=1e-10):
    if weight_decay != 0:
        grad = grad + weight_decay * param
    decayed_lr = lr / (1 + (step - 1) * lr_decay)
    sum = sum + grad**2
    param = param - decayed_lr * grad / (sqrt(sum) + eps)
    return param, sum


class Adagrad(Optimizer):
    r"""Each element's rate falls with the squares of all its gradients so far; a drop-in for `torch.optim.Adagrad`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: learning rate :math:`\gamma`, a number or a 1-element tensor.
        lr_decay: :math:`\eta`; step :math:`t` takes the rate :math:`\gamma / (1 + (t - 1)\eta)`.
        weight_decay: L2 penalty :math:`\lambda`, added to the gradient as :math:`\lambda\theta`.
        initial_accumulator_value: what ``sum`` starts with; the constructor's counts, for all groups, as in torch.
        eps: :math:`\epsilon`, added to the root of the sum.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter, made by the constructor: ``step`` (a number) and ``sum``, of its shape.

    A sparse gradient updates only the rows that it has, of the parameter and of ``sum``.

    Raises:
        ValueError: a hyperparameter is negative or not finite.
        RuntimeError: options that exclude each other, or a weight decay with a sparse gradient.

    Source: Duchi, Hazan and Singer 2011, figure 1 (diagonal matrices, composite mirror descent) without a regulariser,
    where :math:`\epsilon` is :math:`\delta`; ``lr_decay``, ``weight_decay`` and the initial value are torch's.
    """

    rule = adagrad
    sparse = "rows"
    paper = {"title": "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", "authors": "Duchi, Hazan and Singer",
             "year": 2011, "url": "https://jmlr.org/papers/v12/duchi11a.html"}  # fmt: skip

    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, foreach=None, *,
                 maximize=False, differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps,
                                  "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "fused": fused})  # fmt: skip
        self._begin()  # before the first step, so that processes can share the states

    def share_memory(self):
        """Moves the sums into shared memory, for processes that train the same parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def _start(self, name, param, options):
        if name != "sum":
            return super()._start(name, param, options)
        value = self.defaults["initial_accumulator_value"]
        return complex(value, value) if param.is_complex() else value

    def _refusal(self, param, options):
        if not param.grad.is_sparse:
            return super()._refusal(param, options)
        if options["fused"]:
            return "`fused` does not support sparse grad or complex param"
        return "weight_decay option is not compatible with sparse gradients" if options["weight_decay"] else None

    def _check(self, options):
        super()._check(options)
        non_negative(self, options, lr_decay="lr_decay value", weight_decay="weight_decay value",
                     initial_accumulator_value="initial_accumulator_value value", eps="epsilon value")  # fmt: skip
