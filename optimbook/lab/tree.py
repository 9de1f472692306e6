"""The family tree of optimizers and schedules as one HTML output: boxes over time, filters, and the same as a table.

Boxes are links on a grid of years and rows, the lines behind them one SVG. The filters and the
lines of descent need the script; without it the tree and the table are whole.
"""

import inspect
import re

from .display import Html, both
from .genealogy import TRAITS, nodes, read
from .style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from .tables import table, text

BOX, HEIGHT = 150, 68  # of a box, in pixels
ACROSS, DOWN, LANE, TOP, LEFT = 174, 77, 30, 30, 10  # from one box to the next, a family's title, room for the years and at the side
ERAS = (1951, 1960, 1980, 1990, 2011, 2012)  # the first years of columns; from the last on, every year with a node has its own
COLOURS = (GREY, BLACK, ORANGE, BLUE, VERMILLION, SKY, GREEN, PURPLE, BLUE)
KINDS = {"optimizer": ("优化器", "optimizers"), "scheduler": ("调度器", "schedulers"), "outside": ("本包没有的", "not in the package")}
STARTING = ("lr", "momentum", "nesterov", "betas", "alpha", "rho", "trust_coefficient", "eps", "weight_decay", "history_size")
COSTS = {  # of state, in bytes per parameter
    "0": (lambda b: b == 0, "0 字节", "0 bytes"),
    "few": (lambda b: 0 < b < 4, "不到 4", "under 4"),
    "4": (lambda b: b == 4, "4", "4"),
    "8": (lambda b: b == 8, "8", "8"),
    "many": (lambda b: b > 8, "更多", "more"),
}


def family_tree(selected="Adam"):
    """The tree, its filters and its table.

    Args:
        selected: whose line of descent is shown at first.
    """
    found = nodes()
    places = layout(found)
    size = max(x for x, _ in places.values()) + ACROSS, max(y for _, y in places.values()) + DOWN
    boxes = "\n".join(_box(node, places[node.name]) for node in found.values())
    sizes = f"width:{_rem(size[0])};height:{_rem(size[1])};--box:{_rem(BOX)};--tall:{_rem(HEIGHT)}"
    tree = (
        f'<div class="ob-canvas" style="{sizes}">{_lines(found, places, size)}'
        f'<div class="ob-lanes">{_titles(places)}</div><div class="ob-years">{_years(found, places)}</div>\n'
        f'<ol class="ob-boxes">\n{boxes}\n</ol></div>'
    )
    return Html(
        f'<section class="ob-atlas" data-selected="{selected}">\n<style>{STYLE}</style>\n{_filters(found)}\n{_descent(found)}\n'
        f'<p class="ob-skip"><a href="#ob-table">{both("跳到表格", "Skip to the table")}</a></p>\n'
        f'<div class="ob-tree" role="group" tabindex="0" aria-labelledby="ob-tree-name">'
        f'{_named("ob-tree-name", "家谱，从左到右是年份，可以横向滚动", "Family tree, the years from left to right; scrolls sideways")}{tree}</div>\n'
        f"{_table(found)}\n<script>{SCRIPT}</script>\n</section>",
        _plain(found),
    )


# ------------------------------------------------------------------------------------- layout


def layout(found):
    """Where the boxes stand, in pixels, by name: a column for the year, a row within the family, near the parent's if that is free."""
    columns = _columns(found)
    places, top = {}, TOP
    for lane in read()["lanes"]:
        rows, taken = {}, set()
        for node in sorted((n for n in found.values() if n.lane == lane["name"]), key=lambda n: n.year):
            column = _column(node.year, columns)
            wanted = next((rows[p.name] for p in node.parents if p.name in rows), 0)
            row = min((r for r in range(len(found)) if (column, r) not in taken), key=lambda r: (abs(r - wanted), r))
            taken.add((column, row))
            rows[node.name] = row
            places[node.name] = (LEFT + ACROSS * column, top + LANE + DOWN * row)
        top += LANE + DOWN * (1 + max(rows.values()))
    return places


