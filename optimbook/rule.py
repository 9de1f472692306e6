"""What a rule is: one update, written once as a plain Python function, and every other form of it.

    @rule
    def sgd(param, grad, *, lr=1e-3):
        param = param - lr * grad
        return param

Positional arguments are the variables: ``param``, ``grad``, the states, and if they are
named, ``step`` (1 at the first step), ``first`` (true at a parameter's first step), and
``rows`` and ``columns`` (of the matrix that a parameter is) and ``precision`` (its dtype's).
Keyword-only arguments are the hyperparameters; those that an ``if`` decides on are its
flags. One that is named ``matrix`` is a flag that each parameter's shape decides: whether
it has two dimensions or more. What is returned lives on. A rule without ``param`` is a formula of numbers, such
as a learning rate that depends on the step.
"""

import functools
import inspect
import sys

from .forms.c import c
from .forms.javascript import javascript
from .forms.latex import Equation, equations, latex
from .forms.lower import lower
from .forms.python import python
from .forms.triton import triton
from .functions import numbers_as
from .language import Definition, RuleError

__all__ = ["Rule", "rule", "RuleError", "Equation"]


def rule(function=None, *, symbols=None):
    """Makes a `Rule` of a function, or says at which line it is not one.

    Args:
        function: the function; see this module for its arguments.
        symbols: LaTeX for names that `optimbook.forms.latex.SYMBOLS` has not, e.g. ``{"update": "u"}``.

    Raises:
        RuleError: the function is not in the rule language.
    """
    if function is None:
        return functools.partial(rule, symbols=symbols)
    return Rule(Definition(function), symbols or {}, {}, function.__name__)


class Rule:
    """One update in every form. Call it on floats, NumPy arrays, SymPy expressions or torch tensors.

    Attributes:
        name: the function's name.
        source: its source, as its author wrote it.
        variables: names of the positional arguments.
        returns: names of what it returns, in order.
        states: the variables that live on, without the parameter.
        hyperparameters: names of the keyword arguments.
        defaults: the defaults that the function gives.
        flags: the hyperparameters that an ``if`` decides on.
        fixed: hyperparameters that `bind` has fixed.
        by_shape: flags that a parameter's shape decides.
        symbols: LaTeX of the rule's own names.
    """

    def __init__(self, definition, symbols, fixed, name):
        self._definition, self.symbols, self.fixed = definition, symbols, fixed
        self.name = self.__name__ = name
        self.__doc__ = definition.function.__doc__
        self.__module__ = definition.function.__module__
        self.__signature__ = _signature(definition.function, fixed)
        self.source = definition.source
        self.variables = definition.variables
        self.returns = definition.returns
        self.states = tuple(n for n in definition.states if n != "param")
        self.hyperparameters = tuple(n for n in definition.hyperparameters if n not in fixed)
        self.defaults = {n: v for n, v in definition.defaults.items() if n not in fixed}
        self.flags = tuple(n for n in definition.flags if n not in fixed)
        self.by_shape = definition.shape
        self._names = {*definition.hyperparameters, *definition.shape}
        self._lowered = {}

    def __call__(self, *args, **kwargs):
        array = next((a for a in args if _is_fractional(a)), None)
        with numbers_as(None if array is None else array.dtype):
            return self._definition.function(*args, **kwargs, **self.fixed)

    def __repr__(self):
        return f"<rule {self.name}{self.__signature__}>"

    def __reduce__(self):  # a rule is found again by its name, like a function
        return self.name

    def bind(self, name, **fixed):
        """The same rule with some hyperparameters fixed, under another name.

        Raises:
            TypeError: the rule has no such hyperparameter.
        """
        self._known(fixed)
        bound = Rule(self._definition, self.symbols, {**self.fixed, **fixed}, name)
        bound.__module__ = sys._getframe(1).f_globals.get("__name__", __name__)  # where pickle will look for it
        return bound

    def program(self, *, maximize=False, clipped=False, **values):
        """The straight list of assignments for these flags; a flag that is not given is off (0 or False).

        Args:
            maximize: begin with ``grad = -grad``.
            clipped: begin with ``grad = clip_ * grad``; ``clip_`` is a hyperparameter then.
            values: hyperparameters; those that no ``if`` decides on change nothing.

        Raises:
            TypeError: the rule has no such hyperparameter.
        """
        self._known(values)
        choice = self._definition.decide({**values, **self.fixed})
        return self._definition.program(choice, maximize=maximize, clipped=clipped, name=self.name)

    def lowered(self, *, maximize=False, clipped=False, **values):
        """The program, hoisted and gathered into terms; kept, so that equal flags give the same object."""
        self._known(values)
        key = self._definition.decide({**values, **self.fixed}), maximize, clipped
        if key not in self._lowered:
            self._lowered[key] = lower(self._definition.program(key[0], maximize=maximize, clipped=clipped, name=self.name))
        return self._lowered[key]

    def equations(self, **flags):
        """The assignments as LaTeX `Equation` objects, in the author's order.

        A flag that is given as None is printed as a case instead of decided.
        """
        return equations(self.program(**flags), self.symbols)

    def latex(self, **flags):
        """All equations, aligned."""
        return latex(self.program(**flags), self.symbols)

    def python(self, **flags):
        """The rule as Python with its flags decided."""
        return python(self.program(**flags))

    def javascript(self, **flags):
        """The rule as a JavaScript function of two objects: variables and hyperparameters."""
        return javascript(self.program(**flags))

    def c(self, dtype="float", **flags):
        """The rule as C for ``float``, ``double``, ``bfloat16`` or ``half`` parameters."""
        return c(self.lowered(**flags), dtype)

    def triton(self, dtype="float32", **flags):
        """The rule as a Triton kernel for ``float32``, ``float64``, ``bfloat16`` or ``float16`` parameters."""
        return triton(self.lowered(**flags), dtype)

    def _known(self, values):
        unknown = values.keys() - self._names
        if unknown:
            have = ", ".join(self.hyperparameters)
            raise TypeError(f"rule {self.name!r} has no hyperparameter {min(unknown)!r}; it has: {have}")


def _signature(function, fixed):
    signature = inspect.signature(function)
    return signature.replace(parameters=[p for n, p in signature.parameters.items() if n not in fixed])


def _is_fractional(value):
    """Whether this is a tensor or a NumPy array of a dtype that has fractions, as whole steps have not."""
    dtype = getattr(value, "dtype", None)
    return getattr(dtype, "is_floating_point", False) or getattr(dtype, "is_complex", False) or getattr(dtype, "kind", "") in ("f", "c")
