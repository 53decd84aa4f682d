
// charts.js: a picture a metric, all with the same x.

const DRAWN = 40; // curves in a picture
const WITHOUT_CHOICE = 10; // runs that are drawn where none is selected
const HEIGHT = 210;
const REACH = 8; // pixels beside the cursor in which points are looked for
const FARTHEST = 60; // pixels from the cursor to a point
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
const X_NAMES = { step: "step", relative: "time since the run's start", time: "time" };

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What is drawn: runs, or groups of runs that are alike in some parameters; each with its colour and dash. */
const linesOf = (runs, drawn) => {
  const used = new Map();
  const dash = (colour) => {
    const count = used.get(colour) ?? 0;
    used.set(colour, count + 1);
    return DASHES[count % DASHES.length];
  };
  const keys = view.group.filter((name) => runs.columns.has(name));
  if (!keys.length) return drawn.map((run) => ({ name: run.label, runs: [run], colour: run.colour, dash: dash(run.colour) }));
  const groups = new Map();
  for (const run of drawn) {
    const name = keys.map((key) => `${headOf(key)} = ${exactly(runs.value(key, run.i)) || "–"}`).join(", ");
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(run);
  }
  return [...groups].map(([name, members], i) => ({ name: `${name}  (n=${members.length})`, runs: members, group: true, colour: i % 8, dash: DASHES[Math.floor(i / 8) % DASHES.length] }));
};

class Charts {
  constructor(runs, place) {
    Object.assign(this, { runs, place, charts: [], turn: 0 });
    this.watcher = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && entry.target.begin?.()), { rootMargin: "200px" });
  }

  /** Draw some runs. Returns what is to be said of it. */
  async draw(drawn) {
    const turn = ++this.turn;
    const lines = linesOf(this.runs, drawn).slice(0, DRAWN);
    const members = lines.flatMap((line) => line.runs);
    const curves = new Map(await Promise.all(members.map(async (run) => [run.i, await this.runs.curves(run.i)])));
    if (turn !== this.turn) return null;
    const logged = new Set([...curves.values()].flatMap((each) => [...each.keys()]));
    const there = this.runs.metrics.filter((name) => logged.has(name));
    const wanted = there.filter(chosenBy(view.metrics));
    this.clear();
    this.lines = lines;
    this.charts = wanted.map((metric) => new Chart(this, metric, lines, curves));
    this.place.replaceChildren(...this.charts.map((chart) => chart.figure));
    this.charts.forEach((chart) => this.watcher.observe(chart.figure));
    const points = [...curves.values()].flatMap((each) => [...each].filter(([name]) => wanted.includes(name)).map(([, curve]) => curve));
    return { lines, left: linesOf(this.runs, drawn).length - lines.length, wanted, there, thinned: points.filter((curve) => curve.values.length < curve.count).length, curves: points.length };
  }

  clear() {
    this.watcher.disconnect();
    this.charts.forEach((chart) => chart.end());
    this.charts = [];
  }

  zoom(range) {
    setView({ zoom: range });
    this.charts.forEach((chart) => chart.zoom());
    this.onzoom?.();
  }

  /** Bring one line out of all pictures; null: none. */
  focus(line) {
    this.charts.forEach((chart) => chart.focus(line));
  }
}

class Chart {
  constructor(charts, metric, lines, curves) {
    Object.assign(this, { charts, metric, plot: null });
    this.series = lines.map((line) => this.read(line, curves)).filter((each) => each !== null);
    const lost = this.series.reduce((sum, each) => sum + each.lost, 0);
    const odd = this.series.reduce((sum, each) => sum + each.marks.length, 0);
    const notes = [odd ? `${odd} not finite` : "", lost ? `${lost} at 0 or below it, which a log axis has not` : ""].filter(Boolean);
    this.box = make("div.plot");
    this.tip = make("div.tip", { hidden: true });
    this.figure = make("figure.chart", {}, make("figcaption", {}, make("span", { title: metric }, metric), make("span.muted", {}, notes.join(", "))), this.box, this.tip);
    this.figure.begin = () => this.begin();
  }

