"""Who took what from whom: the nodes of the family tree, and what each of them costs and does.

Names, years, papers and ancestors are data (``genealogy.yml``). What a class costs and how it
behaves is measured on the class itself: it takes a few steps on a small matrix.
"""

import inspect
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files

import torch

import optimbook
from optimbook import lr_scheduler, swa_utils

SIZE, STEPS = 32, 20  # of the matrix that a rule is tried on, and how often


@dataclass(frozen=True)
class Paper:
    who: str
    year: int
    url: str


@dataclass(frozen=True)
class Parent:
    """What a node took from another: in both languages, and the paper that says so."""

    name: str
    zh: str
    en: str
    paper: Paper | None


@dataclass(frozen=True)
class Node:
    """An algorithm or a schedule. ``cls`` is None for one that the package has not."""

    name: str
    year: int
    paper: Paper | None
    lane: str
    idea: dict | None
    parents: tuple
    chapter: str | None
    cls: type | None
    options: dict = field(default_factory=dict)

    @property
    def news(self):
        """What is new about it: ``zh, en``."""
        first = self.parents[0] if self.parents else None
        return (first.zh, first.en) if first else (self.idea["zh"], self.idea["en"])

    @property
    def kind(self):
        """``optimizer``, ``scheduler`` or, where the package has it not, ``outside``."""
        if self.cls is None:
            return "outside"
        return "scheduler" if hasattr(self.cls, "get_last_lr") else "optimizer"

    @cached_property
    def traits(self):
        """What is true of it: names among those of `TRAITS`. Nothing is known of what the package has not."""
        if self.cls is None:
            return frozenset()
        found = _schedule_traits(self.cls) if self.kind == "scheduler" else _optimizer_traits(self.cls, self.options)
        return frozenset(found | ({"torch"} if _in_torch(self.cls) else {"only here"}))

    @cached_property
    def state_bytes(self):
        """Bytes of state per float32 parameter with the default options; None for what is no optimizer of the package."""
        return _state_bytes(self.cls, self.options) if self.kind == "optimizer" else None


TRAITS = {  # of optimizers, then of schedules
    "momentum": ("有动量", "momentum", "梯度为零时仍然前进", "moves on when the gradient is zero"),
    "adaptive": ("自适应", "adaptive", "一行梯度同乘一个数，步子不变", "a row's steps stay the same when its gradients are scaled"),
    "sign": ("只看符号", "signs only", "步长只取少数几个值", "steps of a handful of lengths"),
    "whole": ("看整个张量", "whole tensors", "一个元素的梯度影响别的元素", "one number's gradient changes the steps of others"),
    "decoupled": ("解耦衰减", "decoupled decay", "权重衰减不进入状态", "weight decay does not enter the state"),
    "sparse": ("稀疏梯度", "sparse gradients", "接受稀疏梯度", "takes sparse gradients"),
    "closure": ("需要闭包", "needs a closure", "step 要一个重算损失的函数", "its step needs a function that computes the loss"),
    "metric": ("看指标", "watches a metric", "step 要一个指标", "its step needs a metric"),
    "cycles momentum": ("也调动量", "moves momentum too", "同时改学习率和动量", "changes the momentum along with the rate"),
    "lr_at": ("任意步可查", "rate at any step", "有 lr_at", "has lr_at"),
}


@lru_cache
def nodes():
    """All nodes by name, parents before children where the data has them so."""
    data = read()
    papers = {key: Paper(**paper) for key, paper in data["papers"].items()}
    found = {}
    for entry in data["nodes"]:
        parents = tuple(Parent(p["name"], p["zh"], p["en"], papers.get(p.get("paper"))) for p in entry.get("from", ()))
        found[entry["name"]] = Node(
            entry["name"], entry["year"], papers.get(entry.get("paper")), entry["lane"], entry.get("idea"), parents, entry.get("chapter"),
            None if entry.get("outside") else _class(entry.get("class", entry["name"])), entry.get("options", {}),
        )  # fmt: skip
    return found


@lru_cache
def read():
    """The data as it is written, a dictionary of lanes, papers and nodes."""
    import yaml

    return yaml.safe_load(files(__package__).joinpath("genealogy.yml").read_text(encoding="utf8"))


def _class(name):
    return next(getattr(home, name) for home in (optimbook, lr_scheduler, swa_utils) if hasattr(home, name))


def _in_torch(cls):
    homes = (torch.optim, torch.optim.lr_scheduler, torch.optim.swa_utils)
    return any(hasattr(home, cls.__name__) for home in homes)


