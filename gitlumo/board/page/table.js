
// table.js: the runs as rows; only those that are seen are in the document.

const ROW = 27; // pixels of a row, as in style.css
const MARGIN = 12; // rows above and below those that are seen
const COLUMNS_AT_FIRST = 10; // of metrics, and of parameters
const WIDEST = 30; // letters
const LETTER = 7.6; // pixels
const STATES = { finished: "●", failed: "✕", killed: "◌", running: "◐" };

const headOf = (name) => (name.startsWith(PARAMS) ? name.slice(PARAMS.length) : name.startsWith(METRICS) ? name.slice(METRICS.length) : name);

/** The columns that are shown where the reader has not chosen: those that help to tell the runs apart. */
const columnsAtFirst = (runs) => {
  if (head.shown.length) return head.shown.filter((name) => name !== "name");
  const fixed = ["state", "start", "took"].filter((name) => runs.columns.has(name));
  const metrics = runs.names.filter((name) => name.startsWith(METRICS) && baseOf(name) === null);
  const params = runs.names.slice(0, runs.differing).filter((name) => name.startsWith(PARAMS));
  const last = ["tag", "note"].filter((name) => runs.columns.has(name));
  return [...fixed, ...metrics.slice(0, COLUMNS_AT_FIRST), ...params.slice(0, COLUMNS_AT_FIRST), ...last];
};

const swatch = (colour) => {
  const mark = make("span.swatch", { "aria-hidden": "true" });
  mark.style.background = `var(--run-${colour})`;
  return mark;
};

