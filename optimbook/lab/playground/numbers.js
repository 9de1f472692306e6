// ---- Numbers: a knob's place on its slider, 0 to 1, and back; and how a number is written.

const CURVES = {
  linear: [(low, high, p) => low + (high - low) * p, (low, high, x) => (x - low) / (high - low)],
  log: [(low, high, p) => low * Math.pow(high / low, p), (low, high, x) => Math.log(x / low) / Math.log(high / low)],
  decay: [
    (low, high, p) => 1 - (1 - low) * Math.pow((1 - high) / (1 - low), p),
    (low, high, x) => Math.log((1 - x) / (1 - low)) / Math.log((1 - high) / (1 - low)),
  ],
};
CURVES.whole = CURVES.linear;
CURVES.zero = [(low, high, p) => p && CURVES.log[0](low, high, p), (low, high, x) => x && CURVES.log[1](low, high, x)];

const within = (low, high, x) => Math.min(Math.max(x, low), high);
const digits = (x, count) => Number(x.toPrecision(count));

function numberAt([low, high, , scale], p) {
  const x = CURVES[scale][0](low, high, p);
  if (scale === "whole") return Math.round(x);
  return scale === "decay" ? Number((1 - digits(1 - x, 2)).toFixed(12)) : digits(x, 2);
}
const placeOf = ([low, high, , scale], x) => within(0, 1, CURVES[scale][1](low, high, x));
const lowest = ([low, , , scale]) => scale === "zero" ? 0 : low;

// 0.0012, 1.2 × 10⁻⁷
const power = exponent => "10" + [...String(exponent)].map(c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("");
function shown(x, count = 3) {
  if (!Number.isFinite(x)) return "∞";
  const rounded = digits(x, count), size = Math.abs(rounded);
  if (size === 0 || (size >= 1e-3 && size < 1e6)) return String(rounded).replace("-", "−");
  const [head, exponent] = rounded.toExponential().split("e");
  return (head === "1" ? "" : head.replace("-", "−") + " × ") + power(Number(exponent));
}

// Round numbers between two ends, at most `count` or so.
function ticks(low, high, count) {
  const unit = Math.pow(10, Math.floor(Math.log10((high - low) / count)));
  const step = [1, 2, 5, 10].map(k => k * unit).find(s => (high - low) / s <= count);
  const first = Math.ceil(low / step);
  return Array.from({length: Math.floor(high / step) - first + 1}, (_, i) => digits((first + i) * step, 6));
}
