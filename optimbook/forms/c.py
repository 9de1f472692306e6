"""A rule as C: one function that updates elements ``start`` to ``stop`` of one parameter.

The arithmetic is float for float, bfloat16 and half, double for double. Pointers come in
the order of `Program.tensors`, hoisted numbers in the order of `Lowered.coefficients`.
"""

from ..language import split
from .lower import Choose, Leaf, Sum, identifier, literal, walk

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


CALLED = {"sqrt": "sqrt", "abs": "fabs", "pow": "pow"}
INLINE = {
    **{sign: f"{{0}} {sign} {{1}}" for sign in ("<", "<=", ">", ">=", "==", "!=")},
    "where": "{0} ? {1} : {2}",
    "maximum": "{0} > {1} || {0} != {0} ? {0} : {1}",  # fmax is slow and drops a NaN
    "minimum": "{0} < {1} || {0} != {0} ? {0} : {1}",
    "sign": "({0} > 0) - ({0} < 0)",
    "square": "{0} * {0}",
}


class Unsupported(Exception):
    """What this form cannot print; the engine takes another."""


def c(lowered, dtype="float"):
    """C source of a lowered program for parameters of one dtype: ``float``, ``double``, ``bfloat16`` or ``half``."""
    if lowered.has_reductions:
        raise Unsupported(f"rule {lowered.program.name!r} has a norm or a mean, which the C form does not do")
    program, real = lowered.program, "double" if dtype == "double" else "float"
    load, store = ("load_({})", "store_({})") if dtype == "bfloat16" else ("{}", "{}")
    printer = _Printer(lowered, real)
    written = {n for n in program.tensors if n in program.outputs}
    read = {split(n.target)[0] for _, e in lowered.body for n in walk(e) if isinstance(n, Leaf) and n.target.endswith("@0")}
    lines = ["#include <math.h>", "#include <stdint.h>", BFLOAT16 if dtype == "bfloat16" else ""]
    lines += [f"void {program.name}_step(void *const *tensor_, int64_t start_, int64_t stop_, const double *number_) {{"]
    for i, name in enumerate(program.tensors):
        const = "" if name in written else "const "
        lines.append(f"  {const}{STORAGE[dtype]} *restrict {name}_ = tensor_[{i}];")
    for i, coefficient in enumerate(lowered.coefficients):
        lines.append(f"  const {real} n{i}_ = ({real})number_[{i}];  /* {coefficient} */")
    lines.append("  for (int64_t i_ = start_; i_ < stop_; i_++) {")
    lines += [f"    const {real} {n} = {load.format(n + '_[i_]')};" for n in program.tensors if n in read]
    lines += [f"    const {real} {identifier(t)} = {printer.bare(e)};" for t, e in lowered.body]
    for name in program.tensors:
        if name in written and program.last(name):
            lines.append(f"    {name}_[i_] = {store.format(identifier(f'{name}@{program.last(name)}'))};")
    return "\n".join([line for line in lines if line] + ["  }", "}", ""])


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
        return "(" + INLINE[node.function].format(*map(self, node.arguments)) + ")"

    def bare(self, node):
        """An expression without the parentheses around a sum."""
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
