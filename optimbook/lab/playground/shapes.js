// ---- How things look: the page's colours, dashes, and one marker for each place in the list of optimizers.

const DASHES = {"-": [], "--": [7, 4], "-.": [8, 3, 2, 3], ":": [2, 3]};
const MARKERS = [
  "M5,0A5,5,0,1,1,-5,0A5,5,0,1,1,5,0z", // circle
  "M-4.5,-4.5H4.5V4.5H-4.5z", // square
  "M0,-5.8L5.4,4.2H-5.4z", // triangle
  "M0,-6L6,0L0,6L-6,0z", // diamond
  "M0,5.8L-5.4,-4.2H5.4z",
  "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2z", // plus
];

// A colour as the page shows it: towards the text's, so that it stands out on light and on dark pages.
function cssColor(root, shade) {
  const probe = root.appendChild(document.createElement("i"));
  if (shade !== "currentColor") probe.style.color = `color-mix(in srgb,${shade} 78%,currentColor)`;
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

// The first background behind an element that is not transparent.
function paperOf(element) {
  const color = element ? getComputedStyle(element).backgroundColor : "white";
  return /^rgba\(0, 0, 0, 0\)|transparent/.test(color) ? paperOf(element.parentElement) : color;
}

// A canvas as sharp as the screen; null while it has no size.
function fit(canvas) {
  const scale = devicePixelRatio || 1, {clientWidth: width, clientHeight: height} = canvas;
  if (!width || !height) return null;
  const across = Math.round(width * scale), down = Math.round(height * scale);
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, {width: across, height: down});
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return {pen, width, height};
}

// The same drawing kept aside, to be put under each frame.
function kept(canvas, draw) {
  const copy = document.createElement("canvas");
  const sheet = fit(canvas);
  if (!sheet) return null;
  Object.assign(copy, {width: canvas.width, height: canvas.height});
  const pen = copy.getContext("2d"), scale = canvas.width / sheet.width;
  pen.scale(scale, scale);
  draw(pen, sheet.width, sheet.height);
  return copy;
}
function lay(canvas, copy) {
  const sheet = fit(canvas);
  if (sheet && copy) sheet.pen.drawImage(copy, 0, 0, sheet.width, sheet.height);
  return sheet;
}

function polyline(pen, places) {
  pen.beginPath();
  for (const [x, y] of places) pen.lineTo(x, y);
  pen.stroke();
}
function marker(pen, slot, [x, y], color, paper) {
  pen.save();
  pen.translate(x, y);
  const path = new Path2D(MARKERS[slot]);
  Object.assign(pen, {lineWidth: 3, strokeStyle: paper, fillStyle: color});
  pen.setLineDash([]);
  pen.stroke(path);
  pen.fill(path);
  pen.restore();
}

// The place between two steps.
function between(places, t) {
  const i = Math.min(Math.floor(t), places.length - 1), [a, b] = [places[i], places[Math.min(i + 1, places.length - 1)]];
  return a.map((x, k) => x + (b[k] - x) * (t - i));
}
