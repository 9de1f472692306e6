"""A rule as JavaScript, on plain numbers: ``rule(variables, hyperparameters)`` returns an object of what it updates.

The operations stand in the author's order, so that a browser's path and Python's differ
by rounding alone.
"""

import ast

from .lower import Unsupported, identifier

FUNCTIONS = {"where": None, "maximum": "Math.max", "minimum": "Math.min"}  # Math.max of a NaN is NaN, as in torch
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "===", ast.NotEq: "!=="}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def javascript(program):
    if program.functions:
        name = next(iter(program.functions))
        raise Unsupported(f"rule {program.name!r} calls {name} on whole tensors, which the JavaScript form does not do")
    print_ = _Printer()
    kept = ", ".join(f"{n}: {identifier(f'{n}@{program.last(n)}')}" for n in program.outputs)
    return "\n".join([
        f"function {program.name}({{{', '.join(program.variables)}}}, {{{', '.join(program.hyperparameters)}}}) {{",
        *(f"  const {identifier(a.target)} = {print_(a.value)};" for a in program.assignments),
        f"  return {{{kept}}};",
        "}",
        "",
    ])  # fmt: skip


class _Printer:
    """Every compound expression stands in parentheses: JavaScript refuses ``-x**2``, and precedence differs elsewhere."""

    def __call__(self, node):
        return getattr(self, type(node).__name__)(node)

    def Name(self, node):
        return "Math.PI" if node.id == "pi" else identifier(node.id)

    def Constant(self, node):
        return str(node.value).lower() if isinstance(node.value, bool) else repr(node.value)

    def UnaryOp(self, node):
        sign = {ast.USub: "-", ast.UAdd: "+", ast.Not: "!"}[type(node.op)]
        return f"({sign}{self(node.operand)})"

    def BinOp(self, node):
        a, b = self(node.left), self(node.right)
        if isinstance(node.op, ast.Pow):
            return f"Math.pow({a}, {b})"
        if isinstance(node.op, ast.Mod):  # Python's remainder has the divisor's sign, JavaScript's the dividend's
            return f"((r, b) => r !== 0 && (r < 0) !== (b < 0) ? r + b : r)({a} % {b}, {b})"
        return f"({a} {OPERATORS[type(node.op)]} {b})"

    def Compare(self, node):
        return f"({self(node.left)} {COMPARISONS[type(node.ops[0])]} {self(node.comparators[0])})"

    def BoolOp(self, node):
        return "(" + (" && " if isinstance(node.op, ast.And) else " || ").join(map(self, node.values)) + ")"

    def IfExp(self, node):
        return f"({self(node.test)} ? {self(node.body)} : {self(node.orelse)})"

    def Call(self, node):
        name, arguments = node.func.id, [self(a) for a in node.args]
        if name == "where":
            return "({} ? {} : {})".format(*arguments)
        if name == "norm":
            return f"Math.abs({arguments[0]})"  # of one number
        if name in ("mean", "row_mean", "column_mean"):
            return arguments[0]
        if name == "sign":  # 0 for NaN, as in torch
            return "(({0} > 0) - ({0} < 0))".format(*arguments)
        known = ("abs", "sqrt", "cos", "exp", "log", "floor")
        return f"{FUNCTIONS.get(name) or (f'Math.{name}' if name in known else name)}({', '.join(arguments)})"
