
// view.js: what is looked at, and how; it stands in the address, so that it can be bookmarked and sent.

const UID_DIGITS = 12;
const DEFAULTS = { filter: "", sort: "", columns: [], runs: [], tab: "curves", run: "", metrics: "", x: "step", log: "", smooth: 0, group: [], zoom: [] };

const view = { ...DEFAULTS };

const readView = () => {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const [key, otherwise] of Object.entries(DEFAULTS)) {
    const text = asked.get(key);
    if (text === null) view[key] = otherwise;
    else if (Array.isArray(otherwise)) view[key] = asked.getAll(key);
    else view[key] = typeof otherwise === "number" ? Math.min(0.99, Math.max(0, Number(text) || 0)) : text;
  }
  view.zoom = view.zoom.map(Number).every(Number.isFinite) && view.zoom.length === 2 ? view.zoom.map(Number) : [];
  if (!["step", "time", "relative"].includes(view.x)) view.x = "step";
  if (!["curves", "compare"].includes(view.tab)) view.tab = "curves";
};

/** Change the view, and its address with it; `step` makes it a place to go back to. */
const setView = (changes, step = false) => {
  Object.assign(view, changes);
  const told = new URLSearchParams();
  for (const [key, otherwise] of Object.entries(DEFAULTS)) {
    if (Array.isArray(otherwise)) view[key].forEach((item) => told.append(key, item));
    else if (view[key] !== otherwise) told.set(key, view[key]);
  }
  const address = `#${told}`;
  if (address === location.hash || (address === "#" && !location.hash)) return;
  history[step ? "pushState" : "replaceState"](null, "", address);
};
