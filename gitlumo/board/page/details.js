
// details.js: all that is known of one run, in a sheet.

const FIRST_PACKAGES = ["python", "torch", "jax", "tensorflow", "numpy", "scikit-learn", "transformers", "pandas"];

/** A word as a shell takes it. */
const quoted = (word) => (/^[A-Za-z0-9@%+=:,./_-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** A command, with a button that copies it. */
const command = (text, why = "") => {
  const code = make("code", {}, text);
  const button = make("button", { type: "button", "aria-label": `copy ${text}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // where the browser does not let a page write there
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  } }, "Copy");
  return make("p.command", {}, code, button, why ? make("span.muted", {}, why) : null);
};

/** A curve as a small picture. */
const sparkline = (values, colour) => {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const svg = element("svg", { viewBox: "0 0 120 20", width: 120, height: 20, class: "spark", "aria-hidden": "true" });
  const y = (value) => 18 - (high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0.5) * 16;
  let part = [];
  const end = () => {
    if (part.length) svg.append(element("polyline", { points: part.join(" "), fill: "none", stroke: `var(--run-${colour})`, "stroke-width": 1.5 }));
    part = [];
  };
  values.forEach((value, i) => (Number.isFinite(value) ? part.push(`${((i * 120) / Math.max(1, values.length - 1)).toFixed(1)},${y(value).toFixed(1)}`) : end()));
  end();
  return svg;
};

class Details {
  constructor(runs, sheet, closed) {
    Object.assign(this, { runs, sheet });
    sheet.addEventListener("close", () => closed());
    sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
  }

  async show(run) {
    const close = make("button.quiet.close", { type: "button", "aria-label": "Close", onclick: () => this.sheet.close() }, "✕");
    const title = make("h2", { id: "details-head" }, swatch(run.colour), run.label);
    const body = make("div.sheet", {}, make("p.empty", {}, "Unpacking the run …"));
    this.sheet.replaceChildren(make("div.bar", {}, title, make("div.spring"), close), body);
    if (!this.sheet.open) this.sheet.showModal();
    try {
      const page = await this.runs.page(run.i);
      body.replaceChildren(...(page === null ? [make("p.empty", {}, `This run is damaged: ${run.trouble}`)] : await this.parts(run, page)));
    } catch (error) {
      body.replaceChildren(make("p.empty", { role: "alert" }, error.message));
    }
    this.sheet.scrollTop = 0;
  }

  async parts(run, page) {
    const map = (key) => new Map(Object.entries(page.get(key) && typeof page.get(key) === "object" ? page.get(key) : {}));
    const [progress, git, execute, machine, lock, rerun] = ["progress", "git", "execute", "machine", "lock", "rerun"].map(map);
    const commands = map("commands");
    const value = (name) => this.runs.value(name, run.i);
    const took = value("took");
    const resumed = progress.get("resumed");
    const head = [
      ["state", `${page.get("state")}${progress.get("end_code") ? `, with status ${progress.get("end_code")}` : ""}${page.get("deprecated") ? ", deprecated" : ""}`],
      ["start", typeof value("start") === "number" ? `${moment(value("start"))}${typeof took === "number" ? `, took ${span(took)}` : ""}` : ""],
      ["progress", page.get("state") === "running" && isNumber(progress.get("ratio")) ? `${Math.round(100 * progress.get("ratio"))} % when this page was made` : ""],
      ["resumed", Array.isArray(resumed) ? resumed.map((again) => exactly(again?.time)).join(", ") : ""],
      ["tags", (page.get("tags") ?? []).map(exactly).join(", ")],
      ["uid", page.get("uid")],
      ["code", git.get("commit") ? `${git.get("commit")}${git.get("branch") ? ` on ${exactly(git.get("branch"))}` : ""}${git.get("head") && git.get("head") !== git.get("commit") ? `, changes on ${String(git.get("head")).slice(0, 12)}` : ""}` : ""],
      ["command", value("command")],
      ["in", execute.get("cwd") ? `${exactly(execute.get("cwd"))} of ${exactly(execute.get("repo") ?? "a bare repository")}` : ""],
      ["host", value("host")],
      ["machine", hardware(machine)],
      ["", [...["os", "kernel", "arch"].map((key) => exactly(machine.get(key))), `${exactly(machine.get("implementation"))} ${exactly(machine.get("python"))}`.trim()].filter(Boolean).join(", ")],
      ["seed", isNumber(page.get("seed")) ? `${page.get("seed")}` : ""],
    ].filter(([, text]) => text);
    const note = String(page.get("note") ?? "");
    const exception = map("exception");
    const hooks = [...map("hooks")].filter(([, hook]) => hook?.msg).map(([name, hook]) => [name, exactly(hook.msg)]);
    const skipped = (Array.isArray(page.get("skipped")) ? page.get("skipped") : []).map((item) => [exactly(item?.path), exactly(item?.reason)]);
    return [
      this.part("", pairs(head)),
      this.part("note", note ? make("p.note", {}, note) : null),
      this.part("params", pairs([...map("flat")].map(([key, held]) => [key, exactly(held) || (held === null ? "null" : '""')]))),
      this.part("metrics", await this.metrics(run, map("metrics"))),
      this.part("images", await this.images(page.get("images") ?? [])),
      this.part("exception", exception.size ? make("pre", {}, exactly(exception.get("traceback")) || `${exactly(exception.get("type"))}: ${exactly(exception.get("message"))}`) : null),
      this.part("lineage", this.lineage(run, rerun)),
      this.part("backups", this.backups(page.get("backups") ?? [])),
      this.part("to type", make("div", {}, ...[...commands].map(([, text]) => command(text)))),
      this.part("hooks", pairs(hooks)),
      this.part("left out", pairs(skipped)),
      this.folded(`${lock.size} packages${FIRST_PACKAGES.some((name) => lock.has(name)) ? `: ${FIRST_PACKAGES.filter((name) => lock.has(name)).map((name) => `${name} ${exactly(lock.get(name))}`).join(", ")}` : ""}`, lock.size ? pairs([...lock].map(([key, held]) => [key, exactly(held)])) : null),
      this.folded(`${(page.get("files") ?? []).length} files`, (page.get("files") ?? []).length ? make("ul.files", {}, ...page.get("files").map((path) => make("li", {}, path))) : null),
    ].filter((part) => part !== null);
  }

  part(heading, content) {
    return content ? make("section", {}, ...(heading ? [make("h3", {}, heading)] : []), content) : null;
  }

  folded(summary, content) {
    return content ? make("details.fold", {}, make("summary", {}, summary), content) : null;
  }

  async metrics(run, metrics) {
    if (!metrics.size) return make("p.muted", {}, "none was logged");
    const curves = await this.runs.curves(run.i);
    const number = (value) => make("td.number", { title: exactly(value) }, isNumber(value) ? briefly(value) : "");
    const rows = [...metrics].map(([key, metric]) => make("tr", {}, make("th", { scope: "row", title: key }, key), make("td", {}, curves.has(key) ? sparkline(curves.get(key).values, run.colour) : null), number(metric.last), number(metric.cmp ? metric.best : null), number(metric.cmp ? metric.best_step : null), number(metric.min), number(metric.max), number(metric.count)));
    const companions = [...metrics].flatMap(([key, metric]) => Object.entries(metric.with ?? {}).map(([name, held]) => [`best ${key} with ${name}`, exactly(held)]));
    const heads = ["", "", "last", "best", "at step", "min", "max", "values"].map((text) => (text ? make("th", { scope: "col" }, text) : make("td")));
    const table = make("table.facts", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
    return make("div", {}, make("div.scroll.wide", { tabIndex: 0, role: "region", "aria-label": "Metrics" }, table), pairs(companions));
  }

  async images(images) {
    if (!images.length) return null;
    const held = new Map(Object.entries(await this.runs.images("")));
    const without = images.filter((image) => !held.has(image.data)).length;
    const shown = images.filter((image) => held.has(image.data)).map((image) => {
      const name = `${image.key}, step ${image.step}`;
      return make("figure", {}, make("img", { src: held.get(image.data), alt: name, loading: "lazy" }), make("figcaption", {}, name));
    });
    return make("div", {}, make("div.images", {}, ...shown), without ? make("p.muted", {}, `${without} more ${without === 1 ? "image is" : "images are"} not in this page: there was no room.`) : null);
  }

  lineage(run, rerun) {
    const named = (uid) => this.runs.all.find((each) => each.uid === uid)?.label ?? uid;
    const again = Array.isArray(rerun.get("rerun_at")) ? rerun.get("rerun_at") : [];
    const below = this.runs.all.filter((each) => this.runs.value("rerun.from", each.i) === run.uid).map((each) => each.uid);
    const verified = Object.entries(rerun.get("verified") ?? {}).map(([uid, verdict]) => ["verified", `with ${named(uid)}: ${verdict?.same === true ? "the same" : "not the same"}`]);
    const rows = [...(typeof rerun.get("from") === "string" ? [["rerun of", named(rerun.get("from"))]] : []), ...[...new Set([...below, ...again.map(exactly)])].map((uid) => ["rerun as", named(uid)]), ...verified];
    return rows.length ? pairs(rows) : null;
  }

  backups(backups) {
    const rows = backups.map(({ at, text, url }) => {
      const link = url && /^https:\/\//.test(url) ? make("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, url) : text;
      return make("p", {}, make("span.muted", {}, `${at}  `), link);
    });
    return rows.length ? make("div", {}, ...rows) : null;
  }
}

/** What a run ran on, as git lumo show has it. */
const hardware = (machine) => {
  const [cpus, usable, memory] = ["cpus", "usable_cpus", "memory"].map((key) => machine.get(key));
  const gpus = new Map();
  for (const name of Array.isArray(machine.get("gpus")) ? machine.get("gpus") : []) gpus.set(exactly(name), (gpus.get(exactly(name)) ?? 0) + 1);
  return [
    exactly(machine.get("cpu")),
    isNumber(cpus) ? `${isNumber(usable) && usable !== cpus ? `${usable} of ` : ""}${plural(cpus, "CPU")}` : "",
    isNumber(memory) ? `${Math.round(Number(memory) / 2 ** 30)} GiB` : "",
    ...[...gpus].map(([name, count]) => (count > 1 ? `${count} × ${name}` : name)),
    machine.get("gpu_driver") ? `driver ${exactly(machine.get("gpu_driver"))}` : "",
  ].filter(Boolean).join(", ");
};

const pairs = (rows) => (rows.length ? make("dl.pairs", {}, ...rows.flatMap(([key, text]) => [make("dt", {}, key), make("dd", {}, String(text))])) : null);
