"""Lowering the rate when a metric stands still, as in `torch.optim.lr_scheduler.ReduceLROnPlateau`."""

import warnings

from torch.optim import lr_scheduler

from ..functions import maximum
from ..rule import rule
from .scheduled import finite, require

__all__ = ["ReduceLROnPlateau", "reduce_on_plateau"]


@rule(symbols={"metric": "M", "best": r"M^{*}", "bar": "B", "num_bad_epochs": "n", "cooldown_counter": "c", "reduced": r"\hat{\gamma}",
               "factor": "f", "patience": "P", "threshold": r"\delta", "cooldown": "C", "min_lr": r"\gamma_{\min}"})  # fmt: skip
def reduce_on_plateau(metric, best, num_bad_epochs, cooldown_counter, lr, *, factor=0.1, patience=10, threshold=1e-4,
                      cooldown=0, min_lr=0, eps=1e-8, upward=False, relative=True):
    if upward:
        if relative:
            bar = best * (1 + threshold)
        else:
            bar = best + threshold
        num_bad_epochs = 0 if metric > bar or cooldown_counter > 0 else num_bad_epochs + 1
        best = metric if metric > bar else best
    else:
        if relative:
            bar = best * (1 - threshold)
        else:
            bar = best - threshold
        num_bad_epochs = 0 if metric < bar or cooldown_counter > 0 else num_bad_epochs + 1
        best = metric if metric < bar else best
    cooldown_counter = maximum(cooldown_counter - 1, 0)
    reduced = maximum(lr * factor, min_lr)
    lr = reduced if num_bad_epochs > patience and lr - reduced > eps else lr
    cooldown_counter = cooldown if num_bad_epochs > patience else cooldown_counter
    num_bad_epochs = 0 if num_bad_epochs > patience else num_bad_epochs
    return best, num_bad_epochs, cooldown_counter, lr


class ReduceLROnPlateau(lr_scheduler.ReduceLROnPlateau):
    r"""Multiplies each rate by ``factor`` when a metric has not improved for ``patience`` steps; a drop-in for torch's.

    Call ``step(metric)``, with a number or a tensor of one element. A NaN never counts as an improvement.

    Args:
        optimizer: whose groups' rates to set.
        mode: ``"min"`` if a lower metric is better, ``"max"`` if a higher one is.
        factor: what a rate is multiplied by :math:`f`, at least 0 and below 1.
        patience: how many steps in a row may be without improvement :math:`P`.
        threshold: how much better than the best the metric must be to count as an improvement :math:`\delta`.
        threshold_mode: ``"rel"``: as a part of the best; ``"abs"``: as a difference.
        cooldown: steps after a reduction in which nothing is counted :math:`C`.
        min_lr: the lowest rate :math:`\gamma_{\min}`, or a list of them, one per group.
        eps: a reduction by no more than this is left out :math:`\epsilon`.

    State: ``best``, ``num_bad_epochs`` and ``cooldown_counter``, numbers that all groups share.

    Raises:
        ValueError: an argument is out of its range, or ``min_lr`` is not as long as the groups.
        RuntimeError: in ``step``, groups were added since and ``min_lr`` is a list.
    """

    rule = reduce_on_plateau

    def __init__(self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel", cooldown=0, min_lr=0,
                 eps=1e-8):  # fmt: skip
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! ReduceLROnPlateau has 'min' and 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! ReduceLROnPlateau has 'rel' and 'abs'")
        if factor >= 1.0:
            raise ValueError(f"Factor should be < 1.0. It is {factor}")
        for name, value in {"factor": factor, "patience": patience, "cooldown": cooldown}.items():
            require(self, name, value, "a number that is not negative", lambda x: x >= 0)
        finite(self, threshold=threshold)
        for low in min_lr if isinstance(min_lr, (list, tuple)) else [min_lr]:
            finite(self, min_lr=low)
        super().__init__(optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps)

    def step(self, metrics, epoch=None):
        """Looks at the metric and lowers the rates if it is time to.

        Args:
            metrics: the metric, one number.
            epoch: the number of this step (deprecated, as in torch).
        """
        metric = float(metrics)
        if epoch is not None:
            warnings.warn(lr_scheduler.EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        groups = self.optimizer.param_groups
        numbers = self._numbers()
        state = self.best, self.num_bad_epochs, self.cooldown_counter
        after = [self.rule(metric, *state, float(g["lr"]), min_lr=low, **numbers) for g, low in zip(groups, self._lows())]
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for group, (*state, rate) in zip(groups, after):
            self.best, self.num_bad_epochs, self.cooldown_counter = state
            if rate != float(group["lr"]):
                lr_scheduler._update_param_group_val(group, "lr", rate)
        self._last_lr = lr_scheduler._param_groups_val_list(self.optimizer, "lr")

    def _numbers(self):
        names = ("factor", "patience", "threshold", "cooldown", "eps")
        return {**{n: getattr(self, n) for n in names}, "upward": self.mode == "max", "relative": self.threshold_mode == "rel"}

    def _lows(self):
        """The lowest rate of each group, also of groups that were added since."""
        have, want = len(self.min_lrs), len(self.optimizer.param_groups)
        if have != want and self.default_min_lr is None:
            raise RuntimeError(
                f"The number of param groups in the `optimizer` ({want}) differs from when `ReduceLROnPlateau` was initialized ({have}), "
                "usually due to a new param group being added to the optimizer. Please modify the `min_lrs` field to match the length "
                "of the `optimizer` param groups.")  # fmt: skip
        if have != want:
            self.min_lrs = [self.default_min_lr] * want
        return self.min_lrs
