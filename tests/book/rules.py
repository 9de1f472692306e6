"""The rules that equations are compared with, and what each prints under every choice of its flags."""

import ast
import importlib
import itertools
import linecache
import pkgutil
import sys
from functools import lru_cache

from . import tex
from .cells import parsed


# Rules that wait for their chapters: some symbols tex.py cannot read yet, some mean other things elsewhere.
UNREAD = {"adafactor", "adamax", "asgd", "cubic_minimiser", "curvature_scale", "first_length", "lion", "muon", "nadam", "radam", "rprop",
          "sparse_adam", "yogi"}  # fmt: skip


@lru_cache
def package_rules():
    """The package's rules by name, as far as chapters speak of them."""
    from optimbook import Rule

    found = {}
    for package in ("optimbook.optim", "optimbook.lr_scheduler"):
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
            members = vars(importlib.import_module(info.name)).values()
            found |= {member.name: member for member in members if isinstance(member, Rule) and member.name not in UNREAD}
    return found


def known_rules(chapter):
    """The package's rules, and those that the chapter's own cells define."""
    own = {}
    for cell in chapter.code:
        for node in parsed(cell.source).body:
            if isinstance(node, ast.FunctionDef) and any(map(is_rule, node.decorator_list)):
                own[node.name] = from_source(ast.unparse(node))
    return package_rules() | own


def is_rule(decorator):
    """Whether it is @rule, @rule(...) or @optimbook.rule."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(called, "id", getattr(called, "attr", None)) == "rule"


def own_rule(chapter, rules):
    """The rule that a chapter is named after: adam's, and cosine_annealing's in cosine_annealing_lr."""
    return rules.get(chapter.name) or rules.get(chapter.name.removesuffix("_lr"))


def from_source(source):
    """The rule that a piece of source defines, as a notebook's cell would define it."""
    import optimbook

    file = f"<rule {hash(source)}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    namespace = vars(optimbook) | {"optimbook": optimbook}
    before = set(namespace)
    exec(compile(source, file, "exec"), namespace)
    (name,) = set(namespace) - before - {"__builtins__"}
    return namespace[name]


def is_schedule(rule):
    return "lr" in returned(rule)


def flag_names(rule):
    return (*rule.flags, *(("maximize",) if "grad" in rule.variables else ()))


def choices(rule):
    """Every choice of flags, those with fewer on first, `maximize` last among equals."""
    names = flag_names(rule)
    found = [dict(zip(names, on)) for on in itertools.product((False, True), repeat=len(names))]
    return sorted(found, key=lambda flags: (sum(flags.values()), list(flags.values())[::-1]))


def printed(rule, flags):
    """Triples (variable, left, right) that the rule prints with these flags."""
    return _printed(rule, tuple(flags.items()))


@lru_cache(maxsize=None)
def _printed(rule, pairs):
    equations = rule.equations(**dict(pairs))
    return [(equation.name, tex.symbol(equation.lhs), equation.rhs) for equation in equations]


@lru_cache(maxsize=None)
def ways(rule):
    """{left: all that the rule says of it under some choice of flags}."""
    found = {}
    for flags in choices(rule):
        for _, left, right in printed(rule, flags):
            found.setdefault(left, set()).add(right)
    return found


@lru_cache(maxsize=None)
def returned(rule):
    """What the rule returns, in order: the names after its `return`."""
    values = ast.parse(rule.source).body[0].body[-1].value
    return [value.id for value in (values.elts if isinstance(values, ast.Tuple) else [values])]
