// The filter box: the grammar of 'git lumo log', with what may stand where the caret is.
const WORD = /(`[^`]*`?|[^\s()[\],"'`&|<>=!~]*)$/;
const WAIT = 150;  // milliseconds of no key, after which the runs follow
const PATIENCE = 900;  // after which it is said what is wrong with what is half typed

export function render({ model, el }) {
  const box = node("div", "filter"), line = node("div", "box");
  const input = node("input"), said = node("pre"), list = node("ul"), count = node("span", "count");
  input.type = "text";
  input.spellcheck = false;
  input.autocomplete = "off";
  input.placeholder = "filter: lr < 0.1 and state = finished";
  input.setAttribute("aria-label", "filter");
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", "names");
  list.id = "names";
  list.setAttribute("role", "listbox");
  said.setAttribute("role", "status");
  count.setAttribute("aria-live", "polite");
  line.append(input, count);
  box.append(line, list, said);
  let timer = 0, at = -1, offered = [];

  const word = () => WORD.exec(input.value.slice(0, input.selectionStart))[0];
  const send = () => { clearTimeout(timer); if (model.text !== input.value) model.text = input.value; };

  function offer() {
    const begun = word().replace(/^`/, "").toLowerCase();
    offered = begun ? model.names.filter(([name]) => name.toLowerCase().includes(begun)) : [];
    offered.sort((a, b) => b[0].toLowerCase().startsWith(begun) - a[0].toLowerCase().startsWith(begun));
    offered = offered.slice(0, 12);
    if (offered.length === 1 && offered[0][0] === word()) offered = [];
    at = -1;
    show();
  }
  function show() {
    list.replaceChildren(...offered.map(([name, what], i) => {
      const item = node("li"), kind = node("span");
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(i === at));
      kind.textContent = what;
      item.append(document.createTextNode(name), kind);
      item.onpointerdown = (event) => { event.preventDefault(); take(i); };
      return item;
    }));
    list.hidden = offered.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }
  function take(i) {
    const from = input.selectionStart - word().length, rest = input.value.slice(input.selectionStart);
    const before = input.value.slice(0, from) + offered[i][0];
    input.value = `${before}${rest || " "}`;
    input.selectionStart = input.selectionEnd = before.length + (rest ? 0 : 1);
    offered = [];
    show();
    send();
  }
  input.oninput = () => { clearTimeout(timer); timer = setTimeout(send, WAIT); offer(); };
  input.onblur = () => { offered = []; show(); };
  input.onkeydown = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!offered.length) { if (event.key === "ArrowDown") offer(); return; }
      at = (at + (event.key === "ArrowDown" ? 1 : -1) + offered.length) % offered.length;
      show();
      event.preventDefault();
    } else if ((event.key === "Enter" || event.key === "Tab") && at >= 0 && offered.length) {
      take(at);
      event.preventDefault();
    } else if (event.key === "Enter") { offered = []; show(); send(); }
    else if (event.key === "Escape" && offered.length) { offered = []; show(); event.stopPropagation(); }
  };
  let complaint = 0;
  const complain = () => {
    said.textContent = model.error;
    said.hidden = !model.error;
    input.setAttribute("aria-invalid", String(Boolean(model.error)));
    if (model.error) { offered = []; show(); }
  };
  const focus = () => { input.focus(); input.select(); };
  addEventListener("gitlumo-filter", focus);
  model.on("remove", () => removeEventListener("gitlumo-filter", focus));
  const draw = () => {
    if (el.getRootNode().activeElement !== input) input.value = model.text;
    clearTimeout(complaint);
    if (model.error) complaint = setTimeout(complain, el.getRootNode().activeElement === input ? PATIENCE : 0);
    else complain();
    count.textContent = model.count;
  };
  for (const each of ["text", "error", "count"]) model.on(each, draw);
  input.value = model.text;
  draw();
  show();
  el.append(box);
}

function node(tag, name) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}
