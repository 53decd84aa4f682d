
// board.js: puts the page together.

const say = (place, error) => {
  place.replaceChildren(make("p.empty", { role: "alert" }, error.message));
  if (!(error instanceof FilterError)) document.documentElement.dataset.failed = error.message;
};

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

const about = () => {
  byId("title").textContent = head.repository;
  byId("about").textContent = `${plural(head.runs, "run")}${head.expression ? ` where ${head.expression}` : ""}, as of ${moment(head.made)}`;
  const thin = head.thinned ? `${plural(head.thinned, "curve")} of ${head.curves.toLocaleString("en")} thinned to at most ${plural(head.points, "point")}, peaks kept. ` : "";
  const left = head.images_left_out ? `${plural(head.images_left_out, "image")} left out: too large, or no room. ` : "";
  byId("foot").textContent = `${thin}${left}Values of curves are rounded to five digits or more, those of the table are exact. Made by gitlumo ${head.version}; nothing here asks a network.`;
};

const theme = () => {
  const root = document.documentElement;
  const button = byId("theme");
  const stored = (() => {
    try {
      return localStorage.getItem("gitlumo-theme");
    } catch {
      return null; // where a file may keep nothing
    }
  })();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const tell = () => {
    button.textContent = isDark() ? "Light" : "Dark";
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("gitlumo-theme", root.dataset.theme);
    } catch {
      // as above
    }
    tell();
    theme.changed?.();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    tell();
    theme.changed?.();
  });
  tell();
};

const KEYS = [
  ["/", "to the filter"],
  ["j k, arrows, Home, End", "from run to run, in the table"],
  ["x", "select the run, or not"],
  ["Enter", "all of the run"],
  ["c", "compare the selected runs, or their curves again"],
  ["Esc", "close, or clear the filter"],
  ["drag, double click", "zoom all pictures along x, and back"],
  ["?", "this help"],
];
const EXAMPLES = [
  ["lr < 0.1 and state = finished", "columns, values, and, or, not, ( )"],
  ["tag in (best, paper) or note ~ warm", "lists, regular expressions"],
  ["missing(params.lr)", "runs without a value"],
  ["start > 2 days ago and took > 1h", "times in this browser's zone"],
  ["mlp finished", "words alone: in names, states, tags, notes, parameters, commands"],
];

const help = () => {
  const sheet = byId("help");
  const list = (rows) => make("dl.pairs", {}, ...rows.flatMap(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)]));
  sheet.replaceChildren(
    make("div.bar", {}, make("h2", { id: "help-head" }, "Help"), make("div.spring"), make("button.quiet.close", { type: "button", "aria-label": "Close", onclick: () => sheet.close() }, "✕")),
    make("div.sheet", {}, make("h3", {}, "Keys"), list(KEYS), make("h3", {}, "Filter"), list(EXAMPLES), make("p.muted", {}, "It is the language of git lumo log, with the same meaning. What this page cannot answer as git lumo does, it refuses: revisions of commits, months and years ago, some regular expressions."), make("h3", {}, "Curves"), make("p", {}, "Where no run is selected the first ten of the table are drawn. A NaN is a gap and a ×, an infinity a ▲ or a ▼ at the edge. Smoothing is a moving average over the points that are in this page. Groups show mean and standard deviation of the sample, on lines between the points.")),
  );
  sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
  byId("help-open").addEventListener("click", () => sheet.showModal());
};

