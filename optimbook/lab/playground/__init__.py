"""The playground: optimizers walk over a surface in the page itself, by rules printed as JavaScript.

One self-contained HTML output, like the sliders. What is computed comes from rules: the package's updates and
schedules, the surfaces of `optimbook.lab`, the noise. The scripts beside this file only let them walk, draw, and
hear the reader; `setting` walks the same settings in Python.
"""

import json
import zlib
from dataclasses import asdict
from pathlib import Path

from ..display import Html, both
from ..paths import states
from ..sliders import NAMES, scale_of
from . import optimizers, words
from .noise import WARMUP, gaussian
from .optimizers import OPTIMIZERS
from .rates import RATES
from .schedules import SCHEDULES
from .setting import LOUDEST, MOST, SEEDS, STEPS, Setting, read
from .surfaces import SURFACES

SCRIPTS = ("numbers", "walk", "link", "shapes", "plane", "chart", "controls", "widget")


def playground(optimizers=("SGD", "Momentum", "RMSprop", "Adam"), surface="ravine", *, name=None, **conditions):
    """The widget, which begins at a setting of one's own.

    Args:
        optimizers: names among `OPTIMIZERS`, or pairs of a name and hyperparameters, ``("Adam", {"beta2": 0.9})``; at most six.
        surface: a name among `SURFACES`.
        name: the anchor of the widget in its page, for links that set it; each widget of a page has its own.
        conditions: ``start``, ``steps``, ``schedule``, ``noise`` and ``seed``, as in `Setting`.

    Raises:
        KeyError: one of the names is not on offer.
        ValueError: there is no optimizer, or there are too many.
    """
    runs = [(run, {}) if isinstance(run, str) else tuple(run) for run in optimizers]
    if not 0 < len(runs) <= MOST:
        raise ValueError(f"playground: from 1 to {MOST} optimizers, and there are {len(runs)}")
    setting = Setting(runs, surface, **conditions)
    setting.paths()  # a mistake is found here, not in the page
    preset = json.dumps(asdict(setting), separators=(",", ":"))
    name = name or f"play-{zlib.crc32(preset.encode()):08x}"
    script = f"(() => {{\nconst NAME = {json.dumps(name)}, PRESET = {preset};\n{_offers()}{_scripts()}}})();"
    title = both(*words.WORDS["script"])
    return Html(
        f'<div class="ob-play" id="{name}"><p>{title}</p></div>\n<style>{_file("style.css")}</style>\n<script>{script}</script>',
        "playground: {} on the surface {}".format(", ".join(run for run, _ in runs), surface),
    )


def play(link):
    """What the widget shows at a link, walked in Python by the same rules: the loss of each optimizer, ``[steps + 1]``, in order.

    Raises:
        ValueError: the link is malformed; see `read`.
    """
    return read(link).heights()


# ------------------------------------------------------------------------------------- what the scripts are given


def _offers():
    """The rules as JavaScript, with the data around them."""
    offers = {
        "WORDS": words.WORDS,
        "KNOBS": {**NAMES, **words.KNOBS},
        "LIMITS": {"steps": STEPS, "seed": SEEDS, "noise": (0, LOUDEST), "runs": MOST},
        "OPTIMIZERS": {name: _optimizer(name) for name in OPTIMIZERS},
        "SURFACES": {name: _surface(place) for name, place in SURFACES.items()},
        "SCHEDULES": {name: _schedule(schedule) for name, schedule in SCHEDULES.items()},
        "NOISE": {"rule": Script(gaussian.javascript()), "warmup": WARMUP},
    }
    return "".join(f"const {name} = {_javascript(value)};\n" for name, value in offers.items() if name != "KNOBS") + _used(offers)


def _used(offers):
    """The words of the knobs that there are."""
    names = {n for kind in ("OPTIMIZERS", "SCHEDULES") for offer in offers[kind].values() for n in offer["knobs"]}
    names |= {"noise", "steps", *(n for offer in offers["OPTIMIZERS"].values() for n in offer["called"].values())}
    return f"const KNOBS = {_javascript({n: w for n, w in offers['KNOBS'].items() if n in names})};\n"


def _optimizer(name):
    offer, flags = OPTIMIZERS[name], optimizers.flags(name)
    rule, knobs, values = offer.cls.rule, optimizers.knobs(name), optimizers.defaults(offer)
    begin = {state: rule.defaults.get(state) or 0 for state in states(rule, **flags)} | offer.begin
    color, dashes = optimizers.look(name)
    return {
        "words": offer.words or (name, name),
        "color": color,
        "dashes": dashes,
        "rule": Script(rule.javascript(**flags)),
        "knobs": {n: _knob(n, k) for n, k in knobs.items()},
        "called": {"alpha": "power"} if name == "ASGD" else {},  # one name with two meanings
        "fixed": {n: values[n] for n in offer.fixed},
        "begin": begin,
        "moment": next((state for state in ("exp_avg", "momentum_buffer") if state in begin and offer.cls.__name__ != "RMSprop"), None),
        "average": "ax" if "ax" in begin else None,
        "rates": {surface: RATES[surface][name] for surface in SURFACES},
    }


def _surface(place):
    surface = place.surface
    return {
        "words": place.words,
        "formula": place.formula,
        "rule": Script(surface.rule.javascript()),
        "parameters": surface.parameters,
        "box": surface.box,
        "start": surface.start,
        "minima": (surface.minimum, *surface.others),
        "noise": place.noise,
    }


def _schedule(schedule):
    return {
        "words": schedule.words,
        "rule": schedule.rule and Script(schedule.rule.javascript()),
        "plan": schedule.plan and Script(schedule.plan.javascript()),
        "knobs": {n: _knob(n, k) for n, k in schedule.knobs.items()},
        "fixed": schedule.rule.fixed if schedule.rule else {},
        "after": schedule.after,
    }


def _knob(name, knob):
    return knob.low, knob.high, knob.value, scale_of(name, knob)


# ------------------------------------------------------------------------------------- printing


class Script(str):
    """JavaScript, which stands in the data as it is."""


def _javascript(value):
    """Data as JavaScript, with functions among it."""
    if isinstance(value, Script):
        return "\n".join(line.strip() for line in value.strip().splitlines())
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_javascript(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_javascript, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _scripts():
    return "".join(_file(f"{name}.js") for name in SCRIPTS)


def _file(name):
    """A file beside this one, without its indentation and its lines of comment, which a page need not carry."""
    lines = map(str.strip, (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines())
    return "".join(line + "\n" for line in lines if line and not line.startswith("// "))
