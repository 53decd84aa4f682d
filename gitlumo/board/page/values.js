
// values.js: values as they stand in the data, how they are shown, and how they are ordered.

/** A value as it was recorded: {"$float": "NaN"} and {"$int": "12345678901234567890"} are numbers. */
const decode = (value) => {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && typeof value[keys[0]] === "string") {
    if (keys[0] === "$float") return Number(value.$float);
    if (keys[0] === "$int") return BigInt(value.$int);
    if (keys[0] === "$bytes") return value;
  }
  return Object.fromEntries(keys.map((key) => [key.startsWith("$") ? key.slice(1) : key, decode(value[key])]));
};

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

/** A float in some significant digits, as %g writes it. */
const digits = (value, count) => {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const [mantissa, exponent] = value.toPrecision(count).split("e");
  const tidy = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return exponent === undefined ? tidy : `${tidy}e${exponent.replace("+", "")}`;
};

/** A value exactly, in one line. */
const exactly = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : digits(value);
  if (Array.isArray(value)) return `[${value.map((item) => (typeof item === "string" ? JSON.stringify(item) : exactly(item))).join(", ")}]`;
  if (typeof value !== "object") return String(value);
  return `{${Object.keys(value).map((key) => `${key}: ${exactly(value[key])}`).join(", ")}}`;
};

/** A value in few characters. */
const briefly = (value) => {
  if (typeof value === "number") return digits(value, 4);
  const text = Array.isArray(value) && value.every((item) => typeof item === "string") ? value.join(", ") : exactly(value);
  const line = text.replace(/\s+/g, " ");
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
};

/** A time span in its two greatest units. */
const span = (seconds) => {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)}s`;
  const whole = Math.round(seconds);
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "m"], [whole % 60, "s"]];
  while (parts[0][0] === 0 && parts.length > 1) parts.shift();
  return parts.slice(0, 2).map(([count, unit]) => `${count}${unit}`).join(" ");
};

/** A moment in the reader's zone. */
const moment = (seconds) => {
  const date = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
};

const TIMES = ["start", "end"];

/** A cell of the table: what it says, and what it says exactly. */
const cell = (name, value) => {
  if (value === null || value === undefined) return ["", ""];
  if (TIMES.includes(name) && typeof value === "number") return [moment(value), new Date(value * 1000).toISOString()];
  if (name === "took" && typeof value === "number") return [span(value), `${value} s`];
  if (name === "uid" || name === "git.commit" || name === "git.head" || name === "rerun.from") return [String(value).slice(0, 12), String(value)];
  return [briefly(value), exactly(value)];
};

/** Texts by code point, as Python orders them. */
const byCodePoint = (a, b) => {
  const [one, other] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(one.length, other.length); i++) {
    if (one[i] !== other[i]) return one[i].codePointAt(0) - other[i].codePointAt(0);
  }
  return one.length - other.length;
};

/** What orders values of any types: false, true, numbers, texts, the rest; null: nothing to go by. */
const rank = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  if (typeof value === "boolean") return [0, Number(value)];
  if (isNumber(value)) return [1, value];
  return typeof value === "string" ? [2, value] : [3, exactly(value)];
};

const compareRanks = (a, b) => (a[0] !== b[0] ? a[0] - b[0] : a[0] < 2 ? (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0) : byCodePoint(a[1], b[1]));

/** Whether two recorded values are the same one: 1 is 1.0 but not true, NaN is NaN, also deep inside. */
const same = (a, b) => {
  if (isNumber(a) && isNumber(b)) return a == b || (a !== a && b !== b); // eslint-disable-line eqeqeq
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => same(item, b[i]));
  if (a && b && typeof a === "object" && typeof b === "object" && !Array.isArray(a) && !Array.isArray(b)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
  }
  return typeof a === typeof b && a === b;
};

/** An element: its tag with classes, its properties, its children; texts become text, never markup. */
const make = (tag, properties = {}, ...children) => {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else if (value !== undefined) element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

const byId = (id) => document.getElementById(id);