def _columns(found):
    own = {node.year for node in found.values() if node.year > ERAS[-1]}
    return [*ERAS, *sorted(own)]


def _column(year, columns):
    return max(index for index, first in enumerate(columns) if first <= year)


def _lines(found, places, size):
    paths = "".join(
        f'<path data-from="{parent.name}" data-to="{node.name}" d="{_curve(places[parent.name], places[node.name])}"/>'
        for node in found.values() for parent in node.parents
    )  # fmt: skip
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" aria-hidden="true" focusable="false">{paths}</svg>'


def _curve(parent, child):
    """From the right side of the parent to the left of the child; in one column round their left sides."""
    (x, y), (u, v) = parent, child
    y, v = y + HEIGHT // 2, v + HEIGHT // 2
    if x == u:
        return f"M{x},{y}C{x - 22},{y} {u - 22},{v} {u},{v}"
    reach = min(80, (u - x - BOX) * 2 // 3 + 16)
    return f"M{x + BOX},{y}C{x + BOX + reach},{y} {u - reach},{v} {u},{v}"


def _rem(pixels):
    """Sizes follow the reader's own size of text."""
    return f"{pixels / 16:.5g}rem"


def _at(x, y):
    return f"left:{_rem(x)};top:{_rem(y)}"


# ------------------------------------------------------------------------------------- what is drawn


def _box(node, place):
    """One node: its name, its year if its column has several, what is new about it, and for the filters what is true of it."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "<wbr>", node.name)  # long names may break between their words
    data = {
        "name": node.name, "lane": node.lane, "kind": node.kind, "year": node.year, "cost": _cost(node),
        "traits": "|".join(sorted({*node.traits, *(["chapter"] if node.chapter else [])})), "from": "|".join(p.name for p in node.parents),
    }  # fmt: skip
    year = "" if node.year < ERAS[-1] else ' class="ob-heard"'  # a later column has one year, which stands on top
    attributes = " ".join(f'data-{key}="{value}"' for key, value in data.items())
    return (
        f'<li style="{_at(*place)}" {attributes}><a href="{link(node)}"><b>{name}</b> <small{year}>{node.year}</small>'
        f'<span class="ob-news">{both(*node.news)}</span></a></li>'
    )


def link(node):
    """Its chapter; of what has none the paper; of what has neither the page of its parent."""
    if node.chapter:
        page, _, anchor = node.chapter.partition("#")
        return f"../{page}.ipynb" + (f"#{anchor}" if anchor else "")
    return node.paper.url


def _cost(node):
    return next((name for name, (test, *_) in COSTS.items() if node.state_bytes is not None and test(node.state_bytes)), "")


def _lane_order():
    return [lane["name"] for lane in read()["lanes"]]


def _titles(places):
    found, titles = nodes(), ""
    for lane, colour in zip(read()["lanes"], COLOURS):
        top = min(y for name, (_, y) in places.items() if found[name].lane == lane["name"])
        titles += f'<p style="top:{_rem(top - LANE + 4)};--lane:{colour}">{both(lane["zh"], lane["en"])}</p>'
    return titles


def _years(found, places):
    years = {}
    for node in found.values():
        years.setdefault(places[node.name][0], set()).add(node.year)
    shown = {x: f"{min(some)}–{max(some)}" if len(some) > 1 else f"{min(some)}" for x, some in years.items()}
    return "".join(f'<span style="left:{_rem(x)}">{words}</span>' for x, words in sorted(shown.items()))


def _named(key, zh, en):
    """Words for a screen reader."""
    return f'<span id="{key}" class="ob-heard">{both(zh, en)}</span>'


# ------------------------------------------------------------------------------------- controls


def _filters(found):
    """Boxes to tick: within a group one has to hold, of the properties all."""
    where = {"torch": ("torch 也有", "in torch too"), "only here": ("只在本包", "only here")}
    lanes = {lane["name"]: (lane["zh"], lane["en"]) for lane in read()["lanes"]}
    years = [node.year for node in found.values()]
    ends = "".join(
        f'<label>{both(*words)} <input type="number" name="{name}" min="{min(years)}" max="{max(years)}" value="{value}"></label>'
        for name, words, value in (("since", ("从", "from"), min(years)), ("until", ("到", "to"), max(years)))
    )
    groups = [
        _group("kind", ("种类", "Kind"), KINDS),
        _group("lane", ("家族", "Family"), lanes),
        _group("cost", ("每个参数的状态（float32）", "State per parameter (float32)"), {name: words[1:] for name, words in COSTS.items()}),
        _group("traits", ("性质（全部满足）", "Properties (all of them)"), {name: words[:2] for name, words in TRAITS.items()}),
        _group("where", ("何处", "Where"), where),
        _group("chapter", ("本书", "In the book"), {"chapter": ("有一章讲它", "has a chapter")}),
        _labelled("years", ("年份", "Years"), ends),
    ]
    matches = f'<output>{len(found)}</output> / {len(found)} {both("个符合", "match")}'
    return (
        f'<form class="ob-filters" hidden><details><summary>{both("筛选", "Filter")}</summary>{"".join(groups)}</details>'
        f'<p><span role="status">{matches}</span> <button type="reset">{both("全部显示", "Show all")}</button></p></form>'
    )


def _group(name, legend, choices):
    box = '<label><input type="checkbox" name="{}" value="{}"> {}</label>'
    boxes = "".join(box.format(name, key, _either(*words)) for key, words in choices.items())
    return _labelled(name, legend, boxes)


def _either(zh, en):
    """Words in both languages; a number is the same in either."""
    return zh if zh == en else both(zh, en)


def _labelled(name, words, controls):
    key = f"ob-filter-{name}"
    return f'<div role="group" aria-labelledby="{key}"><span id="{key}">{both(*words)}</span><span>{controls}</span></div>'


def _descent(found):
    """Whose ancestors and heirs are shown; the script fills in the words from the table."""
    options = "".join(f"<option>{name}</option>" for name in sorted(found, key=str.lower))
    return (
        f'<div class="ob-descent" hidden><label>{both("看谁的来历", "Whose line of descent")} <select>{options}</select></label>'
        f'<div aria-live="polite"><p class="ob-who"></p><p class="ob-parents">{both("取自：", "Took from:")} <span></span></p>'
        f'<p class="ob-heirs">{both("传给：", "Passed on to:")} <span></span></p></div></div>'
    )


# ------------------------------------------------------------------------------------- the table


def _table(found):
    head = [("名称", "Name"), ("年份", "Year"), ("出处", "Source"), ("家族", "Family"), ("新在何处，取自谁", "What is new, and from whom"),
            ("每个参数的状态", "State per parameter"), ("性质", "Properties")]  # fmt: skip
    order = {name: index for index, name in enumerate(_lane_order())}
    rows = "\n".join(_row(node) for node in sorted(found.values(), key=lambda n: (order[n.lane], n.year, n.name)))
    heads = "".join(f'<th scope="col">{both(*words)}</th>' for words in head)
    return (
        f'<details id="ob-table"><summary>{both("同样的内容，一张表", "The same as a table")}</summary>'
        f'<div class="ob-scroll" role="group" tabindex="0" aria-labelledby="ob-table-name">'
        f'<table class="table">{_caption()}<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div></details>'
    )


def _caption():
    words = both("年份是首次发表的年份；状态与性质由程序量出。", "The year is that of the first publication; state and properties are measured.")
    return f'<caption id="ob-table-name">{words}</caption>'


def _row(node):
    lane = next(lane for lane in read()["lanes"] if lane["name"] == node.lane)
    news = "".join(f"<li>{_took(parent)}</li>" for parent in node.parents) or f"<li>{both(*node.news)}</li>"
    fields = [str(node.year), _source(node.paper), both(lane["zh"], lane["en"]), f"<ul>{news}</ul>", _state(node), _traits(node)]
    cells = "".join(f"<td>{field}</td>" for field in fields)
    return f'<tr data-name="{node.name}"><th scope="row"><a href="{link(node)}">{node.name}</a></th>{cells}</tr>'


def _took(parent):
    words = both(f"<b>{parent.name}</b>：{parent.zh}", f"<b>{parent.name}</b>: {parent.en}")
    return f"{words} · {_source(parent.paper)}" if parent.paper else words


def _source(paper):
    if paper is None:
        return both("本包", "this package")
    who = paper.who.replace(" et al.", " 等").replace(", ", "、").replace(" and ", "、"), paper.who
    return f'<a href="{paper.url}">{_either(*who)} {paper.year}</a>'


def _state(node):
    if node.state_bytes is None:
        return "–"
    number = "&lt; 1" if 0 < node.state_bytes < 1 else f"{node.state_bytes:g}"
    return both(f"{number} 字节", f"{number} byte{'s' * (node.state_bytes == 0 or node.state_bytes > 1)}")


def _traits(node):
    if node.kind == "outside":
        return both("本包没有", "not in the package")
    words = [TRAITS[name] for name in TRAITS if name in node.traits]
    words.append(("torch 也有", "in torch too") if "torch" in node.traits else ("只在本包", "only here"))
    return both("、".join(w[0] for w in words), ", ".join(w[1] for w in words))


def trait_table():
    """Properties: how each is measured, and who has it."""
    rows = [
        (both(zh, en), both(how, measured), ", ".join(node.name for node in nodes().values() if name in node.traits))
        for name, (zh, en, how, measured) in TRAITS.items()
    ]
    head = both("性质", "Property"), both("怎样量", "How it is measured"), both("谁有", "Who has it")
    return table(head, rows, plain_head=("Property", "How it is measured", "Who has it"))


def starting_points(*classes):
    """What each class starts with unless it is told otherwise, and what its state costs.

    Args:
        classes: optimizers of the package.
    """
    by_class = {node.cls: node for node in nodes().values() if not node.options}
    rows = []
    for cls in classes:
        given = {name: p.default for name, p in inspect.signature(cls).parameters.items() if name in STARTING}
        shown = ", ".join(f"<code>{name}={value}</code>" for name, value in given.items())
        rows.append((f"<code>{cls.__name__}</code>", shown, _state(by_class[cls])))
    head = both("类", "Class"), both("默认值", "Defaults"), both("每个参数的状态", "State per parameter")
    return table(head, rows, plain_head=("Class", "Defaults", "State per parameter"))


def _plain(found):
    lines = []
    for node in sorted(found.values(), key=lambda n: (n.year, n.name)):
        took = "; ".join(f"{p.en} ({p.name})" for p in node.parents) or node.news[1]
        lines.append(f"{node.year}  {node.name:28}{text(_state(node)):12}{took}")
    return "\n".join(lines)


STYLE = """\
.ob-atlas{--edge:color-mix(in srgb,currentColor 28%,transparent);margin:1rem 0}
.ob-heard{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.ob-skip a{position:absolute;clip-path:inset(50%)}
.ob-skip a:focus{position:static;clip-path:none}
.ob-atlas .ob-skip{margin:0}
.ob-filters details{border:0!important;padding:0!important;margin:0!important}
.ob-atlas summary{cursor:pointer;font-weight:600;padding:.3rem 0!important;margin:0!important;border:0!important}
.ob-filters [role=group]{display:grid;grid-template-columns:9.5rem 1fr;gap:0 .75rem;padding:.15rem 0}
.ob-filters [role=group]>:first-child{font-size:.85em;font-weight:600;line-height:1.3;padding-top:.3rem}
.ob-filters [role=group]>:last-child{display:flex;flex-wrap:wrap;gap:0 1rem}
@media(max-width:575px){.ob-filters [role=group]{grid-template-columns:1fr}.ob-atlas .ob-descent{min-height:0}}
.ob-filters label,.ob-descent label{font-size:.9em;display:inline-flex;gap:.35em;align-items:center;min-height:1.75rem}
.ob-filters input[type=number]{width:5.2em}
.ob-filters :is(input[type=number],button),.ob-descent select{font:inherit;color:inherit;
background:transparent;border:1px solid currentColor;border-radius:.3rem;padding:.1rem .5rem}
.ob-descent option{color:CanvasText;background:Canvas}
.ob-filters p,.ob-atlas .ob-descent p{margin:.2rem 0}
.ob-descent{min-height:8rem;padding:.5rem .75rem;border:1px solid var(--edge);border-radius:.4rem;font-size:.92em}
.ob-descent p:has(span:empty){display:none}
.ob-tree{overflow:auto hidden;border:1px solid var(--edge);border-radius:.4rem;margin:.75rem 0}
.ob-tree:focus-visible{outline:2px solid currentColor;outline-offset:2px}
.ob-canvas{position:relative;font-size:1rem;line-height:1.2;padding-bottom:.6em;box-sizing:content-box}
.ob-canvas>svg{position:absolute;inset:0 auto auto 0;width:100%;max-width:none!important;height:auto;pointer-events:none}
.ob-canvas path{fill:none;stroke:currentColor;stroke-opacity:.28;stroke-width:1.3}
.ob-canvas path.ob-on{stroke:#d55e00;stroke-opacity:1;stroke-width:2.4}
.ob-canvas path.ob-off{stroke-opacity:.06}
.ob-canvas .ob-boxes{list-style:none;margin:0;padding:0}
.ob-canvas .ob-boxes li{position:absolute;width:var(--box);height:var(--tall);margin:0;padding:0}
.ob-boxes a{display:flex;flex-wrap:wrap;align-content:center;column-gap:.4em;align-items:baseline;box-sizing:border-box;height:100%;
padding:0 .3em;border:1px solid color-mix(in srgb,currentColor 55%,transparent);border-radius:.3em;
background:var(--pst-color-background,Canvas);color:inherit;text-decoration:none}
.ob-boxes b{font-size:.75em;font-weight:650;line-height:1.15}
.ob-boxes small{font-size:.68em;opacity:.8}
.ob-news{flex-basis:100%;font-size:.68em;line-height:1.15}
.ob-boxes .ob-news [lang]{display:block;line-height:inherit}
.ob-boxes [data-kind=scheduler] a{border-radius:1.1em;padding:0 .5em}
.ob-boxes [data-kind=outside] a{border-style:dashed;color:color-mix(in srgb,currentColor 78%,transparent)}
.ob-boxes a:hover,.ob-boxes a:focus-visible{background:color-mix(in srgb,#56b4e9 22%,var(--pst-color-background,Canvas));color:inherit;
text-decoration:none}
.ob-boxes a:focus-visible{outline:2px solid currentColor;outline-offset:1px}
.ob-boxes .ob-kin a{border-color:#d55e00;box-shadow:0 0 0 1px #d55e00}
.ob-boxes .ob-self a{box-shadow:0 0 0 2.5px #d55e00;border-color:#d55e00}
.ob-boxes .ob-off{opacity:.16}
.ob-lanes{position:sticky;left:0;width:0;height:0;z-index:1;pointer-events:none}
.ob-canvas .ob-lanes p{position:absolute;left:.4rem;margin:0;padding:.05em .5em;white-space:nowrap;font-size:.8rem;font-weight:600;
border-inline-start:.3rem solid var(--lane);background:var(--pst-color-background,Canvas)}
.ob-years span{position:absolute;top:.4em;font-size:.8em;font-weight:600;opacity:.85}
.ob-scroll{overflow-x:auto}
.ob-atlas table ul{margin:0;padding:0;list-style:none}
.ob-atlas table{font-size:.85em;min-width:60rem}
.ob-atlas .table li>span[lang],.ob-atlas .table a>span[lang]{display:inline}
"""

SCRIPT = """\
for (const root of document.querySelectorAll(".ob-atlas")) {
  const form = root.querySelector(".ob-filters"), descent = root.querySelector(".ob-descent"), select = descent.querySelector("select");
  const tree = root.querySelector(".ob-tree"), lines = [...root.querySelectorAll(".ob-canvas path")];
  const boxes = new Map([...root.querySelectorAll(".ob-boxes li")].map(box => [box.dataset.name, box]));
  const rows = new Map([...root.querySelectorAll("tbody tr")].map(row => [row.dataset.name, row]));
  const list = text => text ? text.split("|") : [];

  // ----- filters
  const fits = ({dataset: node}) => {
    const chosen = name => [...form.querySelectorAll(`[name="${name}"]:checked`)].map(input => input.value);
    const any = (name, value) => !chosen(name).length || chosen(name).includes(value), traits = list(node.traits);
    return any("kind", node.kind) && any("lane", node.lane) && any("cost", node.cost) &&
      chosen("traits").every(trait => traits.includes(trait)) && chosen("chapter").every(trait => traits.includes(trait)) &&
      (!chosen("where").length || chosen("where").some(trait => traits.includes(trait))) &&
      +node.year >= (+form.elements.since.value || 0) && +node.year <= (+form.elements.until.value || 9999);
  };
  const filter = () => {
    let count = 0;
    for (const [name, box] of boxes) {
      const shown = fits(box), link = box.querySelector("a");
      count += shown;
      box.classList.toggle("ob-off", !shown);
      box.toggleAttribute("aria-hidden", false);
      if (!shown) box.setAttribute("aria-hidden", "true");
      link.tabIndex = shown ? 0 : -1;
      rows.get(name).hidden = !shown;
    }
    for (const line of lines) {
      const off = [line.dataset.from, line.dataset.to].some(name => boxes.get(name).classList.contains("ob-off"));
      line.classList.toggle("ob-off", off);
    }
    form.querySelector("output").textContent = count;
  };

  // ----- lines of descent
  const parents = name => list(boxes.get(name).dataset.from);
  const heirs = name => [...boxes.keys()].filter(other => parents(other).includes(name));
  const reach = (name, next, found = new Set()) => {
    for (const other of next(name)) if (!found.has(other)) reach(other, next, found.add(other));
    return found;
  };
  const show = name => {
    const above = reach(name, parents), below = reach(name, heirs);
    for (const [other, box] of boxes) {
      box.classList.toggle("ob-self", other === name);
      box.classList.toggle("ob-kin", above.has(other) || below.has(other));
    }
    const up = new Set([...above, name]), down = new Set([...below, name]);
    for (const {dataset: {from, to}, classList} of lines)
      classList.toggle("ob-on", (up.has(from) && up.has(to)) || (down.has(from) && down.has(to)));
    const [head, year, source, , news, state, traits] = rows.get(name).cells, join = cells => cells.map(c => c.innerHTML).join(" · ");
    descent.querySelector(".ob-who").innerHTML = `<b>${head.innerHTML}</b> · ` + join([year, source, state, traits]);
    const items = [...news.querySelectorAll("li")].map(item => item.innerHTML).join("<br>");
    descent.querySelector(".ob-parents > span:last-child").innerHTML = items;
    const after = heirs(name).map(other => rows.get(other).cells[0].innerHTML).join(" · ");
    descent.querySelector(".ob-heirs > span:last-child").innerHTML = after;
  };
  const centre = name => { tree.scrollLeft = boxes.get(name).offsetLeft - (tree.clientWidth - boxes.get(name).offsetWidth) / 2; };

  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", event => event.preventDefault());
  select.value = root.dataset.selected;
  select.addEventListener("input", () => { show(select.value); centre(select.value); });
  for (const [name, box] of boxes) {
    box.addEventListener("mouseenter", () => show(name));
    box.addEventListener("mouseleave", () => show(select.value));
    box.addEventListener("focusin", () => { select.value = name; show(name); });
  }
  form.hidden = descent.hidden = false;
  form.querySelector("details").open = innerWidth > 900;
  show(select.value);
  centre(select.value);
}
"""
