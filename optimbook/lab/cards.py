"""The algorithm card: what a class says of itself."""

import inspect

from ..language import Kind
from .display import both
from .tables import table

PATHS = ("fused CPU (C)", "fused CUDA (Triton)")


def card(cls, ranges=None, **options):
    """The card of an optimizer or scheduler: paper, state, hyperparameters, torch counterpart, fast paths.

    Args:
        ranges: sensible ranges by argument, ``{"lr": "1e-4 … 1e-2"}``, in words by `both`; arguments without one are left out.
        options: arguments that decide which states there are, where they are not the defaults: ``momentum=0.9``.
    """
    ranges = ranges or {}
    defaults = _defaults(cls)
    rows = [
        *_paper(cls),
        *_states(cls, {**defaults, **options}),
        *[(f"<code>{name}</code>", _argument(defaults[name], ranges[name])) for name in defaults if name in ranges],
        (both("PyTorch 中的对应", "Counterpart in PyTorch"), f"<code>{_counterpart(cls)}</code>"),
        *_paths(cls, {**defaults, **options}),
    ]
    home = "optimbook." if cls.__module__.startswith("optimbook.") else ""  # a reader's own class lives elsewhere
    return table((f"<code>{home}{_public(cls)}</code>", ""), rows)


def _paper(cls):
    """`cls.paper` is a dictionary: title, authors, year, url (the page itself links to it)."""
    paper = getattr(cls, "paper", None)
    return [(both("论文", "Paper"), "{authors}, <i>{title}</i>, {year}".format(**paper))] if paper else []


def _defaults(cls):
    parameters = inspect.signature(cls.__init__).parameters.values()
    skipped = ("self", "params", "optimizer", "last_epoch")
    return {p.name: p.default for p in parameters if p.name not in skipped and p.kind == p.POSITIONAL_OR_KEYWORD}


def _argument(default, likely):
    value = f"<code>{default}</code>"
    words = ("常用", "usual") if default is inspect.Parameter.empty else (f"默认 {value}；常用", f"default {value}; usual")
    return both(f"{words[0]} {getattr(likely, 'zh', likely)}", f"{words[1]} {getattr(likely, 'en', likely)}")


def _states(cls, defaults):
    """Numbers and bytes of state; a schedule has none."""
    if _schedules(cls):
        return []
    program = cls.rule.program(**_flags(cls.rule, defaults))
    tensors = [name for name in program.states if program.variables[name] == Kind.TENSOR]
    numbers = [name for name in program.states if program.variables[name] == Kind.NUMBER]
    count = len(tensors)
    names = ", ".join(f"<code>{name}</code>" for name in tensors) or "–"
    rows = [(
        both("每个参数的状态", "State per parameter"),
        both(
            f"{count} 个数（{names}）；float32 占 {4 * count} 字节",
            f"{count} number{'s' * (count != 1)} ({names}); {4 * count} bytes in float32",
        ),
    )]  # fmt: skip
    if numbers:
        one = ", ".join(f"<code>{name}</code>" for name in numbers)
        rows.append((both("每个张量的状态", "State per tensor"), one))
    return rows


def _flags(rule, defaults):
    return {name: defaults[name] for name in rule.flags if name in defaults}


def _schedules(cls):
    """Whether it is a scheduler; one that is made of schedulers has no rule of its own."""
    return not hasattr(cls, "rule") or "param" not in cls.rule.variables


def _public(cls):
    return f"lr_scheduler.{cls.__name__}" if _schedules(cls) else cls.__name__


def _counterpart(cls):
    import torch

    name = f"torch.optim.{_public(cls)}"
    home = torch.optim.lr_scheduler if "." in _public(cls) else torch.optim
    return name if hasattr(home, cls.__name__) else "–"


def _paths(cls, defaults):
    if _schedules(cls):
        return []
    fused = PATHS if cls.rule.lowered(**_flags(cls.rule, defaults)).fusable else ()
    return [(both("执行路径", "Paths"), ", ".join(["loop", "foreach", *fused]))]
