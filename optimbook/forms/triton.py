"""A rule as Triton: one launch updates every tensor of a table, piece by piece.

`triton` prints the update. The arithmetic is float64 for float64, float32 for everything
else, and rounds as IEEE says, since memory is what takes the time. `triton_numbers`
prints how a device works the hoisted numbers out by itself, for when ``step`` lives there.
Both need nothing but Triton. Names that end in an underscore are ours, all others the rule's.
"""

import ast
import math

from ..language import Kind, split
from .c import Unsupported
from .lower import Apply, Choose, Leaf, Sum, identifier, literal, walk

HEAD = "import triton\nimport triton.language as tl\n"

# What Triton lacks; printed where a rule needs it.
HELPERS = {
    "pointer_": '''
@triton.jit
def pointer_(address_, dtype_: tl.constexpr, mask_):
    """An address as a pointer; without a mask 16 divides it, so that 128 bits can be read or written at a time."""
    at_ = address_.to(tl.pointer_type(dtype_))
    if mask_ is None:
        at_ = tl.multiple_of(at_, 16)
    return at_
''',
    "square_": """
@triton.jit
def square_(x_):
    return x_ * x_
""",
    "sign_": '''
@triton.jit
def sign_(x_):
    """-1, 0 or 1; 0 for NaN, as in torch."""
    return (x_ > 0).to(x_.dtype) - (x_ < 0).to(x_.dtype)
''',
    "power_": '''
@triton.jit
def power_(x_, y_):
    """``x_ ** y_``, worked out in float64, since float32 would lose what the logarithm multiplies."""
    base_, exponent_ = tl.broadcast(x_.to(tl.float64), tl.full((), 0.0, tl.float64) + y_)
    whole_ = tl.floor(exponent_) == exponent_
    odd_ = whole_ & (tl.floor(exponent_ / 2) * 2 != exponent_)
    result_ = tl.exp2(exponent_ * tl.log2(tl.abs(base_)))
    result_ = tl.where((base_ < 0) & odd_, -result_, result_)
    result_ = tl.where((base_ < 0) & (whole_ == 0), float("nan"), result_)
    return tl.where(exponent_ == 0, 1.0, result_).to(x_.dtype)
''',
    "modulo_": '''
@triton.jit
def modulo_(x_, y_):
    """The remainder with the sign of the divisor, as in Python."""
    rest_ = x_ % y_
    return tl.where((rest_ != 0) & ((rest_ < 0) != (y_ < 0)), rest_ + y_, rest_)
''',
}
for bits in (32, 64):
    HELPERS[f"f{bits}_"] = f'''
@triton.jit
def f{bits}_(x_: tl.constexpr):
    """A number that is written out; alone, Triton would take it as float32 or not as a tensor at all."""
    return tl.full((), x_, tl.float{bits})
'''
CALLS = {
    "abs": "tl.abs({0})",
    "sign": "sign_({0})",
    "square": "square_({0})",
    "pow": "power_({0}, {1})",
    "maximum": "tl.maximum({0}, {1}, tl.PropagateNan.ALL)",
    "minimum": "tl.minimum({0}, {1}, tl.PropagateNan.ALL)",
}
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def triton(lowered, dtype="float32", state_dtype=None):
    """Triton source of a lowered program: a kernel ``<rule>_step``.

    Its arguments: ``chunk_``, (tensor, start, stop) per program; ``pointers_``, the
    addresses of all first tensors of the program, then of all second ones, and so on;
    ``row_``, each tensor's row of numbers; ``number_``, rows of ``lowered.coefficients``
    in float64; ``tensors_``, how many there are; ``BLOCK``, elements at a time.

    Args:
        lowered: the program.
        dtype: of parameters and gradients: ``float32``, ``float64``, ``bfloat16`` or ``float16``.
        state_dtype: of states, if another.

    Raises:
        Unsupported: the program has a norm or a mean.
    """
    if lowered.has_reductions:
        raise Unsupported(f"rule {lowered.program.name!r} has a norm or a mean, which the Triton form does not do")
    program = lowered.program
    types = {n: dtype if n in ("param", "grad") else state_dtype or dtype for n in program.tensors}
    real = "float64" if "float64" in types.values() else "float32"
    return _with_helpers(_block(lowered, types, real) + _kernel(lowered, types, real))


def _block(lowered, types, real):
    """The function that updates one block of elements."""
    program, print_ = lowered.program, _Tensors(lowered, real)
    read = {split(n.target)[0] for _, e in lowered.body for n in walk(e) if isinstance(n, Leaf) and n.target.endswith("@0")}
    written = [n for n in program.tensors if n in program.outputs and program.last(n)]
    used = [n for n in program.tensors if n in read or n in written]
    return _lines(
        *_head(f"{program.name}_block", _arguments(lowered), "at_", "mask_"),
        *(f"{n}_ = pointer_({n}_, tl.{types[n]}, mask_) + at_" for n in used),
        *(f"{n} = tl.load({n}_, mask_){_cast(types[n], real)}" for n in used if n in read),
        *(f"{identifier(target)} = {print_.value(node)}" for target, node in lowered.body),
        *(f"tl.store({n}_, {identifier(f'{n}@{program.last(n)}')}, mask_)" for n in written),
    )


