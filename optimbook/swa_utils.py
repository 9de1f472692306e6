"""Averages of a model over its training, and the schedule that goes with them, as in `torch.optim.swa_utils`.

The two averages and the schedule are rules; what runs over a model's tensors is printed from them.
"""

import copy
import functools
import inspect
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import lr_scheduler, swa_utils

from .engine.eager import compiled
from .functions import cos, minimum, pi
from .lr_scheduler.scheduled import Scheduled, finite
from .rule import rule

__all__ = ["AveragedModel", "update_bn", "SWALR", "get_ema_multi_avg_fn", "get_swa_multi_avg_fn", "get_ema_avg_fn", "get_swa_avg_fn",
           "ema", "swa", "swa_annealing"]  # fmt: skip

# ------------------------------------------------------------------------------------------- the averages

AVERAGES = {"average": r"\bar{\theta}", "decay": r"\beta", "weight": "w"}


@rule(symbols=AVERAGES)
def swa(average, param, step):
    weight = 1 / step
    average = (1 - weight) * average + weight * param
    return average


@rule(symbols=AVERAGES)
def ema(average, param, step, *, decay=0.999, debias=False):
    if debias:
        weight = (1 - decay) / (1 - decay**step)
    else:
        weight = 1 - decay
    average = (1 - weight) * average + weight * param
    return average


def get_swa_avg_fn():
    """The equally weighted average of one tensor, for `AveragedModel`'s ``avg_fn``.

    Returns:
        A function of the average so far, the model's tensor and how many models were averaged so far;
        it returns the new average. It can be pickled.

    Source: Izmailov et al. 2018, algorithm 1.
    """
    return functools.partial(_one, swa)


def get_swa_multi_avg_fn():
    """The equally weighted average of lists of tensors, in place, for `AveragedModel`'s ``multi_avg_fn``.

    Returns:
        A function of the averages, the model's tensors and how many models were averaged so far. It can be pickled.

    Source: Izmailov et al. 2018, algorithm 1.
    """
    return functools.partial(_many, swa)


def get_ema_avg_fn(decay=0.999, *, debias=False):
    r"""The exponentially weighted average of one tensor, for `AveragedModel`'s ``avg_fn``.

    Args:
        decay: :math:`\beta`, from 0 to 1; or a function from the number of models averaged so far to it, such as
            ``lambda n: min(0.999, (1 + n) / (10 + n))``, which forgets the first models sooner.
        debias: weigh all models by :math:`\beta^{t-s}`, the first one too. Without it the first model, with which the
            average begins, has the weight :math:`\beta^{t-1}`: after :math:`1/(1-\beta)` updates still about a third.

    Returns:
        A function of the average so far, the model's tensor and how many models were averaged so far;
        it returns the new average. It can be pickled if ``decay`` can.

    Raises:
        ValueError: ``decay`` is outside of its range, or ``debias`` is asked for where it has no formula
            (``decay`` a function, or 1).

    Source: Tarvainen and Valpola 2017, section 2, after the equal weights of Polyak and Juditsky 1992; the correction is
    that of Kingma and Ba 2015, section 3.
    """
    return functools.partial(_one, ema, **_checked(decay, debias))


def get_ema_multi_avg_fn(decay=0.999, *, debias=False):
    r"""The exponentially weighted average of lists of tensors, in place, for `AveragedModel`'s ``multi_avg_fn``.

    Args:
        decay: :math:`\beta`, from 0 to 1, or a function of the number of models averaged so far; as of `get_ema_avg_fn`.
        debias: weigh all models by :math:`\beta^{t-s}`, the first one too; as of `get_ema_avg_fn`.

    Returns:
        A function of the averages, the model's tensors and how many models were averaged so far.
        It can be pickled if ``decay`` can.

    Raises:
        ValueError: ``decay`` is outside of its range, or ``debias`` is asked for where it has no formula.

    Source: as of `get_ema_avg_fn`.
    """
    return functools.partial(_many, ema, **_checked(decay, debias))


