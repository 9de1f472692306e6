// ---- The controls, as HTML in the page's language.

const fill = (text, parts) => parts.reduce((done, part) => done.replace("{}", part), text);
const both = ([zh, en], ...parts) =>
  zh === en ? fill(zh, parts) : `<span lang="zh">${fill(zh, parts)}</span> <span lang="en">${fill(en, parts)}</span>`;

// An edition of the site hides the other language; what no span can hold follows it.
function speaker(root) {
  root.insertAdjacentHTML("beforeend", both(["中", "en"]));
  const [zh, en] = [...root.querySelectorAll("[lang]")].slice(-2).map(word => {
    const seen = getComputedStyle(word).display !== "none";
    word.remove();
    return seen;
  });
  return ([chinese, english], ...parts) =>
    fill(!en || chinese === english ? chinese : !zh ? english : `${chinese} · ${english}`, parts);
}

const ICONS = {
  play: "M5,3L17,10L5,17z", pause: "M4,3H8V17H4zM12,3H16V17H12z",
  back: "M14,3V17L6,10zM3,3H5V17H3z", forward: "M6,3V17L14,10zM15,3H17V17H15z",
};
const icon = name => `<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
const option = (value, words, say, chosen) => `<option value="${value}"${value === chosen ? " selected" : ""}>${say(words)}</option>`;
const options = (offers, say, chosen) => Object.entries(offers).map(([value, {words}]) => option(value, words, say, chosen)).join("");
const named = (...said) => `aria-label="${said.join(" ")}" title="${said.join(" ")}"`;
const button = (act, words, say, inside) =>
  `<button type="button" data-do="${act}" ${inside ? named(say(words)) : ""}>${inside ?? both(words)}</button>`;
const check = (name, words, on) => `<label><input type="checkbox" data-show="${name}"${on ? " checked" : ""}> ${both(words)}</label>`;

function skeleton(say, shows) {
  return `
<div class="ob-p-head">
  <label>${both(WORDS.surface)} <select data-set="surface"></select></label>
  <span class="ob-p-formula"></span>
</div>
<div class="ob-p-stage">
  <div class="ob-p-plane">
    <canvas role="img" aria-label="${say(WORDS.plane)}"></canvas>
    <button type="button" class="ob-p-start"></button>
  </div>
  <div class="ob-p-side">
    <div class="ob-p-chart"><canvas role="img" aria-label="${say(WORDS.chart)}"></canvas></div>
    <p class="ob-p-note">${both(WORDS.above)}</p>
  </div>
</div>
<div class="ob-p-time">
  ${["back", "play", "forward"].map(act => button(act, WORDS[act], say, icon(act))).join("")}
  <input type="range" data-time min="0" step="1" aria-label="${say(WORDS.step)}">
  <span class="ob-p-at" aria-hidden="true"></span>
</div>
<ul class="ob-p-runs" aria-label="${say(WORDS.optimizers)}"></ul>
<div class="ob-p-shows">${button("add", WORDS.add, say)}</div>
<div class="ob-p-shows" role="group" aria-label="${say(WORDS.arrows)}">
  ${Object.keys(shows).map(name => check(name, WORDS[name], shows[name])).join("")}
</div>
<div class="ob-p-settings">
  <fieldset class="ob-p-own"></fieldset>
  <fieldset class="ob-p-shared"></fieldset>
</div>
<div class="ob-p-foot">
  ${button("copy", WORDS.copy, say)}${button("reset", WORDS.reset, say)}
  <span class="ob-p-copied"></span>
  <input class="ob-p-link" readonly hidden aria-label="${say(WORDS.link)}">
</div>
<details>
  <summary>${both(WORDS.numbers)}</summary>
  <div class="ob-p-table" tabindex="0" role="region" aria-label="${say(WORDS.numbers)}"></div>
