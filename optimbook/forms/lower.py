"""From a program to what a machine should do per element: everything else is *hoisted*.

Two rewrites, both exact in the reals:

- an expression that no tensor enters becomes a *coefficient*: worked out once per step
  and parameter group in float64, and handed over as a number. A division by a number
  becomes a multiplication by its hoisted reciprocal;
- a tensor expression becomes a sum of terms ``coefficient * factors / divisors``, and a
  value that is used once is put where it is used, so that
  ``lr * (exp_avg / (1 - beta1**step))`` is one multiplication by one number.
"""

import ast
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from .. import functions
from ..language import LEFT, Kind, copied, kind_of, split, union


class Unsupported(Exception):
    """What a form cannot print; the engine takes another."""


_MATH = {name: getattr(functions, name) for name in (*functions.FUNCTIONS, *functions.CONSTANTS)}


@dataclass(frozen=True)
class Leaf:
    """A tensor: one version of a variable, or a local."""

    target: str


@dataclass(frozen=True)
class Term:
    """``coefficient * product(factors) / product(divisors)``; the coefficient is Python source over numbers."""

    coefficient: str
    factors: tuple = ()
    divisors: tuple = ()


@dataclass(frozen=True)
class Sum:
    terms: tuple


@dataclass(frozen=True)
class Apply:
    """A function of tensors, among them ``square``, ``pow`` and the comparisons ``< <= > >= == !=``."""

    function: str
    arguments: tuple


@dataclass(frozen=True)
class Choose:
    """``a if condition else b``, where the condition is a coefficient."""

    condition: str
    a: object
    b: object


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program, hoisted.

    Attributes:
        program: where it comes from.
        body: ``(target, expression)`` per tensor that must be made, in order.
        coefficients: Python sources of the hoisted numbers, each once.
        kinds: the kind of every target in the body.
    """

    program: object
    body: tuple
    coefficients: tuple
    guards: dict
    kinds: dict

    @cached_property
    def numbers_source(self):
        """Python source of ``numbers(<number variables>, <hyperparameters>) -> (new number states, coefficients)``."""
        program = self.program
        arguments = [*program.numbers, *program.hyperparameters]
        lines = [f"def numbers({', '.join(arguments)}):"]
        lines += [
            f"    {identifier(a.target)} = {source(a.value)}" for a in program.assignments if a.kind == Kind.NUMBER
        ]
        kept = [identifier(f"{n}@{program.last(n)}") for n in program.numbers]
        values = [f"({c} if {self.guards[c]} else 0.0)" if c in self.guards else c for c in self.coefficients]
        lines.append(f"    return ({''.join(k + ', ' for k in kept)}), ({''.join(v + ', ' for v in values)})")
        return "\n".join(lines) + "\n"

    @cached_property
    def numbers(self):
        scope = {**_MATH, "__name__": f"optimbook.numbers.{self.program.name}"}
        exec(compile(self.numbers_source, f"<numbers of {self.program.name}>", "exec"), scope)
        return scope["numbers"]

    def kind(self, node):
        """See `optimbook.language.Kind`."""
        if isinstance(node, Leaf):
            return self.kinds[node.target]
        inner = union(map(self.kind, children(node)))
        return Kind(inner & LEFT[node.function]) if isinstance(node, Apply) and node.function in LEFT else inner

    @cached_property
    def applied(self):
        """The names of all functions that the body applies."""
        return {n.function for _, e in self.body for n in walk(e) if isinstance(n, Apply)}

    @property
    def fusable(self):
        """Whether C and Triton have a form of it: a norm or a mean they can take, of a whole parameter."""
        return not self.applied & {"row_mean", "column_mean", *self.program.functions}

    @property
    def has_reductions(self):
        """Whether an element's update depends on other elements."""
        return bool(self.applied & {*LEFT, *self.program.functions})


def lower(program):
    """Hoists the numbers out of a program and gathers the rest into sums of terms."""
    kinds = {f"{n}@0": k for n, k in program.variables.items()} | {a.target: a.kind for a in program.assignments}
    normal = _Normal(kinds)
    body = [(a.target, normal(a.value)) for a in program.assignments if a.kind != Kind.NUMBER]
    final = {f"{n}@{program.last(n)}" for n in program.outputs}
    body = _inline(body, final)
    coefficients, guards = _coefficients(body)
    return Lowered(program, tuple(body), coefficients, guards, kinds)


# ------------------------------------------------------------------------------------- walking