  /** A line's points as they are drawn; null where it has not this metric. */
  read(line, curves) {
    const own = line.runs.map((run) => [run, curves.get(run.i).get(this.metric)]).filter(([, curve]) => curve);
    if (!own.length) return null;
    const [logX, logY] = [view.log.includes("x"), view.log.includes("y")];
    const x = line.group && view.x === "time" ? "relative" : view.x;
    const every = own.map(([run, curve]) => {
      const [xs, ys] = sorted(xsOf(curve, x, Number(this.charts.runs.value("start", run.i) ?? 0)), curve.values);
      return [xs, smoothed(ys, view.smooth), ys];
    });
    if (!line.group) {
      const [xs, ys, raw] = every[0];
      return { line, ...drawable(xs, ys, logX, logY), raw: view.smooth ? drawable(xs, raw, logX, logY).ys : null };
    }
    const { xs, mean, low, high, count } = meanOf(every);
    const shown = drawable(xs, mean.map((value) => value ?? NaN), logX, logY);
    const floor = every.reduce((least, [, ys]) => ys.reduce((held, y) => (y > 0 && y < held ? y : held), least), Infinity); // a band that goes below 0 ends there on a log axis
    const edge = logY && floor < Infinity ? low.map((value) => (value !== null && value <= 0 ? floor : value)) : low;
    const keep = (values) => drawable(xs, values.map((value) => value ?? NaN), logX, logY).ys;
    const marks = every.flatMap(([own, ys]) => own.map((at, i) => [at, ys[i]])).filter(([at, y]) => !Number.isFinite(y) && !(logX && at <= 0));
    return { line, ...shown, marks, low: keep(edge), high: keep(high), counts: count };
  }

