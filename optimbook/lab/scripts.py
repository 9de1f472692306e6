"""The JavaScript and the style that every slider shares; what is its own is printed from its rule."""

# The walk of a rule over a surface: the twin of `optimbook.lab.path`.
PATH = """\
function path(h) {
  const points = [start];
  let walkers = start.map(x => ({...zeros, param: x}));
  for (let step = 1; step <= steps; step++) {
    const at = surface({x: walkers[0].param, y: walkers[1].param}, parameters);
    const gradient = [at.grad_x, at.grad_y].map((g, i) => disturbance ? g + disturbance[step - 1][i] : g);
    walkers = walkers.map((w, i) => ({...w, ...rule({...w, grad: gradient[i], step, first: step === 1}, h)}));
    points.push(walkers.map(w => w.param));
  }
  return points;
}
"""

# What a rule gives step after step, one list for each output.
SERIES = """\
function curve(h) {
  const lines = outputs.map(() => []), from = signal ? 1 : 0;
  let state = {...zeros};
  for (let step = from; step <= steps; step++) {
    const given = signal ? {[input]: signal[step - 1]} : {};
    state = {...state, ...rule({...state, ...given, step, first: step === from}, h)};
    outputs.forEach((name, i) => lines[i].push(state[name]));
  }
  return lines;
}
"""

# Knobs: a slider's place to a number and back into words.
KNOBS = """\
const number = (low, high, scale, p) => {
  const digits = x => Number(x.toPrecision(3));
  if (scale === "log") return digits(low * Math.pow(high / low, p));
  if (scale === "decay") return 1 - Number(((1 - low) * Math.pow((1 - high) / (1 - low), p)).toPrecision(2));
  return scale === "whole" ? Math.round(low + (high - low) * p) : digits(low + (high - low) * p);
};
const words = x => {
  if (x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5)) return String(Number(x.toFixed(6)));
  return x.toExponential().replace("e", " × 10^").replace("^+", "^").replace(/\\^(-?\\d+)/, (_, n) =>
    [...n].map(c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join(""));
};
"""

# Finds its figures, and draws them again whenever a knob moves.
START = """\
document.querySelectorAll("[data-slider='" + key + "']").forEach(root => {
  const h = {...fixed};
  for (const row of root.querySelectorAll(".ob-knob")) {
    const input = row.querySelector("input"), shown = row.querySelector("output");
    const {name, low, high, value, scale} = JSON.parse(row.dataset.knob);
    const set = x => {
      h[name] = x;
      shown.textContent = words(x);
      input.setAttribute("aria-valuetext", words(x));
    };
    set(value);
    input.addEventListener("input", () => {
      set(number(low, high, scale, (input.value - input.min) / (input.max - input.min)));
      draw(root, h);
    });
  }
  draw(root, h);
});
"""

WALK = """\
function draw(root, h) {
  const points = path(h), last = points[steps];
  const finite = points.filter(p => p.every(x => Math.abs(x) < 1e6)).map(at);
  const text = ([x, y]) => x.toFixed(1) + "," + y.toFixed(1);
  root.querySelector(".ob-line").setAttribute("d", "M" + finite.map(text).join("L"));
  root.querySelector(".ob-dots").setAttribute("d", finite.map(p => "M" + text(p) + "h0").join(""));
  const value = surface({x: last[0], y: last[1]}, parameters).value;
  root.querySelector(".ob-says").textContent = Number.isFinite(value) ? words(Number(value.toPrecision(2))) : "∞";
}
"""

CURVE = """\
// Round numbers between two ends.
function ticks(low, high, count) {
  const power = Math.pow(10, Math.floor(Math.log10((high - low) / count)));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => (high - low) / s <= count);
  const first = Math.ceil(low / step);
  return Array.from({length: Math.floor(high / step) - first + 1}, (_, i) => Number(((first + i) * step).toPrecision(6)));
}
function draw(root, h) {
  const lines = curve(h), seen = [...lines.flat(), ...(signal || [])].filter(Number.isFinite);
  const low = Math.min(0, ...seen), high = Math.max(...seen, low + 1e-12);
  const x = i => left + (width - left - 16) * i / (lines[0].length - 1), y = v => 12 + (height - 40) * (high - v) / (high - low);
  const places = values => values.map((v, i) => x(i).toFixed(1) + "," + y(v).toFixed(1));
  root.querySelectorAll(".ob-line").forEach((line, i) => line.setAttribute("d", "M" + places(lines[i]).join("L")));
  root.querySelector(".ob-dots").setAttribute("d", signal ? places(signal).map(p => "M" + p + "h0").join("") : "");
  const from = signal ? 1 : 0, label = (text, x, y, anchor) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
  root.querySelector(".ob-axes").innerHTML =
    ticks(low, high, 4).map(v => `<path d="M${left},${y(v)}H${width - 16}"/>` + label(words(v), left - 6, y(v) + 4, "end")).join("") +
    ticks(from, steps, 5).map(i => label(i, x(i - from), height - 10, "middle")).join("");
}
"""

STYLE = """\
.ob-slider{max-width:40rem;margin:1rem 0}
.ob-slider svg{display:block;width:100%;height:auto;font:13px system-ui,sans-serif}
.ob-slider svg text{fill:currentColor}
.ob-slider path{fill:none;vector-effect:non-scaling-stroke}
.ob-frame,.ob-contour,.ob-axes path{stroke:currentColor;stroke-opacity:.28}
.ob-mark{stroke:currentColor;stroke-width:2}
.ob-line{stroke-width:2}
.ob-dots{stroke-width:5;stroke-linecap:round}
.ob-knob{display:grid;grid-template-columns:1fr 6rem;gap:.7rem;align-items:center;margin:.3rem 0}
.ob-knob label{display:grid;grid-template-columns:minmax(0,14rem) 1fr;gap:.2rem .7rem;align-items:center}
.ob-knob input{grid-column:2;width:100%;min-height:1.6rem;margin:0}
.ob-knob output,.ob-says{font-variant-numeric:tabular-nums;white-space:nowrap}
.ob-slider figcaption{margin:.3rem 0}
@media(max-width:560px){.ob-knob{align-items:end}.ob-knob label{display:block}}
"""

# Turns the heads of a table's columns into buttons that put its rows in order; what begins with a dash stays last.
SORT = """
document.querySelectorAll("table.ob-sort:not([data-ready])").forEach(table => {
  table.dataset.ready = "";
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const compare = (a, b) => {
    const x = parseFloat(a), y = parseFloat(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const text = row => row.cells[i].textContent.trim(), none = row => text(row).startsWith("–");
      body.append(...[...body.rows].sort((a, b) => none(a) - none(b) || sign * compare(text(a), text(b))));
    });
  });
});
"""
