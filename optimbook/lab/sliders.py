"""Sliders that need no kernel: one HTML output with its script, printed from the rule itself.

A *knob* is a hyperparameter with a range. The script holds the rule's JavaScript, the
surface's, and a few lines that draw.
"""

import json
import math
import zlib
from dataclasses import dataclass

from . import scripts
from .display import Html, both
from .paths import states
from .style import canonical, color

NAMES = {  # what a knob is called, and its symbol
    "lr": ("学习率", "learning rate", "γ"),
    "base_lr": ("初始学习率", "initial learning rate", "γ<sub>0</sub>"),
    "eta_min": ("最小学习率", "smallest learning rate", "γ<sub>min</sub>"),
    "T_max": ("半周期", "half period", "T<sub>max</sub>"),
    "T0": ("第一个周期", "first cycle", "T<sub>0</sub>"),
    "T_mult": ("周期增长的倍数", "growth of the cycles", "T<sub>mult</sub>"),
    "total_steps": ("总步数", "steps in all", "T"),
    "total_iters": ("斜坡的步数", "steps of the ramp", "T"),
    "start_factor": ("起始因子", "start factor", "α<sub>0</sub>"),
    "end_factor": ("终止因子", "end factor", "α<sub>T</sub>"),
    "step_size_up": ("上升的步数", "steps up", "pT"),
    "step_size_down": ("下降的步数", "steps down", "(1−p)T"),
    "power": ("次数", "power", "p"),
    "step_size": ("两次下降之间的步数", "steps between drops", "s"),
    "warmup_steps": ("预热步数", "steps of warmup", "W"),
    "stable_steps": ("稳定步数", "stable steps", "S"),
    "decay_steps": ("衰减步数", "steps of decay", "D"),
    "min_lr": ("最小学习率", "smallest learning rate", "γ<sub>min</sub>"),
    "gamma": ("下降因子", "factor of a drop", "r"),
    "patience": ("耐心", "patience", "P"),
    "factor": ("倍数", "factor", ""),
    "pct_start": ("上升的份额", "share of the rise", "p"),
    "div_factor": ("峰值与起点之比", "peak over start", "D"),
    "base_momentum": ("峰值处的动量", "momentum at the peak", "μ<sub>min</sub>"),
    "h": ("曲率", "curvature", "h"),
    "scale_min": ("下限占峰值的比例", "floor as a share of the peak", "s<sub>min</sub>"),
    "alpha": ("衰减率", "decay rate", "α"),
    "beta": ("衰减率", "decay rate", "β"),
    "beta1": ("一阶矩的衰减率", "decay rate of the first moment", "β<sub>1</sub>"),
    "beta2": ("二阶矩的衰减率", "decay rate of the second moment", "β<sub>2</sub>"),
    "rho": ("两个平均的衰减率", "decay rate of both averages", "ρ"),
    "eps": ("数值稳定项", "stability constant", "ε"),
    "weight_decay": ("权重衰减系数", "weight decay coefficient", "λ"),
    "momentum": ("动量系数", "momentum coefficient", "μ"),
    "dampening": ("阻尼", "dampening", "τ"),
    "batch_size": ("批量大小", "batch size", "n"),
    "K": ("每个参数的状态字节数", "bytes of state per parameter", "K"),
}
SCALES = {
    **dict.fromkeys(("lr", "base_lr", "eps", "weight_decay"), "log"),
    **dict.fromkeys(("momentum", "rho"), "decay"),
    **dict.fromkeys((
        "T_max", "total_steps", "total_iters", "step_size", "K", "warmup_steps", "stable_steps", "decay_steps", "step_size_up",
        "step_size_down", "patience", "T0", "T_mult",
    ), "whole"),
}


@dataclass(frozen=True)
class Knob:
    """A range and where the slider stands first. Scales: ``linear``, ``whole`` (integers), ``log``, and ``decay``,
    which is logarithmic in the distance from 1, as decay rates need."""

    low: float
    high: float
    value: float
    scale: str | None = None


def knob(low, high, value, scale=None):
    """A hyperparameter that the reader drags; its scale follows from its name unless it is given."""
    return Knob(low, high, value, scale)


def scale_of(name, knob):
    return knob.scale or SCALES.get(name) or ("decay" if name.startswith("beta") else "linear")


