// ---- The walk: what optimbook.lab.path does, and what the arrows and the table show besides.

// The learning rate of each step.
function rates({name, numbers}, lr, steps) {
  const schedule = SCHEDULES[name];
  if (!schedule.rule) return Array(steps).fill(lr);
  const at = closedForm(schedule, lr, steps, numbers);
  return Array.from({length: steps}, (_, step) => at(step));
}
function closedForm(schedule, lr, steps, numbers) {
  const h = {base_lr: lr, ...schedule.fixed, ...numbers, ...(schedule.plan ? schedule.plan({lr, steps}, numbers) : {})};
  if (schedule.after) h.after = closedForm(SCHEDULES[schedule.after], lr, h.rest, numbers);
  return step => schedule.rule({step}, h).lr;
}

// What is added to the gradient at each step.
function disturbances(steps, deviation, seed) {
  let state = {one: seed, two: seed};
  const draws = Array.from({length: NOISE.warmup + 2 * steps}, () => (state = NOISE.rule(state, {deviation})).draw);
  return Array.from({length: steps}, (_, i) => draws.slice(NOISE.warmup + 2 * i, NOISE.warmup + 2 * i + 2));
}

function walk(run, setting) {
  const kind = OPTIMIZERS[run.name], {rule, parameters} = SURFACES[setting.surface];
  const lrs = rates(setting.schedule, run.numbers.lr, setting.steps);
  const noise = setting.noise ? disturbances(setting.steps, setting.noise, setting.seed) : null;
  const h = {...kind.fixed, ...run.numbers, lr: lrs[0]};
  const begin = Object.fromEntries(Object.entries(kind.begin).map(([state, x]) => [state, typeof x === "string" ? h[x] : x]));
  const surface = ([x, y]) => rule({x, y}, parameters);
  const track = {lrs, points: [setting.start], values: [], slopes: [], gradients: [], moments: [], averages: []};
  let walkers = setting.start.map(param => ({...begin, param}));
  for (let step = 1; step <= setting.steps; step++) {
    const at = surface(track.points[step - 1]);
    const gradient = [at.grad_x, at.grad_y].map((g, i) => noise ? g + noise[step - 1][i] : g);
    h.lr = lrs[step - 1];
    walkers = walkers.map((w, i) => ({...w, ...kind.rule({...w, grad: gradient[i], step, first: step === 1}, h)}));
    track.points.push(walkers.map(w => w.param));
    track.gradients.push(gradient);
    if (kind.moment) track.moments.push(walkers.map(w => w[kind.moment]));
    if (kind.average) track.averages.push(walkers.map(w => w[kind.average]));
  }
  for (const point of track.points) {
    const at = surface(point);
    track.values.push(at.value);
    track.slopes.push(Math.hypot(at.grad_x, at.grad_y));
  }
  return track;
}