const start = async () => {
  about();
  theme();
  help();
  readView();
  const runs = new Runs(await unpack("table"));
  const filter = byId("filter");
  let found = [];

  const open = (run) => {
    setView({ run: idOf(run) }, true);
    details.show(run).catch((error) => say(byId("details"), error));
  };
  const details = new Details(runs, byId("details"), () => view.run && setView({ run: "" }, true));
  const table = new Table(runs, byId("table"), (what) => (what === "sort" ? list() : pictures()), open);
  const charts = new Charts(runs, byId("charts"));
  const comparison = new Comparison(runs, byId("compare"), open);
  tools.charts = charts;

  const chosen = () => view.runs.map((id) => runs.byUid(id)).filter((run) => run !== null);

  /** Filter and sort the table; what is drawn may depend on it. */
  const list = () => {
    const said = byId("filter-said");
    try {
      const test = parseFilter(view.filter, runs.known, runs.texts);
      found = runs.all.filter((run) => test(run.i)).map((run) => run.i);
      said.hidden = true;
      filter.removeAttribute("aria-invalid");
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      const [from, to] = error.place;
      said.replaceChildren(make("code", {}, view.filter.slice(0, from), make("mark", {}, view.filter.slice(from, to) || " "), view.filter.slice(to)), ` ${error.message}`);
      said.hidden = false;
      filter.setAttribute("aria-invalid", "true");
    }
    table.show(found);
    pictures();
  };

  const pictures = () => {
    const selected = chosen();
    byId("count").textContent = `${found.length === head.runs ? plural(found.length, "run") : `${found.length.toLocaleString("en")} of ${plural(head.runs, "run")}`}${selected.length ? `, ${selected.length.toLocaleString("en")} selected` : ""}`;
    byId("select-none").disabled = !selected.length;
    byId("tab-compare").textContent = selected.length ? `Compare (${selected.length})` : "Compare";
    for (const tab of ["curves", "compare"]) {
      byId(`tab-${tab}`).setAttribute("aria-selected", String(view.tab === tab));
      byId(`tab-${tab}`).tabIndex = view.tab === tab ? 0 : -1;
      byId(tab).hidden = view.tab !== tab;
    }
    const done = view.tab === "compare" ? comparison.show(selected) : curves(selected);
    done.catch((error) => say(byId(view.tab === "compare" ? "compare" : "charts"), error));
  };

  const curves = async (selected) => {
    const drawn = selected.length ? selected : table.order.slice(0, view.group.length ? undefined : WITHOUT_CHOICE).map((i) => runs.all[i]);
    const made = await charts.draw(drawn);
    if (made === null) return;
    byId("legend").replaceChildren(...made.lines.map((line) => legend(line)));
    const whose = selected.length ? "" : view.group.length ? "No run is selected: all that are listed are drawn. " : `No run is selected: the first ${made.lines.length} of the table are drawn. `;
    const left = made.left ? `${made.left} more are not drawn: a picture has ${DRAWN} lines at most; select fewer runs, or group them. ` : "";
    const thin = made.thinned ? `${made.thinned.toLocaleString("en")} of ${plural(made.curves, "curve")} thinned. ` : "";
    byId("drawn").textContent = made.lines.length ? `${whose}${left}${thin}` : "";
    if (!made.wanted.length) byId("charts").replaceChildren(make("p.empty", {}, made.there.length ? `No metric is like ${view.metrics}; there are: ${made.there.slice(0, 20).join(", ")}.` : made.lines.length ? "These runs have logged no metric." : "There is nothing to draw."));
  };

  const legend = (line) => {
    const dashed = make("span.swatch", { "aria-hidden": "true" });
    dashed.style.background = line.dash.length ? `repeating-linear-gradient(90deg, var(--run-${line.colour}) 0 ${line.dash[0]}px, transparent ${line.dash[0]}px ${line.dash[0] + line.dash[1]}px)` : `var(--run-${line.colour})`;
    const item = make("button.quiet.run", { type: "button", onclick: () => (line.group ? null : open(line.runs[0])) }, dashed, make("span", {}, line.name));
    for (const [event, on] of [["mouseenter", line], ["focus", line], ["mouseleave", null], ["blur", null]]) item.addEventListener(event, () => charts.focus(on));
    return make("li", {}, item);
  };

  const controls = () => {
    const focused = document.activeElement?.id;
    const unfolded = byId("group")?.open;
    const within = document.activeElement?.closest?.("#group") ? document.activeElement.value : null;
    byId("tools").replaceChildren(...tools(runs, () => {
      if (document.activeElement?.type !== "search" && document.activeElement?.type !== "range") controls();
      pictures();
    }));
    if (unfolded) byId("group").open = true;
    if (focused) byId(focused)?.focus();
    if (within) [...byId("group").querySelectorAll("input")].find((box) => box.value === within)?.focus();
  };

  const all = () => {
    filter.value = view.filter;
    controls();
    list();
    const run = view.run && runs.byUid(view.run);
    if (run) details.show(run).catch((error) => say(byId("details"), error));
    else if (byId("details").open) byId("details").close();
  };

  chooseColumns(runs, table);
  let waiting = 0;
  filter.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      setView({ filter: filter.value });
      list();
    }, 80);
  });
  byId("select-shown").addEventListener("click", () => {
    setView({ runs: [...new Set([...view.runs, ...found.map((i) => idOf(runs.all[i]))])] });
    list();
  });
  byId("select-none").addEventListener("click", () => {
    setView({ runs: [] });
    list();
  });
  const turn = (tab) => {
    setView({ tab }, true);
    pictures();
  };
  byId("tab-curves").addEventListener("click", () => turn("curves"));
  byId("tab-compare").addEventListener("click", () => turn("compare"));
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    turn(view.tab === "curves" ? "compare" : "curves");
    byId(`tab-${view.tab}`).focus();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input[type=search], input[type=number], select");
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && event.target === filter) {
      setView({ filter: (filter.value = "") });
      list();
    } else if (event.key === "Escape") byId("group").open = false;
    else if (event.key === "ArrowDown" && event.target === filter) table.go(0);
    else if (typing) return;
    else if (event.key === "/") filter.focus();
    else if (event.key === "c") turn(view.tab === "compare" ? "curves" : "compare");
    else if (event.key === "?") byId("help").showModal();
    else return;
    event.preventDefault();
  });
  addEventListener("popstate", () => {
    readView();
    all();
  });
  theme.changed = pictures;
  all();
  performance.mark("table");
  document.documentElement.dataset.ready = "table";
};