def path_slider(rule, surface, start=None, steps=50, *, disturbance=None, name=None, **hyperparameters):
    """A path of ``rule`` over ``surface`` that follows the sliders; the arguments are those of `path`.

    Args:
        name: whose colour the path takes, and what the caption calls it; the rule's name if it is not given.
        hyperparameters: a number, or a `knob`.
    """
    name, start = canonical(name or rule.name), surface.start if start is None else start
    script = path_javascript(rule, surface, start, steps, disturbance=disturbance, **hyperparameters)
    scene = (
        f'<path class="ob-frame" d="M0,0H{WIDTH}V{HEIGHT}H0z"/><path class="ob-contour" d="{_contours(surface)}"/>'
        f'<path class="ob-mark" d="{_marks(surface, start)}"/>{_line(name)}{_dots(color(name))}'
    )
    caption = both(f"{name} 的 {steps} 步；最后的函数值：", f"{steps} steps of {name}; value at the end:")
    plain = f"{name}: {steps} steps over a surface, with sliders"
    script += f"const at = {_scale(surface)};\n{scripts.WALK}"
    return _widget(scene, f'{caption} <span class="ob-says"></span>', script, *_split(rule, hyperparameters), plain)


def curve_slider(rule, steps, *, outputs=None, signal=None, input="value", name=None, across=("步", "step"), **hyperparameters):
    """What ``rule`` gives at each step, as a curve that follows the sliders.

    Args:
        steps: the last step; a schedule begins at step 0.
        outputs: names among those that the rule returns, with what the legend calls them in Chinese and in English,
            ``{"lr": ("学习率", "learning rate")}``, and if need be with the name whose colour it takes as a third;
            by default all that it returns, by their own names.
        signal: numbers that the rule is given one after the other as ``input``, shown as dots. Then states
            begin at 0 and steps at 1.
        name: whose colour the first curve takes; the rule's name if it is not given.
        across: what the caption calls the steps, in Chinese and in English.
        hyperparameters: a number, or a `knob`.
    """
    name = canonical(name or rule.name)
    outputs = outputs or {n: (n, n) for n in rule.returns}
    colors = [color(words[2] if len(words) > 2 else name) for words in outputs.values()]
    script = curve_javascript(rule, steps, outputs, signal=signal, input=input, **hyperparameters)
    script += f"const left = {LEFT}, width = {WIDTH}, height = {HEIGHT};\n{scripts.CURVE}"
    scene = '<g class="ob-axes"></g>' + _dots("currentColor", "stroke-opacity:.35;stroke-width:3")
    scene += "".join(_line(name, c) for c in colors)
    legend = [f'<span style="color:{mixed(c)}">━</span> {both(*words[:2])}' for c, words in zip(colors, outputs.values())]
    caption = " &emsp;".join([*legend, both(f"横轴：{across[0]}", f"across: {across[1]}")])
    return _widget(scene, caption, script, *_split(rule, hyperparameters), f"{name}: a curve over {steps} steps, with sliders")


# ------------------------------------------------------------------------------------- scripts


def path_javascript(rule, surface, start=None, steps=50, *, disturbance=None, **hyperparameters):
    """Source of ``path(hyperparameters)``, which returns the points, as `path` does."""
    flags = _flags(rule, hyperparameters)
    data = {
        "parameters": surface.parameters,
        "zeros": dict.fromkeys(states(rule, **flags), 0),
        "start": surface.start if start is None else start,
        "steps": steps,
        "disturbance": disturbance,
    }
    rules = f"const rule = {rule.javascript(**flags).strip()};\nconst surface = {surface.rule.javascript().strip()};\n"
    return rules + _constants(data) + scripts.PATH


def curve_javascript(rule, steps, outputs, *, signal=None, input="value", **hyperparameters):
    """Source of ``curve(hyperparameters)``, which returns one list of numbers for each output."""
    flags = _flags(rule, hyperparameters)
    data = {"outputs": list(outputs), "zeros": dict.fromkeys(states(rule, **flags), 0), "steps": steps, "input": input, "signal": signal}
    return f"const rule = {rule.javascript(**flags).strip()};\n" + _constants(data) + scripts.SERIES


def _constants(data):
    return "".join(f"const {name} = {json.dumps(value, separators=(',', ':'))};\n" for name, value in data.items())


def _flags(rule, hyperparameters):
    """Values of the flags; a knob on a flag such as ``weight_decay`` means that it is on."""
    return {n: 1 if isinstance(v, Knob) else v for n, v in hyperparameters.items() if n in rule.flags}


def _split(rule, hyperparameters):
    """Knobs, and the fixed numbers, among them the rule's own defaults."""
    given = {n: v for n, v in {**hyperparameters, **rule.defaults, **hyperparameters}.items() if v is not None}
    knobs = {n: v for n, v in given.items() if isinstance(v, Knob)}
    return knobs, {n: v for n, v in given.items() if n not in knobs}


