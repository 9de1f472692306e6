"""The rule language: how a plain Python function is read, checked, and turned into a program.

A *definition* is the function's syntax tree with the roles of its names. A *program* is
the definition with every flag decided: a straight list of assignments in single-assignment
form, which each form in `optimbook.forms` prints in its own notation.
"""

import ast
import inspect
import itertools
import re
import textwrap
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from . import functions


class RuleError(SyntaxError):
    """A function that is not a rule; the message names the file and the line."""


class Kind(IntEnum):
    """What an expression varies over, as bits: what is made of two kinds varies over both (`union`)."""

    NUMBER = 0b0000  # one number per parameter and step, worked out in float64 before the tensors are touched
    REDUCED = 0b0001  # one number per parameter that needs its tensors (a norm, a mean)
    MATRIX = 0b0011  # one number per matrix of a stack
    ROW = 0b0111  # one number per row of a matrix
    COLUMN = 0b1011  # one number per column
    TENSOR = 0b1111  # one number per element


_KINDS = {int(kind): kind for kind in Kind}


def union(kinds):
    """The kind of what is made of these."""
    bits = 0
    for kind in kinds:
        bits |= kind
    return _KINDS[bits]


@dataclass(frozen=True)
class Assignment:
    """``name`` gets its version number ``version``; names inside ``value`` carry theirs as ``name@version``."""

    name: str
    version: int
    value: ast.expr
    kind: Kind

    @property
    def target(self):
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, eq=False)
class Program:
    """A rule with every flag decided.

    Attributes:
        name: the rule's name.
        assignments: in the author's order.
        variables: the kind of each positional argument that the program reads or writes.
        outputs: what the rule returns, in order, without the states that no taken branch assigns.
        hyperparameters: the keyword arguments that the program reads.
        functions: what it calls of `functions.Whole`, by name.
    """

    name: str
    assignments: tuple
    variables: dict
    outputs: tuple
    hyperparameters: tuple
    functions: dict = field(default_factory=dict)

    def last(self, name):
        """The version of ``name`` that the rule returns."""
        return max((a.version for a in self.assignments if a.name == name), default=0)

    @cached_property
    def tensors(self):
        """The variables that vary within a parameter; all but rows and columns have its shape."""
        return tuple(n for n, kind in self.variables.items() if kind > Kind.REDUCED)

    @cached_property
    def numbers(self):
        return tuple(n for n, kind in self.variables.items() if kind == Kind.NUMBER)

    @cached_property
    def states(self):
        """The variables, other than the parameter, that live on from step to step."""
        kept = set(self.outputs) - {"param"}
        return tuple(n for n in self.variables if n in kept or n == "step")


def split(target):
    """``"exp_avg@1"`` to ``("exp_avg", 1)``; a hyperparameter has no version."""
    name, _, version = target.partition("@")
    return name, int(version) if version else None


