"""A rule as Triton: one launch (with norms or means one more for each pass) updates every tensor of a table, piece by piece.

`triton` prints the update. The arithmetic is float64 for float64, float32 for everything
else, and rounds as IEEE says, since memory is what takes the time. `triton_numbers`
prints how a device works the hoisted numbers out by itself, for when ``step`` lives there.
Both need nothing but Triton. Names that end in an underscore are ours, all others the rule's.
"""

import ast
import math

from ..language import Kind
from .lower import Apply, Choose, Leaf, Sum, Unsupported, average, identifier, leaves, literal
from .passes import names, passes

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
    "mixed_": '''
@triton.jit
def mixed_(x_):
    """32 bits that look random, from 32 that count."""
    x_ ^= x_ >> 16
    x_ *= 0x7FEB352D
    x_ ^= x_ >> 15
    x_ *= 0x846CA68B
    x_ ^= x_ >> 16
    return x_
''',
    "scatter_": '''
@triton.jit
def scatter_(x_, random_):
    """Float32 as bfloat16, up or down, so that the mean is x."""
    bits_ = x_.to(tl.uint32, bitcast=True) + (random_ & 0xFFFF)
    return tl.where(x_ != x_, x_, (bits_ & 0xFFFF0000).to(tl.float32, bitcast=True))
''',
    "wanted_": """
@triton.jit
def wanted_(x_, mask_):
    return x_ if mask_ is None else tl.where(mask_, x_, 0.0)
""",
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
ADDED = {"norm": "{0} * {0}", "mean": "{0}"}
FINISH = {"norm": "tl.sqrt({0})", "mean": "({0} / {1})"}
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def triton(lowered, dtype="float32", state_dtype=None, stochastic=False):
    """Triton source of a lowered program: a kernel for each of its passes (`names`), the updating one last.

    Their arguments: ``chunk_``, (tensor, start, stop) per program; ``pointers_``, the
    addresses of all first tensors of the program, then of all second ones, and so on;
    ``row_``, each tensor's row of numbers; ``number_``, rows of ``lowered.coefficients``
    in float64; ``tensors_``, how many there are; with norms or means also ``reduced_``, per
    tensor its size and the whole sums, and ``partial_``, per program what it adds to them,
    both in float64; if it rounds by chance ``seed_``, another number each step; ``BLOCK``,
    elements at a time.

    Args:
        lowered: the program.
        dtype: of parameters and gradients: ``float32``, ``float64``, ``bfloat16`` or ``float16``.
        state_dtype: of states, if another.
        stochastic: round bfloat16 parameters up or down by chance, so that they are right in the mean.

    Raises:
        Unsupported: the program looks at rows, columns or whole tensors.
    """
    if not lowered.fusable:
        raise Unsupported(f"rule {lowered.program.name!r} looks at rows, columns or whole tensors, which the Triton form does not do")
    types = {n: dtype if n in ("param", "grad") else state_dtype or dtype for n in lowered.program.tensors}
    real = "float64" if "float64" in types.values() else "float32"
    whole, stochastic = passes(lowered), stochastic and dtype == "bfloat16"
    printed = [_Pass(name, part, whole.reductions, types, real, stochastic).source() for name, part in zip(names(lowered), whole.passes)]
    return _with_helpers("".join(printed))


