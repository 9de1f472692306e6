"""Networks that are hard to start, what each update moves, and rates that change along a descent."""

import pytest
import torch

pytest.importorskip("matplotlib", reason="the lab's extra is not installed")
pytest.importorskip("sklearn", reason="the lab's extra is not installed")

from optimbook import lab, lr_scheduler


def still(optimizer):
    return lr_scheduler.WarmupLR(optimizer, 0)


def test_the_first_update_of_adam_is_the_rate_everywhere():
    task = lab.steep(scale=1)
    torch.manual_seed(0)
    weights = [p for p in task.model().parameters() if p.ndim == 2]
    expected = torch.stack([0.01 * w.numel() ** 0.5 / w.norm() for w in weights]).detach()
    found = lab.updates(task, 0.01, still, steps=1)[0]
    assert (found <= expected * 1.001).all()  # what a dark pixel or a dead neuron feeds does not move
    assert torch.allclose(found[1:], expected[1:], rtol=0.2)


def test_a_warmup_shortens_the_first_update():
    task = lab.normed(after=True, depth=1)
    plain = lab.updates(task, 0.01, still, steps=2)
    warm = lab.updates(task, 0.01, lambda o: lr_scheduler.WarmupLR(o, 10), steps=2)
    assert plain.shape == warm.shape == (2, 4)
    assert torch.allclose(warm[0], plain[0] / 10, rtol=1e-3)


def test_steep_scales_the_weights_alone():
    torch.manual_seed(0)
    usual = lab.steep(scale=1).model()
    torch.manual_seed(0)
    for one, four in zip(usual.parameters(), lab.steep(scale=4).model().parameters()):
        assert torch.equal(four, one * (4 if one.ndim == 2 else 1))


def test_the_norm_stands_after_the_sum_or_before_the_branch():
    x = torch.randn(3, 32)
    torch.manual_seed(0)
    after = lab.normed(after=True).model()[1]
    assert torch.allclose(after(x), after.norm(x + after.think(x)))
    before = lab.normed(after=False).model()[1]
    assert torch.allclose(before(x), x + before.think(before.norm(x)))


def test_a_descent_takes_a_rate_for_each_step():
    bowl, start = lambda theta: theta @ theta / 2, torch.ones(1, dtype=torch.float64)
    places, losses = lab.descend(bowl, start, [0.5, 0.0, 1.0], 3)
    assert places.flatten().tolist() == [1, 0.5, 0.5, 0]
    assert torch.equal(lab.descend(bowl, start, 0.5, 2)[0], lab.descend(bowl, start, [0.5, 0.5], 2)[0])


def test_a_scheduler_made_of_schedulers_has_a_card():
    assert "torch.optim.lr_scheduler.ChainedScheduler" in repr(lab.card(lr_scheduler.ChainedScheduler))