</details>
<p class="ob-p-live" role="status"></p>`;
}

const tint = shade => shade === "currentColor" ? shade : `color-mix(in srgb,${shade} 78%,currentColor)`;
const swatch = (kind, slot) => `<svg viewBox="-20 -8 40 16" width="40" height="16" aria-hidden="true" style="color:${tint(kind.color)}">` +
  `<path d="M-20,0H20" fill="none" stroke="currentColor" stroke-width="2.2" stroke-dasharray="${DASHES[kind.dashes]}"/>` +
  `<path d="${MARKERS[slot]}" fill="currentColor"/></svg>`;

function runRow(run, slot, active, alone, say) {
  const kind = OPTIMIZERS[run.name], name = say(kind.words);
  return `<li${active ? ' class="ob-p-active"' : ""}>
<label class="ob-p-pick"><input type="radio" name="${NAME}-run" data-pick="${slot}" data-key="pick-${slot}"${active ? " checked" : ""}
  aria-label="${say(WORDS.tune, name)}">${swatch(kind, slot)}</label>
<select data-run="${slot}" data-key="run-${slot}" aria-label="${say(WORDS.optimizer, slot + 1)}">
${options(OPTIMIZERS, say, run.name)}</select>
<span class="ob-p-loss"></span>
<button type="button" data-do="remove" data-slot="${slot}" ${named(say(WORDS.remove, name))}${alone ? " disabled" : ""}>×</button></li>`;
}

// `of` says whose number it is: the selected run's, the schedule's, or the setting's.
function knobRow(of, name, knob, value, words) {
  const top = knob[3] === "whole" ? knob[1] - knob[0] : 200, [zh, en, symbol] = words;
  return `<label class="ob-p-knob"><span>${both([zh, en])} <i>${symbol}</i></span>
<input type="range" min="0" max="${top}" step="1" value="${Math.round(placeOf(knob, value) * top)}"
  data-of="${of}" data-name="${name}" aria-valuetext="${shown(value, 6)}">
<b aria-hidden="true">${shown(value, 6)}</b></label>`;
}
function ownKnobs(run) {
  const kind = OPTIMIZERS[run.name], [zh, en] = kind.words;
  return `<legend>${both([zh + (/[A-Za-z]$/.test(zh) ? " " : "") + WORDS.knobs[0], en + WORDS.knobs[1]])}</legend>` +
    Object.entries(kind.knobs).map(([n, knob]) => knobRow("run", n, knob, run.numbers[n], KNOBS[kind.called[n] ?? n])).join("");
}
const SHARED = {noise: [...LIMITS.noise, 0, "linear"], steps: [...LIMITS.steps, 200, "whole"]};
function sharedKnobs(setting, say) {
  const {name, numbers} = setting.schedule, row = key => knobRow("setting", key, SHARED[key], setting[key], KNOBS[key]);
  const [least, most] = LIMITS.seed;
  return `<legend>${both(WORDS.conditions)}</legend>
<label class="ob-p-line">${both(WORDS.schedule)}
<select data-set="schedule" data-key="schedule">${options(SCHEDULES, say, name)}</select></label>` +
    Object.entries(SCHEDULES[name].knobs).map(([n, knob]) => knobRow("schedule", n, knob, numbers[n], KNOBS[n])).join("") +
    row("noise") +
    `<label class="ob-p-line">${both(WORDS.seed)}
<input type="number" data-set="seed" min="${least}" max="${most}" value="${setting.seed}"></label>` +
    row("steps");
}

function table(track) {
  const {step, loss, norm, rate} = WORDS, cell = v => `<td>${v === undefined ? "" : shown(v, 5)}</td>`;
  const head = [step, ["x", "x"], ["y", "y"], loss, norm, rate].map(words => `<th scope="col">${both(words)}</th>`);
  const rows = track.points.map((point, i) =>
    `<tr><th scope="row">${i}</th>${[...point, track.values[i], track.slopes[i], track.lrs[i]].map(cell).join("")}</tr>`);
  return `<table><thead><tr>${head.join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}
