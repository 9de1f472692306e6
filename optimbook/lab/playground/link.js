// ---- Settings, and links that restore them: #name?surface=ravine&start=-2,1&run=SGD,lr:0.05&run=Adam,lr:0.2
// What a link does not say, or says wrongly, is as in the preset.

const known = (names, name) => Object.hasOwn(names, name);
const values = knobs => Object.fromEntries(Object.entries(knobs).map(([name, knob]) => [name, knob[2]]));

function completeRun(name, numbers, surface) {
  const kind = OPTIMIZERS[name];
  return {name, numbers: {...values(kind.knobs), lr: kind.rates[surface], ...numbers}};
}
const completeSchedule = (name, numbers) => ({name, numbers: {...values(SCHEDULES[name].knobs), ...numbers}});

// A whole setting; a preset's own start and noise count on its own surface only.
function complete(given) {
  const surface = given.surface ?? PRESET.surface, place = SURFACES[surface];
  const home = surface === PRESET.surface, own = home ? PRESET : {};
  const runs = given.runs ?? PRESET.runs.map(([name, numbers]) => [name, home ? numbers : {...numbers, lr: undefined}]);
  return {
    surface,
    start: given.start ?? own.start ?? place.start,
    steps: given.steps ?? PRESET.steps,
    noise: given.noise ?? own.noise ?? place.noise,
    seed: given.seed ?? PRESET.seed,
    schedule: completeSchedule(...(given.schedule ?? PRESET.schedule)),
    runs: runs.map(([name, numbers]) => completeRun(name, said(numbers), surface)),
  };
}
const said = numbers => Object.fromEntries(Object.entries(numbers).filter(([, x]) => x !== undefined));

function writeLink(setting) {
  const preset = complete({surface: setting.surface});
  const parts = [`surface=${setting.surface}`, `start=${setting.start}`];
  for (const key of ["steps", "noise", "seed"]) if (setting[key] !== preset[key]) parts.push(`${key}=${setting[key]}`);
  const {name, numbers} = setting.schedule;
  parts.push("schedule=" + pairs(name, numbers, values(SCHEDULES[name].knobs)));
  for (const run of setting.runs) parts.push("run=" + pairs(run.name, run.numbers, {...values(OPTIMIZERS[run.name].knobs), lr: undefined}));
  return parts.join("&");
}
const pairs = (name, numbers, usual) =>
  [name, ...Object.keys(numbers).filter(n => numbers[n] !== usual[n]).map(n => `${n}:${numbers[n]}`)].join();

function readLink(text) {
  const given = {}, runs = [];
  const number = (text, [low, high]) => text !== "" && Number.isFinite(Number(text)) ? within(low, high, Number(text)) : undefined;
  const whole = (text, limits) => number(text, limits) === undefined ? undefined : Math.round(number(text, limits));
  const pairs = (parts, knobs) => said(Object.fromEntries(parts.map(part => part.split(":")).filter(([name]) => known(knobs, name))
    .map(([name, text = ""]) => [name, number(text, [lowest(knobs[name]), knobs[name][1]])])));
  const readers = {
    surface: text => known(SURFACES, text) ? text : undefined,
    start: text => {
      const place = text.split(",").map(x => number(x, [-1e3, 1e3]));
      return place.length === 2 && !place.includes(undefined) ? place : undefined;
    },
    steps: text => whole(text, LIMITS.steps),
    noise: text => number(text, LIMITS.noise),
    seed: text => whole(text, LIMITS.seed),
    schedule: text => {
      const [name, ...parts] = text.split(",");
      return known(SCHEDULES, name) ? [name, pairs(parts, SCHEDULES[name].knobs)] : undefined;
    },
  };
  for (const part of text.split("&")) {
    const [key, ...rest] = part.split("="), value = rest.join("=");
    if (known(readers, key)) given[key] = readers[key](value) ?? given[key];
    const [name, ...numbers] = value.split(",");
    if (key === "run" && known(OPTIMIZERS, name) && runs.length < LIMITS.runs) runs.push([name, pairs(numbers, OPTIMIZERS[name].knobs)]);
  }
  return complete({...given, ...(runs.length ? {runs} : {})});
}

// The setting that the page's address names for this widget, or null.
function linked() {
  try {
    const [name, text] = decodeURIComponent(location.hash.slice(1)).split(/\?(.*)/s);
    return name === NAME && text !== undefined ? readLink(text) : null;
  } catch {
    return location.hash.startsWith(`#${NAME}?`) ? complete({}) : null; // a stray % sign
  }
}
