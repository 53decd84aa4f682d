
// data.js: what is in the file. Blocks are compressed, and unpacked when they are needed.

const head = JSON.parse(byId("data-head").textContent);

const bytesOf = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  return Uint8Array.from({ length: raw.length }, (_, i) => raw.charCodeAt(i));
};

/** A block of the file; rejects where it is damaged, or the browser cannot unpack it. */
const unpack = async (name) => {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack the data: it takes Chrome 103, Firefox 113, Safari 16.4 or a later one");
  const stream = new Blob([bytesOf(byId(`data-${name}`).textContent)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  try {
    return JSON.parse(await new Response(stream).text());
  } catch {
    throw new Error(`the file is damaged: its part "${name}" cannot be unpacked`);
  }
};

const once = (make) => {
  const made = new Map();
  return (key) => {
    if (!made.has(key)) made.set(key, make(key));
    return made.get(key);
  };
};

/** The runs: their columns, and what is read of them later. */
class Runs {
  constructor(table) {
    this.names = table.names;
    this.differing = table.differing;
    this.metrics = table.metrics;
    this.columns = new Map(table.names.map((name) => [name, table.columns[name].map(decode)]));
    this.all = table.labels.map((label, i) => ({ i, label, uid: table.uids[i], colour: table.colours[i], trouble: table.troubles[i] }));
    this.known = new Columns(this.columns);
    this.texts = once((i) => this._words(i));
    this.pages = once(() => unpack("pages"));
    this.code = once(() => unpack("code"));
    this.images = once(() => unpack("images"));
    this._block = once((number) => unpack(`curves-${number}`));
    this._curves = once((i) => this._read(i));
  }

  value(name, i) {
    const held = this.columns.get(name)?.[i] ?? null;
    const base = baseOf(name);
    return held === null && base !== null ? (this.columns.get(base)?.[i] ?? null) : held;
  }

  /** A run by the beginning of its uid. */
  byUid(prefix) {
    return this.all.find((run) => run.uid.startsWith(prefix)) ?? null;
  }

  /** All properties of a run, decoded; null of one that is damaged. */
  async page(i) {
    const { runs, pool } = await this.pages();
    return runs[i] && new Map(Object.entries(runs[i]).map(([key, place]) => [key, decode(pool[place])]));
  }

  /** A run's curves by metric: count, steps, times, values. */
  curves(i) {
    return this._curves(i);
  }

  async _read(i) {
    const block = await this._block(Math.floor(i / head.block));
    const sum = (deltas, unit = 1) => {
      let at = 0;
      return deltas.map((delta) => (at += Number(decode(delta))) * unit);
    };
    return new Map(Object.entries(block[i % head.block]).map(([key, [count, steps, tick, ticks, values]]) => [key, { count, steps: sum(steps), times: sum(ticks, tick), values: values.map(Number) }]));
  }

  _words(i) {
    const params = this.names.filter((name) => name.startsWith(PARAMS) && this.value(name, i) !== null);
    const rest = ["uid", "state", "tag", "note", "host", "git.branch", "command"].map((name) => exactly(this.value(name, i)));
    return [this.all[i].label, ...rest, ...params.map((name) => `${name.slice(PARAMS.length)}=${exactly(this.value(name, i))}`)].join("\n").toLowerCase();
  }
}