class Definition:
    """The syntax tree of a rule, checked."""

    def __init__(self, function):
        self.function = function
        self.name = function.__name__
        self.source, self.file, self.line = _source(function)
        self.tree = _parse(self)
        arguments = self.tree.args
        self.variables = tuple(a.arg for a in arguments.posonlyargs + arguments.args)
        keywords = tuple(a.arg for a in arguments.kwonlyargs)
        self.hyperparameters = tuple(n for n in keywords if n not in SHAPE)
        self.shape = tuple(n for n in keywords if n in SHAPE)
        self.functions = _whole_functions(function)
        signature = inspect.signature(function).parameters
        self.defaults = {n: p.default for n, p in signature.items() if p.default is not p.empty}
        self.returns = _returns(self)
        self.conditions = _conditions(self)
        self.tests = [compile(ast.Expression(c), self.file, "eval") for c in self.conditions]
        together = ast.Expression(ast.Tuple(list(self.conditions), ast.Load()))
        self.together = compile(ast.fix_missing_locations(together), self.file, "eval")  # all in one go: a step may ask for many groups
        self.states = tuple(n for n in self.variables if n in self.returns or n == "step")
        _Checker(self).check()
        if "first" in self.variables and not any(n != "param" for n in self.states):
            raise self.error("`first` needs a state to tell by: a rule without one remembers nothing")
        # Every way through the function must make sense, so each is walked once when the rule is defined.
        self.flags = tuple(dict.fromkeys(n.id for c in self.conditions for n in ast.walk(c) if isinstance(n, ast.Name)))
        for choice in itertools.product((False, True), repeat=len(self.conditions)):
            self.program(choice)

    def error(self, message, node=None):
        # A decorator's line is the function's first line, so line numbers count from there.
        line = self.line + (node.lineno - 1 if node is not None and hasattr(node, "lineno") else 0)
        error = RuleError(f"rule {self.name!r}: {message}")
        error.filename, error.lineno = self.file, line
        if node is not None and hasattr(node, "lineno"):
            error.text = self.source.splitlines()[node.lineno - 1]
        return error

    def decide(self, values):
        """Which ``if`` conditions hold, for these hyperparameters; a flag not given counts as off (0 or False).

        A flag that is None leaves its conditions undecided (None).
        """
        scope = {name: values.get(name, 0) for name in self.flags}
        open_ = [name for name, value in scope.items() if value is None]
        if not open_:
            return tuple(map(bool, eval(self.together, {}, scope)))
        return tuple(None if set(open_).intersection(test.co_names) else bool(eval(test, {}, scope)) for test in self.tests)

    def program(self, choice, *, maximize=False, clipped=False, name=None):
        """The program for one truth value per condition (`decide`); first ``grad = -grad``, ``grad = clip_ * grad`` if asked for."""
        held = dict(zip(map(ast.unparse, self.conditions), choice))
        statements = list(_flatten(self.tree.body, held))
        if maximize:
            statements.insert(0, ast.parse("grad = -grad").body[0])
        if clipped:
            statements.insert(0, ast.parse(f"grad = {CLIP} * grad").body[0])
        return _single_assignment(self, statements, name or self.name)


# ---------------------------------------------------------------------------------------------- reading

_NAMED = ("param", "grad")  # always tensors; every other name's kind follows from what it is made of
ENGINE = ("step", "first", "rows", "columns", "precision")  # numbers that the engine provides
CLIP = "clip_"  # the hyperparameter that a clipped program multiplies its gradient with
SHAPE = ("matrix",)  # flags that follow from a parameter's shape: whether it has two dimensions or more
RESERVED = frozenset(  # words that a printed form could not use as names
    """auto bool break case char const continue default do double else enum extern false float for goto if inline int long
    main register restrict return short signed sizeof static struct switch true typedef union unsigned void volatile while
    fabs fabsf sqrtf pow powf torch triton tl arguments async await catch class debugger delete eval export extends finally
    function import implements in instanceof interface let new null package private protected public super this throw try
    typeof undefined var with yield Math NaN Infinity numbers""".split()
)


def _source(function):
    try:
        lines, line = inspect.getsourcelines(function)
    except (OSError, TypeError):
        error = RuleError(f"rule {function.__name__!r}: its source cannot be read; define it in a file or a notebook cell")
        error.filename = function.__code__.co_filename
        raise error from None
    return textwrap.dedent("".join(lines)), inspect.getsourcefile(function) or "<unknown>", line


def _parse(definition):
    body = ast.parse(definition.source).body
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise definition.error("a rule is one plain function, written with def")
    tree = body[0]
    if tree.args.vararg or tree.args.kwarg:
        raise definition.error("a rule names all its arguments: no *args, no **kwargs", tree)
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return tree


def _returns(definition):
    last = definition.tree.body[-1] if definition.tree.body else None
    if not isinstance(last, ast.Return) or last.value is None:
        raise definition.error("a rule ends with one return, of the names it updates", last)
    values = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
    for value in values:
        if not isinstance(value, ast.Name):
            raise definition.error("a rule returns names, not expressions", value)
    return tuple(value.id for value in values)


def _whole_functions(function):
    """The functions of whole tensors that a rule can see, by the names it has for them."""
    scope = inspect.getclosurevars(function)
    return {n: f for n, f in {**scope.globals, **scope.nonlocals}.items() if isinstance(f, functions.Whole)}