def _checked(decay, debias):
    if callable(decay):
        if debias:
            raise ValueError("debias needs one decay for all updates, not a function")
    elif not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")
    elif debias and decay == 1:
        raise ValueError("a decay of 1 has nothing to debias; for equal weights use get_swa_avg_fn or get_swa_multi_avg_fn")
    return {"decay": decay, "debias": debias}


def _numbers(num_averaged, decay=None, debias=None):
    """The rule's numbers: its step counts from 1."""
    n = int(num_averaged)
    hyperparameters = {} if decay is None else {"decay": decay(n) if callable(decay) else decay, "debias": debias}
    return n + 1, hyperparameters


@torch.no_grad()
def _one(rule, average, param, num_averaged, **options):
    step, hyperparameters = _numbers(num_averaged, **options)
    return rule(average, param, step, **hyperparameters)


@torch.no_grad()
def _many(rule, averages, params, num_averaged, **options):
    if not _can_average(averages[0].dtype):
        torch._foreach_copy_(averages, params)
        return
    step, hyperparameters = _numbers(num_averaged, **options)
    lowered = rule.lowered(**hyperparameters)
    values = {"step": step, **hyperparameters}
    _, numbers = lowered.numbers(*(values[n] for n in (*lowered.program.numbers, *lowered.program.hyperparameters)))
    compiled(lowered, "foreach")(averages, params, numbers)


def _can_average(dtype):
    return dtype.is_floating_point or dtype.is_complex


# ------------------------------------------------------------------------------------------- the averaged model


class AveragedModel(swa_utils.AveragedModel):
    """A copy of a model that holds a running average of it; a drop-in for `torch.optim.swa_utils.AveragedModel`.

    Call ``update_parameters`` after an optimizer's step and use the average like the model itself. The first call
    copies the model. What cannot be averaged (integers and booleans, such as BatchNorm's count of batches) is always
    taken from the model. A model in half precision is averaged well only in float32, since an update smaller than
    half a unit in the last place is lost: ``AveragedModel(model).float()``; it takes the model's tensors as they are.

    Args:
        model: the model; also one whose weights are computed by hooks (weight norm, spectral norm, pruning).
        device: where to keep the average, or None for where the model is.
        avg_fn: a function of one average, the model's tensor and the number of models so far, to the new average.
        multi_avg_fn: a function of lists of them, all of one device and dtype, that updates the averages in place.
            Without either, all models have the same weight.
        use_buffers: average the buffers too, instead of taking them from the model.

    Attributes:
        module: the averaged copy.
        n_averaged: how many models were averaged, a buffer, so that it is saved and loaded. The functions are not.

    Raises:
        AssertionError: both functions are given.

    Source: Izmailov et al. 2018.
    """

    paper = {"title": "Averaging Weights Leads to Wider Optima and Better Generalization", "authors": "Izmailov et al.", "year": 2018,
             "url": "https://arxiv.org/abs/1803.05407"}  # fmt: skip

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        nn.Module.__init__(self)  # torch's own would copy the model its way
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model, _computed(model))
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", torch.tensor(0, dtype=torch.long, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers
        self._count = None  # the buffer, its version and its value, so that no update waits for a GPU

    @torch.no_grad()
    def update_parameters(self, model):
        """Takes one more model into the average.

        Args:
            model: with the parameters and buffers of the one that is averaged, on any device and of any dtype.

        Raises:
            ValueError: the model has other parameters or buffers than the one that is averaged; nothing is changed.
        """
        count, groups = self._counted(), defaultdict(lambda: ([], []))
        for average, current, averaged in self._pairs(model):
            averaged = averaged and count > 0 and _can_average(average.dtype)
            averages, currents = groups[averaged, average.device, average.dtype]
            averages.append(average)
            currents.append(current.to(average.device, average.dtype))
        for (averaged, *_), (averages, currents) in groups.items():
            if averaged:
                self._average(averages, currents, count)
            else:
                for average, current in zip(averages, currents):  # DTensors have no foreach form of this
                    average.copy_(current)
        self.n_averaged += 1
        self._count = (self.n_averaged, self.n_averaged._version, count + 1)

    def _average(self, averages, currents, count):
        function = self.multi_avg_fn or self.avg_fn or functools.partial(_many, swa)
        ours = isinstance(function, functools.partial) and function.func in (_one, _many)
        number = count if ours else self.n_averaged.to(averages[0].device)  # torch gives its functions a tensor
        if function is self.avg_fn:
            for average, current in zip(averages, currents):
                average.copy_(function(average, current, number))
        else:
            function(averages, currents, number)

    def _pairs(self, model):
        """The average's tensors with the model's, and whether each is to be averaged."""
        pairs = []
        for kind, averaged in (("parameters", True), ("buffers", self.use_buffers)):
            ours, theirs = list(getattr(self.module, kind)()), list(getattr(model, kind)())
            if [t.shape for t in ours] != [t.shape for t in theirs]:
                raise ValueError(f"update_parameters: this {type(model).__name__} has other {kind} than the model that is averaged")
            pairs += [(a.detach(), b.detach(), averaged) for a, b in zip(ours, theirs)]
        return pairs

    def _counted(self):
        buffer, version, count = self._count or (None, None, None)
        known = buffer is self.n_averaged and version == buffer._version  # not new, moved, loaded or set by hand
        return count if known and not buffer.is_cpu else int(self.n_averaged)


