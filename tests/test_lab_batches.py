"""The lab's batches: flat losses, random batches, a rare class, and training that is watched."""

import pytest
import torch

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("sklearn", reason="the lab's extra is not installed")

from optimbook import lab
from optimbook.optim.sgd import sgd


def test_the_flat_loss_is_the_models_and_leaves_it_alone():
    task = lab.digits_mlp(width=8)
    model = task.model()
    theta, loss = lab.flat(task, model.to(task.train[0].device))
    inputs, targets = task.train
    assert torch.isclose(loss(theta), task.loss(model(inputs), targets).double(), rtol=1e-5)
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("replacement", (False, True))
def test_random_batches_repeat_an_example_only_with_replacement(replacement):
    batches = lab.random_batches(10, 9, 50, replacement=replacement)
    repeats = [len(set(batch.tolist())) < 9 for batch in batches]
    assert batches.shape == (50, 9) and any(repeats) == replacement


def test_a_rare_digit_moves_from_training_to_test():
    task, rare = lab.digits_mlp(), lab.rare_digit(8, keep=20)
    assert (rare.train[1] == 8).sum() == 20
    assert len(rare.train[0]) + len(rare.test[0]) == len(task.train[0]) + len(task.test[0])


def test_watched_training_is_that_of_the_grid():
    task = lab.digits_mlp(width=8)

    def accuracy(network):
        return (network(task.test[0]).argmax(-1) == task.test[1]).float().mean()

    seen = lab.watch(sgd, task, accuracy, lr=(0.01, 0.1), seeds=2, moments=[5, 20])
    runs = lab.grid(sgd, task, lr=(0.01, 0.1), seeds=2, steps=20)
    assert seen.shape == (2, 2, 2) and torch.allclose(seen[-1], runs.test_accuracy, atol=0.01)
