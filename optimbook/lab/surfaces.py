"""Two-dimensional functions to walk on. Each is a rule of two numbers: its value and its gradient,
on floats, NumPy, SymPy and torch, and in JavaScript for the sliders."""

from dataclasses import dataclass, field

import numpy

from ..rule import Rule, rule
from .style import GREY


@dataclass(frozen=True)
class Surface:
    """A function of the plane and the part of the plane that is shown.

    Attributes:
        rule: returns value, grad_x and grad_y.
        box: ``(left, right), (bottom, top)``.
        start: a good place to begin.
        minimum: where it is smallest, or None.
        parameters: the rule's hyperparameters.
        others: further points that are as low as ``minimum``.
    """

    rule: Rule
    box: tuple
    start: tuple
    minimum: tuple = (0.0, 0.0)
    parameters: dict = field(default_factory=dict)
    others: tuple = ()

    def value(self, x, y):
        return self.rule(x, y, **self.parameters)[0]

    def gradient(self, x, y):
        return self.rule(x, y, **self.parameters)[1:]

    def grid(self, points=161):
        """Values over the box: ``x, y, values``."""
        x, y = (numpy.linspace(*ends, points) for ends in self.box)
        return x, y, self.value(*numpy.meshgrid(x, y))

    def levels(self, count=12, points=161):
        """Heights of contours, denser near the bottom, where paths end."""
        values = self.grid(points)[2]
        low, high = values.min(), values.max()
        return low + (high - low) * (numpy.arange(1, count + 1) / (count + 1)) ** 2.5


@rule
def _quadratic(x, y, *, condition):
    value = (x**2 + condition * y**2) / 2
    grad_x = x
    grad_y = condition * y
    return value, grad_x, grad_y


@rule
def _tilted(x, y, *, condition, cosine, sine):
    along = cosine * x + sine * y
    across = cosine * y - sine * x
    value = (along**2 + condition * across**2) / 2
    grad_x = cosine * along - condition * sine * across
    grad_y = sine * along + condition * cosine * across
    return value, grad_x, grad_y


@rule
def _saddle(x, y):
    value = (x**2 - y**2) / 2 + y**4 / 4
    grad_x = x
    grad_y = y**3 - y
    return value, grad_x, grad_y


@rule
def _rosenbrock(x, y, *, steepness):
    rise = y - x**2
    value = (1 - x) ** 2 + steepness * rise**2
    grad_x = 2 * (x - 1) - 4 * steepness * x * rise
    grad_y = 2 * steepness * rise
    return value, grad_x, grad_y


@rule
def _beale(x, y):
    a = 1.5 - x + x * y
    b = 2.25 - x + x * y**2
    c = 2.625 - x + x * y**3
    value = a**2 + b**2 + c**2
    grad_x = 2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1)
    grad_y = 2 * a * x + 4 * b * x * y + 6 * c * x * y**2
    return value, grad_x, grad_y


@rule
def _himmelblau(x, y):
    a = x**2 + y - 11
    b = x + y**2 - 7
    value = a**2 + b**2
    grad_x = 4 * x * a + 2 * b
    grad_y = 2 * a + 4 * y * b
    return value, grad_x, grad_y


@rule
def _plateau(x, y):
    bowl = x**2 + y**2
    value = bowl / (1 + bowl)
    grad_x = 2 * x / (1 + bowl) ** 2
    grad_y = 2 * y / (1 + bowl) ** 2
    return value, grad_x, grad_y


def quadratic(condition):
    """A bowl whose curvature is 1 along x and ``condition`` along y: (x² + κ y²) / 2."""
    return Surface(_quadratic, ((-2.2, 2.2), (-1.3, 1.3)), (-2.0, 1.0), parameters={"condition": condition})


def tilted_ravine(condition=20, degrees=30):
    """The same bowl, turned, so that no coordinate runs along the valley."""
    angle = numpy.deg2rad(degrees)
    turn = {"cosine": float(numpy.cos(angle)), "sine": float(numpy.sin(angle))}
    return Surface(_tilted, ((-2.2, 2.2), (-1.5, 1.5)), (-2.0, 0.2), parameters={"condition": condition, **turn})


def rosenbrock(steepness=20):
    """A curved valley, flat along its floor."""
    return Surface(_rosenbrock, ((-1.6, 1.6), (-0.6, 1.9)), (-1.2, 1.0), (1.0, 1.0), {"steepness": steepness})


ravine = quadratic(20)
saddle = Surface(_saddle, ((-1.6, 1.6), (-1.6, 1.6)), (-1.4, 0.01), (0.0, 1.0), others=((0.0, -1.0),))
beale = Surface(_beale, ((-1.0, 4.5), (-1.5, 1.5)), (1.0, 1.4), (3.0, 0.5))
plateau = Surface(_plateau, ((-4.2, 2.4), (-2.2, 2.2)), (-3.6, 1.2))  # the farther out, the flatter: almost 1 everywhere
himmelblau = Surface(
    _himmelblau, ((-5.5, 5.5), (-5.0, 5.0)), (-0.5, -1.5), (3.0, 2.0),
    others=((-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.283185991286170), (3.584428340330492, -1.848126526964404)),
)  # fmt: skip


def draw_surface(axes, surface, count=12):
    """Contours in grey, the minimum as a cross."""
    axes.contour(*surface.grid(), levels=surface.levels(count), colors=GREY, linewidths=0.7, alpha=0.6)
    if surface.minimum is not None:
        axes.plot(*surface.minimum, "x", color="black", markersize=7, markeredgewidth=1.8)
    axes.set(xlim=surface.box[0], ylim=surface.box[1], xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
    axes.grid(False)