def _kernel(lowered, types, real):
    """The function that finds its piece of work and goes over it: without a mask where whole blocks are aligned."""
    name, tensors, count = lowered.program.name, lowered.program.tensors, len(lowered.coefficients)
    call = f"{name}_block({', '.join(_arguments(lowered))}, i_ + tl.arange(0, BLOCK), {{}})"
    return _lines(
        *_head(f"{name}_step", ("chunk_", "pointers_", "row_", "number_", "tensors_"), constant="BLOCK"),
        "chunk_ += 3 * tl.program_id(0)",
        "tensor_, start_, stop_ = tl.load(chunk_), tl.load(chunk_ + 1), tl.load(chunk_ + 2)",
        *(f"{n}_ = tl.load(pointers_ + {i} * tensors_ + tensor_) + {BYTES[types[n]]} * start_" for i, n in enumerate(tensors)),
        f"number_ += {count} * tl.load(row_ + tensor_)",
        *(f"n{i}_ = tl.load(number_ + {i}){_cast('float64', real)}  # {c}" for i, c in enumerate(lowered.coefficients)),
        "length_ = (stop_ - start_).to(tl.int32)",
        f"aligned_ = ({' | '.join(f'{n}_' for n in tensors)}) % 16 == 0",
        "whole_ = tl.where(aligned_, length_ // BLOCK * BLOCK, 0)  # a mask would stand in the way of wide access",
        "for i_ in range(0, whole_, BLOCK):",
        "    " + call.format("None"),
        "for i_ in range(whole_, length_, BLOCK):",
        "    " + call.format("i_ + tl.arange(0, BLOCK) < length_"),
    )


def _arguments(lowered):
    return [*(f"{n}_" for n in lowered.program.tensors), *(f"n{i}_" for i in range(len(lowered.coefficients)))]


def _head(name, arguments, *more, constant=None):
    """The first lines of a function; one with a constant is launched, and takes every table as it comes."""
    if constant is None:
        return "@triton.jit", f"def {name}({', '.join([*arguments, *more])}):"
    # Triton would otherwise build anew for each alignment of a table, and for one tensor alone.
    return f"@triton.jit(do_not_specialize={list(arguments)})", f"def {name}({', '.join(arguments)}, {constant}: tl.constexpr):"


def _lines(decorator, head, *body):
    return "\n".join(["", "", decorator, head, *(f"    {line}" for line in body)]) + "\n"


def _cast(stored, real):
    return "" if stored == real else f".to(tl.{real})"


def triton_numbers(lowered, dtype="float32"):
    """Triton source that does what ``lowered.numbers`` does, on the device: a kernel ``<rule>_numbers``.

    It also adds 1 to each ``step``, before anything is worked out. Its arguments:
    ``state_``, the addresses of number states, all of the first, then all of the second,
    in the order of `number_arguments`; ``given_``, numbers that are no states, likewise;
    ``group_``, each tensor's row of ``hyper_``, which has ``program.hyperparameters``;
    ``number_``, the table that it fills, a row of ``lowered.coefficients`` per tensor;
    ``tensors_``; ``BLOCK``, tensors at a time.

    Args:
        lowered: the program.
        dtype: of number states: ``float32`` or ``float64``.

    Raises:
        Unsupported: a hyperparameter is a function.
    """
    program, print_, count = lowered.program, _Numbers(), len(lowered.coefficients)
    kept, given = number_arguments(program)
    written = [n for n in kept if n == "step" or program.last(n)]
    return _with_helpers(_lines(
        *_head(f"{program.name}_numbers", ("state_", "given_", "group_", "hyper_", "number_", "tensors_"), constant="BLOCK"),
        "tensor_ = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)",
        "mask_ = tensor_ < tensors_",
        f"hyper_ += {len(program.hyperparameters)} * tl.load(group_ + tensor_, mask_, 0)",
        f"number_ += {count} * tensor_",
        *(f"{n}_ = tl.load(state_ + {i} * tensors_ + tensor_, mask_).to(tl.pointer_type(tl.{dtype}))" for i, n in enumerate(kept)),
        *(f"{n} = tl.load({n}_, mask_){_cast(dtype, 'float64')}{' + 1' if n == 'step' else ''}" for n in kept),
        *(f"{n} = tl.load(given_ + {i} * tensors_ + tensor_, mask_)" for i, n in enumerate(given)),
        *(f"{n} = tl.load(hyper_ + {i}, mask_)" for i, n in enumerate(program.hyperparameters)),
        *(f"{identifier(a.target)} = {print_(a.value)}" for a in program.assignments if a.kind == Kind.NUMBER),
        *(f"tl.store({n}_, {identifier(f'{n}@{program.last(n)}')}, mask_)" for n in written),
        *(f"tl.store(number_ + {i}, {print_.coefficient(lowered, c)}, mask_)" for i, c in enumerate(lowered.coefficients)),
    ))  # fmt: skip


