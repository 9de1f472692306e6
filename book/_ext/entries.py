"""What an entry of the API reference shows beside its docstring, as plain functions of a public object."""

import inspect
import re
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "book" / "reference" / "entries.yml"
NOT_CALLED = {"Rule", "RuleError", "Optimizer", "Scheduled", "LRScheduler", "Table"}  # a reader makes these by other means
FLOAT32 = 4  # bytes
BASE = "optimbook.engine.optimizer.Optimizer"


@cache
def words():
    """``{name: {"zh": one sentence, "en": the docstring of what has none, "chapters": [...]}}``."""
    return yaml.safe_load(WORDS.read_text(encoding="utf8"))


# ------------------------------------------------------------------------------------------- signatures


def signature(obj, is_method=False):
    """The arguments as a reader writes them: no types, since the text says more, and short defaults."""
    if getattr(obj, "__name__", "") in NOT_CALLED:
        return ""
    found = inspect.signature(obj)
    parameters = [_plain(p) for p in list(found.parameters.values())[is_method:]]
    return str(inspect.Signature(parameters))


class _Text(str):
    __repr__ = str.__str__


def _plain(parameter):
    given = parameter.default is not inspect.Parameter.empty
    return parameter.replace(annotation=inspect.Parameter.empty, **({"default": _Text(default(parameter.default))} if given else {}))


def default(value):
    """A default as one would type it: ``1e-8``, ``1 / 3``."""
    if isinstance(value, tuple):
        return f"({', '.join(map(default, value))}{',' * (len(value) == 1)})"
    if not isinstance(value, float):
        return repr(value)
    part = Fraction(value).limit_denominator(9)
    if len(repr(value)) > 12 and float(part) == value:
        return f"{part.numerator} / {part.denominator}"
    return re.sub(r"e([+-])0", r"e\1", repr(value)).replace("e+", "e")


# ------------------------------------------------------------------------------------------- rules


def rule_of(obj):
    """The rule that a class or a name stands for, or None."""
    from optimbook import Rule

    found = obj if isinstance(obj, Rule) else getattr(obj, "rule", None)
    return found if isinstance(found, Rule) else None


def flags(cls):
    """The flags with which an update is printed, and those among them that have another value by default.

    What switches a term by a number (a momentum, a weight decay) is on; what is yes or no is as in the class; a
    parameter is a matrix.
    """
    rule = rule_of(cls)
    own = inspect.signature(cls.__init__).parameters if inspect.isclass(cls) else {}
    values, raised = {}, []
    for name in rule.flags:
        value = own[name].default if name in own else rule.defaults.get(name)
        if name in rule.by_shape:
            value = True
        elif value == 0 and not isinstance(value, bool):
            value = 1
            raised.append(name)
        values[name] = value
    return values, raised


def states(cls):
    """The states of an optimizer: ``(name, kind, when)``; when is the flag that it hangs on, ``"not "`` before it, or None."""
    rule = rule_of(cls)
    if rule is None or "param" not in rule.variables:
        return []
    usual, found = _defaults(cls), {}
    for flag in (None, *rule.flags):
        on, off = (_kinds(rule, {**usual, flag: value} if flag else usual) for value in (True, False))
        for name in {**on, **off}:
            hangs = flag if name not in off else f"not {flag}" if name not in on else None
            found[name] = {**on, **off}[name], hangs or found.get(name, (0, None))[1]
    return [(name, *found[name]) for name in rule.states]


def _defaults(cls):
    rule, own = rule_of(cls), inspect.signature(cls.__init__).parameters
    return {n: own[n].default if n in own else rule.defaults.get(n, False) for n in rule.flags}


def _kinds(rule, flags):
    program = rule.program(**flags)
    return {name: program.variables[name].name.lower() for name in program.states}


def size(kind):
    """The size of a float32 state, in both languages."""
    if kind == "number":
        return "每个张量一个数 · one number per tensor"
    shares = {"tensor": "{0}", "row": "{0} / 列数 · {0} / columns", "column": "{0} / 行数 · {0} / rows"}
    return shares[kind].format(FLOAT32)


def when(cls, flag):
    """When a state exists, in both languages."""
    known = {None: "总有 · always", "matrix": "两维及以上的参数 · parameters of two dimensions or more",
             "not matrix": "不足两维的参数 · parameters of fewer dimensions"}  # fmt: skip
    return known.get(flag) or (f"`{flag}`" if isinstance(_defaults(cls)[flag], bool) else f"`{flag}` ≠ 0")


# ------------------------------------------------------------------------------------------- docstrings


def arguments(doc):
    """The names that a docstring's ``Args`` describe."""
    found = re.search(r"^Args:\n((?:(?: .*)?(?:\n|$))*)", inspect.cleandoc(doc or ""), re.MULTILINE)
    names = re.findall(r"^ {4}([*\w][*\w, ]*):", found[1] if found else "", re.MULTILINE)
    return [name.strip(" *") for line in names for name in line.split(",")]


def shared_arguments(cls):
    """The arguments of an optimizer that are described once for all of them."""
    from optimbook.engine.optimizer import Optimizer

    if not issubclass(cls, Optimizer) or cls is Optimizer:
        return []
    own = arguments(cls.__doc__)
    return [name for name in inspect.signature(cls).parameters if name in arguments(Optimizer.__doc__) and name not in own]


def file_of(obj):
    """The file in which an object is defined, from the repository's root; None for what is not the package's."""
    module = sys.modules.get(getattr(obj, "__module__", None))
    path = Path(getattr(module, "__file__", None) or "/").resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT / "optimbook") else None
