"""The surfaces that the playground offers."""

from dataclasses import dataclass

from ..surfaces import Surface, beale, himmelblau, plateau, ravine, rosenbrock, saddle, tilted_ravine


@dataclass(frozen=True)
class Place:
    """A surface on offer: its name in Chinese and in English, its formula, and the noise of its gradients to begin with."""

    words: tuple
    surface: Surface
    formula: str
    noise: float = 0.0


SURFACES = {
    "ravine": Place(("峡谷", "Ravine"), ravine, "(x² + 20 y²) / 2"),
    "valley": Place(("带噪声的斜谷", "Noisy valley"), tilted_ravine(20, 30), "(u² + 20 v²) / 2, u = 0.87 x + 0.5 y, v = 0.87 y − 0.5 x", 1.0),
    "saddle": Place(("鞍点", "Saddle"), saddle, "(x² − y²) / 2 + y⁴ / 4"),
    "plateau": Place(("高原", "Plateau"), plateau, "(x² + y²) / (1 + x² + y²)"),
    "rosenbrock": Place(("Rosenbrock 弯谷", "Rosenbrock"), rosenbrock(), "(1 − x)² + 20 (y − x²)²"),
    "beale": Place(("Beale", "Beale"), beale, "(1.5 − x + x y)² + (2.25 − x + x y²)² + (2.625 − x + x y³)²"),
    "himmelblau": Place(("Himmelblau", "Himmelblau"), himmelblau, "(x² + y − 11)² + (x + y² − 7)²"),
}