# ------------------------------------------------------------------------------------- the widget


def _widget(scene, caption, script, knobs, fixed, plain):
    """The figure, its sliders and its script; its key follows from what it holds, so that it is the same in every run."""
    rows = "".join(_knob(name, knob) for name, knob in knobs.items())
    key = f"ob-{zlib.crc32((scene + caption + script + rows + json.dumps(fixed)).encode()):08x}"
    script = f"const key = {json.dumps(key)}, fixed = {json.dumps(fixed)};\n{script}{scripts.KNOBS}{scripts.START}"
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}">{scene}</svg>'
    return Html(
        f'<figure class="ob-slider" data-slider="{key}">\n<style>{scripts.STYLE}</style>\n{picture}\n'
        f'<figcaption id="{key}">{caption}</figcaption>\n{rows}</figure>\n<script>(() => {{\n{script}}})();</script>',
        plain,
    )


def _knob(name, knob):
    scale, words = scale_of(name, knob), label(name)
    top = round(knob.high - knob.low) if scale == "whole" else 200
    data = json.dumps({"name": name, "low": knob.low, "high": knob.high, "value": knob.value, "scale": scale})
    place = round(_place_of(knob, scale) * top)
    return (
        f"<div class=\"ob-knob\" data-knob='{data}'><label><span>{words}</span>"
        f'<input type="range" min="0" max="{top}" step="1" value="{place}"></label><output></output></div>\n'
    )


def label(name):
    """What a knob is called, in both languages, with its symbol."""
    zh, en, symbol = NAMES.get(name, (name, name, ""))
    return f"{both(zh, en)} {symbol}".strip()


def _place_of(knob, scale):
    """Where the slider stands for the first value, from 0 to 1."""
    low, high, value = knob.low, knob.high, knob.value
    if scale == "log":
        low, high, value = (math.log(x) for x in (low, high, value))
    elif scale == "decay":
        low, high, value = (math.log(1 - x) for x in (low, high, value))
    return (value - low) / (high - low)


def _line(name, shade=None):
    return f'<path class="ob-line" style="stroke:{mixed(shade or color(name))}"/>'


def _dots(shade, more=""):
    return f'<path class="ob-dots" style="stroke:{mixed(shade)};{more}"/>'


def mixed(shade):
    """A colour of the book moved towards the text's, so that it stands out on light and on dark pages."""
    return shade if shade == "currentColor" else f"color-mix(in srgb,{shade} 75%,currentColor)"


# ------------------------------------------------------------------------------------- the picture

WIDTH, HEIGHT, LEFT = 440, 264, 56  # of the picture and the room for labels, in its own units


def _ends(surface):
    (left, right), (bottom, top) = surface.box
    return left, top, WIDTH / (right - left), HEIGHT / (top - bottom)


def _place(x, y, surface):
    left, top, across, up = _ends(surface)
    return (x - left) * across, (top - y) * up


def _scale(surface):
    left, top, across, up = _ends(surface)
    return f"([x, y]) => [(x - {left}) * {across:.4f}, ({top} - y) * {up:.4f}]"


def _contours(surface, count=9):
    """Contour lines as the data of one SVG path; whole units are fine enough."""
    from contourpy import contour_generator

    generator = contour_generator(*surface.grid(81))
    lines = [line for level in surface.levels(count) for line in generator.lines(level)]
    return "".join(_polyline(_thinned([_place(x, y, surface) for x, y in line])) for line in lines)


def _thinned(points):
    """Fewer points, a short way apart: nearer on a short line, so that a small ellipse stays round."""
    apart = min(9.0, sum(map(math.dist, points, points[1:])) / 24)
    kept = [points[0]]
    for point in points[1:-1]:
        if math.dist(point, kept[-1]) >= apart:
            kept.append(point)
    return [*kept, points[-1]]


def _polyline(points):
    whole = [(round(x), round(y)) for x, y in points]
    moves = [f"{x - a},{y - b}" for (a, b), (x, y) in zip(whole, whole[1:]) if (a, b) != (x, y)]
    return f"M{whole[0][0]},{whole[0][1]}l" + " ".join(moves) if moves else ""


def _marks(surface, start):
    """A ring where the path starts, and a cross at the minimum."""
    x, y = _place(*start, surface)
    ring = f"M{x - 5:.0f},{y:.0f}a5,5,0,1,0,10,0a5,5,0,1,0,-10,0"
    if surface.minimum is None:
        return ring
    x, y = _place(*surface.minimum, surface)
    return f"{ring}M{x - 5:.0f},{y - 5:.0f}l10,10m0,-10l-10,10"
