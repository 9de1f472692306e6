"""The functions that a rule may call, each for floats, NumPy arrays, SymPy expressions and torch tensors.

NumPy and SymPy are never imported here: an argument can only be theirs if the
caller has imported them already.
"""

import builtins
import contextlib
import contextvars
import functools
import math
import sys

import torch

pi = math.pi
abs = builtins.abs  # already works on all four; listed here so that a rule can import every name from one place

# The dtype that `where` of two plain numbers takes: the parameter's, set while a rule runs on tensors.
_dtype = contextvars.ContextVar("dtype", default=None)


@contextlib.contextmanager
def numbers_as(dtype):
    """While this is open, ``where`` of two numbers makes tensors or arrays of ``dtype``."""
    token = _dtype.set(dtype)
    try:
        yield
    finally:
        _dtype.reset(token)


def _library(*values):
    """The library whose functions apply: that of the first value that is not a plain number."""
    for value in values:
        if isinstance(value, torch.Tensor):
            return torch
        numpy, sympy = sys.modules.get("numpy"), sys.modules.get("sympy")
        if numpy and isinstance(value, (numpy.ndarray, numpy.generic)):
            return numpy
        if sympy and isinstance(value, (sympy.Basic, sympy.logic.boolalg.Boolean)):
            return sympy
    return math


X = """

    Args:
        x: a number, a NumPy array, a SymPy expression or a tensor.
    """


def _elementwise(name, doc):
    def function(x):
        return getattr(_library(x), name)(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc + X
    return function


sqrt = _elementwise("sqrt", "Square root.")
cos = _elementwise("cos", "Cosine of an angle in radians.")
exp = _elementwise("exp", "Exponential.")
log = _elementwise("log", "Natural logarithm.")


def floor(x):
    """The largest integer not above ``x``, in ``x``'s own type (a float stays a float).

    Args:
        x: a number, a NumPy array, a SymPy expression or a tensor.
    """
    library = _library(x)
    return float(math.floor(x)) if library is math else library.floor(x)


def sign(x):
    """-1, 0 or 1; 0 for NaN, as in torch.

    Args:
        x: a number, a NumPy array, a SymPy expression or a tensor.
    """
    library = _library(x)
    if library is math:
        return float((x > 0) - (x < 0))
    if library is sys.modules.get("numpy"):
        return (x > 0).astype(x.dtype) - (x < 0)
    return library.sign(x)


def maximum(a, b):
    """The larger of the two, element by element; NaN if either is, as in torch.

    Args:
        a, b: numbers, NumPy arrays, SymPy expressions or tensors; a number fits every tensor.
    """
    return _extremum(a, b, "maximum", "Max", lambda a, b: a if a > b or a != a else b)


def minimum(a, b):
    """The smaller of the two, element by element; NaN if either is, as in torch.

    Args:
        a, b: numbers, NumPy arrays, SymPy expressions or tensors; a number fits every tensor.
    """
    return _extremum(a, b, "minimum", "Min", lambda a, b: a if a < b or a != a else b)


def _extremum(a, b, name, sympy_name, plain):
    library = _library(a, b)
    if library is math:
        return plain(a, b)
    if library is torch:
        tensor = a if isinstance(a, torch.Tensor) else b
        a, b = (torch.as_tensor(x, dtype=tensor.dtype, device=tensor.device) for x in (a, b))
    return getattr(library, name if library is not sys.modules.get("sympy") else sympy_name)(a, b)


def where(condition, a, b):
    """``a`` where ``condition`` holds, else ``b``; both are worked out.

    Args:
        condition: a comparison of what follows, element by element.
        a, b: numbers, NumPy arrays, SymPy expressions or tensors. Two numbers take the parameter's dtype.
    """
    if isinstance(condition, (bool, int, float)):
        return a if condition else b
    library = _library(condition, a, b)
    if library is torch:
        if not any(isinstance(x, torch.Tensor) for x in (a, b)):
            a = torch.as_tensor(a, dtype=_dtype.get(), device=condition.device)
        return torch.where(condition, a, b)
    if library is sys.modules.get("sympy"):
        return library.Piecewise((a, condition), (b, True))
    plain = all(isinstance(x, (int, float)) for x in (a, b))
    return library.where(condition, a, b).astype(_dtype.get()) if plain else library.where(condition, a, b)


def norm(x):
    """The Euclidean norm over all elements of a tensor.

    Args:
        x: a tensor or a NumPy array of any shape; of a number it is the magnitude.
    """
    library = _library(x)
    if library is torch:
        return torch.linalg.vector_norm(x)
    return library.linalg.norm(x) if library is sys.modules.get("numpy") else builtins.abs(x)


def mean(x):
    """The mean over all elements of a tensor.

    Args:
        x: a tensor or a NumPy array of any shape; of a number it is the number.
    """
    library = _library(x)
    return x.mean() if library in (torch, sys.modules.get("numpy")) else x


def row_mean(x):
    """The mean over each row of a matrix, or of every matrix in a stack; a column: the last dimension is 1.

    Args:
        x: a tensor or a NumPy array ``[..., rows, columns]``; the result is ``[..., rows, 1]``.
    """
    library = _library(x)
    if library is torch:
        return x.mean(dim=-1, keepdim=True)
    return x.mean(axis=-1, keepdims=True) if library is sys.modules.get("numpy") else x


def column_mean(x):
    """The mean over each column of a matrix, or of every matrix in a stack; a row: the last dimension but one is 1.

    Args:
        x: a tensor or a NumPy array ``[..., rows, columns]``; the result is ``[..., 1, columns]``.
    """
    library = _library(x)
    if library is torch:
        return x.mean(dim=-2, keepdim=True)
    return x.mean(axis=-2, keepdims=True) if library is sys.modules.get("numpy") else x


class Whole:
    """Decorator: a function of whole tensors that a rule may call, such as Muon's orthogonalisation.

    It is written for a list of tensors, followed by numbers, and returns a list of tensors of
    their shapes, so that it may treat equal ones together. A rule calls it on one tensor.

    Args:
        each: the function.

    Example:
        >>> @whole
        ... def centred(tensors):
        ...     return [t - t.mean() for t in tensors]
    """

    def __init__(self, each):
        self.each = each
        functools.update_wrapper(self, each)

    def __call__(self, x, *numbers):
        if _library(x) is sys.modules.get("sympy"):
            return sys.modules["sympy"].Function(self.__name__)(x, *numbers)
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"{self.__name__} takes a tensor, and got {type(x).__name__}")
        return self.each([x], *numbers)[0]


whole = Whole

ELEMENTWISE = {f.__name__: f for f in (abs, sqrt, sign, maximum, minimum, where)}
NUMBERS_ONLY = {f.__name__: f for f in (cos, exp, log, floor)}
REDUCTIONS = {f.__name__: f for f in (norm, mean, row_mean, column_mean)}
FUNCTIONS = {**ELEMENTWISE, **NUMBERS_ONLY, **REDUCTIONS}
CONSTANTS = {"pi": pi}
