// ---- The widget: what the reader does, and when to draw.

const LENGTH = 8; // seconds that a whole run plays
const still = matchMedia("(prefers-reduced-motion: reduce)");

function begin(root) {
  const say = speaker(root), shows = {gradient: true, moment: true, taken: true, logarithm: true};
  let setting, tracks = [], active = 0, t = 0, playing = false, started = false, visible = false;
  let look = null, layers = {}, pending = 0, last = 0, told = -1;

  root.setAttribute("role", "group");
  root.setAttribute("aria-label", say(WORDS.playground));
  root.innerHTML = skeleton(say, shows);
  const find = selector => root.querySelector(selector);
  const plane = find(".ob-p-plane"), handle = find(".ob-p-start"), chart = find(".ob-p-chart canvas"), time = find("[data-time]");
  const canvas = plane.querySelector("canvas"), numbers = find("details");

  // -- settings

  function apply(next) {
    setting = next;
    active = Math.min(active, setting.runs.length - 1);
    t = 0;
    compute();
    render();
  }
  function compute(only) {
    tracks = setting.runs.map((run, i) => only === undefined || only === i || !tracks[i] ? walk(run, setting) : tracks[i]);
    stale();
  }
  function stale() {
    layers = {back: layers.back};
    told = -1;
    later(tabulate, 150);
    request();
  }

  // -- what stands beside the pictures

  function render() {
    const key = document.activeElement?.dataset?.key;
    find("[data-set=surface]").innerHTML = options(SURFACES, say, setting.surface);
    find(".ob-p-formula").textContent = "f(x, y) = " + SURFACES[setting.surface].formula;
    find(".ob-p-runs").innerHTML = setting.runs.map((run, i) => runRow(run, i, i === active, setting.runs.length === 1, say)).join("");
    find("[data-do=add]").disabled = setting.runs.length >= LIMITS.runs;
    find(".ob-p-own").innerHTML = ownKnobs(setting.runs[active]);
    find(".ob-p-shared").innerHTML = sharedKnobs(setting, say);
    handle.setAttribute("aria-label", say(WORDS.start, ...setting.start.map(x => shown(x))));
    if (key) find(`[data-key="${key}"]`)?.focus({preventScroll: true});
    told = -1;
    request();
  }
  function tabulate() {
    if (numbers.open) find(".ob-p-table").innerHTML = table(tracks[active]);
  }
  let waiting = {};
  function later(act, wait) {
    clearTimeout(waiting[act.name]);
    waiting[act.name] = setTimeout(act, wait);
  }
  let saying = "";
  function announce(text, wait = 0) {
    saying = text;
    later(function speak() { find(".ob-p-live").textContent = saying; }, wait);
  }
  const summary = () =>
    say(WORDS.losses, Math.floor(t), setting.runs.map((run, i) => `${say(OPTIMIZERS[run.name].words)} ${lossAt(i)}`).join("; "));
  const lossAt = i => {
    const value = tracks[i].values[Math.floor(t)];
    return Number.isFinite(value) && Math.abs(value) < 1e9 ? shown(value) : say(WORDS.lost);
  };

  // -- drawing

  const awake = () => visible && !document.hidden;
  function request() {
    pending ||= requestAnimationFrame(frame);
  }
  function frame(now) {
    pending = 0;
    if (playing && awake()) {
      t = Math.min(setting.steps, t + within(0, 0.1, (now - last) / 1000) * setting.steps / LENGTH);
      last = now;
      if (t === setting.steps) {
        pause();
        announce(summary());
      }
    }
    paint();
    if (playing && awake()) request();
  }
  function repaint() {
    look = null;
    layers = {};
    request();
  }
  function looks() {
    const style = getComputedStyle(root), face = style.fontFamily;
    const line = kind => ({color: cssColor(root, kind.color), dashes: DASHES[kind.dashes]});
    return {
      ink: style.color, paper: paperOf(root), font: `11px ${face}`, bold: `600 13px ${face}`,
      runs: Object.fromEntries(Object.entries(OPTIMIZERS).map(([name, kind]) => [name, line(kind)])),
    };
  }
  function paint() {
    if (!canvas.clientWidth) return;
    look ??= looks();
    const seen = view(setting.surface, canvas.clientWidth, canvas.clientHeight), now = Math.floor(t);
    paintPlane(seen, now);
    paintChart(now);
    const [x, y] = seen.at(setting.start);
    handle.style.transform = `translate(${x}px,${y}px)`;
    if (now !== told) tell(now);
  }
  function paintPlane(seen, now) {
    const key = [setting.surface, canvas.clientWidth, canvas.clientHeight].join();
    if (layers.back?.key !== key) {
      layers.back = {key, copy: kept(canvas, (pen, width, height) => {
        pen.fillStyle = look.ink;
        drawSurface(pen, width, height, setting.surface, look);
      })};
    }
    layers.places ??= tracks.map(track => ({points: drawable(track, seen), average: drawable({points: track.averages}, seen)}));
    layers.plane ??= kept(canvas, (pen, width, height) => {
      pen.drawImage(layers.back.copy, 0, 0, width, height);
      each((run, places) => drawPath(pen, places.points, run, true));
    });
    const {pen} = lay(canvas, layers.plane), last = [];
    each((run, {points, average}, i) => {
      const done = points.slice(0, now + 1), head = between(points, t);
      drawPath(pen, [...done, head], run);
      drawDots(pen, done, run);
      drawPath(pen, average.slice(0, now), {...run, dashes: [1, 3]}); // of ASGD
      last[i] = head;
    });
    drawArrows(pen, tracks[active], now, seen, look, shows);
    each((run, _, i) => marker(pen, i, last[i], run.color, look.paper));
  }
  const each = act => setting.runs.forEach((run, i) => act(look.runs[run.name], layers.places[i], i));
  function paintChart(now) {
    const {clientWidth: width, clientHeight: height} = chart;
    layers.axes ??= axes(tracks, setting, shows.logarithm, width, height);
    layers.lines ??= tracks.map(track => track.values.map((value, step) => layers.axes.at(step, value)));
    layers.chart ??= kept(chart, pen => {
      drawAxes(pen, width, height, layers.axes, setting.steps, look);
      setting.runs.forEach((run, i) => drawPath(pen, layers.lines[i], look.runs[run.name], true));
    });
    const {pen} = lay(chart, layers.chart);
    setting.runs.forEach((run, i) => {
      const line = layers.lines[i], head = between(line, t);
      drawPath(pen, [...line.slice(0, now + 1), head], look.runs[run.name]);
      marker(pen, i, head, look.runs[run.name].color, look.paper);
    });
  }
  function tell(step) {
    told = step;
    Object.assign(time, {max: setting.steps, value: step});
    time.setAttribute("aria-valuetext", say(WORDS.at, step));
    find(".ob-p-at").textContent = `${step} / ${setting.steps}`;
    root.querySelectorAll(".ob-p-loss").forEach((out, i) => { out.textContent = lossAt(i); });
  }

  // -- time

  function play() {
    if (t >= setting.steps) t = 0;
    playing = true;
    last = performance.now();
    press();
    request();
  }
  function pause() {
    playing = false;
    press();
    request();
  }
  function press() {
    const words = playing ? WORDS.pause : WORDS.play, button = find("[data-do=play]");
    button.innerHTML = icon(playing ? "pause" : "play");
    button.setAttribute("aria-label", say(words));
    button.title = say(words);
  }
  function go(step) {
    started = true;
    pause();
    t = within(0, setting.steps, step);
    request();
  }

  // -- what the reader does

  const acts = {
    play() {
      started = true;
      if (playing) {
        pause();
        announce(summary());
      } else play();
    },
    back() {
      go(Math.ceil(t) - 1);
      announce(summary(), 500);
    },
    forward() {
      go(Math.floor(t) + 1);
      announce(summary(), 500);
    },
    add() {
      const used = setting.runs.map(run => run.name), name = Object.keys(OPTIMIZERS).find(n => !used.includes(n)) ?? "SGD";
      setting.runs.push(completeRun(name, {}, setting.surface));
      active = setting.runs.length - 1;
      compute(active);
      render();
      find(`[data-key="run-${active}"]`).focus({preventScroll: true});
    },
    remove({slot}) {
      setting.runs.splice(slot, 1);
      tracks.splice(slot, 1);
      active = within(0, setting.runs.length - 1, active > slot ? active - 1 : active);
      compute(-1);
      render();
      find("[data-do=add]").focus({preventScroll: true});
    },
    reset() {
      apply(complete({}));
      announce(say(WORDS.restored));
    },
    copy,
  };
  async function copy() {
    const address = `${location.href.split("#")[0]}#${NAME}?${writeLink(setting)}`, field = find(".ob-p-link");
    let words = WORDS.copied;
    try {
      await navigator.clipboard.writeText(address);
      field.hidden = true;
    } catch { // not allowed here
      words = WORDS.uncopied;
      Object.assign(field, {value: address, hidden: false});
      field.select();
    }
    find(".ob-p-copied").innerHTML = both(words);
    announce(say(words));
    later(function forget() { find(".ob-p-copied").textContent = ""; }, 4000);
  }
  root.addEventListener("click", event => {
    const target = event.target.closest("[data-do]");
    if (target) acts[target.dataset.do]({slot: Number(target.dataset.slot)});
  });
  root.addEventListener("input", event => {
    const {target} = event, {of, name} = target.dataset;
    if (target === time) {
      go(Number(time.value));
      return announce(summary(), 500);
    }
    if (!of) return;
    const run = setting.runs[active], {schedule} = setting;
    const [knob, numbers] = {
      run: () => [OPTIMIZERS[run.name].knobs[name], run.numbers],
      schedule: () => [SCHEDULES[schedule.name].knobs[name], schedule.numbers],
      setting: () => [SHARED[name], setting],
    }[of]();
    const atEnd = t === setting.steps;
    numbers[name] = numberAt(knob, target.value / target.max);
    target.setAttribute("aria-valuetext", shown(numbers[name], 6));
    target.nextElementSibling.textContent = shown(numbers[name], 6);
    t = atEnd ? setting.steps : Math.min(t, setting.steps);
    compute(of === "run" ? active : undefined);
  });
  root.addEventListener("change", ({target}) => {
    const {set, run, pick, show} = target.dataset;
    if (show) {
      shows[show] = target.checked;
      stale();
    } else if (pick) {
      active = Number(pick);
      stale();
      render();
    } else if (run) {
      active = Number(run);
      setting.runs[run] = completeRun(target.value, {}, setting.surface);
      compute(active);
      render();
    } else if (set === "schedule") {
      setting.schedule = completeSchedule(target.value, {});
      compute();
      render();
    } else if (set === "seed") {
      setting.seed = within(...LIMITS.seed, Math.round(Number(target.value)) || LIMITS.seed[0]);
      target.value = setting.seed;
      compute();
    } else if (set === "surface") moveTo(target.value);
  });
  function moveTo(surface) {
    const {start, noise} = SURFACES[surface];
    Object.assign(setting, {surface, start, noise});
    for (const run of setting.runs) run.numbers.lr = OPTIMIZERS[run.name].rates[surface];
    compute();
    render();
    if (started && !still.matches) {
      t = 0;
      play();
    }
  }
  numbers.addEventListener("toggle", tabulate);

  // -- the start, by pointer and by keys

  function put(x, y) {
    const seen = view(setting.surface, canvas.clientWidth, canvas.clientHeight);
    setting.start = [within(seen.left, seen.right, x), within(seen.bottom, seen.top, y)].map(v => Number(v.toFixed(3)));
    const words = setting.start.map(v => shown(v));
    handle.setAttribute("aria-label", say(WORDS.start, ...words));
    announce(say(WORDS.started, ...words), 500);
    compute();
  }
  function drag(event) {
    const {left, top} = canvas.getBoundingClientRect();
    put(...view(setting.surface, canvas.clientWidth, canvas.clientHeight).from(event.clientX - left, event.clientY - top));
  }
  plane.addEventListener("pointerdown", event => {
    if (event.button || (event.pointerType !== "mouse" && event.target !== handle)) return; // a finger on the plane scrolls the page
    event.preventDefault();
    handle.focus({preventScroll: true});
    plane.setPointerCapture(event.pointerId);
    drag(event);
    plane.onpointermove = drag;
  });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { plane.onpointermove = null; });
  plane.addEventListener("click", event => event.target === canvas && event.pointerType !== "mouse" && drag(event)); // a tap
  handle.addEventListener("keydown", event => {
    const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key] ?? [];
    if (dx === undefined) return;
    event.preventDefault();
    const [[left, right]] = SURFACES[setting.surface].box, size = (right - left) / (event.shiftKey ? 400 : 40);
    put(setting.start[0] + dx * size, setting.start[1] + dy * size);
  });
  const scrub = event => event.buttons && layers.axes && go(layers.axes.step(event.clientX - chart.getBoundingClientRect().left));
  chart.addEventListener("pointerdown", event => {
    chart.setPointerCapture(event.pointerId);
    scrub(event);
  });
  chart.addEventListener("pointermove", scrub);

  // -- the page around it

  function follow() {
    const next = linked();
    if (!next) return;
    apply(next);
    started = true;
    root.scrollIntoView({block: "nearest"});
    announce(say(WORDS.restored), 300);
    if (still.matches) request(); else play();
  }
  addEventListener("hashchange", follow);
  document.addEventListener("visibilitychange", wake);
  function wake() {
    last = performance.now();
    if (playing && awake()) request();
  }
  new IntersectionObserver(entries => {
    visible = entries.some(entry => entry.isIntersecting);
    if (visible && !started && !still.matches) {
      started = true;
      play();
    }
    wake();
  }, {threshold: 0.25}).observe(plane);
  new ResizeObserver(repaint).observe(plane);
  new MutationObserver(repaint).observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme", "class", "style"]});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

  apply(complete({}));
  follow();
  root.playground = { // for those who would look inside
    get setting() { return structuredClone(setting); },
    get tracks() { return structuredClone(tracks); },
    get state() { return {step: t, playing, active}; },
    get link() { return writeLink(setting); },
  };
}

const element = document.getElementById(NAME);
if (element) begin(element);
