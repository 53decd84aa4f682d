// The board's head: what there is to look at, how it stands, the address, the keys.
const KEYS = { "/": "filter", "?": "help", Escape: "back", j: "down", k: "up", x: "tick", c: "compare", Enter: "open" };

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

  function draw() {
    name.textContent = model.title;
    nav.replaceChildren(...model.tabs.map(([id, label]) => {
      const tab = node("button");
      tab.textContent = label;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-selected", String(id === model.tab));
      tab.onclick = () => { model.tab = id; };
      return tab;
    }));
    live.hidden = !model.running;
    live.textContent = `${model.running} running`;
    sync.textContent = model.sync;
    trouble.textContent = model.trouble;
    trouble.hidden = !model.trouble;
  }
  for (const each of ["title", "tabs", "tab", "running", "sync", "trouble"]) model.on(each, draw);
  draw();

  if (model.served) {
    model.on("address", () => {
      const url = model.address ? `?${model.address}` : location.pathname;
      if (model.push) history.pushState(null, "", url);
      else history.replaceState(null, "", url);
    });
    const went = () => { model.went = { query: location.search.slice(1), n: Date.now() }; };
    addEventListener("popstate", went);
    const key = (event) => {
      const at = event.composedPath()[0];
      const types = at instanceof HTMLElement && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName));
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (types && event.key !== "Escape") return;
      if (event.key === "Enter" && at instanceof HTMLElement && /^(BUTTON|A|SUMMARY)$/.test(at.tagName)) return;
      const number = Number(event.key);
      if (number >= 1 && number <= model.tabs.length) { model.tab = model.tabs[number - 1][0]; return; }
      const what = KEYS[event.key];
      if (!what) return;
      if (types) { at.blur(); return; }
      if (what === "filter") dispatchEvent(new CustomEvent("gitlumo-filter"));
      else model.key = { what, n: Date.now() };
      if (event.key === "/") event.preventDefault();
    };
    document.addEventListener("keydown", key);
    model.on("remove", () => { removeEventListener("popstate", went); document.removeEventListener("keydown", key); });
  }
  el.append(bar);
}

function node(tag, name) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}
