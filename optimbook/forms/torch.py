"""A rule as torch calls, for one parameter (loop) or for lists of them (foreach).

What is dead is overwritten: a state is updated in its own storage, a temporary takes the
next result. Sums of products go to ``lerp_``, ``addcmul_`` and ``addcdiv_``, so that no
more memory is read, written or held than by torch's own hand-written steps.
"""

import re
from collections import Counter
from dataclasses import dataclass

from ..language import Kind, split, union
from .lower import Choose, Leaf, Sum, Term, complementary, identifier, leaves, literal, number


def loop(lowered):
    """Source of ``step(<tensors>, numbers)`` for one parameter."""
    return _Printer(lowered, _Loop()).source()


def foreach(lowered):
    """Source of ``step(<lists of tensors>, numbers)`` for parameters that share their hoisted numbers."""
    return _Printer(lowered, _Foreach()).source()


class _Loop:
    """Spells an operation on one tensor."""

    def new(self, op, a, *rest):
        return f"torch.{op}({', '.join([a, *rest])})"

    def over(self, op, a, *rest):
        if op in ("maximum", "minimum"):  # torch has no maximum_
            return f"torch.{op}({', '.join([a, *rest])}, out={a})"
        return f"{a}.{op}_({', '.join(rest)})"

    def each(self, call, tensors):
        return call

    def norm(self, a):
        return f"torch.linalg.vector_norm({a})"

    def whole(self, function, arguments):
        return f"{function}({arguments})"


class _Foreach:
    """Spells the same operation on lists."""

    def new(self, op, a, *rest):
        return f"torch._foreach_{op}({', '.join([a, *rest])})"

    def over(self, op, a, *rest):
        return f"torch._foreach_{op}_({', '.join([a, *rest])})"

    def norm(self, a):
        return f"torch._foreach_norm({a})"

    def whole(self, function, arguments):
        return f"{function}.each({arguments})"

    def each(self, call, tensors):
        """What has no foreach operation goes tensor by tensor."""
        names = ", ".join(tensors)
        return f"[{call} for {names} in zip({names})]" if len(tensors) > 1 else f"[{call} for {names} in {names}]"


@dataclass
class _Value:
    """Where a value stands, and whether it may be overwritten there."""

    text: str
    ours: bool
    kind: Kind


