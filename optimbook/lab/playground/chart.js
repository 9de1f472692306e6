// ---- The loss over steps: above the minimum, on a logarithmic axis unless the reader wants it plain.

const FLOOR = 1e-12;

function axes(tracks, setting, logarithmic, width, height) {
  const [minimum] = SURFACES[setting.surface].minima, {rule, parameters} = SURFACES[setting.surface];
  const bottom = rule({x: minimum[0], y: minimum[1]}, parameters).value;
  const above = value => logarithmic ? Math.log10(Math.max(value - bottom, FLOOR)) : value - bottom;
  const seen = tracks.flatMap(track => track.values.map(above)).filter(Number.isFinite), first = above(tracks[0].values[0]);
  const most = logarithmic ? first + 3 : Math.max(10 * first, 1e-3); // of one that diverges, as much as leaves the rest legible
  const high = Math.min(seen.reduce((a, b) => Math.max(a, b)), most), low = logarithmic ? seen.reduce((a, b) => Math.min(a, b)) : 0;
  const [left, right, top, foot] = [46, width - 12, 10, height - 24], span = high - low || 1;
  return {
    left, right, top, foot, low, high: low + span, logarithmic,
    at: (step, value) => {
      const v = above(value), height = Number.isFinite(v) ? within(-0.05, 1.05, (v - low) / span) : 1.05;
      return [left + (right - left) * step / setting.steps, foot - (foot - top) * height];
    },
    step: x => Math.round(within(0, 1, (x - left) / (right - left)) * setting.steps),
  };
}

function drawAxes(pen, width, height, frame, steps, look) {
  Object.assign(pen, {font: look.font, fillStyle: look.ink, strokeStyle: look.ink, lineWidth: 1});
  Object.assign(pen, {textAlign: "right", textBaseline: "middle"});
  const marks = frame.logarithmic ? decades(frame.low, frame.high) : ticks(frame.low, frame.high, 5);
  for (const v of marks) {
    const y = frame.foot - (frame.foot - frame.top) * (v - frame.low) / (frame.high - frame.low);
    pen.globalAlpha = 0.16;
    polyline(pen, [[frame.left, y], [frame.right, y]]);
    pen.globalAlpha = 0.8;
    pen.fillText(frame.logarithmic ? power(v) : shown(v), frame.left - 5, y);
  }
  Object.assign(pen, {textAlign: "center", textBaseline: "alphabetic"});
  for (const step of ticks(0, steps, width / 70)) pen.fillText(step, frame.left + (frame.right - frame.left) * step / steps, height - 7);
  pen.globalAlpha = 1;
}
const decades = (low, high) => {
  const step = Math.max(1, Math.ceil((high - low) / 6)), first = Math.ceil(low / step);
  return Array.from({length: Math.max(0, Math.floor(high / step) - first + 1)}, (_, i) => (first + i) * step);
};