/** The sheet in which columns are chosen. */
const chooseColumns = (runs, table) => {
  const sheet = byId("columns");
  const names = runs.names.filter((name) => name !== "name");
  const choose = (chosen) => {
    setView({ columns: chosen });
    table.build();
  };
  const fill = () => {
    const shown = table.columns();
    const boxes = names.map((name, i) => {
      const box = make("input", { type: "checkbox", value: name, checked: shown.includes(name), onchange: () => {
        const kept = table.columns();
        if (!box.checked && kept.length === 1) box.checked = true; // one stays
        else choose(box.checked ? [...kept, name] : kept.filter((each) => each !== name));
      } });
      return make("label.check", {}, box, make("span", {}, name), i < runs.differing ? make("span.muted", {}, " differs") : null);
    });
    const search = make("input", { type: "search", placeholder: "Find a column", "aria-label": "Find a column", oninput: () => boxes.forEach((each, i) => (each.hidden = !names[i].toLowerCase().includes(search.value.toLowerCase()))) });
    const preset = (text, chosen) => make("button", { type: "button", onclick: () => {
      choose(chosen());
      fill();
    } }, text);
    const bar = make("div.bar", {}, search, preset("As at first", () => []), preset("Those that differ", () => names.filter((name, i) => i < runs.differing)), preset("All", () => names));
    sheet.replaceChildren(make("div.bar", {}, make("h2", { id: "columns-head" }, "Columns"), make("div.spring"), make("button.quiet.close", { type: "button", "aria-label": "Close", onclick: () => sheet.close() }, "✕")), make("div.sheet", {}, bar, make("div.boxes", {}, ...boxes)));
  };
  sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
  byId("columns-open").addEventListener("click", () => {
    fill();
    sheet.showModal();
  });
};

start().catch((error) => say(byId("table"), error));
