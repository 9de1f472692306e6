"""Reads the mathematics of the book: LaTeX in, a tree out that can be evaluated at a point.

>>> left, right = equation(r"m_t = \\beta_1 m_{t-1} + (1 - \\beta_1) g_t")
>>> name(left), sorted(symbols(right))
('m_t', ['\\\\beta_1', 'g_t', 'm_{t-1}'])
>>> value(right, {r"\\beta_1": 0.5, "m_{t-1}": 1, "g_t": 3})
2.0

A symbol is one name with its accent, primes, index and superscript word: m_t, m_{t-1} and
\\hat{m}_t are three symbols. What the vocabulary of the book does not hold is a TexError.
"""

import math
import re
from functools import lru_cache
from itertools import cycle

from lark import Lark, Token, Transformer, Tree
from lark.exceptions import UnexpectedInput
from lark.visitors import Interpreter

GRAMMAR = r"""
start: _row (_NEWROW _row)*
_row: equation | continued | blank
equation: sum (_becomes sum)*
continued: (_becomes sum)+
blank:
_becomes: EQUALS | _ARROW

?sum: SIGN? product (SIGN product)*
?product: factor (OPERATOR? factor)*
?factor: power | bare_call
?power: (_atom | group | call) (_POWER sum "}")?
call: FUNCTION group
bare_call: FUNCTION bare+
?bare: _atom
     | _atom _POWER sum "}" -> power
group: _open sum ("," sum)* _close
_open: "(" | "[" | "\\{"
_close: ")" | "]" | "\\}"

_atom: symbol | number | fraction | root | absolute | floor | cases | braces
number: NUMBER | INFINITY
symbol: LETTER PRIME? INDEX? WORD?
      | ACCENT "{" symbol "}" PRIME? INDEX? WORD?
fraction: _FRAC "{" sum "}" "{" sum "}"
root: _SQRT ["[" sum "]"] "{" sum "}"
absolute: _LVERT sum _RVERT
floor: _LFLOOR sum _RFLOOR
?braces: "{" sum "}"

cases: _BEGIN branch (_NEWROW branch)* _NEWROW? _END
branch: sum ","? (_IF condition | _OTHERWISE)
?condition: _claim (JOIN _claim)*
_claim: comparison | negation | "(" condition ")"
negation: "\\lnot" _claim
comparison: sum (RELATION | EQUALS) sum

SIGN: "+" | "-"
OPERATOR: "\\cdot" | "\\times" | "\\odot" | "*" | "/" | "\\bmod"
FUNCTION.3: /\\(cos|sin|exp|log|ln|max|min)(?![A-Za-z])/
          | /\\(operatorname\*?|mathrm)\{(sign|sgn|max|min|mean|exp|log|cos)\}/
LETTER: /[A-Za-z]/ | /\\(mathrm|mathit)\{[^{}]*\}/
      | /\\(alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho)(?![A-Za-z])/
      | /\\(sigma|tau|phi|varphi|chi|psi|omega|ell|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega)(?![A-Za-z])/
ACCENT: /\\(hat|bar|tilde|dot|widehat|widetilde)(?![A-Za-z])/
PRIME: /'+/
INDEX: /_\{(?:[^{}]|\{[^{}]*\})*\}/
WORD.2: /\^\{\s*(\\max|\\min|\\star|\*|\\(mathrm|text|operatorname)\{[^{}]*\})\s*\}/
NUMBER: /\d+(\.\d+)?|\.\d+/
INFINITY: "\\infty"
RELATION: "<" | ">" | /\\(leq?|geq?|lt|gt|neq?)(?![A-Za-z])/
JOIN: "\\land" | "\\lor" | /\\text\{ *(and|or) *\}/
_POWER: /\^\s*\{/
EQUALS: "="
_ARROW: ":=" | "\\leftarrow" | "\\gets"
_FRAC: /\\[dtc]?frac(?![A-Za-z])/
_SQRT: "\\sqrt"
_LVERT: "\\lvert" | "\\lVert"
_RVERT: "\\rvert" | "\\rVert"
_LFLOOR: "\\lfloor"
_RFLOOR: "\\rfloor"
_BEGIN: "\\begin{cases}"
_END: "\\end{cases}"
_IF: /\\(text|mathrm)\{ *if *\}/
_OTHERWISE: /\\(text|mathrm)\{ *(otherwise|else) *\}/
_NEWROW: /\\\\(\[[^\]]*\])?/

%ignore /[\s&~]+/
%ignore /\\([,;:!> ]|q?quad(?![A-Za-z])|(display|text)style(?![A-Za-z]))/
%ignore /\\(left|right)\.|\\(left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])/
%ignore /\\(begin|end)\{(aligned|split|gathered)\}/
"""


class TexError(ValueError):
    """A formula outside the vocabulary of the book."""


# --- from TeX's loose writing to one in which every argument has braces ----------------------