def children(node):
    if isinstance(node, Sum):
        return [x for t in node.terms for x in (*t.factors, *t.divisors)]
    if isinstance(node, Apply):
        return list(node.arguments)
    if isinstance(node, Choose):
        return [node.a, node.b]
    return []


def walk(node):
    yield node
    for child in children(node):
        yield from walk(child)


def leaves(node):
    return [n.target for n in walk(node) if isinstance(n, Leaf)]


def identifier(target):
    """A name for a version that every printed language accepts: ``exp_avg``, then ``exp_avg_1``."""
    name, version = split(target)
    return f"{name}_{version}" if version else name


# ------------------------------------------------------------------------------------- coefficients


def source(node):
    """Python source of an expression over numbers."""
    node = copied(node)
    for name in ast.walk(node):
        if isinstance(name, ast.Name):
            name.id = identifier(name.id)
    return ast.unparse(node)


def literal(coefficient):
    """The value of a coefficient that is a plain number in the source, else None."""
    try:
        return float(ast.literal_eval(coefficient))
    except (ValueError, SyntaxError):
        return None


def _times(a, b):
    if literal(a) == 1:
        return b
    if literal(b) == 1:
        return a
    return _tidy(f"({a}) * ({b})")


def _over(a, b):
    return a if literal(b) == 1 else _tidy(f"({a}) / ({b})")


def _plus(a, b):
    if b.startswith("-"):
        return _tidy(f"({a}) - ({_negative(b)})")
    return _tidy(f"({a}) + ({b})")


def _negative(a):
    value = literal(a)
    if value is not None:
        return repr(-value)
    tree = ast.parse(a, mode="eval").body
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return ast.unparse(tree.operand)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, (ast.Mult, ast.Div)):
        return _tidy(f"({_negative(ast.unparse(tree.left))}) {'*' if isinstance(tree.op, ast.Mult) else '/'} ({ast.unparse(tree.right)})")
    return _tidy(f"-({a})")


def _partial(coefficient):
    """Whether a coefficient may fail for some numbers, as a division or a root may."""
    return any(isinstance(n, (ast.Div, ast.Pow, ast.Mod, ast.Call)) for n in ast.walk(ast.parse(coefficient)))


def _tidy(text):
    return ast.unparse(ast.parse(text, mode="eval"))


def average(node):
    """``(old, weight, new)`` of ``(1 - weight) * old + weight * new`` where old is a leaf, else None.

    Printed as ``old + weight * (new - old)``, as torch's lerp, it treats infinities as torch does.
    """
    if not isinstance(node, Sum) or len(node.terms) != 2 or any(len(t.factors) != 1 or t.divisors for t in node.terms):
        return None
    old, new = node.terms
    fits = isinstance(old.factors[0], Leaf) and complementary(old.coefficient, new.coefficient)
    return (old.factors[0], new.coefficient, new.factors[0]) if fits else None


def complementary(a, b):
    """Whether two coefficients add to one, as in an average ``beta * old + (1 - beta) * new``."""
    return b == _tidy(f"1 - ({a})") or a == _tidy(f"1 - ({b})")


# ------------------------------------------------------------------------------------- to sums of terms


def _single(node):
    """A node as one term."""
    return node.terms[0] if isinstance(node, Sum) and len(node.terms) == 1 else Term("1", (node,))


def _terms(node):
    return node.terms if isinstance(node, Sum) else (Term("1", (node,)),)


def number(node):
    """The coefficient of a node that is a number alone, else None."""
    if isinstance(node, Sum) and len(node.terms) == 1 and not node.terms[0].factors and not node.terms[0].divisors:
        return node.terms[0].coefficient
    return None


def _sum(terms):
    """A sum with like terms gathered: ``param - lr * weight_decay * param`` is one product."""
    gathered = {}
    for term in terms:
        key = (term.factors, term.divisors)
        old = gathered.get(key)
        gathered[key] = term.coefficient if old is None else _plus(old, term.coefficient)
    terms = tuple(Term(c, *key) for key, c in gathered.items())
    if len(terms) == 1 and literal(terms[0].coefficient) == 1 and len(terms[0].factors) == 1 and not terms[0].divisors:
        return terms[0].factors[0]
    return Sum(terms)


def _product(a, b):
    a, b = _single(a), _single(b)
    return _sum([Term(_times(a.coefficient, b.coefficient), a.factors + b.factors, a.divisors + b.divisors)])