def _conditions(definition):
    """The tests of all ``if`` statements, each once."""

    def tests(body):
        for statement in body:
            if isinstance(statement, ast.If):
                yield statement.test
                yield from tests(statement.body + statement.orelse)

    return tuple({ast.unparse(test): test for test in tests(definition.tree.body)}.values())


class _Checker(ast.NodeVisitor):
    """Lets through what the language has; everything else is an error that names the line."""

    NODES = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Call, ast.Name, ast.Constant)
    OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or,
                 ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)  # fmt: skip
    ARITY = {"where": 3, "maximum": 2, "minimum": 2}

    def __init__(self, definition):
        self.definition = definition
        self.known = set(definition.variables) | set(definition.hyperparameters) | set(definition.shape)

    def check(self):
        for name in sorted(self.known):
            self.name(name, None)
        self.statements(self.definition.tree.body[:-1])
        for name in self.definition.returns:
            if name not in self.known:
                raise self.error(f"returns {name!r}, which is never assigned", self.definition.tree.body[-1])

    def error(self, message, node):
        return self.definition.error(message, node)

    def statements(self, body):
        for statement in body:
            if isinstance(statement, ast.Assign):
                self.assignment(statement)
            elif isinstance(statement, ast.If):
                self.flag(statement.test)
                self.statements(statement.body)
                self.statements(statement.orelse)
            elif isinstance(statement, ast.Return):
                raise self.error("only the last line of a rule returns", statement)
            elif not isinstance(statement, ast.Pass):
                what = type(statement).__name__
                raise self.error(f"{what} is not in the rule language; use assignments and `if` on a flag", statement)

    def assignment(self, statement):
        if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
            raise self.error("assign to one name at a time", statement)
        name = statement.targets[0].id
        if name in (*self.definition.hyperparameters, *self.definition.shape, *ENGINE):
            raise self.error(f"{name!r} cannot be assigned: it is given to the rule", statement)
        self.name(name, statement)
        self.visit(statement.value)
        self.no_truth(statement.value)
        self.known.add(name)

    def name(self, name, node):
        """Refuses names that some printed form could not use, or would use for something else."""
        if name in functions.FUNCTIONS or name in functions.CONSTANTS:
            raise self.error(f"{name!r} is a function of the language; give this another name", node)
        if name in RESERVED or name.startswith("_") or name.endswith("_") or not name.isascii():
            raise self.error(f"{name!r} cannot be printed in every language; give this another name", node)
        if re.search(r"_\d+$", name):
            plain = re.sub(r"_(\d+)$", r"\1", name)
            raise self.error(f"{name!r}: printed names end in _1, _2 for later values; write {plain!r}", node)

    def no_truth(self, *nodes):
        for node in nodes:
            truth = isinstance(node, (ast.Compare, ast.BoolOp)) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
            if truth:
                raise self.error(f"{ast.unparse(node)!r} is true or false, not a number; use it in where(...) or `a if ... else b`", node)

    def visit_BinOp(self, node):
        self.no_truth(node.left, node.right)
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if not isinstance(node.op, ast.Not):
            self.no_truth(node.operand)
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.no_truth(node.body, node.orelse)
        self.generic_visit(node)

    def flag(self, test):
        for node in ast.walk(test):
            if isinstance(node, ast.Name) and node.id not in (*self.definition.hyperparameters, *self.definition.shape):
                raise self.error(f"`if` decides on hyperparameters alone, and {node.id!r} is none; for numbers that change "
                                 "from step to step write `a if condition else b`, for tensors where(...)", test)  # fmt: skip
        self.visit(test)

    def generic_visit(self, node):
        if not isinstance(node, self.NODES):
            raise self.error(f"{ast.unparse(node)!r}: {type(node).__name__} is not in the rule language", node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.visit(child)
            elif not isinstance(child, (*self.OPERATORS, ast.expr_context)):
                raise self.error(f"{ast.unparse(node)!r}: {type(child).__name__} is not in the rule language", node)

    def visit_Compare(self, node):
        if len(node.ops) != 1:
            raise self.error("compare two things at a time", node)
        self.no_truth(node.left, *node.comparators)
        self.generic_visit(node)

    def visit_Constant(self, node):
        if not isinstance(node.value, (int, float)):
            raise self.error(f"{node.value!r} is not a number", node)

    def visit_Name(self, node):
        if node.id in functions.CONSTANTS:
            self.is_ours(node, functions.CONSTANTS[node.id])
        elif node.id in functions.FUNCTIONS:
            raise self.error(f"{node.id} is a function: call it", node)
        elif node.id not in self.known:
            raise self.error(f"{node.id!r} is neither an argument of the rule nor assigned before", node)

    def visit_Call(self, node):
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args) or not isinstance(node.func, ast.Name):
            raise self.error(f"{ast.unparse(node)!r}: call a function by its plain name, with positional arguments", node)
        name = node.func.id
        if name in functions.FUNCTIONS:
            self.is_ours(node, functions.FUNCTIONS[name])
            if len(node.args) != self.ARITY.get(name, 1):
                raise self.error(f"{name} takes {self.ARITY.get(name, 1)} argument(s), not {len(node.args)}", node)
        elif name not in (*self.definition.functions, *self.definition.hyperparameters):  # a hyperparameter may be a function: LambdaLR's
            known = ", ".join(sorted(functions.FUNCTIONS))
            raise self.error(f"{name!r} is not a function of the rule language ({known})", node)
        self.no_truth(*node.args[1 if name == "where" else 0 :])
        for argument in node.args:
            self.visit(argument)

    def is_ours(self, node, ours):
        name = node.id if isinstance(node, ast.Name) else node.func.id
        scope = inspect.getclosurevars(self.definition.function)
        theirs = {**scope.builtins, **scope.globals, **scope.nonlocals}.get(name)
        if theirs is not ours:
            raise self.error(f"{name!r} here is not optimbook's; write `from optimbook import {name}`", node)