class Table {
  constructor(runs, place, changed, open) {
    Object.assign(this, { runs, place, changed, open, order: [], current: 0 });
    place.addEventListener("scroll", () => requestAnimationFrame(() => this.fill()));
    place.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.fill()).observe(place);
  }

  columns() {
    const chosen = view.columns.filter((name) => this.runs.columns.has(name));
    return chosen.length ? chosen : columnsAtFirst(this.runs);
  }

  /** Show these runs, in the order that the view asks for. */
  show(found) {
    this.order = found;
    const name = view.sort.replace(/^-/, "");
    if (name) {
      const value = name === "name" ? (i) => this.runs.all[i].label : (i) => this.runs.value(name, i);
      const ranked = found.map((i) => [rank(value(i)), i]);
      const sign = view.sort.startsWith("-") ? -1 : 1;
      const there = ranked.filter(([by]) => by !== null).sort((a, b) => sign * compareRanks(a[0], b[0]));
      this.order = [...there, ...ranked.filter(([by]) => by === null)].map(([, i]) => i);
    }
    this.current = Math.min(this.current, Math.max(0, this.order.length - 1));
    this.build();
  }

  build() {
    const names = this.columns();
    const widths = names.map((name) => this.width(name));
    const cols = make("colgroup", {}, make("col.pick"), make("col.run"), ...widths.map((width) => {
      const col = make("col");
      col.style.width = `${width}px`;
      return col;
    }));
    const labels = this.order.slice(0, 300).map((i) => this.runs.all[i].label.length);
    const first = Math.min(innerWidth < 560 ? 190 : 340, 48 + LETTER * Math.max(6, ...labels));
    cols.children[1].style.width = `${first}px`;
    const heads = [make("th.pick", { scope: "col" }, make("span.hidden", {}, "Selected")), this.head("name", "run"), ...names.map((name) => this.head(name, headOf(name)))];
    this.body = make("tbody");
    this.table = make("table.runs", { "aria-rowcount": String(this.order.length + 1) }, cols, make("thead", {}, make("tr", { "aria-rowindex": "1" }, ...heads)), this.body);
    this.table.style.width = `${34 + first + widths.reduce((sum, width) => sum + width, 0)}px`;
    this.names = names;
    this.seen = "";
    const empty = head.runs === 0 ? "No runs: when this file was made there were none, or none was like that." : "No run is like that.";
    this.place.replaceChildren(this.table, ...(this.order.length ? [] : [make("p.empty", {}, empty)]));
    this.fill();
  }

  width(name) {
    const texts = this.order.slice(0, 300).map((i) => cell(name, this.runs.value(name, i))[0].length);
    const mark = name === "state" ? 3 : 0;
    return 24 + LETTER * Math.min(WIDEST, mark + Math.max(headOf(name).length + 2, ...texts));
  }

  head(name, text) {
    const sorted = view.sort.replace(/^-/, "") === name;
    const down = view.sort.startsWith("-");
    const order = !sorted ? "none" : down ? "descending" : "ascending";
    const kind = name.startsWith(METRICS) ? "metric" : name.startsWith(PARAMS) ? "param" : "field";
    const button = make("button.quiet", {
      type: "button",
      title: `${name}\nSort by it`,
      onclick: () => {
        setView({ sort: !sorted ? (kind === "metric" || TIMES.includes(name) ? `-${name}` : name) : down ? name : `-${name}` });
        this.changed("sort");
        this.place.querySelector(`thead th[data-name="${CSS.escape(name)}"] button`)?.focus();
      },
    }, text, make("span.arrow", { "aria-hidden": "true" }, sorted ? (down ? " ↓" : " ↑") : ""));
    return make(`th.${kind}${this.isNumber(name) ? ".number" : ""}`, { scope: "col", "aria-sort": order, "data-name": name }, button);
  }

  isNumber(name) {
    return (name.startsWith(METRICS) || name.startsWith(PARAMS) || name === "took" || name === "ratio") && (this.runs.columns.get(name) ?? []).some(isNumber);
  }

  /** Put the rows that are seen into the document. */
  fill() {
    if (!this.body) return;
    const first = Math.max(0, Math.floor(this.place.scrollTop / ROW) - MARGIN);
    const last = Math.min(this.order.length, first + Math.ceil(this.place.clientHeight / ROW) + 2 * MARGIN);
    const seen = `${first} ${last}`;
    if (seen === this.seen) return;
    this.seen = seen;
    const focused = document.activeElement?.closest?.("tr[data-run]")?.dataset.run;
    const box = document.activeElement?.type === "checkbox";
    const space = (rows) => {
      const row = make("tr.space", { "aria-hidden": "true" });
      row.style.height = `${rows * ROW}px`;
      return row;
    };
    this.body.replaceChildren(space(first), ...this.order.slice(first, last).map((i, at) => this.row(i, first + at)), space(this.order.length - last));
    if (focused) this.body.querySelector(`tr[data-run="${focused}"] ${box ? "input" : "button"}`)?.focus({ preventScroll: true });
  }

  row(i, at) {
    const run = this.runs.all[i];
    const picked = view.runs.includes(idOf(run));
    const box = make("input", { type: "checkbox", checked: picked, "aria-label": `select ${run.label}`, onchange: () => this.pick(i, box.checked) });
    const name = make("button.quiet.run", { type: "button", title: run.label, onclick: () => this.open(run) }, swatch(run.colour), make("span", {}, run.label));
    const cells = this.names.map((column) => this.cell(column, i));
    const row = make(`tr${picked ? ".picked" : ""}`, { "aria-rowindex": String(at + 2), "data-run": String(i) }, make("td.pick", {}, box), make("th.name", { scope: "row" }, name), ...cells);
    row.addEventListener("focusin", () => (this.current = at));
    return row;
  }

  cell(column, i) {
    const run = this.runs.all[i];
    const value = this.runs.value(column, i);
    if (column === "state") {
      const state = run.trouble ? "damaged" : String(value);
      return make("td.state", { title: run.trouble ?? "" }, make(`span.state-${Object.hasOwn(STATES, state) ? state : "other"}`, { "aria-hidden": "true" }, STATES[state] ?? "!"), ` ${state}`);
    }
    const [text, whole] = cell(column, value);
    return make(isNumber(value) && !TIMES.includes(column) ? "td.number" : "td", { title: whole === text ? "" : whole }, text);
  }

  pick(i, on) {
    const id = idOf(this.runs.all[i]);
    setView({ runs: on ? [...view.runs, id] : view.runs.filter((each) => each !== id) });
    this.body.querySelector(`tr[data-run="${i}"]`)?.classList.toggle("picked", on);
    this.changed("runs");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.order.length) return;
    const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
    const run = this.order[this.current];
    if (by !== undefined) {
      const focused = this.body.contains(document.activeElement);
      this.go(focused || Math.abs(by) > 10 ? Math.min(this.order.length - 1, Math.max(0, this.current + by)) : this.current);
    } else if (event.key === "x" || (event.key === " " && event.target.type !== "checkbox" && event.target.tagName !== "BUTTON")) {
      const id = idOf(this.runs.all[run]);
      this.pick(run, !view.runs.includes(id));
      const box = this.body.querySelector(`tr[data-run="${run}"] input`);
      if (box) box.checked = view.runs.includes(id);
    } else return;
    event.preventDefault();
  }

  /** Bring a row into sight, and the keyboard to it. */
  go(at) {
    this.current = at;
    const top = at * ROW;
    const inside = this.place.clientHeight - 3 * ROW;
    if (top < this.place.scrollTop) this.place.scrollTop = top;
    else if (top > this.place.scrollTop + inside) this.place.scrollTop = top - inside;
    this.fill();
    this.body.querySelector(`tr[data-run="${this.order[at]}"] button`)?.focus({ preventScroll: true });
  }
}

/** What stands for a run in the address. */
const idOf = (run) => run.uid.slice(0, UID_DIGITS);
