"""Are the equations of a chapter those of its rules? Symbol by symbol, at random points.

An equation names its rule in a TeX comment on a line of its own, one for each equation of
the formula: `% adam.exp_avg`, or with flags `% adam.exp_avg_sq_hat amsgrad=True`. Flags that
are not given are off, unless the variable exists only with some of them on. A step of a
derivation carries `% derivation: label`, and a cell `# derivation: label` with an assert.
"""

import ast
import math
import random
import re
from dataclasses import dataclass

from . import tex
from .cells import parsed
from .rules import choices, flag_names, is_schedule, own_rule, printed, ways
from .tex import TexError

COMMENT = re.compile(r"^\s*%\s*(.*?)\s*$", re.MULTILINE)
TAG = re.compile(r"(\w+)\.(\w+)((?:\s+\w+=[^\s=]+)*)$")
DERIVATION = re.compile(r"derivation: (\S.*)$")
ASSIGNS = re.compile(r":?=|\\leftarrow|\\gets")


@dataclass(frozen=True)
class Tag:
    rule: str
    variable: str
    flags: tuple  # of pairs (name, value)

    def __str__(self):
        return " ".join([f"{self.rule}.{self.variable}", *(f"{name}={value}" for name, value in self.flags)])


class Untied(ValueError):
    """An equation that is not its rule's; the message says in what."""


def problems(chapter, rules):
    """`rules`: the book's rules by name."""
    for formula in chapter.formulas:
        yield from formula_problems(formula, chapter, rules)
    yield from missing_problems(chapter, rules)


def formula_problems(formula, chapter, rules):
    try:
        check(formula, chapter, rules)
    except (Untied, TexError) as problem:
        yield f"{formula}\n    {problem}"


def check(formula, chapter, rules):
    labels, tags = read_comments(formula.tex)
    if labels:
        for label in labels:
            check_derivation(label, chapter)
    elif tags:
        check_tagged(formula, tags, rules)
    else:
        check_untagged(formula, chapter, rules)


def read_comments(formula):
    """Labels of derivations and tags, in the order in which they stand in the formula."""
    labels, tags = [], []
    for comment in COMMENT.findall(formula):
        if derivation := DERIVATION.match(comment):
            labels.append(derivation[1])
        elif found := TAG.match(comment):
            tags.append(Tag(found[1], found[2], tuple(map(read_flag, found[3].split()))))
        else:
            raise Untied(f"the comment “% {comment}” is neither “% rule.variable” nor “% derivation: label”")
    return labels, tags


def read_flag(text):
    name, _, value = text.partition("=")
    try:
        return name, bool(ast.literal_eval(value))
    except ValueError:
        raise Untied(f"the flag {text} is neither a number nor True or False") from None


# --- tagged equations -------------------------------------------------------------------------


def check_tagged(formula, tags, rules):
    equations = tex.equations(formula.tex)
    if len(equations) != len(tags):
        raise Untied(f"{len(equations)} equations under {len(tags)} tags: each has its own")
    for tag, sides in zip(tags, equations):
        if tag.rule not in rules:
            raise Untied(f"no rule is named {tag.rule}")
        check_sides(tag, sides, rules[tag.rule])


def check_sides(tag, sides, rule):
    left, *rights = sides
    assigned = assignments_of(tag, rule)
    if tex.name(left) not in assigned:
        raise Untied(f"{tag} assigns {', '.join(assigned)}, and not {tex.name(left)}")
    if not rights:
        raise Untied(f"{tag}: nothing is said of {tex.name(left)}")
    expected = assigned[tex.name(left)]
    for right in rights:
        if why := difference(right, tex.expression(expected)):
            raise Untied(f"is not {tag}, which is {tex.name(left)} = {expected}\n    {why}")


def assignments_of(tag, rule):
    """{left: right} of the tagged variable, with the fewest flags on with which it exists."""
    given = dict(tag.flags)
    if set(given) - set(flag_names(rule)):
        raise Untied(f"{tag}: {rule.name} has no flag but {', '.join(flag_names(rule)) or 'none'}")
    for flags in choices(rule):
        if any(flags[name] != value for name, value in given.items()):
            continue
        found = {left: right for name, left, right in printed(rule, flags) if name == tag.variable}
        if found:
            return found
    raise Untied(f"{rule.name} has no variable {tag.variable}")


