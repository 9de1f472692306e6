"""Training loops: one network by an optimizer's class, or a whole grid of networks together by a rule."""

from dataclasses import dataclass

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from .paths import advance, states
from .setup import device, progress


def train(task, optimizer, steps=300, *, seed=0, scheduler=None):
    """Trains one model and returns it with its losses ``[steps]``.

    Args:
        optimizer: makes an optimizer of parameters, e.g. ``lambda p: optimbook.Adam(p, lr=1e-2)``.
        scheduler: makes a scheduler of that optimizer; stepped after each step.
    """
    model = _model(task, seed).to(device())
    optimizer = optimizer(model.parameters())
    scheduler = scheduler and scheduler(optimizer)
    inputs, targets = task.train
    losses = torch.empty(steps, device=device())
    for step, batch in enumerate(progress(task.batches(steps, seed).to(device()), "train")):
        optimizer.zero_grad()
        loss = task.loss(model(inputs[batch]), targets[batch])
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses[step] = loss.detach()
    return model, losses.double().cpu()


def gradients(task, lr, steps=200, *, seed=0):
    """What plain SGD sees: mini-batch gradients, and at the same points the gradients over all data.

    Returns:
        Two matrices ``[steps, parameters]``.
    """
    model = _model(task, seed).to(device())
    params = list(model.parameters())
    inputs, targets = task.train

    def gradient(part):
        return parameters_to_vector(torch.autograd.grad(task.loss(model(inputs[part]), targets[part]), params))

    seen, true = [], []
    for batch in progress(task.batches(steps, seed).to(device()), "gradients"):
        seen.append(gradient(batch))
        true.append(gradient(slice(None)))
        vector_to_parameters(parameters_to_vector(params).detach() - lr * seen[-1], params)
    return torch.stack(seen), torch.stack(true)


@dataclass(frozen=True)
class Runs:
    """What `grid` saw.

    Attributes:
        lrs: the learning rates.
        losses: of each step's batch, ``[lr, seed, step]``, float64 on the CPU; inf where training diverged.
        test_loss, test_accuracy: at the end, ``[lr, seed]``; accuracy only means something for classes.
        parameters: of all networks at the end, stacked ``[lr, seed, ...]``, by name.
        rates: of each step, ``[lr, seed, step]``, after a `race`.
        kept: the parameters after each of the steps that were to be kept, as ``parameters``.
    """

    lrs: tuple
    losses: torch.Tensor
    test_loss: torch.Tensor
    test_accuracy: torch.Tensor
    parameters: dict
    rates: torch.Tensor | None = None
    kept: tuple = ()

    def final(self, last=20):
        """The mean loss of the last steps, ``[lr, seed]``: one step's loss alone says little."""
        return self.losses[..., -last:].mean(-1)

    @property
    def best(self):
        """The index of the best learning rate; see `tune`."""
        return tune(self)


def tune(runs):
    """The index of the learning rate whose final loss, averaged over seeds, is smallest.

    Losses are compared to two digits and a tie goes to the smaller rate, so that every processor picks the same.
    """
    means = runs.final().mean(1).tolist()
    return min(range(len(runs.lrs)), key=lambda i: (float(f"{means[i]:.1e}"), runs.lrs[i]))


def grid(rule, task, *, lr, seeds=3, steps=150, schedule=None, tested="param", keep=(), **hyperparameters):
    """Trains a network for each learning rate and seed, all of them together.

    Args:
        rule: the rule, called on the stacked parameters of all networks under `torch.func.vmap`.
        task: a `Task`.
        lr: the learning rates.
        seeds: how many seeds; a seed draws the first weights and the order of the data.
        schedule: ``schedule(step)``, from 1, is what the learning rate is multiplied by: a number, or one for each network.
            If it has a method ``see``, that is shown the networks' losses and parameters after each step.
        tested: the state whose values the test is taken with, for rules that train one point and ship another.
        keep: the steps, from 1, after which all parameters are kept.
        hyperparameters: those of the rule, the same for all networks; one that is a function of the step, from 1, is called at each.
    """
    lrs = tuple(lr)
    model, values = _stacked(task, len(lrs), seeds, states(rule, **_now(hyperparameters, 1)))
    rates = torch.tensor(lrs, device=device()).repeat_interleave(seeds)
    batches = torch.stack([task.batches(steps, seed) for seed in range(seeds)] * len(lrs), 1).to(device())
    inputs, targets = task.train
    shape = len(lrs), seeds
    losses, kept = [], []

    def unstacked(values):
        return {name: value.unflatten(0, shape) for name, value in _parameters(values).items()}

    def loss(parameters, inputs, targets):
        return task.loss(functional_call(model, parameters, (inputs,)), targets)

    def update(values, grad, lr, step):
        new = advance(rule, {**values, "grad": grad, "step": step, "first": step == 1}, lr=lr, **_now(hyperparameters, step))
        return {name: new[name] for name in values}

    gradients, update = vmap(grad_and_value(loss)), vmap(update, in_dims=(0, 0, 0, None))
    for step, batch in enumerate(progress(batches, rule.name), 1):
        grads, value = gradients(_parameters(values), inputs[batch], targets[batch])
        rate = rates * schedule(step) if schedule else rates
        values = {name: update(values[name], grad, rate, step) for name, grad in grads.items()}
        losses.append(value)
        if hasattr(schedule, "see"):
            schedule.see(value, _parameters(values))
        if step in keep:
            kept.append(unstacked(values))

    shipped = {name: value[tested] for name, value in values.items()}
    test_loss, test_accuracy = vmap(lambda p: _test(task, model, p))(shipped)
    seen = (_seen(x).unflatten(0, shape) for x in (torch.stack(losses, 1), test_loss, test_accuracy))
    return Runs(lrs, *seen, unstacked(values), kept=tuple(kept))


def _now(hyperparameters, step):
    """Numbers, also for the hyperparameters that are functions of the step."""
    return {name: value(step) if callable(value) else value for name, value in hyperparameters.items()}


def score(task, runs):
    """Loss and accuracy of the networks of ``runs`` on the test data of a task, which may be another one: each ``[lr, seed]``."""
    model = _model(task, 0).to(device())
    return tuple(_seen(x) for x in vmap(vmap(lambda parameters: _test(task, model, parameters)))(runs.parameters))


def _model(task, seed):
    """A model as this seed draws it, on the CPU, so that every device begins at the same point."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.model()


def _stacked(task, rates, seeds, names):
    """A model, and ``{parameter: {"param": ..., state: zeros}}`` stacked over learning rates and seeds."""
    drawn, _ = stack_module_state([_model(task, seed) for seed in range(seeds)])
    values = {}
    for name, value in drawn.items():
        param = torch.cat([value.detach()] * rates).to(device())
        values[name] = {"param": param, **{state: torch.zeros_like(param) for state in names}}
    return _model(task, 0).to(device()), values


def _parameters(values):
    return {name: value["param"] for name, value in values.items()}


def _test(task, model, parameters):
    """Loss and accuracy on the test data."""
    inputs, targets = task.test
    outputs = functional_call(model, parameters, (inputs,))
    right = (outputs.argmax(-1) == targets) if not targets.is_floating_point() else torch.zeros_like(outputs)
    return task.loss(outputs, targets), right.to(outputs.dtype).mean()


def _seen(values):
    """On the CPU in float64; what diverged counts as infinitely bad."""
    return values.detach().double().cpu().nan_to_num(torch.inf, torch.inf)
