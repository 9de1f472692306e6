"""How figures look: one style, and one colour for each optimizer and schedule in the whole book."""

import zlib

import matplotlib.pyplot as plt

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#222222"
GREY = "#777777"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)

# A family shares a colour; within it the line differs.
LINES = {
    "SGD": (BLACK, "-"),
    "momentum": (GREEN, "-"),
    "Nesterov": (GREEN, "--"),
    "ASGD": (BLACK, "--"),
    "Adagrad": (PURPLE, "-"),
    "Adadelta": (PURPLE, "--"),
    "RMSprop": (ORANGE, "-"),
    "Rprop": (ORANGE, "--"),
    "Adam": (BLUE, "-"),
    "AMSGrad": (BLUE, "--"),
    "AdamW": (VERMILLION, "-"),
    "NAdam": (SKY, "-"),
    "RAdam": (SKY, "--"),
    "Adamax": (SKY, "-."),
    "Lion": (VERMILLION, "--"),
    "Muon": (PURPLE, "-."),
    "Adafactor": (ORANGE, "-."),
    "LAMB": (GREEN, "-."),
    "LBFGS": (BLACK, "-."),
    "constant": (GREY, "-"),
    "CosineAnnealingLR": (BLUE, "-"),
    "LinearLR": (GREEN, "-"),
    "StepLR": (ORANGE, "-"),
    "ExponentialLR": (PURPLE, "-"),
    "OneCycleLR": (VERMILLION, "-"),
}

STYLE = {
    "figure.figsize": (6.0, 3.4),
    "figure.dpi": 90,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.08,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "mathtext.fontset": "dejavusans",
}


def use():
    """Sets the style; in a notebook, figures are drawn at twice the dots, for crisp screens."""
    plt.rcParams.update(STYLE)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("retina", pad_inches=0.08, facecolor="white")


def line(name):
    """``color`` and ``linestyle`` of an optimizer or schedule, the same in the whole book, as keyword arguments of ``plot``."""
    known = LINES.get(name) or (PALETTE[zlib.crc32(name.encode()) % len(PALETTE)], ":")
    return dict(zip(("color", "linestyle"), known))


def color(name):
    """The colour of an optimizer or schedule."""
    return line(name)["color"]


def figure(rows=1, columns=1, *, width=6.0, height=3.4, **kwargs):
    """``plt.subplots`` in the book's size: two narrow panels beside each other stay readable, three do not."""
    return plt.subplots(rows, columns, figsize=(width, height), **kwargs)