def number_arguments(program):
    """The names of a program's number states, and of the numbers that the engine gives anew each step (``first``)."""
    kept = tuple(n for n in program.numbers if n in program.states)
    return kept, tuple(n for n in program.numbers if n not in kept)


def _with_helpers(body):
    used = [text for name, text in HELPERS.items() if f"{name}(" in body]
    return HEAD + "".join("\n" + text for text in used) + body


class _Tensors:
    """Expressions over blocks of elements."""

    def __init__(self, lowered, real):
        self.number = {coefficient: f"n{i}_" for i, coefficient in enumerate(lowered.coefficients)}
        self.real = real

    def __call__(self, node):
        """An expression that stands in a larger one."""
        if isinstance(node, Leaf):
            return identifier(node.target)
        if isinstance(node, Sum):
            return f"({self.value(node)})"
        if isinstance(node, Choose):
            return f"tl.where({self.coefficient(node.condition)} != 0, {self.argument(node.a)}, {self.argument(node.b)})"
        if node.function == "where":
            condition, a, b = node.arguments
            return f"tl.where({self.condition(condition)}, {self.argument(a)}, {self.argument(b)})"
        if node.function == "sqrt":
            return f"tl.sqrt{'_rn' if self.real == 'float32' else ''}({self.argument(*node.arguments)})"
        return CALLS[node.function].format(*map(self.argument, node.arguments))

    def value(self, node):
        """An expression that stands alone."""
        return " + ".join(map(self.term, node.terms)) if isinstance(node, Sum) else self(node)

    def argument(self, node):
        """An argument of a function."""
        text = self.value(node)
        return f"f{self.real[-2:]}_({text})" if literal(text) is not None else text

    def condition(self, node):
        if isinstance(node, Apply) and node.function in COMPARISONS:
            return f"{self(node.arguments[0])} {node.function} {self(node.arguments[1])}"
        return f"{self(node)} != 0"

    def coefficient(self, coefficient):
        value = literal(coefficient)
        return self.number[coefficient] if value is None else repr(value)

    def term(self, term):
        factors = [] if literal(term.coefficient) == 1 and term.factors else [self.coefficient(term.coefficient)]
        text = " * ".join(factors + [self(f) for f in term.factors])
        if not term.divisors:
            return text
        divisor = " * ".join(map(self, term.divisors)) if len(term.divisors) > 1 else self.value(term.divisors[0])
        return f"tl.div_rn({text}, {divisor})" if self.real == "float32" else f"{text} / ({divisor})"


class _Numbers:
    """Expressions over numbers: every value is float64, a literal's and a comparison's too."""

    BINARY = {ast.Add: "({} + {})", ast.Sub: "({} - {})", ast.Mult: "({} * {})", ast.Div: "({} / {})",
              ast.Pow: "power_({}, {})", ast.Mod: "modulo_({}, {})"}  # fmt: skip
    UNARY = {ast.USub: "(-{})", ast.UAdd: "{}", ast.Not: "({} == 0).to(tl.float64)"}
    COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
    CALLS = {**CALLS, "norm": CALLS["abs"], "mean": "{0}", **{n: f"tl.{n}({{0}})" for n in ("sqrt", "cos", "exp", "log", "floor")}}

    def __call__(self, node):
        return getattr(self, type(node).__name__)(node)

    def coefficient(self, lowered, source):
        """A hoisted number, 0 where it is not wanted."""
        parse = lambda text: ast.parse(text, mode="eval").body  # noqa: E731
        value, guard = self(parse(source)), lowered.guards.get(source)
        return value if guard is None else f"tl.where({self.condition(parse(guard))}, {value}, 0.0)"

    def Name(self, node):
        return f"f64_({math.pi!r})" if node.id == "pi" else identifier(node.id)

    def Constant(self, node):
        return f"f64_({float(node.value)!r})"

    def UnaryOp(self, node):
        return self.UNARY[type(node.op)].format(self(node.operand))

    def BinOp(self, node):
        return self.BINARY[type(node.op)].format(self(node.left), self(node.right))

    def Compare(self, node):
        return f"({self.condition(node)}).to(tl.float64)"

    BoolOp = Compare

    def IfExp(self, node):
        """Both sides are worked out: what the other side may divide by harms nobody."""
        return f"tl.where({self.condition(node.test)}, {self(node.body)}, {self(node.orelse)})"

    def Call(self, node):
        name = node.func.id
        if name == "where":
            return self.IfExp(ast.IfExp(*node.args))
        if name not in self.CALLS:
            raise Unsupported(f"{name!r} is a Python function, which a device cannot call")
        return self.CALLS[name].format(*map(self, node.args))

    def condition(self, node):
        if isinstance(node, ast.Compare):
            return f"{self(node.left)} {self.COMPARISONS[type(node.ops[0])]} {self(node.comparators[0])}"
        if isinstance(node, ast.BoolOp):
            return (" & " if isinstance(node.op, ast.And) else " | ").join(f"({self.condition(v)})" for v in node.values)
        return f"{self(node)} != 0"
