"""How figures look: one style, and one colour for each optimizer and schedule in the whole book."""

import io
import zlib

import matplotlib.pyplot as plt

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#222222"
GREY = "#777777"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)

# A family shares a colour; within it the line differs.
OPTIMIZERS = {
    "SGD": (BLACK, "-"),
    "ASGD": (BLACK, "--"),
    "LBFGS": (BLACK, "-."),
    "momentum": (GREEN, "-"),
    "Nesterov": (GREEN, "--"),
    "LAMB": (GREEN, "-."),
    "LARS": (VERMILLION, "-."),
    "Adagrad": (PURPLE, "-"),
    "Adadelta": (PURPLE, "--"),
    "Muon": (PURPLE, "-."),
    "RMSprop": (ORANGE, "-"),
    "RMSprop-centered": (ORANGE, ":"),
    "Rprop": (ORANGE, "--"),
    "Adafactor": (ORANGE, "-."),
    "Adam": (BLUE, "-"),
    "AMSGrad": (BLUE, "--"),
    "Yogi": (BLUE, ":"),
    "AdamW": (VERMILLION, "-"),
    "Lion": (VERMILLION, "--"),
    "NAdam": (SKY, "-"),
    "RAdam": (SKY, "--"),
    "Adamax": (SKY, "-."),
    "ScheduleFree": (GREEN, ":"),
}
SCHEDULES = {
    "constant": (GREY, "-"),
    "ConstantLR": (GREY, "--"),
    "CosineAnnealingLR": (BLUE, "-"),
    "LambdaLR": (BLUE, "--"),
    "CosineDecayLR": (BLUE, "-."),
    "LinearLR": (GREEN, "-"),
    "PolynomialLR": (GREEN, "--"),
    "LinearDecayLR": (GREEN, "-."),
    "StepLR": (ORANGE, "-"),
    "MultiStepLR": (ORANGE, "--"),
    "ExponentialLR": (PURPLE, "-"),
    "FactorLR": (PURPLE, ":"),
    "WarmupLR": (PURPLE, "--"),
    "NoamLR": (PURPLE, "-."),
    "CosineAnnealingWarmRestarts": (SKY, "-"),
    "CyclicLR": (SKY, "--"),
    "OneCycleLR": (VERMILLION, "-"),
    "WarmupStableDecayLR": (VERMILLION, "--"),
    "QuarterCosineLR": (VERMILLION, "-."),
    "ReduceLROnPlateau": (BLACK, "-"),
}
SERIES = {
    "samples": (GREY, "-"),
    "truth": (BLACK, "-"),
    "average": (GREEN, "-"),
    "uncorrected": (VERMILLION, "--"),
}
LINES = {**OPTIMIZERS, **SCHEDULES, **SERIES}

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
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
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
    """Sets the style; in a notebook also how figures are stored."""
    plt.rcParams.update(STYLE)
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if hasattr(shell, "kernel"):
        shell.run_line_magic("matplotlib", "inline")
        plt.rcParams.update(STYLE)
        shell.display_formatter.formatters["image/png"].for_type(plt.Figure, png)


def png(figure, scale=2, colors=128):
    """A figure with twice the dots, for crisp screens, in few colours, for a small file: its bytes, and the width it is shown at."""
    from PIL import Image

    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=scale * figure.dpi)
    image = Image.open(drawn).convert("RGB").quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(stored, "png", optimize=True)
    return stored.getvalue(), {"width": image.width // scale}  # a height would distort it on a phone


def canonical(name):
    """A rule's or a class's name as the book spells it: ``adamw`` is AdamW."""
    return next((known for known in LINES if known.lower() == name.lower()), name)


def line(name):
    """``color`` and ``linestyle`` of an optimizer or schedule, the same in the whole book, as keyword arguments of ``plot``."""
    known = LINES.get(canonical(name)) or (PALETTE[zlib.crc32(name.encode()) % len(PALETTE)], ":")
    return dict(zip(("color", "linestyle"), known))


def color(name):
    """The colour of an optimizer or schedule."""
    return line(name)["color"]


def figure(rows=1, columns=1, *, width=6.0, height=3.4, **kwargs):
    """``plt.subplots`` in the book's size: two narrow panels beside each other stay readable, three do not."""
    return plt.subplots(rows, columns, figsize=(width, height), **kwargs)


def ticks(axes, values, axis="x"):
    """Plain numbers at these places of a logarithmic axis, and nothing between them."""
    getattr(axes, f"set_{axis}ticks")(values, [f"{v:g}" for v in values])
    getattr(axes, f"set_{axis}ticks")([], minor=True)
