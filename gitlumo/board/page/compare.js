
// compare.js: in what 2 to 6 runs differ (gitlumo/comparison.py). What is equal in all of them is left out.

const MOST_COMPARED = 6;
const MOST_FILES = 60;
const SECTIONS = ["params", "metrics", "lock", "environment", "command", "code"];

/** The differences of some runs' pages: section, key, and each run's value; undefined where it has none. */
const differences = (pages) => {
  const found = [];
  for (const section of SECTIONS) {
    const own = pages.map((page) => new Map(Object.entries(page.get(`compared.${section}`) ?? {})));
    for (const key of new Set(own.flatMap((each) => [...each.keys()]))) {
      const values = own.map((each) => (each.has(key) ? each.get(key) : undefined));
      const compared = section === "code" ? values.map((value, i) => (value === undefined ? undefined : (pages[i].get("tree") ?? value))) : values;
      if (!values.includes(undefined) && compared.every((value) => same(value, compared[0]))) continue;
      found.push({ section, key, values, better: section === "metrics" ? direction(pages, key) : null });
    }
  }
  return found;
};

/** In which files the code of some runs differs, and which version each has. */
const filesApart = ({ trees, files }, pages) => {
  const places = pages.map((page) => trees.indexOf(page.get("tree")));
  if (places.includes(-1)) return [];
  return Object.entries(files).map(([path, versions]) => [path, places.map((place) => versions[place])]).filter(([, own]) => own.some((version) => version !== own[0]));
};

/** Which value of a metric is the better one, if the runs agree on that. */
const direction = (pages, key) => {
  const metrics = pages.map((page) => page.get("metrics") ?? {});
  const said = new Set(metrics.filter((each) => Object.hasOwn(each, key)).map((each) => each[key].cmp ?? null));
  return said.size === 1 ? [...said][0] : null;
};

/** How much greater the second of two numbers is, relative to the first. */
const change = (values) => {
  if (values.length !== 2 || !values.every(isNumber) || Number(values[0]) === 0) return "";
  const share = (Number(values[1]) - Number(values[0])) / Math.abs(Number(values[0]));
  if (!Number.isFinite(share)) return "";
  return `${share < 0 ? "−" : "+"}${Math.abs(share) >= 10 ? digits(Math.abs(share), 3) : `${(Math.abs(share) * 100).toFixed(1)}%`}`;
};

/** The texts of some values: as short as they can be without looking the same. */
const apart = (section, values) => {
  const there = values.filter((value) => value !== undefined);
  const whole = (value) => (value === undefined ? "–" : value === null ? "null" : typeof value === "string" && there.some((each) => typeof each !== "string") ? JSON.stringify(value) : exactly(value));
  if (section === "code") return values.map((value) => (value === undefined ? "–" : String(value).slice(0, 12)));
  const short = values.map((value) => (value === undefined ? "–" : value === null ? "null" : typeof value === "number" ? briefly(value) : whole(value)));
  return new Set(short).size === new Set(values.map(whole)).size ? short : values.map(whole);
};

class Comparison {
  constructor(runs, place, open) {
    Object.assign(this, { runs, place, open, turn: 0 });
  }

  async show(chosen) {
    const turn = ++this.turn;
    if (chosen.length < 2 || chosen.length > MOST_COMPARED) {
      this.place.replaceChildren(make("p.empty", {}, `Select 2 to ${MOST_COMPARED} runs to compare them; ${chosen.length} ${chosen.length === 1 ? "is" : "are"} selected.`));
      return;
    }
    this.place.replaceChildren(make("p.empty", {}, "Unpacking the runs …"));
    const [code, ...pages] = await Promise.all([this.runs.code(""), ...chosen.map((run) => this.runs.page(run.i))]);
    if (turn !== this.turn) return;
    const damaged = chosen.filter((_, i) => pages[i] === null);
    if (damaged.length) {
      this.place.replaceChildren(make("p.empty", {}, `${damaged[0].label} is damaged, and cannot be compared: ${damaged[0].trouble}`));
      return;
    }
    const found = differences(pages);
    const heads = chosen.map((run) => make("th", { scope: "col" }, make("button.quiet.run", { type: "button", title: run.label, onclick: () => this.open(run) }, swatch(run.colour), make("span", {}, run.label))));
    const files = filesApart(code, pages);
    const parts = SECTIONS.flatMap((section) => {
      const own = found.filter((each) => each.section === section);
      return own.length ? [make("tbody", {}, make("tr.section", {}, make("th", { scope: "rowgroup", colSpan: chosen.length + 1 }, section)), ...own.map((each) => this.row(each)), ...(section === "code" ? this.files(files, code.all, chosen.length) : []))] : [];
    });
    const names = chosen.map((run) => quoted(run.label)).join(" ");
    const table = make("table.compare", {}, make("thead", {}, make("tr", {}, make("td"), ...heads)), ...parts);
    const changed = found.some((each) => each.section === "code");
    this.place.replaceChildren(
      make("div.scroll.wide", { tabIndex: 0, role: "region", "aria-label": "In what the selected runs differ" }, found.length ? table : make("p.empty", {}, "These runs differ in nothing that is compared: parameters, metrics, packages, environment, command, code.")),
      make("p.muted", {}, "What is equal in all of them is left out."),
      command(`git lumo diff ${names}${changed ? " --code" : ""}`, changed ? "how the code differs, as a patch; the code itself is not in this page" : "the same in a terminal"),
    );
  }

  /** The files of the code, with letters for their versions. */
  files(files, all, width) {
    const rows = files.slice(0, MOST_FILES).map(([path, versions]) => {
      const known = [...new Set(versions.filter((version) => version !== null))];
      return make("tr", {}, make("th.file", { scope: "row", title: path }, path), ...versions.map((version) => make("td", {}, version === null ? "–" : `version ${"ABCDEF"[known.indexOf(version)]}`)));
    });
    const more = files.length - rows.length;
    const rest = [more > 0 ? `and ${plural(more, "more file")}` : "", all ? "" : "perhaps others: more files differ than this page holds"].filter(Boolean).join(", ");
    return rest ? [...rows, make("tr", {}, make("td.muted", { colSpan: width + 1 }, rest))] : rows;
  }

  row({ section, key, values, better }) {
    const texts = apart(section, values);
    const numbers = values.filter((value) => isNumber(value) && !Number.isNaN(value)).map(Number);
    const best = better && numbers.length > 1 ? (better === "max" ? Math.max(...numbers) : Math.min(...numbers)) : null;
    const cells = values.map((value, i) => {
      const wins = best !== null && isNumber(value) && Number(value) === best;
      const by = section === "metrics" && i === 1 ? change(values) : "";
      return make(`td${isNumber(value) ? ".number" : ""}${wins ? ".best" : ""}`, { title: wins ? `best: the ${better === "max" ? "greatest" : "least"}` : "" }, texts[i], by ? make("span.muted", {}, ` ${by}`) : null, wins ? make("span.star", { "aria-label": "best" }, " ★") : null);
    });
    return make("tr", {}, make("th", { scope: "row", title: key }, key || section), ...cells);
  }
}
