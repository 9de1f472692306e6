"""A rule as mathematics: its assignments, one equation each, in the author's order.

A state is $m_{t-1}$ until its last assignment, which makes $m_t$; what is assigned in
between carries a prime: $g'_t = g_t + \\lambda \\theta_{t-1}$.
"""

import ast
import re
from dataclasses import dataclass

from ..language import ENGINE, split

SYMBOLS = {
    "param": r"\theta",
    "grad": "g",
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "max_exp_avg_sq": r"v^{\max}",
    "momentum_buffer": "b",
    "step": "t",
    "lr": r"\gamma",
    "base_lr": r"\gamma_0",
    "eta_min": r"\gamma_{\min}",
    "T_max": r"T_{\max}",
    "lr_lambda": r"\lambda",
    "momentum": r"\mu",
    "dampening": r"\tau",
    "eps": r"\epsilon",
    "weight_decay": r"\lambda",
    **{f"beta{i}": rf"\beta_{i}" for i in (1, 2, 3)},
    **{g: f"\\{g}" for g in "alpha beta gamma delta eta theta kappa lambda mu nu xi rho sigma tau phi psi omega".split()},
}

SUM, PRODUCT, POWER, ATOM = range(4)  # how tightly a printed piece holds together
COMPARISONS = {ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge", ast.Eq: "=", ast.NotEq: r"\ne"}
FENCED = {  # functions by what stands before and after their argument
    "sqrt": (r"\sqrt{", "}"),
    "abs": (r"\left|", r"\right|"),
    "norm": (r"\left\lVert ", r" \right\rVert"),
    "floor": (r"\left\lfloor ", r" \right\rfloor"),
    "sign": (r"\operatorname{sign}\left(", r"\right)"),
    "mean": (r"\operatorname{mean}\left(", r"\right)"),
    "row_mean": (r"\operatorname{mean}_{\text{row}}\left(", r"\right)"),
    "column_mean": (r"\operatorname{mean}_{\text{column}}\left(", r"\right)"),
    "cos": (r"\cos\left(", r"\right)"),
    "exp": (r"\exp\left(", r"\right)"),
    "log": (r"\log\left(", r"\right)"),
    "maximum": (r"\max\left(", r"\right)"),
    "minimum": (r"\min\left(", r"\right)"),
}


@dataclass(frozen=True)
class Equation:
    """One assignment of a rule.

    Attributes:
        name: the variable's name in the rule.
        lhs: the left side in LaTeX.
        rhs: the right side in LaTeX.
    """

    name: str
    lhs: str
    rhs: str

    def __str__(self):
        return f"{self.lhs} = {self.rhs}"


def latex(program, symbols):
    """All equations of a program, aligned at their equals signs."""
    lines = [f"{e.lhs} &= {e.rhs}" for e in equations(program, symbols)]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def equations(program, symbols):
    printer = _Printer(program, {**SYMBOLS, **symbols})
    return [Equation(a.name, printer.symbol(a.target), printer.side(a.value)) for a in program.assignments]


class _Printer:
    def __init__(self, program, symbols):
        self.program, self.symbols = program, symbols

    # Names

    def symbol(self, target):
        name, version = split(target)
        core, superscript = self.letter(name)
        if version is None:
            return core + superscript
        if name in ENGINE:
            return core
        if not self.program.variables:  # a formula of keyword arguments alone happens at no time
            return core + "'" * ((version or 1) - 1) + superscript
        index, primes = self.index(name, version)
        core, *subscript = re.split(r"(?<!\\)_", core, maxsplit=1)
        if subscript:  # TeX takes one subscript only
            subscript = subscript[0]
            index = f"{{{subscript.strip('{}')},{index.strip('{}')}}}"
        return f"{core}{primes}{superscript}_{index}"

    def letter(self, name):
        """A name's letter and the superscript that stands over its index."""
        if name.endswith("_hat"):
            core, superscript = self.letter(name.removesuffix("_hat"))
            return rf"\hat{{{core}}}", superscript
        letter = self.symbols.get(name) or (name if len(name) == 1 else r"\mathrm{%s}" % name.replace("_", r"\_"))
        core, hat, superscript = letter.partition("^")
        return core, hat + superscript

    def index(self, name, version):
        last, state = self.program.last(name), name in self.program.outputs
        if state and name in self.program.variables:
            if version == 0:
                return "{t-1}", ""
            return "t", "" if version == last else "'" * version
        return "t", "'" * (version if name in self.program.variables else version - 1)

    # Expressions

    def side(self, node):
        return self.print(node)[0]

    def at(self, node, level):
        """An expression, in parentheses where it holds together less than ``level``."""
        text, own = self.print(node)
        return text if own >= level else rf"\left({text}\right)"

    def print(self, node):
        return getattr(self, type(node).__name__)(node)

    def Name(self, node):
        if node.id == "pi":
            return r"\pi", ATOM
        if split(node.id)[0] == "first":
            return "t = 1", SUM
        text = self.symbol(node.id)
        return text, (POWER if "'" in text or "^" in text else ATOM)

    def Constant(self, node):
        mantissa, _, exponent = repr(node.value).partition("e")
        if not exponent:
            return mantissa, ATOM
        power = f"10^{{{int(exponent)}}}"
        return (power, POWER) if mantissa == "1" else (rf"{mantissa} \cdot {power}", PRODUCT)

    def UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            return rf"\lnot {self.at(node.operand, POWER)}", PRODUCT
        return f"{'-' if isinstance(node.op, ast.USub) else ''}{self.at(node.operand, PRODUCT)}", SUM

    def BinOp(self, node):
        left, right = node.left, node.right
        if isinstance(node.op, ast.Add):
            return f"{self.at(left, SUM)} + {self.at(right, SUM if not _signed(right) else PRODUCT)}", SUM
        if isinstance(node.op, ast.Sub):
            return f"{self.at(left, SUM)} - {self.at(right, PRODUCT)}", SUM
        if isinstance(node.op, ast.Mult):
            a, b = self.at(left, PRODUCT), self.at(right, PRODUCT)
            return a + (r" \cdot " if b[0].isdigit() else " ") + b, PRODUCT
        if isinstance(node.op, ast.Div):
            return rf"\frac{{{self.side(left)}}}{{{self.side(right)}}}", POWER
        if isinstance(node.op, ast.Pow):
            return f"{self.at(left, ATOM)}^{{{self.side(right)}}}", POWER
        return rf"{self.at(left, PRODUCT)} \bmod {self.at(right, POWER)}", SUM

    def Compare(self, node):
        sign = COMPARISONS[type(node.ops[0])]
        return f"{self.side(node.left)} {sign} {self.side(node.comparators[0])}", SUM

    def BoolOp(self, node):
        word = r" \land " if isinstance(node.op, ast.And) else r" \lor "
        return word.join(self.at(v, POWER if isinstance(v, ast.BoolOp) else SUM) for v in node.values), SUM

    def IfExp(self, node):
        return self.cases(node.test, node.body, node.orelse), SUM

    def cases(self, test, a, b):
        a, test, b = self.side(a), self.side(test), self.side(b)
        return rf"\begin{{cases}} {a} & \text{{if }} {test} \\ {b} & \text{{otherwise}} \end{{cases}}"

    def Call(self, node):
        name = node.func.id
        if name == "where":
            return self.cases(*node.args), SUM
        arguments = ", ".join(map(self.side, node.args))
        before, after = FENCED.get(name) or (self.symbol(name) + r"\left(", r"\right)")
        return before + arguments + after, ATOM if name in ("sqrt", "abs", "norm", "floor") else POWER


def _signed(node):
    return isinstance(node, ast.UnaryOp)
