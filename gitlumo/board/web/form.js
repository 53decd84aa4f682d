// A line of settings: texts, choices, ticks, sliders, and menus of ticks.
const WAIT = 250;

export function render({ model, el }) {
  const form = node("div", "form");
  el.append(form);
  const shown = new Map();  // id of a field: how it takes a value
  let drawn = "";

  // All that was ever set, each with its number: of two in one moment the server may see the last state only.
  const number = (id) => model.chosen[id]?.[1] ?? 0;
  const put = (id, value) => {
    const next = 1 + Math.max(0, ...Object.keys(model.chosen).map(number));
    model.chosen = { ...model.chosen, [id]: [value, next] };
  };

  function draw() {
    const now = JSON.stringify(model.fields);
    if (now !== drawn) {
      const open = new Set([...form.querySelectorAll("details[open]")].map((each) => each.dataset.id));
      drawn = now;
      shown.clear();
      form.replaceChildren(...model.fields.map((field) => {
        const made = (MADE[field.kind] ?? text)(field, (value) => put(field.id, value), shown);
        if (made.dataset && open.has(field.id)) made.open = true;
        return made;
      }));
    }
    for (const [id, take] of shown) if (number(id) <= model.answered) take(model.values[id]);  // else it is older
  }
  model.on("fields", draw);
  model.on("values", draw);
  draw();
  const outside = (event) => {
    for (const each of form.querySelectorAll("details[open]")) if (!event.composedPath().includes(each)) each.open = false;
  };
  document.addEventListener("pointerdown", outside);
  model.on("remove", () => document.removeEventListener("pointerdown", outside));
}

function node(tag, name) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}

function labelled(field, control, after) {
  const label = node("label");
  label.append(document.createTextNode(field.label), control, ...(after ? [after] : []));
  control.dataset.id = field.id;
  return label;
}

// Puts a value when no other follows soon; meanwhile what the server answers is older than what is to be seen.
function patient(put) {
  let timer = 0;
  const later = (value) => { clearTimeout(timer); timer = setTimeout(() => { timer = 0; put(value); }, WAIT); };
  later.waits = () => timer !== 0;
  return later;
}

function text(field, put, shown) {
  const input = node("input"), later = patient(put);
  input.type = "text";
  input.placeholder = field.hint ?? "";
  input.oninput = () => later(input.value);
  shown.set(field.id, (value) => {
    if (!later.waits() && input.getRootNode().activeElement !== input) input.value = value ?? "";
  });
  return labelled(field, input);
}

const MADE = {
  text,
  choice(field, put, shown) {
    const select = node("select");
    for (const [value, label] of field.options) {
      const option = node("option");
      option.value = value;
      option.textContent = label;
      select.append(option);
    }
    select.onchange = () => put(select.value);
    shown.set(field.id, (value) => { select.value = value ?? ""; });
    return labelled(field, select);
  },
  tick(field, put, shown) {
    const input = node("input");
    input.type = "checkbox";
    input.onchange = () => put(input.checked);
    shown.set(field.id, (value) => { input.checked = Boolean(value); });
    const label = labelled(field, input);
    label.prepend(input);
    return label;
  },
  slider(field, put, shown) {
    const input = node("input"), told = node("span", "quiet"), later = patient(put);
    Object.assign(input, { type: "range", min: field.least, max: field.most, step: field.step });
    input.oninput = () => {
      told.textContent = Number(input.value) ? input.value : "off";
      later(Number(input.value));
    };
    shown.set(field.id, (value) => {
      if (later.waits()) return;
      input.value = value ?? 0;
      told.textContent = value ? String(value) : "off";
    });
    return labelled(field, input, told);
  },
  many(field, put, shown) {
    const details = node("details"), summary = node("summary"), menu = node("div");
    details.dataset.id = field.id;
    summary.textContent = field.label;
    const boxes = field.options.map(([value, label]) => {
      const line = node("label"), box = node("input");
      box.type = "checkbox";
      box.value = value;
      box.onchange = () => put(boxes.filter((each) => each.checked).map((each) => each.value));
      line.append(box, document.createTextNode(label));
      menu.append(line);
      return box;
    });
    details.append(summary, menu);
    details.onkeydown = (event) => { if (event.key === "Escape") { details.open = false; summary.focus(); event.stopPropagation(); } };
    shown.set(field.id, (value) => { for (const box of boxes) box.checked = (value ?? []).includes(box.value); });
    return details;
  },
};
