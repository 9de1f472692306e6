"""A rule as C: one function that updates elements ``start`` to ``stop`` of one parameter.

The arithmetic is float for float, bfloat16 and half, double for double, and double for
sums. Pointers come in the order of `Program.tensors`, hoisted numbers in the order of
`Lowered.coefficients`. Elements are taken a block at a time, so that what a later block
needs is asked of memory while this one is worked out: roots and divisions would hide it
from the processor's own look ahead.
"""

from ..language import Kind
from .lower import Choose, Leaf, Sum, Unsupported, average, identifier, leaves, literal
from .passes import names, passes

STORAGE = {"float": "float", "double": "double", "bfloat16": "uint16_t", "half": "_Float16"}

BFLOAT16 = """
static inline float load_(uint16_t x) {
  union { uint32_t bits; float value; } u = {(uint32_t)x << 16};
  return u.value;
}
static inline uint16_t store_(float x) {  /* to the nearest, ties to even; a NaN stays a NaN */
  union { float value; uint32_t bits; } u = {x};
  return x != x ? 0x7fc0 : (uint16_t)((u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16);
}
"""

# Asks for a block of a tensor some way ahead; past its end this does nothing.
FETCH = """
#define FETCH_(tensor, write) \\
  for (int64_t k_ = block_; k_ < block_ + 64; k_ += 64 / (int64_t)sizeof(*tensor)) \\
    __builtin_prefetch(tensor + k_ + 2048 / (int64_t)sizeof(*tensor), write, 2)
"""

STOCHASTIC = """
static inline uint32_t mixed_(uint32_t x) {  /* 32 bits that look random, from 32 that count */
  x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
  return x;
}
static inline uint16_t scatter_(float x, uint32_t random) {  /* up or down, so that the mean is x */
  union { float value; uint32_t bits; } u = {x};
  return x != x ? 0x7fc0 : (uint16_t)((u.bits + (random & 0xffff)) >> 16);
}
"""

ADDED = {"norm": "{0} * {0}", "mean": "{0}"}  # to a sum, in double
FINISH = {"norm": "sqrt({})", "mean": "({} / reduced_[0])"}
CALLED = {"sqrt": "sqrt", "abs": "fabs", "pow": "pow"}
INLINE = {**{sign: f"{{0}} {sign} {{1}}" for sign in ("<", "<=", ">", ">=", "==", "!=")}, "where": "{0} ? {1} : {2}"}
# Functions that name an argument more than once: written out, nested ones would double at each level.
OURS = {
    "maximum": "({real} a, {real} b) {{ return a > b || a != a ? a : b; }}",  # fmax is slow and drops a NaN
    "minimum": "({real} a, {real} b) {{ return a < b || a != a ? a : b; }}",
    "sign": "({real} a) {{ return (a > 0) - (a < 0); }}",
    "square": "({real} a) {{ return a * a; }}",
}


ARGUMENTS = "void *const *tensor_, int64_t start_, int64_t stop_, const double *number_, const double *reduced_, double *partial_"
SIZE, SEED, SUMS = 0, 1, 2  # what stands where in ``reduced_``: elements, the seed of this step's rounding, whole sums


def c(lowered, dtype="float", state_dtype=None, stochastic=False):
    """C source of a lowered program for parameters of one dtype: ``float``, ``double``, ``bfloat16`` or ``half``.

    The last function, ``<rule>_step``, updates. A program with norms or means has one before it for each pass that
    sums, ``<rule>_sum0`` and so on, which adds to ``partial_`` what its elements come to; all read the whole sums
    in ``reduced_``.

    Args:
        lowered: the program.
        dtype: of parameters and gradients.
        state_dtype: of states, if another.
        stochastic: round bfloat16 parameters up or down by chance, so that they are right in the mean.

    Raises:
        Unsupported: the program looks at rows, columns or whole tensors.
    """
    if not lowered.fusable:
        raise Unsupported(f"rule {lowered.program.name!r} looks at rows, columns or whole tensors, which the C form does not do")
    types = {n: dtype if n in ("param", "grad") else state_dtype or dtype for n in lowered.program.tensors}
    whole, stochastic = passes(lowered), stochastic and dtype == "bfloat16"
    real = "double" if "double" in types.values() else "float"
    ours = [f"static inline {real} {name}_{body.format(real=real)}" for name, body in OURS.items() if name in lowered.applied]
    lines = ["#include <math.h>", "#include <stdint.h>", FETCH, BFLOAT16 if "bfloat16" in types.values() else "", STOCHASTIC if stochastic else "", *ours]
    for name, part in zip(names(lowered), whole.passes):
        lines += _function(name, part, whole.reductions, types, stochastic)
    return "\n".join([line for line in lines if line] + [""])