  begin() {
    if (this.plot) return;
    const [tables, options, bands] = [[], [{}], []];
    this.index = []; // of each series of the plot: which of ours
    this.series.forEach((each, i) => {
      const stroke = colourOf(`--run-${each.line.colour}`);
      const single = each.ys.filter((y) => y !== null).length;
      const add = (ys, style) => {
        tables.push([each.xs, ys]);
        options.push({ spanGaps: false, points: { show: false }, ...style });
        this.index.push(i);
        return options.length - 1;
      };
      if (each.low) {
        const edge = { stroke: "transparent", width: 0 };
        bands.push({ series: [add(each.high, edge), add(each.low, edge)], fill: `${stroke}2e` });
      }
      if (each.raw) add(each.raw, { stroke: `${stroke}4d`, width: 1 });
      const alone = (at) => each.ys[at] !== null && (each.ys[at - 1] ?? null) === null && (each.ys[at + 1] ?? null) === null;
      const dots = new Set(each.xs.filter((_, at) => single === 1 || alone(at)));
      const points = { show: dots.size > 0, size: 5, fill: stroke, filter: (plot, series) => plot.data[0].flatMap((x, at) => (dots.has(x) && plot.data[series][at] != null ? [at] : [])) };
      each.at = add(each.ys, { stroke, width: 1.6, dash: each.line.dash, label: each.line.name, points });
    });
    const data = tables.length ? uPlot.join(tables, tables.map(() => [1, 1])) : [[], []];
    const ink = colourOf("--muted");
    const axis = { stroke: ink, grid: { stroke: colourOf("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const numbers = (_, values) => values.map((value) => (value === null ? "" : digits(value, 4)));
    const isTime = view.x === "time" && !this.series.some((each) => each.line.group);
    const xAxis = { ...axis, size: 26, ...(isTime ? {} : { values: view.x === "step" ? numbers : (_, values) => values.map((value) => (value === null ? "" : span(value))) }) };
    this.plot = new uPlot({
      width: this.box.clientWidth || 320,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.15 },
      cursor: {
        sync: { key: "gitlumo", setSeries: false },
        drag: { x: true, y: false, setScale: false },
        focus: { prox: -1 },
        points: { show: false },
        bind: { dblclick: () => () => this.charts.zoom([]) },
      },
      scales: { x: { time: isTime, distr: view.log.includes("x") ? 3 : 1, ...(view.zoom.length ? { range: () => this.range() } : {}) }, y: { distr: view.log.includes("y") ? 3 : 1 } },
      axes: [xAxis, { ...axis, size: 58, values: numbers }],
      series: options,
      bands,
      hooks: {
        draw: [(plot) => this.marks(plot)],
        setCursor: [(plot) => this.point(plot)],
        setSelect: [(plot) => this.select(plot)],
      },
    }, data, this.box);
    this.plot.over.setAttribute("aria-hidden", "true");
    this.figure.setAttribute("aria-label", this.summary());
    this.size = new ResizeObserver(() => this.box.clientWidth && this.plot?.setSize({ width: this.box.clientWidth, height: HEIGHT }));
    this.size.observe(this.box);
    if (view.zoom.length) this.zoom();
  }

  end() {
    this.size?.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  range() {
    const [low, high] = view.zoom;
    return view.log.includes("x") ? [Math.max(low, Number.MIN_VALUE), high] : [low, high];
  }

  zoom() {
    if (!this.plot) return;
    const xs = this.plot.data[0];
    if (!xs.length) return;
    const [min, max] = view.zoom.length ? this.range() : [xs[0], xs[xs.length - 1]];
    this.plot.setScale("x", { min, max });
  }

  select(plot) {
    if (plot.select.width < 4) return;
    const [from, to] = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.charts.zoom([from, to].map((value) => Number(value.toPrecision(8))));
  }

  /** What is not finite: infinities at their edge, NaN as a cross below. */
  marks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    for (const each of this.series) {
      ctx.fillStyle = colourOf(`--run-${each.line.colour}`);
      for (const [x, y] of each.marks.slice(0, 500)) {
        const left = plot.valToPos(x, "x", true);
        if (!(left >= bbox.left && left <= bbox.left + bbox.width)) continue;
        const up = y === Infinity;
        ctx.fillText(up ? "▲" : y === -Infinity ? "▼" : "×", left, up ? bbox.top + 10 * devicePixelRatio : bbox.top + bbox.height - 2 * devicePixelRatio);
      }
    }
    ctx.restore();
  }

  /** The nearest point to the cursor: what it is. */
  point(plot) {
    const { left, top } = plot.cursor;
    this.tip.hidden = true;
    if (left === undefined || left < 0 || top < 0 || !plot.over.matches(":hover")) return;
    const [from, to] = [left - REACH, left + REACH].map((at) => plot.posToVal(at, "x"));
    let best = null;
    for (const each of this.series) {
      for (let at = Math.max(0, placeOf(each.xs, from) - 1); at < each.xs.length && (at === 0 || each.xs[at - 1] <= to); at++) {
        if (each.ys[at] === null) continue;
        const far = Math.hypot(plot.valToPos(each.xs[at], "x") - left, plot.valToPos(each.ys[at], "y") - top);
        if (best === null || far < best.far) best = { far, each, at };
      }
    }
    if (best === null || best.far > FARTHEST) return;
    const { each, at } = best;
    const where = view.x === "time" && !each.line.group ? moment(each.xs[at]) : view.x === "step" ? `step ${digits(each.xs[at], 6)}` : span(each.xs[at]);
    const spread = each.low && each.counts[at] > 1 ? ` ± ${digits((each.high[at] ?? each.ys[at]) - each.ys[at], 2)} of ${each.counts[at]}` : "";
    this.tip.replaceChildren(swatch(each.line.colour), `${each.line.name}`, make("br"), `${where}: ${digits(each.ys[at], 5)}${spread}`);
    this.tip.hidden = false;
    const room = this.figure.clientWidth - this.tip.offsetWidth - 8;
    this.tip.style.left = `${Math.max(4, Math.min(room, plot.over.offsetLeft + left + 12))}px`;
    this.tip.style.top = `${this.box.offsetTop + Math.max(0, top - this.tip.offsetHeight - 8)}px`;
  }

  focus(line) {
    if (!this.plot) return;
    const at = this.series.find((each) => each.line === line)?.at ?? null;
    this.plot.setSeries(line === null ? null : at, { focus: true }, false);
  }

  summary() {
    const last = (each) => each.ys.findLast((y) => y !== null) ?? null;
    const said = this.series.slice(0, 6).map((each) => `${each.line.name} ends at ${last(each) === null ? "no finite value" : digits(last(each), 4)}`);
    return `${this.metric}, ${this.series.length} curves: ${said.join("; ")}`;
  }
}

/** The first place in ascending numbers that is not below a value. */
const placeOf = (xs, x) => {
  let [low, high] = [0, xs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** What changes how curves are drawn. */
const tools = (runs, changed) => {
  const set = (changes) => {
    setView(changes);
    changed();
  };
  let waiting = 0;
  const later = (changes) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => set(changes), 120);
  };
  const field = (text, element, extra) => make("label", {}, make("span", {}, text), element, extra);
  const pattern = make("input", { type: "search", id: "metrics", value: view.metrics, placeholder: "all; loss, val/*", spellcheck: false, autocomplete: "off", oninput: () => later({ metrics: pattern.value }) });
  const x = make("select", { id: "x", onchange: () => set({ x: x.value, zoom: [] }) }, ...Object.keys(X_NAMES).map((name) => make("option", { value: name, selected: view.x === name }, name)));
  const told = make("output", {}, String(view.smooth));
  const smooth = make("input", { type: "range", id: "smooth", min: 0, max: 0.99, step: 0.01, value: view.smooth, oninput: () => {
    told.textContent = smooth.value;
    later({ smooth: Number(smooth.value) });
  } });
  const log = (axis) => {
    const box = make("input", { type: "checkbox", id: `log-${axis}`, checked: view.log.includes(axis), onchange: () => set({ log: view.log.replace(axis, "") + (box.checked ? axis : ""), zoom: axis === "x" ? [] : view.zoom }) });
    return make("label.check", {}, box, make("span", {}, `log ${axis}`));
  };
  const params = runs.names.slice(0, runs.differing).filter((name) => name.startsWith(PARAMS));
  const boxes = params.map((name) => {
    const box = make("input", { type: "checkbox", checked: view.group.includes(name), value: name, onchange: () => set({ group: box.checked ? [...view.group, name] : view.group.filter((each) => each !== name) }) });
    return make("label.check", {}, box, make("span", {}, headOf(name)));
  });
  const group = make("details.menu", { id: "group" }, make("summary", {}, view.group.length ? `Group: ${view.group.map(headOf).join(", ")}` : "Group"), make("div", {}, ...(boxes.length ? boxes : [make("p.muted", {}, "The runs do not differ in any parameter.")])));
  const [from, to] = [0, 1].map((at) => make("input", { type: "number", step: "any", "aria-label": at ? "x to" : "x from", onchange: () => {
    const range = [from.value, to.value].map(Number);
    if (from.value !== "" && to.value !== "" && range[0] < range[1]) tools.charts.zoom(range);
  } }));
  const reset = make("button", { type: "button", id: "zoom-reset", onclick: () => tools.charts.zoom([]) }, "Reset zoom");
  const zoom = make("span.zoom", {}, field("x", from), "–", to, reset);
  tools.charts.onzoom = () => {
    [from.value, to.value] = view.zoom.length ? view.zoom.map((value) => digits(value, 6)) : ["", ""];
    reset.disabled = !view.zoom.length;
    [from, to].forEach((input) => (input.hidden = view.x === "time"));
  };
  tools.charts.onzoom();
  return [field("Metrics", pattern), field("x", x), field("Smoothing", smooth, told), log("x"), log("y"), group, zoom];
};
