"""Small real tasks whose data ship with packages: nothing is downloaded."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from .setup import device


@dataclass(frozen=True)
class Task:
    """Data, a model that starts anew at each call, and a loss.

    Attributes:
        model: ``model()`` is an ``nn.Module`` on the CPU, drawn from torch's global seed.
        train, test: pairs of inputs and targets, on the device.
        loss: of outputs and targets, a mean over the batch.
        batch_size: what a step sees; None for all of the data.
    """

    model: Callable
    train: tuple
    test: tuple
    loss: Callable
    batch_size: int | None = 64

    def batches(self, steps, seed=0):
        """Indices of the training examples of each step, ``[steps, batch_size]``: the same on every device."""
        count = len(self.train[0])
        if self.batch_size is None:
            return torch.arange(count).expand(steps, count)
        generator = torch.Generator().manual_seed(seed)
        epochs = -(-steps * self.batch_size // count)
        order = torch.cat([torch.randperm(count, generator=generator) for _ in range(epochs)])
        return order[: steps * self.batch_size].view(steps, self.batch_size)


@lru_cache
def digits():
    """1797 images of handwritten digits, 8 by 8, standardised: ``(inputs, targets)`` of 1437 to train on and of 360 to test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    inputs = torch.tensor(data.data, dtype=torch.float32)
    targets = torch.tensor(data.target)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    mean, deviation = inputs[train].mean(), inputs[train].std()
    inputs = (inputs - mean) / deviation
    return tuple((inputs[part].to(device()), targets[part].to(device())) for part in (train, test))


def digits_mlp(width=64, batch_size=64):
    """Digits, and a network of one hidden layer."""
    return Task(
        lambda: nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)),
        *digits(), nn.functional.cross_entropy, batch_size,
    )  # fmt: skip


def digits_cnn(channels=8, batch_size=64):
    """Digits, and a network of two convolutions."""

    def model():
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(2 * channels * 16, 10),
        )  # fmt: skip

    return Task(model, *digits(), nn.functional.cross_entropy, batch_size)


def regression(features=20, condition=1000.0, noise=0.1, examples=512, batch_size=None):
    """Linear regression whose Hessian has the given condition number: feature variances from 1 down to 1/condition."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(0, -0.5, features, base=condition)
    inputs = torch.randn(2 * examples, features, generator=generator) * scale
    weights = torch.randn(features, 1, generator=generator) / scale[:, None]
    targets = inputs @ weights + noise * torch.randn(2 * examples, 1, generator=generator)
    inputs, targets = inputs.to(device()), targets.to(device())
    halves = [(inputs[part], targets[part]) for part in (slice(0, examples), slice(examples, None))]
    return Task(lambda: nn.Linear(features, 1), *halves, nn.functional.mse_loss, batch_size)


def text(length=32, width=64, batch_size=32, characters=60_000):
    """The next character of Python's own documentation, and a one-layer transformer.

    The text differs between versions of Python, and so do the losses: print none.
    """
    known = "\n" + "".join(map(chr, range(32, 127)))
    code = {c: i for i, c in enumerate(known)}
    codes = torch.tensor([code[c] for c in _documentation()[:characters] if c in code])
    windows = codes.unfold(0, length + 1, length // 2)
    return Task(
        lambda: _Transformer(len(known), length, width), *_parts(windows[:, :-1], windows[:, 1:]),
        lambda outputs, targets: nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten()), batch_size,
    )  # fmt: skip


def words(vocabulary=1000, context=2, width=16, batch_size=32, length=60_000):
    """The next word of the same text from the few before it: embeddings, side by side, and scores of every word.

    Words beyond the vocabulary share one code. Frequencies fall as in any text; as with `text`, print no loss.
    """
    found = re.findall(r"[a-z]+|[^a-z\s]", _documentation().lower())[:length]
    known = [word for word, _ in Counter(found).most_common(vocabulary - 1)]
    code = {word: i for i, word in enumerate(known, 1)}
    windows = torch.tensor([code.get(word, 0) for word in found]).unfold(0, context + 1, 1)
    return Task(
        lambda: nn.Sequential(nn.Embedding(vocabulary, width), nn.Flatten(-2), nn.Linear(context * width, vocabulary)),
        *_parts(windows[:, :-1], windows[:, -1]), nn.functional.cross_entropy, batch_size,
    )  # fmt: skip


def _documentation():
    """Python's own documentation, one topic after the other."""
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics))


def _parts(inputs, targets):
    """The first nine tenths to train on, the rest to test."""
    cut = len(inputs) * 9 // 10
    return [(inputs[part].to(device()), targets[part].to(device())) for part in (slice(0, cut), slice(cut, None))]


class _Transformer(nn.Module):
    """Character and place, one block of causal attention, a layer of neurons, and scores of the next character."""

    def __init__(self, characters, length, width, heads=4):
        super().__init__()
        self.heads = heads
        self.character, self.place = nn.Embedding(characters, width), nn.Embedding(length, width)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.score = nn.Linear(width, characters)
        self.register_buffer("future", torch.ones(length, length, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, codes):
        x = self.character(codes) + self.place.weight[: codes.shape[-1]]
        x = x + self.out(self.attend(self.mix(self.before(x))))
        return self.score(x + self.think(self.after(x)))

    def attend(self, mixed):
        """Written out: torch's own attention is slow under vmap."""
        query, key, value = mixed.unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = scores.masked_fill(self.future, -torch.inf).softmax(-1)
        return (weights @ value).transpose(-2, -3).flatten(-2)
