"""Resilient backpropagation, as in `torch.optim.Rprop`."""

from ..engine.numbers import plain_number
from ..engine.optimizer import UNFUSED, optimizer, require
from ..functions import maximum, minimum, sign, where
from ..rule import rule

__all__ = ["Rprop", "rprop"]


@rule(symbols={"prev": r"\tilde{g}", "step_size": r"\Delta", "agreement": "a", "factor": r"\eta", "etaminus": r"\eta^{-}",
               "etaplus": r"\eta^{+}", "step_size_min": r"\Delta_{\min}", "step_size_max": r"\Delta_{\max}"})
def rprop(param, grad, prev, step_size, step, *, lr=1e-2, etaminus=0.5, etaplus=1.2, step_size_min=1e-6, step_size_max=50):
    agreement = grad * prev
    factor = where(agreement > 0, etaplus, where(agreement < 0, etaminus, 1))
    step_size = minimum(maximum(step_size * factor, step_size_min), step_size_max)
    grad = where(agreement < 0, 0, grad)
    param = param - step_size * sign(grad)
    prev = grad
    return param, prev, step_size


class Rprop(optimizer(rprop, packed={"etas": ("etaminus", "etaplus"), "step_sizes": ("step_size_min", "step_size_max")}, options=UNFUSED)):
    r"""Steps of one's own size for each number, along the sign of its gradient; a drop-in for `torch.optim.Rprop`.

    A step size grows while the sign holds and shrinks when it turns; after a turn the number rests for one step, and its
    gradient :math:`\tilde g_t` is kept as 0, so that the next one does not change the size again. A NaN gradient counts as
    0. Since only signs count, gradients should be those of all the data.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that define parameter groups.
        lr: the step size :math:`\Delta_0` that each number starts with, a number or a 1-element tensor; not read again.
        etas: factors :math:`\eta^{-} < 1` and :math:`\eta^{+} > 1` on the step size.
        step_sizes: the smallest and the largest step size, :math:`\Delta_{\min}` and :math:`\Delta_{\max}`.
        capturable: keep ``step`` on the device, so that a CUDA graph can hold the step.
        foreach: lists of tensors at a time (True), one tensor at a time (False), or whatever is fastest (None).
        maximize: ascend instead.
        differentiable: let autograd run through the step.
        fused: one compiled kernel for all tensors: insist (True), never (False), or if it can be (None).

    State per parameter: ``step`` (a number, which the rule only counts), ``prev`` and ``step_size`` of its shape.

    Raises:
        ValueError: a hyperparameter is out of its range or not finite.
        RuntimeError: options that exclude each other.

    Source: Riedmiller and Braun 1993, without taking the last step back after a turn: iRprop⁻ of Igel and Hüsken 2000.
    """

    paper = {"title": "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm",
             "authors": "Riedmiller and Braun", "year": 1993, "url": "https://doi.org/10.1109/ICNN.1993.298623"}  # fmt: skip

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *,
                 capturable=False, foreach=None, maximize=False, differentiable=False):  # fmt: skip
        super().__init__(params, lr, etas, step_sizes, capturable=capturable, foreach=foreach, maximize=maximize,
                         differentiable=differentiable)  # fmt: skip

    def _check(self, options):
        super()._check(options)
        etaminus, etaplus = options["etas"]
        require(0.0 < etaminus < 1.0 < etaplus, f"Invalid eta values: {etaminus}, {etaplus}; they must be below and above 1")
        for size in options["step_sizes"]:
            plain_number("step_sizes", size, "Rprop")

    def _start(self, name, param, options):
        if name != "step_size":
            return super()._start(name, param, options)
        lr = float(options["lr"])
        return complex(lr, lr) if param.is_complex() else lr  # a complex number is two that step each for itself