def _computed(model):
    """A start for deepcopy: tensors that modules keep but compute anew at each call, which it refuses to copy."""
    kept = [value for module in model.modules() for value in (*vars(module).values(), *module.buffers(recurse=False))]
    return {id(value): value.detach().clone() for value in kept if isinstance(value, torch.Tensor) and not value.is_leaf}


# ------------------------------------------------------------------------------------------- BatchNorm's statistics


@torch.no_grad()
def update_bn(loader, model, device=None, *, call=None):
    """Estimates the statistics of a model's BatchNorm layers by one pass over the data; as `torch.optim.swa_utils.update_bn`.

    The model runs in training mode. Then each module is again in the mode that it was in, even if the pass fails.

    Args:
        loader: gives batches: a tensor, a mapping, or a list or tuple that begins with one of these. A mapping is passed
            as keyword arguments if the model's ``forward`` takes its keys, else as it is.
        model: what to pass them to; if it has no BatchNorm layer, nothing is done.
        device: where to move the tensors of a batch, or None.
        call: how to call the model, if not so: a function of the model and a whole batch.

    Raises:
        ValueError: the loader gave no batch; the statistics are what they were.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    call, batches = call or _call, 0
    modes, momenta = {m: m.training for m in model.modules()}, {m: m.momentum for m in layers}
    model.train()
    try:
        for batch in loader:
            for layer in layers if not batches else ():
                layer.reset_running_stats()
                layer.momentum = None  # the plain mean over all batches
            call(model, batch if device is None else _moved(batch, device))
            batches += 1
    finally:
        for module, training in modes.items():
            module.training = training
        for layer, momentum in momenta.items():
            layer.momentum = momentum
    if not batches:
        raise ValueError("update_bn: the loader gave no batch; if it is an iterator, it may have run out")


def _call(model, batch):
    if isinstance(batch, (list, tuple)):
        batch = batch[0]
    return model(**batch) if isinstance(batch, Mapping) and _takes(model, batch) else model(batch)


def _takes(model, keywords):
    while isinstance(getattr(model, "module", None), nn.Module):  # AveragedModel, DistributedDataParallel
        model = model.module
    try:
        inspect.signature(model.forward).bind(**keywords)
    except TypeError:
        return False
    return True


def _moved(batch, device):
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: _moved(value, device) for name, value in batch.items()}
    return [_moved(value, device) for value in batch] if isinstance(batch, (list, tuple)) else batch


# ------------------------------------------------------------------------------------------- the schedule


@rule(symbols={"swa_lr": r"\gamma_{\mathrm{SWA}}", "anneal_epochs": r"T", "progress": "p", "alpha": r"\alpha"})
def swa_annealing(step, *, base_lr, swa_lr, anneal_epochs=10, linear=False):
    progress = minimum(step / anneal_epochs, 1) if anneal_epochs > 0 else 1
    if linear:
        alpha = progress
    else:
        alpha = (1 - cos(pi * progress)) / 2
    lr = (1 - alpha) * base_lr + alpha * swa_lr
    return lr


class SWALR(Scheduled, swa_utils.SWALR):
    r"""Anneals each rate from where it stands to ``swa_lr``, and keeps it there; a drop-in for torch's.

    It usually takes over from another scheduler, so the annealing starts at the rate that stands at its first step:
    ``base_lrs`` holds those rates, and ``lr_at`` starts from them. ``swa_lr`` is an option of each group, as in torch; a
    checkpoint of an optimizer that lacks it changes nothing.

    Args:
        optimizer: whose groups' rates to set.
        swa_lr: the rate :math:`\gamma_{\mathrm{SWA}}` to reach, or a list with one for each group.
        anneal_epochs: steps :math:`T` of the annealing; 0 takes ``swa_lr`` at once.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: the last step done, to resume an annealing that started from ``initial_lr``; -1 starts.

    Raises:
        ValueError: ``swa_lr`` is not finite or not one per group, ``anneal_epochs`` is negative or no int, or the
            strategy is neither.

    Source: Izmailov et al. 2018, section 3.2, for the constant rate.
    """

    rule = swa_annealing
    paper = AveragedModel.paper

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate in swa_lr if isinstance(swa_lr, (list, tuple)) else [swa_lr]:
            finite(self, swa_lr=rate)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}; SWALR takes an int")
        super().__init__(optimizer, swa_lr, anneal_epochs, anneal_strategy, last_epoch)
        self._swa_lrs = [group["swa_lr"] for group in optimizer.param_groups]

    def get_lr(self):
        """The next rates: on from those that stand, along the annealing that would have led to them."""
        lr_scheduler._warn_get_lr_called_within_step(self)
        resumed = self._is_initial and self.last_epoch > 0  # built with `last_epoch`: the rates stand where they shall be
        now = self.last_epoch if resumed else max(self.last_epoch - 1, 0)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        started = [resumed and rate == base for rate, base in zip(rates, self.base_lrs)]  # the optimizer was not loaded
        self.base_lrs = [self.base_lrs[i] if started[i] else self._start(i, rate, now) for i, rate in enumerate(rates)]
        return super()._get_closed_form_lr()

    def _start(self, group, rate, step):
        """Where an annealing that is at ``rate`` now has started; at its end that is lost."""
        numbers = self._numbers(group)
        alpha = self.rule(step, base_lr=0, **{**numbers, "swa_lr": 1})
        return (rate - alpha * numbers["swa_lr"]) / (1 - alpha) if alpha < 1 else self.base_lrs[group]

    def _get_closed_form_lr(self):
        """What a composite asks for when it begins this schedule: the rates that stand, not those of the run's start."""
        return self.get_lr() if self.last_epoch == 0 else super()._get_closed_form_lr()

    def _numbers(self, group):
        options = self.optimizer.param_groups[group]
        if "swa_lr" not in options:  # the optimizer was loaded from a checkpoint without it
            options["swa_lr"] = self._swa_lrs[group]
        return {"swa_lr": float(options["swa_lr"]), "anneal_epochs": self.anneal_epochs, "linear": self._anneal_strategy == "linear"}

    def state_dict(self):
        """Everything but the optimizer, as in torch; ``swa_lr`` is saved with the optimizer."""
        return {name: value for name, value in super().state_dict().items() if name != "_swa_lrs"}

    def load_state_dict(self, state_dict):
        """Loads the state of a SWALR, ours or torch's. If the optimizer was not loaded, the rates become the saved ones.

        Args:
            state_dict: what ``state_dict`` gave.
        """
        swa_utils.SWALR.load_state_dict(self, state_dict)
        self.base_lrs = [self._start(i, rate, self.last_epoch) for i, rate in enumerate(self._last_lr)]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr):
            if self.last_epoch > 0 and group["lr"] == group.get("initial_lr"):
                lr_scheduler._update_param_group_val(group, "lr", float(rate))
