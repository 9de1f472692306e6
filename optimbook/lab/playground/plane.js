// ---- The plane: contours, paths, and the parts of the next step as arrows. Both axes have one scale, so that the
// gradient stands at right angles to the contours.

function view(surface, width, height) {
  const [[left, right], [bottom, top]] = SURFACES[surface].box;
  const scale = Math.min(width / (right - left), height / (top - bottom));
  const x0 = (left + right) / 2 - width / scale / 2, y0 = (bottom + top) / 2 + height / scale / 2;
  return {
    scale, left: x0, top: y0, right: x0 + width / scale, bottom: y0 - height / scale,
    at: ([x, y]) => [(x - x0) * scale, (y0 - y) * scale],
    from: (x, y) => [x0 + x / scale, y0 - y / scale],
  };
}

function drawSurface(pen, width, height, surface, look) {
  const {rule, parameters, box, minima} = SURFACES[surface], seen = view(surface, width, height);
  const across = Math.ceil(width / 4), down = Math.ceil(height / 4), grid = [];
  let low = Infinity, high = -Infinity;
  for (let j = 0; j <= down; j++) for (let i = 0; i <= across; i++) {
    const [x, y] = seen.from(width * i / across, height * j / down), {value} = rule({x, y}, parameters);
    grid.push(value);
    if (x >= box[0][0] && x <= box[0][1] && y >= box[1][0] && y <= box[1][1]) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const level = p => low + (high - low) * Math.pow(p, 2.5);
  shade(pen, width, height, grid, across, down, v => Math.pow(within(0, 1, (v - low) / (high - low)), 0.4));
  Object.assign(pen, {strokeStyle: look.ink, lineWidth: 1, globalAlpha: 0.3});
  const ends = [width / across, height / down];
  for (let k = 1; k <= 16; k++) contour(pen, grid, across, down, ends, level(k / 13));
  pen.globalAlpha = 0.9;
  pen.lineWidth = 1.8;
  for (const place of minima) {
    const [x, y] = seen.at(place);
    pen.stroke(new Path2D(`M${x - 5},${y - 5}l10,10m0,-10l-10,10`));
  }
  scales(pen, width, height, seen, look);
}

// The higher, the more of the text's colour.
function shade(pen, width, height, grid, across, down, depth) {
  const small = document.createElement("canvas");
  Object.assign(small, {width: across + 1, height: down + 1});
  const brush = small.getContext("2d"), image = brush.createImageData(across + 1, down + 1);
  brush.fillStyle = pen.fillStyle;
  grid.forEach((value, i) => { image.data[4 * i + 3] = 255 * depth(value); });
  brush.putImageData(image, 0, 0);
  brush.globalCompositeOperation = "source-in"; // the image's depth, the text's colour
  brush.fillRect(0, 0, across + 1, down + 1);
  pen.globalAlpha = 0.15;
  pen.drawImage(small, 0.5, 0.5, across, down, 0, 0, width, height);
}

// Marching squares: where the level crosses the edges of each cell. A saddle's cell has two pieces.
function contour(pen, grid, across, down, [dx, dy], level) {
  pen.beginPath();
  for (let j = 0; j < down; j++) for (let i = 0; i < across; i++) {
    const a = j * (across + 1) + i, corners = [grid[a], grid[a + 1], grid[a + across + 2], grid[a + across + 1]];
    const above = corners.map(v => v > level);
    if (above.every(Boolean) || !above.some(Boolean)) continue;
    const cut = [];
    [[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0]].forEach(([x, y, u, v], k) => {
      if (above[k] === above[(k + 1) % 4]) return;
      const p = (level - corners[k]) / (corners[(k + 1) % 4] - corners[k]);
      cut.push([(i + x + (u - x) * p) * dx, (j + y + (v - y) * p) * dy]);
    });
    const middle = corners.reduce((sum, v) => sum + v) / 4 > level;
    if (cut.length === 4 && middle === above[0]) cut.push(cut.shift());
    for (let k = 0; k < cut.length; k += 2) {
      pen.moveTo(...cut[k]);
      pen.lineTo(...cut[k + 1]);
    }
  }
  pen.stroke();
}

function scales(pen, width, height, seen, look) {
  Object.assign(pen, {font: look.font, fillStyle: look.ink, globalAlpha: 0.75, lineWidth: 1, textAlign: "center", textBaseline: "bottom"});
  for (const x of ticks(seen.left, seen.right, width / 90)) {
    const [place] = seen.at([x, 0]);
    if (place > 12 && place < width - 12) pen.fillText(shown(x), place, height - 3);
  }
  Object.assign(pen, {textAlign: "left", textBaseline: "middle"});
  for (const y of ticks(seen.bottom, seen.top, height / 60)) {
    const [, place] = seen.at([0, y]);
    if (place > 10 && place < height - 24) pen.fillText(shown(y), 4, place);
  }
  pen.globalAlpha = 1;
}

// Points that can be drawn; a path that diverges leaves the picture once.
const drawable = (track, seen) => {
  const end = track.points.findIndex(point => !point.every(x => Math.abs(x) < 1e5));
  return track.points.slice(0, end < 0 ? undefined : end).map(seen.at);
};

// What lies ahead is faint.
function drawPath(pen, places, {color, dashes}, faint) {
  Object.assign(pen, {strokeStyle: color, lineWidth: faint ? 1.2 : 2.2, globalAlpha: faint ? 0.4 : 1, lineJoin: "round"});
  pen.setLineDash(dashes);
  polyline(pen, places);
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}
function drawDots(pen, places, {color}) {
  pen.fillStyle = color;
  pen.beginPath();
  for (const [x, y] of places) pen.rect(x - 1.5, y - 1.5, 3, 3);
  pen.fill();
}

// Gradient and momentum have one scale, on which the longer is 64 pixels; the step has the plane's, but is 18 at least.
function drawArrows(pen, track, step, seen, look, parts) {
  const from = track.points[step];
  if (step >= track.gradients.length || ![...from, ...track.points[step + 1]].every(x => Math.abs(x) < 1e5)) return;
  const down = ([x, y]) => [-x, y]; // minus the vector, in pixels, which count downwards
  const gradient = down(track.gradients[step]), moment = track.moments[step] && down(track.moments[step]);
  const longest = Math.max(Math.hypot(...gradient), moment ? Math.hypot(...moment) : 0) || 1;
  const taken = track.points[step + 1].map((x, i) => (x - from[i]) * seen.scale * (i ? -1 : 1)), size = Math.hypot(...taken);
  const place = seen.at(from), scaled = (vector, by) => vector.map(x => x * by);
  if (parts.gradient) arrow(pen, place, scaled(gradient, 64 / longest), "−g", 1, [2, 3], look);
  if (parts.moment && moment) arrow(pen, place, scaled(moment, 64 / longest), "−m", -1, [7, 3], look);
  if (parts.taken) arrow(pen, place, scaled(taken, size ? Math.max(1, 18 / size) : 0), "Δ", -1, [], look);
}
function arrow(pen, [x, y], [dx, dy], name, side, dashes, look) {
  const length = Math.hypot(dx, dy);
  if (length < 3) return;
  const [ux, uy] = [dx / length, dy / length], [tx, ty] = [x + dx, y + dy];
  for (const [color, width] of [[look.paper, 5], [look.ink, 2]]) { // a rim of the page's colour keeps it apart from the paths
    Object.assign(pen, {strokeStyle: color, lineWidth: width, lineCap: "butt"});
    pen.setLineDash(width === 2 ? dashes : []);
    polyline(pen, [[x, y], [tx, ty]]);
    pen.setLineDash([]);
    polyline(pen, [[tx - 8 * ux - 4 * uy, ty - 8 * uy + 4 * ux], [tx, ty], [tx - 8 * ux + 4 * uy, ty - 8 * uy - 4 * ux]]);
  }
  Object.assign(pen, {font: look.bold, textAlign: "center", textBaseline: "middle"});
  Object.assign(pen, {lineWidth: 4, strokeStyle: look.paper, fillStyle: look.ink});
  const label = [tx + 4 * ux - 12 * side * uy, ty + 4 * uy + 12 * side * ux];
  pen.strokeText(name, ...label);
  pen.fillText(name, ...label);
}