# ------------------------------------------------------------------------------------- schedules


def _schedule_traits(cls):
    metric = inspect.signature(cls.step).parameters.get("metrics")
    found = {"lr_at"} if hasattr(cls, "lr_at") else set()
    found |= {"metric"} if metric is not None and metric.default is inspect.Parameter.empty else set()
    return found | ({"cycles momentum"} if "momentum" in getattr(getattr(cls, "rule", None), "returns", ()) else set())


# ------------------------------------------------------------------------------------- optimizers

# What would blur the question that is asked: decay, several iterations in one step, a kernel to be built first.
QUIET = {"weight_decay": 0, "lambd": 0, "max_iter": 1, "fused": False, "foreach": False}


def _optimizer_traits(cls, options):
    if not issubclass(cls, torch.optim.Optimizer):  # an average of weights takes no steps
        return set()
    plain = torch.randn(STEPS, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nudged, stopped, even, scaled = plain.clone(), plain.clone(), plain.sign(), plain.sign()
    nudged[-1, 0, 0] *= 3
    stopped[-1] = 0
    scaled[:, 0] *= 16
    step, states = _walk(cls, options, plain)
    lengths = len(step.abs().round(decimals=12).unique())
    true = {
        "momentum": bool(_walk(cls, options, stopped)[0].any()),
        "adaptive": lengths > 2 and torch.allclose(*(_walk(cls, options, g)[0][0] for g in (scaled, even)), rtol=0.02, atol=0),
        "sign": lengths <= STEPS,
        "whole": not torch.allclose(_walk(cls, options, nudged)[0].flatten()[1:], step.flatten()[1:], rtol=1e-6, atol=0),
        "decoupled": _decoupled(cls, options, plain, states),
        "sparse": _takes(cls, options, _sparse(plain[0])),
        "closure": inspect.signature(cls.step).parameters["closure"].default is inspect.Parameter.empty,
    }
    return {name for name, value in true.items() if value}


def _decoupled(cls, options, gradients, states):
    """Whether a decay leaves the state, if there is one, as it is."""
    if "weight_decay" not in inspect.signature(cls).parameters or not states:
        return False
    decayed = _walk(cls, {**options, "weight_decay": 0.1}, gradients)[1]
    return all(map(torch.equal, states, decayed))


def _state_bytes(cls, options):
    if not issubclass(cls, torch.optim.Optimizer):  # an average of weights is a copy of them
        model = torch.nn.Linear(SIZE, SIZE, bias=False)
        return 4 * sum(p.numel() for p in cls(model).parameters()) / model.weight.numel()
    # Long enough to fill a history of 100 vectors on a bowl as uneven as this one.
    curvature = torch.logspace(0, 3, SIZE**2, dtype=torch.float64).view(SIZE, SIZE)
    states = _walk(cls, options, [lambda param: curvature * param] * 150)[1]
    return 4 * sum(state.numel() for state in states) / SIZE**2


def _walk(cls, options, gradients):
    """The last of some steps with these gradients, tensors or functions of the parameter, and the tensors of state after it."""
    param = torch.nn.Parameter(torch.ones(SIZE, SIZE, dtype=torch.float64))
    optimizer = _make(cls, param, options)
    sparse = not _takes(cls, options, torch.ones(SIZE, SIZE, dtype=torch.float64))
    for gradient in gradients:
        before = param.detach().clone()
        _step(optimizer, param, gradient, sparse)
    return (param - before).detach(), list(_tensors(list(optimizer.state[param].values())))


def _step(optimizer, param, gradient, sparse=False):
    def closure():
        found = gradient(param.detach()) if callable(gradient) else gradient.clone()
        param.grad = _sparse(found) if sparse else found
        return (param.detach() * found).sum()

    closure()
    optimizer.step(closure)


def _sparse(gradient):
    """The same in a sparse layout, zeros too."""
    return torch.sparse_coo_tensor(torch.arange(len(gradient))[None], gradient, check_invariants=False)


def _make(cls, param, options):
    quiet = {name: value for name, value in QUIET.items() if name in inspect.signature(cls).parameters}
    return cls([param], **{**quiet, **options})


def _takes(cls, options, gradient):
    """Whether a step takes a gradient of this layout."""
    param = torch.nn.Parameter(torch.ones(gradient.shape, dtype=torch.float64))
    try:
        _step(_make(cls, param, options), param, gradient)
    except RuntimeError:
        return False
    return True


def _tensors(values):
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif torch.is_tensor(value) and value.numel() > 1:
            yield value
