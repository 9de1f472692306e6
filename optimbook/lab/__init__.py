"""What the chapters call: surfaces and paths, real small tasks, tables, figures, sliders.

The only part of the package that needs more than torch: ``pip install "optimbook[lab]"``.
"""

from . import genealogy, results, springs
from .batches import flat, random_batches, rare_digit, watch
from .cards import card
from .checks import bound, compare
from .display import Html, both, show_rule
from .landscape import curvature, descend, eigenpairs, filter_direction, hessian_product, loss_of, plane, train_to
from .layers import OneTensor, deep_digits, lengths
from .paths import draw_path, noise, path
from .playground import play, playground
from .races import race
from .ranks import run_ranks
from .results import Measured, measured
from .setup import progress, start
from .sliders import curve_slider, knob, path_slider
from .starts import normed, steep, updates
from .style import color, figure, line, ticks
from .surfaces import Surface, beale, draw_surface, himmelblau, plateau, quadratic, ravine, rosenbrock, saddle, tilted_ravine
from .tables import spread, table
from .tasks import Task, digits, digits_cnn, digits_mlp, regression, text, words
from .training import Runs, gradients, grid, score, train, tune
from .tree import family_tree, starting_points, trait_table
