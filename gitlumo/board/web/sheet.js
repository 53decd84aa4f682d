// A sheet of facts: blocks that Python composes of plain values. All that is recorded gets in as text, never as markup.
export function render({ model, el }) {
  const sheet = node("div", "sheet");
  el.append(sheet);
  let before = [];
  const ask = (act, arg) => { model.asked = { act, arg: arg ?? null, n: Date.now() + Math.random() }; };

  function draw() {
    const now = model.blocks.map((block) => JSON.stringify(block));
    const kept = [...sheet.children];
    model.blocks.forEach((block, i) => {
      if (now[i] === before[i] && kept[i]) return;
      const made = (KINDS[block.kind] ?? KINDS.text)(block, ask);
      if (kept[i]) sheet.replaceChild(made, kept[i]);
      else sheet.append(made);
    });
    sheet.hidden = now.length === 0;
    while (sheet.children.length > now.length) sheet.lastChild.remove();
    before = now;
  }
  model.on("blocks", draw);
  draw();
}

function node(tag, name, said) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (said !== undefined && said !== null) made.textContent = String(said);
  return made;
}

// What is wider than the page can be moved by keys, too.
function scrolls(made) {
  made.tabIndex = 0;
  return made;
}

// A cell is a text, or { text, dot, act, arg, href, look }.
function cell(value, ask) {
  if (value === null || typeof value !== "object") return document.createTextNode(value ?? "");
  const parts = document.createDocumentFragment();
  if (Number.isInteger(value.dot)) parts.append(node("i", `dot c${value.dot}`));
  let made;
  if (value.act) {
    made = node("button", "link", value.text);
    made.onclick = () => ask(value.act, value.arg);
  } else if (value.href && /^https?:\/\//.test(value.href)) {
    made = node("a", "", value.text);
    Object.assign(made, { href: value.href, target: "_blank", rel: "noopener noreferrer" });
  } else made = node("span", "", value.text);
  if (value.look) made.classList.add(value.look);
  parts.append(made);
  return parts;
}

const KINDS = {
  title(block, ask) {
    const made = node("h1");
    made.append(cell(block.text, ask), " ", node("small", `state ${block.after}`, block.after));
    return made;
  },
  heading: (block) => node("h2", "", block.text),
  text: (block) => node("p", block.look ?? "", block.text),
  code: (block) => scrolls(node("pre", block.look ?? "", block.text)),
  diff(block) {
    const made = scrolls(node("pre", "diff"));
    for (const line of block.text.split("\n")) {
      const kind = /^(diff|\+\+\+|---|index) /.test(line) ? "file" : line.startsWith("@@") ? "hunk"
        : line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : "";
      made.append(node("span", kind, line));
    }
    return made;
  },
  pairs(block, ask) {
    const made = node("dl");
    for (const [key, value] of block.rows) {
      const there = node("dd");
      there.append(cell(value, ask));
      made.append(node("dt", "", key), there);
    }
    return made;
  },
  table(block, ask) {
    const made = scrolls(node("div", "scroll")), table = node("table"), head = node("tr"), body = node("tbody");
    const numeric = new Set(block.numeric ?? []);
    block.heads.forEach((text, i) => {
      const each = node("th", numeric.has(i) ? "number" : "");
      each.scope = "col";
      each.append(cell(text, ask));
      head.append(each);
    });
    for (const row of block.rows) {
      const line = node("tr");
      row.forEach((value, i) => {
        const each = node("td", numeric.has(i) ? "number" : "");
        each.append(cell(value, ask));
        line.append(each);
      });
      body.append(line);
    }
    const top = node("thead");
    top.append(head);
    table.append(top, body);
    made.append(table);
    return made;
  },
  chips(block, ask) {
    const made = node("div", "chips");
    for (const value of block.items) {
      const each = node("span");
      each.append(cell(value, ask));
      made.append(each);
    }
    return made;
  },
  buttons(block, ask) {
    const made = node("div", "buttons");
    for (const { text, act, arg } of block.items) {
      const each = node("button", "", text);
      each.onclick = () => ask(act, arg);
      made.append(each);
    }
    return made;
  },
  said(block, ask) {
    const made = node("div", "said", block.text);
    made.setAttribute("role", "status");
    if (block.act) {
      const undo = node("button", "link", "undo");
      undo.onclick = () => ask(block.act, block.arg);
      made.append(undo);
    }
    return made;
  },
  copy(block) {
    const made = node("div", "copy"), button = node("button", "plain", "copy");
    made.append(node("code", "", block.text), button);
    button.onclick = async () => {
      await navigator.clipboard.writeText(block.text);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    };
    return made;
  },
  note(block, ask) {
    const made = node("div"), area = node("textarea"), save = node("button", "", "save the note");
    area.value = block.text;
    area.setAttribute("aria-label", "note");
    save.hidden = true;
    area.oninput = () => { save.hidden = area.value === block.text; };
    area.onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save.click(); };
    save.onclick = () => ask("note", area.value);
    made.append(area, save);
    return made;
  },
  tags(block, ask) {
    const made = node("div", "tags");
    for (const tag of block.tags) {
      const each = node("span", "", tag), gone = node("button", "plain", "×");
      gone.setAttribute("aria-label", `remove the tag ${tag}`);
      gone.onclick = () => ask("untag", tag);
      each.append(gone);
      made.append(each);
    }
    const input = node("input");
    input.type = "text";
    input.placeholder = "add a tag";
    input.setAttribute("aria-label", "add a tag");
    input.onkeydown = (event) => { if (event.key === "Enter" && input.value.trim()) ask("tag", input.value.trim()); };
    made.append(input);
    return made;
  },
  images(block) {
    const made = node("div", "images");
    for (const { source, caption } of block.items) {
      const figure = node("figure"), image = node("img");
      Object.assign(image, { src: source, alt: caption, loading: "lazy" });
      if (source.startsWith("/")) {
        const link = node("a");
        Object.assign(link, { href: source, target: "_blank", rel: "noopener" });
        link.append(image);
        figure.append(link);
      } else figure.append(image);
      figure.append(node("figcaption", "", caption));
      made.append(figure);
    }
    return made;
  },
};