BRACED = r"(\{(?:[^{}]|\{[^{}]*\})*\})"
ARGUMENT = r"(\\[A-Za-z]+|[A-Za-z0-9*])"
ACCENTS = r"\\(?:hat|bar|tilde|dot|widehat|widetilde)(?![A-Za-z])"
FRACTION = r"(\\[dtc]?frac)(?![A-Za-z])\s*"


def without_comments(tex):
    return re.sub(r"(?<!\\)%.*", "", tex)


def normalised(tex):
    """Braces around every argument, index before exponent, bars that know their side."""
    tex = re.sub(r"\^\s*(\{\s*\\prime\s*\}|\\prime)", "'", without_comments(tex))
    tex = re.sub(rf"((?<!\\)[_^]|{ACCENTS}|\\sqrt(?![A-Za-z]))\s*{ARGUMENT}", r"\1{\2}", tex)
    tex = re.sub(rf"{FRACTION}{ARGUMENT}\s*{ARGUMENT}", r"\1{\2}{\3}", tex)
    tex = re.sub(rf"{FRACTION}{ARGUMENT}\s*\{{", r"\1{\2}{", tex)
    tex = re.sub(rf"\^\s*{BRACED}\s*_\s*{BRACED}", r"_\2^\1", tex)
    tex = re.sub(rf"_\s*{BRACED}\s*('+)", r"\2_\1", tex)
    side = cycle([r"\\lvert ", r"\\rvert "])
    return re.sub(r"\\?\|", lambda bar: next(side)[1:], tex)


# --- trees ------------------------------------------------------------------------------------


def plain(braced):
    """The text inside braces without its spaces: '_{t - 1}' gives 't-1'."""
    text = re.sub(r"\\(mathrm|text|operatorname)\{\s*([^{}]*?)\s*\}", r"\2", braced[1:])
    return re.sub(r"[\s{}]|\\[,;:!]", "", text)


def wrapped(text):
    return text if len(text) == 1 else "{" + text + "}"


class Names(Transformer):
    """Turns a symbol's parts into its one name."""

    def symbol(self, parts):
        scripts = {"PRIME": "", "INDEX": "", "WORD": "", "ACCENT": ""}
        for part in parts:
            if part.type in scripts:
                scripts[part.type] += part
            elif part.type == "LETTER":
                letter = str(part)
            else:  # the symbol under an accent: \hat{m_t} is \hat{m}_t
                letter, inner = part.letter, part.scripts
                scripts = {kind: scripts[kind] + inner[kind] for kind in scripts}
        return Symbol(letter, scripts)


class Symbol(Token):
    """A token of type SYMBOL, spelled in one way whatever the author wrote."""

    def __new__(cls, letter, scripts):
        text = letter
        for accent in filter(None, scripts["ACCENT"].split("\\")):
            text = "\\" + accent.replace("wide", "") + "{" + text + "}"
        text += scripts["PRIME"]
        if scripts["WORD"]:
            text += "^{" + plain(scripts["WORD"][1:]) + "}"
        if scripts["INDEX"]:
            text += "_" + wrapped(plain(scripts["INDEX"][1:]))
        symbol = super().__new__(cls, "SYMBOL", text)
        symbol.letter, symbol.scripts = letter, scripts
        return symbol


PARSER = Lark(GRAMMAR, parser="lalr", transformer=Names())


@lru_cache(maxsize=None)
def equations(tex, functions=frozenset()):
    r"""Every equation of a formula, each as its sides: a = b = c is [a, b, c].

    A row that begins with a sign or with = goes on with the row above it. A name in `functions`
    that stands before a parenthesis is a function of what is in it: the \lambda of \lambda(t).
    """
    try:
        rows = PARSER.parse(normalised(tex)).children
    except UnexpectedInput as error:
        where = error.get_context(normalised(tex), span=30).rstrip()
        raise TexError(f"cannot read this part of the formula:\n{where}") from None
    found = []
    for row in rows:
        sides = [applied(side, functions) for side in row.children if side not in ("=",)]
        if row.data == "continued" and found:
            found[-1] += sides
        elif found and len(sides) == 1 and signed(sides[0]):
            found[-1][-1] = Tree("sum", [found[-1][-1], *sides[0].children])
        elif sides:
            found.append(sides)
    return found


def equation(tex, functions=frozenset()):
    """The sides of the one equation (or expression) that a formula holds."""
    found = equations(tex, functions)
    if len(found) != 1:
        raise TexError(f"{len(found)} equations where one should stand: {tex}")
    return found[0]


def expression(tex, functions=frozenset()):
    (side,) = equation(tex, functions)
    return side


def signed(side):
    return isinstance(side, Tree) and getattr(side.children[0], "type", "") == "SIGN"


