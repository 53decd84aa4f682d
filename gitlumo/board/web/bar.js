// The board's head: what there is to look at, how it stands, the address, the keys.
const KEYS = {
  "/": "the filter", j: "the next run", k: "the one before", x: "tick it", Enter: "open it", c: "compare what is ticked",
  Escape: "back", "1 … 9": "what there is to look at", "?": "these keys",
};
const TYPED = "textarea, select, input:not([type=checkbox], [type=radio], [type=range])";

export function render({ model, el }) {
  const bar = document.createElement("div");
  bar.className = "bar";
  const name = node("span", "name"), nav = node("nav"), space = node("span", "space");
  const live = node("span", "quiet live"), sync = node("span", "quiet"), trouble = node("span", "trouble");
  const shade = node("button", "plain");
  shade.title = "light or dark";
  shade.setAttribute("aria-label", "light or dark");
  shade.textContent = "◐";
  shade.onclick = () => {
    model.dark = !model.dark;
    localStorage.setItem("gitlumo-dark", model.dark ? "1" : "0");
    document.documentElement.classList.toggle("dark", model.dark);
  };
  nav.setAttribute("role", "tablist");
  bar.append(name, nav, space, live, sync, ...(model.served ? [shade] : []), trouble);

  let at = model.tab;  // what is looked at, as soon as somebody wants it
  const want = (id) => { at = id; draw(); model.wanted = { tab: id, n: Date.now() + Math.random() }; };

  function draw() {
    name.textContent = model.title;
    nav.replaceChildren(...model.tabs.map(([id, label]) => {
      const tab = node("button");
      tab.textContent = label;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-selected", String(id === at));
      tab.onclick = () => want(id);
      return tab;
    }));
    live.hidden = !model.running;
    live.textContent = `${model.running} running`;
    sync.textContent = model.sync;
    trouble.textContent = model.trouble;
    trouble.hidden = !model.trouble;
  }
  for (const each of ["title", "tabs", "running", "sync", "trouble"]) model.on(each, draw);
  model.on("tab", () => { at = model.tab; draw(); });
  draw();

  const help = node("dialog"), keys = node("dl");
  for (const [name, does] of Object.entries(KEYS)) {
    const key = node("dt"), what = node("dd");
    key.textContent = name;
    what.textContent = does;
    keys.append(key, what);
  }
  help.append(keys);
  help.onclick = () => help.close();
  bar.append(help);

  if (model.served) {
    model.on("place", () => {
      const { query, fresh } = model.place;
      if (query === location.search.slice(1)) return;  // the browser's history has led here
      history[fresh ? "pushState" : "replaceState"](null, "", query ? `?${query}` : location.pathname);
    });
    const went = () => { model.went = { query: location.search.slice(1), n: Date.now() }; };
    addEventListener("popstate", went);
    const key = (event) => {
      const at = event.composedPath()[0];
      const types = at instanceof HTMLElement && (at.isContentEditable || at.matches(TYPED));
      if (help.open) { help.close(); return; }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (types && event.key !== "Escape") return;
      if (event.key === "Enter" && at instanceof HTMLElement && /^(BUTTON|A|SUMMARY)$/.test(at.tagName)) return;
      const number = Number(event.key);
      if (number >= 1 && number <= model.tabs.length) { want(model.tabs[number - 1][0]); return; }
      if (!(event.key in KEYS)) return;
      if (types) { at.blur(); return; }
      if (event.key === "/") { dispatchEvent(new CustomEvent("gitlumo-filter")); event.preventDefault(); }
      else if (event.key === "?") help.showModal();
      else if (event.key === "Escape" || event.key === "c") model.key = { what: event.key, n: Date.now() };
      else row(event.key);
    };
    document.addEventListener("keydown", key);
    model.on("remove", () => { removeEventListener("popstate", went); document.removeEventListener("keydown", key); });
  }
  el.append(bar);
}

// The run at hand, for the keys: a row of the table, which is in a shadow root of its own.
let place = -1;
function row(key) {
  const rows = inside(document, ".tabulator-row").filter((each) => each.getClientRects().length);
  if (!rows.length) return;
  const at = rows.findIndex((each) => each.classList.contains("cursor"));
  if (key === "j" || key === "k") {
    place = at < 0 ? (place < 0 ? 0 : Math.min(place, rows.length - 1)) : Math.min(Math.max(at + (key === "j" ? 1 : -1), 0), rows.length - 1);
    rows[at]?.classList.remove("cursor");
    rows[place].classList.add("cursor");
    rows[place].scrollIntoView({ block: "nearest" });
  } else if (at >= 0) rows[at].querySelector(key === "x" ? "input[type=checkbox]" : "[tabulator-field=c0]")?.click();
}

function inside(node, selector) {
  for (const each of node.querySelectorAll("*")) {
    if (!each.shadowRoot) continue;
    const found = each.shadowRoot.querySelectorAll(selector);
    const deep = found.length ? [...found] : inside(each.shadowRoot, selector);
    if (deep.length) return deep;
  }
  return [];
}

function node(tag, name) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}