def _quotient(a, b):
    a, b = _single(a), _single(b)
    coefficient = _times(a.coefficient, _over("1", b.coefficient))
    return _sum([Term(coefficient, a.factors + b.divisors, a.divisors + b.factors)])


class _Normal:
    """An expression of a program as a sum of terms."""

    COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}

    def __init__(self, kinds):
        self.kinds = kinds

    def __call__(self, node):
        if kind_of(node, self.kinds, None) == Kind.NUMBER:
            return Sum((Term(source(node)),))
        return getattr(self, type(node).__name__)(node)

    def Name(self, node):
        return Leaf(node.id)

    def UnaryOp(self, node):
        inner = self(node.operand)
        if isinstance(node.op, ast.UAdd):
            return inner
        return Sum(tuple(Term(_negative(t.coefficient), t.factors, t.divisors) for t in _terms(inner)))

    def BinOp(self, node):
        a, b = self(node.left), self(node.right)
        if isinstance(node.op, ast.Add):
            return _sum(_terms(a) + _terms(b))
        if isinstance(node.op, ast.Sub):
            return _sum(_terms(a) + _terms(self.UnaryOp(ast.UnaryOp(ast.USub(), node.right))))
        if isinstance(node.op, ast.Mult):
            return _product(a, b)
        if isinstance(node.op, ast.Div):
            return _quotient(a, b)
        return self.power(a, b)

    def power(self, base, exponent):
        value = literal(number(exponent)) if number(exponent) else None
        if value == 2:
            return _product(base, base) if isinstance(base, Leaf) else Apply("square", (base,))
        if value == 0.5:
            return Apply("sqrt", (base,))
        return Apply("pow", (base, exponent))

    def Call(self, node):
        if node.func.id == "where" and kind_of(node.args[0], self.kinds, None) == Kind.NUMBER:
            return Choose(source(node.args[0]), self(node.args[1]), self(node.args[2]))
        return Apply(node.func.id, tuple(map(self, node.args)))

    def Compare(self, node):
        return Apply(self.COMPARISONS[type(node.ops[0])], (self(node.left), self(node.comparators[0])))

    def IfExp(self, node):
        return Choose(source(node.test), self(node.body), self(node.orelse))


# ------------------------------------------------------------------------------------- inlining and collecting


def _inline(body, final):
    """Drops what nobody reads, and puts what is read once where it is read."""
    while True:
        uses = Counter(target for _, node in body for target in leaves(node))
        kept = [(t, n) for t, n in body if uses[t] or t in final]
        once = next(((t, n) for t, n in kept if t not in final and (uses[t] == 1 or isinstance(n, Leaf))), None)
        if once is None:
            return kept
        body = [(t, _replace(n, *once)) for t, n in kept if t != once[0]]


def _replace(node, target, value):
    """``node`` with the leaf ``target`` replaced, gathered into terms again."""
    if isinstance(node, Leaf):
        return value if node.target == target else node
    if target not in leaves(node):
        return node
    again = lambda child: _replace(child, target, value)  # noqa: E731
    if isinstance(node, Apply):
        return Apply(node.function, tuple(map(again, node.arguments)))
    if isinstance(node, Choose):
        return Choose(node.condition, again(node.a), again(node.b))
    terms = []
    for term in node.terms:
        whole = Sum((Term(term.coefficient),))
        for factor in map(again, term.factors):
            whole = _product(whole, factor)
        for divisor in map(again, term.divisors):
            whole = _quotient(whole, divisor)
        terms += _terms(whole)
    return _sum(terms)


def _coefficients(body):
    """Every coefficient once, and the condition under which alone it may be worked out (`a if c else b` is lazy)."""
    found, guards = {}, {}

    def note(coefficient, guard):
        if literal(coefficient) is not None:
            return
        guards[coefficient] = guard if coefficient not in found or guards.get(coefficient) == guard else None
        found[coefficient] = None

    def visit(node, guard):
        if isinstance(node, Sum):
            for term in node.terms:
                note(term.coefficient, guard)
        if isinstance(node, Choose):
            note(node.condition, guard)
            both = lambda c: c if guard is None else f"({guard}) and ({c})"  # noqa: E731
            visit(node.a, both(f"({node.condition})"))
            visit(node.b, both(f"not ({node.condition})"))
            return
        for child in children(node):
            visit(child, guard)

    for _, node in body:
        visit(node, None)
    return tuple(found), {c: g for c, g in guards.items() if g is not None and _partial(c)}