class _Pass:
    """One pass: the function that goes over a block of elements, and the kernel that finds its piece of work for it."""

    def __init__(self, name, part, reductions, types, real, stochastic):
        self.stochastic = stochastic
        self.name, self.lowered, self.sums, self.reductions = name, part.lowered, part.reductions, reductions
        self.types, self.real, self.program = types, real, part.lowered.program
        used = {target for node in (*(e for _, e in self.lowered.body), *(r.value for r in self.sums)) for target in leaves(node)}
        self.read = [n for n in self.program.tensors if f"{n}@0" in used]
        self.written = [] if self.sums else [n for n in self.program.tensors if n in self.program.outputs and self.program.last(n)]
        self.used = [n for n in self.program.tensors if n in self.read or n in self.written]
        self.known = [r.target for r in reductions if r.target in used]  # sums of earlier passes
        self.scattered = stochastic and "param" in self.written
        seeds = ["seed_", "start_"] if self.scattered else []
        self.arguments = [*seeds, *(f"{n}_" for n in self.used), *(f"n{i}_" for i in range(len(self.lowered.coefficients))), *self.known]

    def source(self):
        return self.block() + self.kernel()

    def block(self):
        print_ = _Tensors(self.lowered, self.real)
        return _lines(
            *_head(f"{self.name}_block", [*self.arguments, *self.totals()], "at_", "mask_"),
            *(f"{n}_ = pointer_({n}_, tl.{self.types[n]}, mask_) + at_" for n in self.used),
            *(f"{n} = tl.load({n}_, mask_){_cast(self.types[n], self.real)}" for n in self.read),
            *(f"{identifier(target)} = {print_.value(node)}" for target, node in self.lowered.body),
            *(f"tl.store({n}_, {self.rounded(n)}, mask_)" for n in self.written),
            *self.added(print_),
        )

    def rounded(self, name):
        value = identifier(f"{name}@{self.program.last(name)}")
        return f"scatter_({value}, mixed_((start_ + at_).to(tl.uint32) ^ seed_))" if self.scattered and name == "param" else value

    def added(self, print_):
        """The lines that add a block to the totals, which stay blocks; what a mask leaves out counts nothing."""
        if not self.sums:
            return []
        lines = []
        for i, reduction in enumerate(self.sums):
            value = f"value{i}_"
            lines.append(f"{value} = {print_.value(reduction.value)}")
            lines.append(f"total{i}_ += wanted_({ADDED[reduction.function].format(value)}, mask_)")
        return [*lines, f"return {', '.join(self.totals())}"]

    def totals(self):
        return [f"total{i}_" for i in range(len(self.sums))]

    def kernel(self):
        tables = ("chunk_", "pointers_", "row_", "number_", "tensors_", *(("reduced_", "partial_") if self.reductions else ()),
                  *(("seed_",) if self.stochastic else ()))  # fmt: skip
        width = 1 + len(self.reductions)
        return _lines(
            *_head(self.name, tables, constant="BLOCK"),
            "chunk_ += 3 * tl.program_id(0)",
            "tensor_, start_, stop_ = tl.load(chunk_), tl.load(chunk_ + 1), tl.load(chunk_ + 2)",
            *(f"{n}_ = tl.load(pointers_ + {i} * tensors_ + tensor_) + {BYTES[self.types[n]]} * start_"
              for i, n in enumerate(self.program.tensors) if n in self.used),
            f"number_ += {len(self.lowered.coefficients)} * tl.load(row_ + tensor_)",
            *(f"n{i}_ = tl.load(number_ + {i}){_cast('float64', self.real)}  # {c}" for i, c in enumerate(self.lowered.coefficients)),
            *(f"{r.target} = {self.finished(r, i, width)}" for i, r in enumerate(self.reductions) if r.target in self.known),
            *(["seed_ = mixed_((seed_ + tensor_).to(tl.uint32))"] if self.scattered else []),
            "length_ = (stop_ - start_).to(tl.int32)",
            f"aligned_ = ({' | '.join(f'{n}_' for n in self.used)}) % 16 == 0",
            "whole_ = tl.where(aligned_, length_ // BLOCK * BLOCK, 0)  # a mask would stand in the way of wide access",
            *(f"{total} = tl.zeros((BLOCK,), tl.{self.real})" for total in self.totals()),
            "for i_ in range(0, whole_, BLOCK):",
            "    " + self.call("None"),
            "for i_ in range(whole_, length_, BLOCK):",
            "    " + self.call("i_ + tl.arange(0, BLOCK) < length_"),
            *(f"tl.store(partial_ + {width} * tl.program_id(0) + {self.reductions.index(r) + 1}, tl.sum({total}).to(tl.float64))"
              for r, total in zip(self.sums, self.totals())),
        )  # fmt: skip

    def call(self, mask):
        result = f"{', '.join(self.totals())} = " if self.sums else ""
        return f"{result}{self.name}_block({', '.join([*self.arguments, *self.totals()])}, i_ + tl.arange(0, BLOCK), {mask})"

    def finished(self, reduction, i, width):
        """The number that a whole sum comes to."""
        return FINISH[reduction.function].format(f"tl.load(reduced_ + {width} * tensor_ + {i + 1})",
                                                 f"tl.load(reduced_ + {width} * tensor_)") + _cast("float64", self.real)  # fmt: skip


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
        if self.real == "float32" and average(node):  # in float64 the registers would not do
            old, weight, new = average(node)
            return f"{self(old)} + {self.coefficient(weight)} * ({self(new)} - {self(old)})"
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
