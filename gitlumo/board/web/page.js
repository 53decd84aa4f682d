// The page around the board: asks for it when the server is ready, puts it in place of the first rows, and says when
// the server has gone. No data passes through here as markup.
"use strict";

const PAUSE = 1000;  // milliseconds between two looks whether the server is back
const LATEST = 8000;  // when the first rows go, whatever is still missing
const stored = localStorage.getItem("gitlumo-dark");
const dark = stored === null ? matchMedia("(prefers-color-scheme: dark)").matches : stored === "1";
document.documentElement.classList.toggle("dark", dark);

// The one connection: when it closes, the server has gone, or has forgotten this page.
const Plain = window.WebSocket;
window.WebSocket = class extends Plain {
  constructor(...args) {
    super(...args);
    this.addEventListener("close", lost);
  }
};

let leaving = false;
addEventListener("beforeunload", () => { leaving = true; });

function say(text) {
  const box = document.getElementById("lost");
  box.textContent = text;
  box.hidden = !text;
}

async function lost() {
  if (leaving) return;
  say("The server has gone. This page comes back when it does; type: git lumo board");
  document.documentElement.classList.add("lost");
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    try {
      const answer = await fetch("/ready", { cache: "no-store" });
      if (answer.ok) { location.reload(); return; }
      say(`The server is another one now (${answer.status}): open the address that it has printed.`);
    } catch { /* it is not back yet */ }
  }
}

// Asked for at once, so that the server makes the board while the scripts load.
function ask() {
  const query = new URLSearchParams({ dark: dark ? "1" : "0", query: location.search.slice(1) });
  return fetch(`/open?${query}`, { cache: "no-store" });
}
const asked = ask();

async function begin() {
  let session;
  try {
    const answer = await asked;
    if (!answer.ok) { document.getElementById("wait").textContent = ""; say(await answer.text()); return; }
    session = await answer.json();
  } catch { lost(); return; }
  const board = document.getElementById("board");
  const roots = {};
  for (const id of session.root_ids) {
    const place = document.createElement("div");
    place.id = `root-${id}`;
    board.append(place);
    roots[id] = place.id;
  }
  Bokeh.set_log_level("error");  // of figures whose values are all NaN it would warn
  importShim.addImportMap = () => {};  // panel adds an empty one for each part, of which the console would warn
  await Bokeh.embed.embed_items({}, [{ token: session.token, roots, root_ids: session.root_ids }], "/app");
  const until = performance.now() + LATEST;
  const there = () => [".bar", ".filter", ".tabulator-row, .sheet > *, canvas"].every((part) => inside(board, part));
  const look = () => {
    if (!there() && performance.now() < until) { requestAnimationFrame(look); return; }
    document.getElementById("first").remove();
    performance.mark("ready");
    document.documentElement.classList.add("ready");
  };
  look();
}

// The first element that a selector finds, in shadow roots too.
function inside(node, selector) {
  const found = node.querySelector?.(selector);
  if (found) return found;
  for (const each of node.querySelectorAll("*")) {
    const deep = each.shadowRoot && inside(each.shadowRoot, selector);
    if (deep) return deep;
  }
  return null;
}

addEventListener("DOMContentLoaded", begin);