def applied(tree, functions):
    """The tree in which a name of `functions` and the parenthesis after it are one call."""
    if not isinstance(tree, Tree):
        return tree
    children = []
    for child in tree.children:
        child = applied(child, functions)
        before = children[-1] if children else None
        if before in functions and getattr(child, "data", "") == "group":
            child = Tree("call", [children.pop(), child])
        children.append(child)
    if tree.data == "product" and len(children) == 1:
        return children[0]
    return Tree(tree.data, children)


def name(side):
    """The name of the symbol that stands alone on this side, or None."""
    return str(side) if isinstance(side, Symbol) else None


def symbol(tex):
    r"""The one spelling of a symbol: symbol(r"\hat m_{t}") is "\hat{m}_t"."""
    found = name(expression(tex))
    if found is None:
        raise TexError(f"not a symbol: {tex}")
    return found


def symbols(side):
    """Names of all symbols in a tree."""
    nodes = side.scan_values(lambda leaf: isinstance(leaf, Symbol)) if isinstance(side, Tree) else [side]
    return {str(node) for node in nodes} - set(CONSTANTS)


# --- values -----------------------------------------------------------------------------------

CONSTANTS = {r"\pi": math.pi}

FUNCTIONS = {
    "cos": math.cos,
    "sin": math.sin,
    "exp": math.exp,
    "log": math.log,
    "ln": math.log,
    "max": max,
    "min": min,
    "mean": lambda x: x,  # a tensor of one number
    "sign": lambda x: (x > 0) - (x < 0),
    "sgn": lambda x: (x > 0) - (x < 0),
}

RELATIONS = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "=": lambda a, b: a == b,
    "lt": lambda a, b: a < b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "leq": lambda a, b: a <= b,
    "ge": lambda a, b: a >= b,
    "geq": lambda a, b: a >= b,
    "ne": lambda a, b: a != b,
    "neq": lambda a, b: a != b,
}


def value(side, environment):
    """The number that a tree stands for; `environment` gives each symbol's. Errors are ArithmeticError
    or ValueError, as Python raises them: a division by zero, a root that is not real."""
    return Value(environment).visit(side)


class Value(Interpreter):
    def __init__(self, environment):
        self.environment = CONSTANTS | environment

    def visit(self, node):
        if isinstance(node, Symbol):
            return self.environment[str(node)]
        return super().visit(node)

    def values(self, tree):
        return [self.visit(child) for child in tree.children]

    def number(self, tree):
        return math.inf if tree.children[0] == r"\infty" else float(tree.children[0])

    def sum(self, tree):
        total, sign = 0.0, 1
        for child in tree.children:
            if getattr(child, "type", "") == "SIGN":
                sign = -1 if child == "-" else 1
            else:
                total, sign = total + sign * self.visit(child), 1
        return total

    def product(self, tree):
        total, operator = 1.0, "*"
        for child in tree.children:
            if getattr(child, "type", "") == "OPERATOR":
                operator = str(child)
                continue
            factor = self.visit(child)
            if operator == "/":
                total = total / factor
            elif operator == r"\bmod":
                total = total % factor
            else:
                total = total * factor
            operator = "*"
        return total

    def power(self, tree):
        return real(*self.values(tree))

    def root(self, tree):
        degree, radicand = tree.children
        if degree is None:
            return math.sqrt(self.visit(radicand))
        return real(self.visit(radicand), 1 / self.visit(degree))

    def fraction(self, tree):
        over, under = self.values(tree)
        return over / under

    def absolute(self, tree):
        return abs(*self.values(tree))

    def floor(self, tree):
        return float(math.floor(*self.values(tree)))

    def group(self, tree):
        if len(tree.children) > 1:
            raise TexError("a parenthesis of several numbers that belongs to no function")
        return self.visit(tree.children[0])

    def call(self, tree):
        function, group = tree.children
        return self.function(function)(*self.values(group))

    def bare_call(self, tree):
        function, *factors = tree.children
        return self.function(function)(math.prod(self.visit(factor) for factor in factors))

    def function(self, token):
        if isinstance(token, Symbol):
            return self.environment[str(token)]
        return FUNCTIONS[re.findall("[a-z]+", token.replace("operatorname", "").replace("mathrm", ""))[0]]

    def cases(self, tree):
        for branch in tree.children:
            result, *condition = branch.children
            if not condition or self.visit(condition[0]):
                return self.visit(result)
        raise ValueError("no case holds")

    def condition(self, tree):
        """Claims joined by and, and by or, which binds less."""
        alternatives = [[]]
        for child in tree.children:
            if getattr(child, "type", "") != "JOIN":
                alternatives[-1].append(child)
            elif "or" in child:
                alternatives.append([])
        return any(all(self.visit(claim) for claim in claims) for claims in alternatives)

    def negation(self, tree):
        return not self.visit(tree.children[0])

    def comparison(self, tree):
        left, relation, right = tree.children
        return RELATIONS[relation.strip("\\")](self.visit(left), self.visit(right))


def real(base, exponent):
    """base to the exponent; ValueError where that is no real number."""
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError(f"{base} to the {exponent} is not real")
    return result