def _function(name, part, reductions, types, stochastic):
    """The lines of one pass."""
    lowered, sums, program = part.lowered, part.reductions, part.lowered.program
    real = "double" if "double" in types.values() else "float"
    printer, used = _Printer(lowered, real), _leaves(lowered, sums)
    read = [n for n in program.tensors if f"{n}@0" in used]
    written = [] if sums else [n for n in program.tensors if n in program.outputs and program.last(n)]
    yield f"void {name}({ARGUMENTS}) {{"
    for i, tensor in enumerate(program.tensors):
        if tensor in read or tensor in written:
            yield f"  {'' if tensor in written else 'const '}{STORAGE[types[tensor]]} *restrict {tensor}_ = tensor_[{i}];"
    for i, coefficient in enumerate(lowered.coefficients):
        yield f"  const {real} n{i}_ = ({real})number_[{i}];  /* {coefficient} */"
    for i, reduction in enumerate(reductions):
        if reduction.target in used:
            yield f"  const {real} {reduction.target} = ({real}){FINISH[reduction.function].format(f'reduced_[{SUMS + i}]')};"
    if stochastic and "param" in written:
        yield f"  const uint32_t seed_ = mixed_((uint32_t)(int64_t)reduced_[{SEED}]);"
    yield from (f"  const {real} {identifier(t)} = {printer.bare(e)};" for t, e in lowered.body if lowered.kinds[t] == Kind.REDUCED)
    if sums:
        yield f"  double {', '.join(f'sum{i}_ = 0' for i in range(len(sums)))};"
    yield "  for (int64_t block_ = start_; block_ < stop_; block_ += 64) {"
    yield "    const int64_t end_ = block_ + 64 < stop_ ? block_ + 64 : stop_;"
    yield from (f"    FETCH_({n}_, {int(n in written)});" for n in program.tensors if n in read or n in written)
    if sums:
        yield f"    #pragma omp simd reduction(+:{', '.join(f'sum{i}_' for i in range(len(sums)))})"
    yield "    for (int64_t i_ = block_; i_ < end_; i_++) {"
    yield from (f"      const {real} {n} = {_load(n, types[n])};" for n in read)
    yield from (f"      const {real} {identifier(t)} = {printer.bare(e)};" for t, e in lowered.body if lowered.kinds[t] != Kind.REDUCED)
    for i, reduction in enumerate(sums):
        yield f"      const double value{i}_ = {printer.bare(reduction.value)};"
        yield f"      sum{i}_ += {ADDED[reduction.function].format(f'value{i}_')};"
    for n in written:
        value = identifier(f"{n}@{program.last(n)}")
        yield f"      {n}_[i_] = {_store(value, types[n], stochastic and n == 'param')};"
    yield "    }"
    yield "  }"
    for i, reduction in enumerate(sums):
        yield f"  partial_[{SUMS + reductions.index(reduction)}] = sum{i}_;"
    yield "}"


def _load(name, stored):
    return f"load_({name}_[i_])" if stored == "bfloat16" else f"{name}_[i_]"


def _store(value, stored, stochastic):
    if stochastic:
        return f"scatter_({value}, mixed_((uint32_t)i_ ^ seed_))"
    return f"store_({value})" if stored == "bfloat16" else value


def _leaves(lowered, sums):
    """All that a pass reads: tensors, sums of earlier passes and its own locals."""
    return {target for node in (*(e for _, e in lowered.body), *(r.value for r in sums)) for target in leaves(node)}


class _Printer:
    def __init__(self, lowered, real):
        self.number = {coefficient: f"n{i}_" for i, coefficient in enumerate(lowered.coefficients)}
        self.suffix = "f" if real == "float" else ""

    def __call__(self, node):
        if isinstance(node, Leaf):
            return identifier(node.target)
        if isinstance(node, Sum):
            return "(" + self.bare(node) + ")"
        if isinstance(node, Choose):
            return f"({self.coefficient(node.condition)} != 0 ? {self.bare(node.a)} : {self.bare(node.b)})"
        if node.function in CALLED:
            return f"{CALLED[node.function]}{self.suffix}({', '.join(map(self.bare, node.arguments))})"
        if node.function in OURS:
            return f"{node.function}_({', '.join(map(self.bare, node.arguments))})"
        return "(" + INLINE[node.function].format(*map(self, node.arguments)) + ")"

    def bare(self, node):
        """An expression without the parentheses around a sum."""
        if average(node):
            old, weight, new = average(node)
            return f"{self(old)} + {self.coefficient(weight)} * ({self(new)} - {self(old)})"
        return " + ".join(map(self.term, node.terms)) if isinstance(node, Sum) else self(node)

    def coefficient(self, coefficient):
        value = literal(coefficient)
        return self.number[coefficient] if value is None else f"{value!r}{self.suffix}"

    def term(self, term):
        factors = [] if literal(term.coefficient) == 1 and term.factors else [self.coefficient(term.coefficient)]
        text = " * ".join(factors + [self(f) for f in term.factors])
        if not term.divisors:
            return text
        divisors = " * ".join(map(self, term.divisors))
        return f"{text} / {divisors}" if len(term.divisors) == 1 else f"{text} / ({divisors})"
