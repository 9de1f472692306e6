"""A program with norms and means, as passes over its elements: each but the last sums something up, the last updates.

What a pass needs is worked out again from the same old values, so that nothing is written
before the last one, and no memory is needed but for the sums.
"""

from dataclasses import dataclass, replace
from functools import cache

from ..language import Kind
from .lower import Apply, Choose, Leaf, Lowered, Sum, Term, leaves

SUMMED = ("norm", "mean")


@dataclass(frozen=True)
class Reduction:
    """One sum over all elements, and the number that it comes to.

    Attributes:
        target: the number's name.
        function: ``norm``, the root of the sum of squares, or ``mean``.
        value: what is summed, or squared and summed.
    """

    target: str
    function: str
    value: object


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass.

    Attributes:
        lowered: the program with the pass's own body, in which ``reductions`` of earlier passes are leaves.
        reductions: what this pass sums; empty for the last.
    """

    lowered: Lowered
    reductions: tuple


@dataclass(frozen=True, eq=False)
class Passes:
    """All of a program's passes, the updating one last, and all reductions in the order of their sums."""

    passes: tuple
    reductions: tuple


@cache
def passes(lowered):
    """A `Lowered` program's `Passes`."""
    cut = _Cut(lowered)
    body = [(target, cut(node)) for target, node in lowered.body]
    kinds = {**lowered.kinds, **dict.fromkeys(cut.targets(), Kind.REDUCED)}
    after = _when_ready(body, cut.found.values())
    out = []
    for number in range(max([after[r.target] for r in cut.found.values()], default=0)):
        mine = tuple(r for r in cut.found.values() if after[r.target] == number + 1)
        needed = _needed(body, [r.value for r in mine])
        out.append(Pass(replace(lowered, body=tuple(needed), kinds=kinds), mine))
    out.append(Pass(replace(lowered, body=tuple(body), kinds=kinds), ()))
    return Passes(tuple(out), tuple(r for p in out for r in p.reductions))


def names(lowered):
    """What a program's passes are called, in the order in which they run."""
    sums = [f"{lowered.program.name}_sum{i}" for i in range(len(passes(lowered).passes) - 1)]
    return [*sums, f"{lowered.program.name}_step"]


class _Cut:
    """Replaces every norm and mean by a leaf, and remembers it."""

    def __init__(self, lowered):
        self.lowered, self.found = lowered, {}

    def targets(self):
        return [r.target for r in self.found.values()]

    def __call__(self, node):
        if isinstance(node, Leaf):
            return node
        if isinstance(node, Sum):
            return Sum(tuple(Term(t.coefficient, tuple(map(self, t.factors)), tuple(map(self, t.divisors))) for t in node.terms))
        if isinstance(node, Choose):
            return Choose(node.condition, self(node.a), self(node.b))
        inner = tuple(map(self, node.arguments))
        if node.function not in SUMMED:
            return Apply(node.function, inner)
        key = node.function, *inner
        if key not in self.found:
            self.found[key] = Reduction(f"{node.function}{len(self.found)}_", *key)
        return Leaf(self.found[key].target)


def _when_ready(body, reductions):
    """Per target, after how many passes it can be worked out."""
    reductions, values, known = {r.target: r for r in reductions}, dict(body), {}

    def ready(target):
        if target not in known:
            if target in reductions:
                known[target] = 1 + latest(reductions[target].value)
            else:
                known[target] = latest(values[target]) if target in values else 0
        return known[target]

    def latest(node):
        return max(map(ready, leaves(node)), default=0)

    for target in (*values, *reductions):
        ready(target)
    return known


def _needed(body, values):
    """The part of a body that some expressions are made of."""
    wanted = {target for value in values for target in leaves(value)}
    kept = []
    for target, node in reversed(body):
        if target in wanted:
            kept.insert(0, (target, node))
            wanted.update(leaves(node))
    return kept