def missing_problems(chapter, rules):
    """A rule's own chapter shows, tied to the rule, how each variable that the rule returns is made."""
    rule = own_rule(chapter, rules)
    if rule is None:
        return
    found = {(tag.rule, tag.variable) for _, tags in tagged(chapter) for tag in tags}
    for variable in rule.program().outputs:
        if (rule.name, variable) not in found:
            yield f"{chapter}: no equation carries % {rule.name}.{variable}"


def tagged(chapter):
    """Pairs of a formula and its tags, for the formulas that are tied to a rule."""
    found = ((formula, quiet_tags(formula)) for formula in chapter.formulas)
    return [(formula, tags) for formula, tags in found if tags]


def quiet_tags(formula):
    try:
        labels, tags = read_comments(formula.tex)
        return [] if labels else tags
    except Untied:  # reported where the formula itself is checked
        return []


# --- untagged formulas and derivations --------------------------------------------------------


def check_untagged(formula, chapter, rules):
    """A formula that says what a state at t is must say it as some rule of the chapter does."""
    if not lefts(formula.tex) & states(chapter, rules):
        return
    own = rules_of(chapter, rules)
    for left, *rights in tex.equations(formula.tex):
        if rights and tex.name(left) in states(chapter, rules):
            known = {r for rule in own for r in ways(rule).get(tex.name(left), ())}
            if not any(all(difference(right, tex.expression(way)) is None for right in rights) for way in known):
                listed = "".join(f"\n    {tex.name(left)} = {way}" for way in sorted(known))
                names = ", ".join(rule.name for rule in own)
                raise Untied(f"no rule of the chapter ({names}) says so; correct it, or make it a derivation{listed}")


def lefts(formula):
    """The symbols that stand alone on a left side, found without reading what is on the right."""
    found = set()
    for row in re.split(r"\\\\|\\begin\{\w+\}", tex.without_comments(formula)):
        left, assigns, _ = re.split(f"({ASSIGNS.pattern})", row, maxsplit=1) if ASSIGNS.search(row) else (row, "", "")
        try:
            found |= {tex.symbol(left)} if assigns else set()
        except (TexError, ValueError):
            pass  # not a symbol alone
    return found


def states(chapter, rules):
    """Left sides at step t of the chapter's rules; of all rules, if it names none. Schedules count in their own part alone."""
    wanted = [rule for rule in rules_of(chapter, rules) if chapter.part == "schedulers" or not is_schedule(rule)]
    return {left for rule in wanted for left in ways(rule) if left.endswith("_t")}


def rules_of(chapter, rules):
    """The rules that a chapter names in tags, and the one that it is named like; all, if it names none."""
    own = own_rule(chapter, rules)
    names = {tag.rule for _, tags in tagged(chapter) for tag in tags} | ({own.name} if own else set())
    return [rules[name] for name in sorted(names) if name in rules] or list(rules.values())


def check_derivation(label, chapter):
    """Some executed cell of the chapter carries the label and asserts."""
    for cell in chapter.code:
        marked = re.search(rf"^\s*# derivation: {re.escape(label)}\s*$", cell.source, re.MULTILINE)
        asserts = marked and any(isinstance(node, ast.Assert) for node in ast.walk(parsed(cell.source)))
        if asserts and cell.node.execution_count:
            return
    raise Untied(f"no executed cell carries “# derivation: {label}” and asserts it")


# --- the same at random points ----------------------------------------------------------------

POINTS = 90


def difference(one, other):
    """None if two expressions are the same, else why not; every symbol is drawn on its own."""
    names = sorted(tex.symbols(one) | tex.symbols(other))
    draw = random.Random(0)
    compared = 0
    for index in range(POINTS):
        point = {name: draw_value(name, index, draw) for name in names}
        try:
            values = tex.value(one, point), tex.value(other, point)
        except (ArithmeticError, ValueError):
            continue  # outside of the domain of one: a root of a negative number, a division by zero
        if not math.isclose(*values, rel_tol=1e-9, abs_tol=1e-11):
            at = ", ".join(f"{name} = {x:.4g}" for name, x in point.items())
            return f"they differ, {values[0]:.6g} and {values[1]:.6g}, at {at}"
        compared += 1
    return None if compared >= POINTS // 10 else "there is hardly a point where both can be worked out"


def draw_value(name, index, draw):
    """Small positive, large positive, and signed points in turn; now and then a 0 or a 1, where cases change."""
    if name == "t":
        return draw.randint(1, 6)
    if index % 4 == 3 and draw.random() < 0.25:
        return draw.choice((0.0, 1.0))
    return draw.uniform(*((0.05, 0.95), (0.5, 3.0), (-2.0, 2.0), (0.05, 3.0))[index % 4])
