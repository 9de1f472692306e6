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

    The function's positional arguments are ``param``, ``grad`` and its states, which start at their defaults, or 0. If they
    are named, it is also given ``step`` (1 at the first step), ``first`` (true at a parameter's first step), ``rows`` and
    ``columns`` (of the matrix that a parameter is) and ``precision`` (its dtype's machine epsilon). Its keyword-only arguments
    are the hyperparameters; those that an ``if`` decides on are its flags. ``matrix`` is a flag that each parameter's shape
    decides: whether it has two dimensions or more. What it returns lives on. A function without ``param`` is a formula of
    numbers, such as a learning rate that depends on the step.

    Args:
        function: the function; None if this is called with ``symbols``, and then decorates.
        symbols: LaTeX for names that the book's notation has not, e.g. ``{"update": "u"}``.

    Returns:
        The `Rule`.

    Raises:
        RuleError: the function is not in the rule language.

    Example:
        >>> @rule
        ... def sgd(param, grad, *, lr=1e-3):
        ...     param = param - lr * grad
        ...     return param
        >>> sgd(1.0, 2.0, lr=0.1)
        0.8
    """
    if function is None:
        return functools.partial(rule, symbols=symbols)
    return Rule(Definition(function), symbols or {}, {}, function.__name__)


class Rule:
    """One update in every form, made by `rule`. Call it on floats, NumPy arrays, SymPy expressions or torch tensors.

    The methods take the rule's hyperparameters by name; only those that an ``if`` decides on, its flags, change what is
    printed. A flag that is not given is off.

    Attributes:
        name: the function's name.
        source: its source, as its author wrote it.
        variables: names of the positional arguments.
        returns: names of what it returns, in order.
        states: the variables that live on, without the parameter.
        hyperparameters: names of the keyword arguments.
        defaults: the defaults that the function gives.
        flags: the hyperparameters that an ``if`` decides on.
        fixed: hyperparameters that ``bind`` has fixed.
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

        Args:
            name: the new name, under which the caller's module is to hold it, so that it can be pickled.
            **fixed: hyperparameters and their values.

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
            **values: hyperparameters; those that no ``if`` decides on change nothing.

        Raises:
            TypeError: the rule has no such hyperparameter.
        """
        self._known(values)
        choice = self._definition.decide({**values, **self.fixed})
        return self._definition.program(choice, maximize=maximize, clipped=clipped, name=self.name)

    def lowered(self, *, maximize=False, clipped=False, **values):
        """The program, hoisted and gathered into terms; kept, so that equal flags give the same object.

        Args:
            maximize: begin with ``grad = -grad``.
            clipped: begin with ``grad = clip_ * grad``; ``clip_`` is a hyperparameter then.
            **values: hyperparameters; those that no ``if`` decides on change nothing.

        Raises:
            TypeError: the rule has no such hyperparameter.
        """
        self._known(values)
        key = self._definition.decide({**values, **self.fixed}), maximize, clipped
        if key not in self._lowered:
            self._lowered[key] = lower(self._definition.program(key[0], maximize=maximize, clipped=clipped, name=self.name))
        return self._lowered[key]

    def equations(self, **flags):
        """The assignments as LaTeX, a list of `Equation <optimbook.forms.latex.Equation>`, in the author's order.

        Args:
            **flags: hyperparameters; a flag that is None is printed as a case instead of decided.
        """
        return equations(self.program(**flags), self.symbols)

    def latex(self, **flags):
        """All equations, aligned, as one string of LaTeX for a display.

        Args:
            **flags: hyperparameters; a flag that is None is printed as a case instead of decided.
        """
        return latex(self.program(**flags), self.symbols)

    def python(self, **flags):
        """The rule as Python with its flags decided.

        Args:
            **flags: hyperparameters.
        """
        return python(self.program(**flags))

    def javascript(self, **flags):
        """The rule as a JavaScript function of two objects: variables and hyperparameters.

        Args:
            **flags: hyperparameters.
        """
        return javascript(self.program(**flags))

    def c(self, dtype="float", **flags):
        """The rule as C, one loop over all tensors.

        Args:
            dtype: of the parameters: ``"float"``, ``"double"``, ``"bfloat16"`` or ``"half"``.
            **flags: hyperparameters.

        Raises:
            Unsupported: the rule looks at rows, columns or whole tensors.
        """
        return c(self.lowered(**flags), dtype)

    def triton(self, dtype="float32", **flags):
        """The rule as a Triton kernel.

        Args:
            dtype: of the parameters: ``"float32"``, ``"float64"``, ``"bfloat16"`` or ``"float16"``.
            **flags: hyperparameters.

        Raises:
            Unsupported: the rule looks at rows, columns or whole tensors.
        """
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