class _Printer:
    def __init__(self, lowered, spell):
        self.lowered, self.program, self.spell = lowered, lowered.program, spell
        self.numbers = {c: f"n{i}_" for i, c in enumerate(lowered.coefficients)}
        self.place = {f"{n}@0": n for n in self.program.tensors}
        self.left = Counter(t for _, node in lowered.body for t in leaves(node))  # uses still to come
        self.lines, self.indent = [], "    "
        self.made, self.ours = 0, set()  # how many temporaries were made, and which may be overwritten
        self.overwritable = None  # the version that the current assignment replaces in place

    def source(self):
        late = []
        for target, node in self.lowered.body:
            late += self.assign(target, node)
        for name, value in late:
            self.write(self.over("copy", name, value))
        unpack = ", ".join(self.numbers.values())
        first = [f"    {unpack}{',' if len(self.numbers) == 1 else ''} = number_"] if self.numbers else []
        return "\n".join([f"def step({', '.join([*self.program.tensors, 'number_'])}):", *first, *self.freed()]) + "\n"

    def freed(self):
        """The lines, each temporary let go after the last that reads it, so that no more are held than needed."""
        last = {name: i for i, line in enumerate(self.lines) for name in re.findall(r"\bt\d+_\b", line)}
        made = {name for line in self.lines for name in re.findall(r"^    (t\d+_) =", line)}  # whichever choices are taken
        lines, dead = [], []
        for i, line in enumerate(self.lines):
            if dead and not line.startswith("     ") and not line.startswith("    else:"):  # within a choice nothing is let go
                lines.append(f"    del {', '.join(dead)}")
                dead = []
            lines.append(line)
            dead += [name for name, at in last.items() if at == i and name in made and i < len(self.lines) - 1]
        return lines

    # Assignments

    def assign(self, target, node):
        """Prints one assignment; returns the copy into a state's storage that must wait until its old value is dead."""
        name, version = split(target)
        stored = name in self.program.tensors and name != "grad"
        resident = next((t for t, place in self.place.items() if place == name), None) if stored else None
        uses = Counter(leaves(node))
        free = stored and self.left[resident] == uses[resident]
        self.overwritable = resident if free and self.most_uses(node, resident) <= 1 else None
        home = name if free else None
        if isinstance(node, Choose):
            value = self.choose(identifier(target), node, home)
        else:
            value = self.settle(self.value(node, home), target, home, version)
        self.overwritable = None
        self.place[target] = value.text
        if stored and version == self.program.last(name) and value.text != name:
            self.ours.discard(value.text)
            return [(name, value.text)]
        return []

    def settle(self, value, target, home, version):
        """Gives a value the name of its target, or copies it home."""
        name, _ = split(target)
        if value.text == home:
            return value
        if home and version == self.program.last(name):
            self.write(self.over("copy", home, value.text))
            return _Value(home, False, value.kind)
        if not value.ours and value.text != identifier(target):  # another's storage: keep a copy of what it is now
            value = self.new("mul", value.kind, value.text, "1") if name in self.program.tensors else value
        return value

    def choose(self, name, node, home):
        """`a if condition else b` is decided in Python, so that only one side is worked out."""
        name = home or name
        kind = self.lowered.kind(node)
        for word, side in ((f"if {self.coefficient(node.condition)}:", node.a), ("else:", node.b)):
            self.write(word)
            self.indent += "    "
            before = len(self.lines)
            value = self.value(side, home)
            if value.text != name:
                self.write(self.over("copy", home, value.text) if home else f"{name} = {value.text}")
            if len(self.lines) == before:
                self.write("pass")
            self.indent = self.indent[:-4]
        return _Value(name, False, kind)

    def most_uses(self, node, target):
        """How often a leaf stands in one evaluation: of the two sides of a choice only one is taken."""
        if isinstance(node, Choose):
            return max(self.most_uses(node.a, target), self.most_uses(node.b, target))
        return Counter(leaves(node))[target]

    # Values

    def value(self, node, home=None):
        if isinstance(node, Leaf):
            return self.leaf(node)
        if number(node) is not None:  # one side of a choice, say
            return self.make(self.spell.each(f"torch.full_like(param, {self.coefficient(number(node))})", ["param"]), Kind.TENSOR)
        if isinstance(node, Sum):
            return self.sum(node, home)
        if isinstance(node, Choose):
            return self.choose(self.fresh(), node, None)
        return self.apply(node, home)

    def leaf(self, node):
        self.left[node.target] -= 1
        text, kind = self.place[node.target], self.lowered.kinds[node.target]
        ours = node.target == self.overwritable or (text in self.ours and not self.left[node.target])
        return _Value(text, ours, kind)

    def sum(self, node, home):
        kind = self.lowered.kind(node)
        terms = sorted(node.terms, key=lambda t: self.rank(t, home))
        if len(terms) == 1:
            return self.product(terms[0], home)
        average = self.average(terms, home) or self.blend(node.terms, kind)
        if average:
            return average
        base, rest = self.start(terms, kind, home)
        for term in rest:
            base = self.add(base, term, kind)
        return base

    def rank(self, term, home):
        """Which term a sum begins with: the state that it replaces, then what leaves a temporary, then a plain tensor."""
        plain = len(term.factors) == 1 and not term.divisors and isinstance(term.factors[0], Leaf)
        if plain and term.factors[0].target == self.overwritable:
            return 0
        if not term.factors and not term.divisors:
            return 4
        if plain:
            return 2 if literal(term.coefficient) == 1 else 3
        return 1 if home is None or home != self.place.get(self.overwritable) else 2.5

    def average(self, terms, home):
        """``beta * old + (1 - beta) * new`` in place of old, as torch's own lerp."""
        if len(terms) != 2 or any(len(t.factors) != 1 or t.divisors for t in terms):
            return None
        (old, new) = terms
        if old.factors[0] != Leaf(self.overwritable) or not complementary(old.coefficient, new.coefficient):
            return None
        new_value = self.value(new.factors[0])
        old_value = self.value(old.factors[0])
        self.write(self.over("lerp", old_value.text, new_value.text, self.coefficient(new.coefficient)))
        return old_value

    def blend(self, terms, kind):
        """The same of any two tensors, in the author's order."""
        if len(terms) != 2 or any(len(t.factors) != 1 or t.divisors or not isinstance(t.factors[0], Leaf) for t in terms):
            return None
        if not complementary(*(t.coefficient for t in terms)) or {self.lowered.kind(t.factors[0]) for t in terms} != {kind}:
            return None
        old, new = (self.value(t.factors[0]) for t in terms)
        return self.over_or_new("lerp", old, kind, new.text, self.coefficient(terms[1].coefficient))

    def start(self, terms, kind, home):
        """The first term as a value that is ours to add to, and the terms still to add."""
        first, rest = terms[0], terms[1:]
        if literal(first.coefficient) == 1 and len(first.factors) == 1 and not first.divisors:
            value = self.value(first.factors[0], home)
            if value.ours and value.kind == kind:
                return value, rest
            return self.add(value, rest[0], kind, fresh=True), rest[1:]
        value = self.product(first, home)
        if value.kind != kind:
            return self.add(value, rest[0], kind, fresh=True), rest[1:]
        return value, rest

    def add(self, base, term, kind, fresh=False):
        """``base + term``, over base or as something new."""
        coefficient, values = self.coefficient(term.coefficient), None
        shape = (len(term.factors), len(term.divisors))
        if shape == (0, 0):
            call = ("add", base.text, coefficient)
        elif shape in ((2, 0), (1, 1)):
            values = self.operands([*term.factors, *term.divisors])
            scaled = [] if literal(term.coefficient) == 1 else [f"value={coefficient}"]
            call = ("addcmul" if shape == (2, 0) else "addcdiv", base.text, *[v.text for v in values], *scaled)
        else:
            single = shape == (1, 0)
            value = self.value(term.factors[0]) if single else self.product(Term("1", term.factors, term.divisors))
            scaled = [] if literal(term.coefficient) == 1 else [f"alpha={coefficient}"]
            call = ("add", base.text, value.text, *scaled)
        if fresh:
            return self.new(call[0], kind, *call[1:])
        self.write(self.over(*call))
        return base

    def product(self, term, home=None):
        """One term as a value that is ours, unless it is a plain tensor."""
        factors, divisors = self.operands(term.factors), self.operands(term.divisors)
        kind = union(v.kind for v in factors + divisors)
        coefficient = None if literal(term.coefficient) == 1 else self.coefficient(term.coefficient)
        if not factors and not divisors:
            raise AssertionError("a number alone is not a tensor")
        factors.sort(key=lambda v: not (v.ours and v.kind == kind))
        if not factors:
            value = self.over_or_new("reciprocal", divisors.pop(0), kind)
        else:
            value = factors.pop(0)
        todo = [("mul", v.text) for v in factors] + [("div", v.text) for v in divisors]
        todo += [("mul", coefficient)] if coefficient else []
        for op, other in todo:
            value = self.over_or_new(op, value, kind, other)
        return value

    def operands(self, nodes):
        """Values of several nodes; the same node twice is worked out once."""
        values = {}
        for node in nodes:
            if node in values and not isinstance(node, Leaf):
                for target in leaves(node):
                    self.left[target] -= 1
            else:
                values[node] = self.value(node)
        repeated = len(values) < len(nodes)
        return [_Value(values[n].text, values[n].ours and not repeated, values[n].kind) for n in nodes]

    def apply(self, node, home):
        function, arguments = node.function, node.arguments
        if function == "square":
            value = self.value(arguments[0])
            return self.over_or_new("mul", value, value.kind, value.text)
        if function in ("sqrt", "abs", "sign"):
            value = self.value(arguments[0])
            return self.over_or_new(function, value, value.kind)
        if function == "norm":
            return self.make(self.spell.norm(self.value(arguments[0]).text), Kind.REDUCED)
        if function in self.program.functions:
            tensor, *numbers = arguments
            given = [self.value(tensor).text, *(self.coefficient(number(n)) for n in numbers)]
            return self.make(self.spell.whole(function, ", ".join(given)), Kind.TENSOR)
        if function in ("maximum", "minimum"):
            return self.extremum(function, arguments)
        if function == "pow" and number(arguments[1]):
            value = self.value(arguments[0])
            return self.over_or_new("pow", value, value.kind, self.coefficient(number(arguments[1])))
        return self.call(node)

    def extremum(self, function, arguments):
        numbers = [number(a) for a in arguments]
        if any(numbers):
            tensor, bound = (1, 0) if numbers[0] else (0, 1)
            value = self.value(arguments[tensor])
            clamp = "clamp_min" if function == "maximum" else "clamp_max"
            return self.over_or_new(clamp, value, value.kind, self.coefficient(numbers[bound]))
        a, b = map(self.value, arguments)
        kind = union([a.kind, b.kind])
        if not (a.ours and a.kind == kind):
            a, b = b, a
        return self.over_or_new(function, a, kind, b.text)

    CALLS = {
        **{sign: f"({{0}} {sign} {{1}})" for sign in ("<", "<=", ">", ">=", "==", "!=")},
        "where": "torch.where({0}, {1}, {2})",
        "pow": "torch.pow({0}, {1})",
        "mean": "{0}.mean()",
        "row_mean": "{0}.mean(dim=-1, keepdim=True)",
        "column_mean": "{0}.mean(dim=-2, keepdim=True)",
    }

    def call(self, node):
        """A function without a foreach form; two plain numbers in a `where` take the parameter's dtype."""
        texts, tensors, kind = [], [], self.lowered.kind(node)
        plain = node.function == "where" and all(number(a) for a in node.arguments[1:])
        for i, argument in enumerate(node.arguments):
            if number(argument):
                text = self.coefficient(number(argument))
                if plain and i == 1:
                    text = f"torch.full((), {text}, dtype=param.dtype, device=param.device)"  # made there: nobody waits for a copy
                texts.append(text)
            else:
                texts.append(self.value(argument).text)
                tensors.append(texts[-1])
        if plain:
            tensors.append("param")
        call = self.CALLS[node.function].format(*texts)
        return self.make(self.spell.each(call, list(dict.fromkeys(tensors))), kind)

    # Lines

    def over_or_new(self, op, value, kind, *rest):
        if value.ours and value.kind == kind:
            self.write(self.over(op, value.text, *rest))
            return value
        return self.new(op, kind, value.text, *rest)

    def new(self, op, kind, a, *rest):
        return self.make(self.spell.new(op, a, *rest), kind)

    def make(self, call, kind):
        name = self.fresh()
        self.ours.add(name)
        self.write(f"{name} = {call}")
        return _Value(name, True, kind)

    def over(self, op, a, *rest):
        return self.spell.over(op, a, *rest)

    def write(self, line):
        self.lines.append(self.indent + line)

    def fresh(self):
        self.made += 1
        return f"t{self.made}_"

    def coefficient(self, coefficient):
        value = literal(coefficient)
        return self.numbers[coefficient] if value is None else repr(value)