# -------------------------------------------------------------------------------------- to single assignment


def _flatten(body, held):
    """The assignments of the branches that are taken."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            yield statement
        elif isinstance(statement, ast.If):
            holds = held[ast.unparse(statement.test)]
            yield from _undecided(statement, held) if holds is None else _flatten(statement.body if holds else statement.orelse, held)


def _undecided(statement, held):
    """Both branches at once: each name that one assigns becomes `a if test else b`."""
    sides = [{a.targets[0].id: a for a in _flatten(body, held)} for body in (statement.body, statement.orelse)]
    for name in {**sides[0], **sides[1]}:
        a, b = (side[name].value if name in side else ast.Name(name) for side in sides)
        choice = ast.IfExp(copied(statement.test), a, b)
        yield ast.copy_location(ast.Assign([ast.Name(name)], ast.copy_location(choice, statement)), statement)


def _single_assignment(definition, statements, name_of_rule):
    version = dict.fromkeys(definition.variables, 0)
    kinds = _variable_kinds(definition, statements)
    known = {f"{n}@0": k for n, k in kinds.items()}
    assignments, read = [], set()
    name_of = _versioned(definition, version, read)
    for statement in statements:
        name = statement.targets[0].id
        value = copied(statement.value, name_of)
        # A tensor may be given one number for all its elements; it stays a tensor.
        kind = union([kind_of(value, known, definition), kinds.get(name, Kind.NUMBER)])
        version[name] = version[name] + 1 if name in version else 1
        assignments.append(Assignment(name, version[name], value, kind))
        known[assignments[-1].target] = kind
    assigned = {a.name for a in assignments}
    for name in definition.states:
        if f"{name}@0" in read and name not in assigned and name not in ("step", "param"):
            raise definition.error(f"state {name!r} is read in a branch that never assigns it")
    for name in set(definition.returns) - set(definition.variables):
        if name not in assigned:
            raise definition.error(f"returns {name!r}, which a branch leaves unassigned")
    variables = {n: k for n, k in kinds.items() if n in assigned or f"{n}@0" in read or n in ("param", "grad", "step")}
    outputs = tuple(n for n in definition.returns if n in assigned or n == "param")
    hyperparameters = tuple(n for n in (*definition.hyperparameters, CLIP) if n in read)
    whole = {}
    if definition.functions:
        called = {n.func.id for a in assignments for n in ast.walk(a.value) if isinstance(n, ast.Call)}
        whole = {n: f for n, f in definition.functions.items() if n in called}
    return Program(name_of_rule, tuple(assignments), variables, outputs, hyperparameters, whole)


def _variable_kinds(definition, statements):
    """Tensors are `param`, `grad` and whatever state is made from a tensor; found by going round until nothing changes.

    A state made of rows alone, or of columns alone, is kept so; every other one has the parameter's shape.
    """
    kinds = {n: Kind.TENSOR if n in _NAMED else Kind.NUMBER for n in definition.variables}
    while True:
        known = dict(kinds)
        for statement in statements:
            name = statement.targets[0].id
            known[name] = union([kind_of(statement.value, known, None), known.get(name, Kind.NUMBER)])
        raised = {n: known[n] if known[n] in (Kind.NUMBER, Kind.ROW, Kind.COLUMN) else Kind.TENSOR for n in kinds}
        if raised == kinds:
            return kinds
        kinds = raised


SHARED = (ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)  # nodes that say nothing but their kind

# What is left of a kind by a reduction.
LEFT = {"norm": Kind.REDUCED, "mean": Kind.REDUCED, "row_mean": Kind.ROW, "column_mean": Kind.COLUMN}


def kind_of(node, known, definition):
    """The kind of an expression; with a definition also the errors that only kinds can show."""
    kind = lambda child: kind_of(child, known, definition)  # noqa: E731
    if isinstance(node, ast.Name):
        return known.get(node.id, Kind.NUMBER)
    if isinstance(node, ast.Constant):
        return Kind.NUMBER
    if isinstance(node, ast.Call):
        inner = union(map(kind, node.args))
        if node.func.id in functions.REDUCTIONS:
            return _KINDS[inner & LEFT[node.func.id]]
        if definition and node.func.id in definition.functions:
            if kind(node.args[0]) != Kind.TENSOR or any(map(kind, node.args[1:])):
                raise definition.error(f"{node.func.id} takes a tensor, then numbers: {unversioned(node)!r}", node)
        elif definition and node.func.id not in functions.ELEMENTWISE and inner != Kind.NUMBER:
            raise definition.error(f"{node.func.id} takes numbers, and {unversioned(node.args[0])!r} is a tensor", node)
        return inner
    result = union(map(kind, _operands(node)))
    if definition and result != Kind.NUMBER:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            raise definition.error(f"% takes numbers, and {unversioned(node)!r} has a tensor", node)
        if isinstance(node, ast.BoolOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
            raise definition.error(f"and, or, not take numbers; for tensors nest where(...): {unversioned(node)!r}", node)
        if isinstance(node, ast.IfExp) and kind(node.test) != Kind.NUMBER:
            raise definition.error(f"`a if c else b` decides on a number; for tensors write where(c, a, b): {unversioned(node)!r}", node)
    return result


def _operands(node):
    """What an operation of the language is made of."""
    if isinstance(node, ast.BinOp):
        return node.left, node.right
    return [c for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)]


def _versioned(definition, version, read):
    """A function that gives a name in an expression its version, and notes what is read."""
    ours = {*functions.CONSTANTS, *functions.FUNCTIONS, *definition.functions}
    given = {*definition.hyperparameters, *definition.shape, CLIP}

    def name_of(node):
        name = node.id
        if name in ours:
            return name
        if name in given:
            read.add(name)
            return name
        if name not in version:
            raise definition.error(f"{name!r} is read before this branch assigns it", node)
        target = f"{name}@{version[name]}"
        read.add(target)
        return target

    return name_of


def copied(node, name_of=None):
    """A copy of a syntax tree, in which a function may give the names; `copy.deepcopy` takes ten times as long."""
    if isinstance(node, list):
        return [copied(child, name_of) for child in node]
    if not isinstance(node, ast.AST) or isinstance(node, SHARED):
        return node
    twin = type(node)()
    vars(twin).update({field: copied(value, name_of) for field, value in vars(node).items()})
    if name_of and isinstance(node, ast.Name):
        twin.id = name_of(node)
    return twin


def unversioned(node):
    """The expression as the author wrote it, without versions."""
    return ast.unparse(copied(node, lambda name: split(name.id)[0]))
