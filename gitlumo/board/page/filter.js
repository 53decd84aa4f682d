
// filter.js: the conditions of `git lumo log`, with the same meaning (gitlumo/expression.py, condition.py, matching.py).
// What this page cannot answer as git lumo does, it refuses: revisions, some times, some regular expressions.

const PARAMS = "params.";
const METRICS = "metrics.";
const FIELD_KINDS = new Map([
  ...["exp", "name", "uid", "state", "note", "tag", "host", "command", "git.commit", "git.head", "git.branch", "exception", "rerun.from", "backup"].map((name) => [name, "a text"]),
  ...["start", "end", "took", "ratio", "end_code"].map((name) => [name, "a number"]),
  ["deprecated", "true or false"],
]);
const STATE_WORDS = ["running", "finished", "failed", "killed"];
const ALIASES = new Map(Object.entries({ exp_name: "exp", test_name: "name", tags: "tag", commit: "git.commit", branch: "git.branch", duration: "took" }));
const KEYWORDS = new Set(["and", "or", "not", "in", "contains", "missing"]);
const OPS = new Map([["=", "="], ["==", "="], ["!=", "="], ["<", "<"], ["<=", "<="], [">", ">"], [">=", ">="], ["~", "~"], ["!~", "~"]]);
const ORDERS = new Set(["<", "<=", ">", ">="]);
const STATISTIC = /^(metrics\.[^]*)\.(?:last|min|max)$/;
const UNITS = new Map(Object.entries({ ms: 0.001, s: 1, sec: 1, second: 1, m: 60, min: 60, minute: 60, h: 3600, hr: 3600, hour: 3600, d: 86400, day: 86400, w: 604800, week: 604800 }));
const ELSEWHERE = "; git lumo log can";

class FilterError extends Error {
  constructor(said, start, end) {
    super(said);
    this.place = [start, end];
  }
}

const baseOf = (name) => STATISTIC.exec(name)?.[1] ?? null;

const kindOf = (value) => (isNumber(value) ? "a number" : typeof value === "string" ? "a text" : typeof value === "boolean" ? "true or false" : null);

/** The columns of a page's runs: what names mean, and what their values are. */
class Columns {
  constructor(columns) {
    this.columns = columns;
  }

  /** The column that a name means; throws where there is none. */
  resolve(typed) {
    const name = ALIASES.get(typed) ?? typed;
    if (FIELD_KINDS.has(name)) return name;
    const explicit = name.startsWith(PARAMS) || name.startsWith(METRICS);
    for (const full of explicit ? [name] : [PARAMS + name, METRICS + name]) {
      if (this.columns.has(full) || this.columns.has(baseOf(full))) return full;
    }
    throw new Error(`no run on this page has a column ${name}${this.nearest(name)}`);
  }

  nearest(name) {
    const short = (full) => (full.startsWith(PARAMS) || full.startsWith(METRICS) ? full.slice(full.indexOf(".") + 1) : full);
    const all = [...new Set([...FIELD_KINDS.keys(), ...this.columns.keys()])];
    const near = all.map((full) => [Math.min(distance(name, full), distance(name, short(full))), full]).filter(([far]) => far <= Math.max(1, name.length / 3));
    near.sort((a, b) => a[0] - b[0]);
    return near.length ? `; did you mean ${near.slice(0, 3).map(([, full]) => full).join(" or ")}?` : "";
  }

  /** The kinds of a parameter's or metric's values; null: not known, or of several. */
  kinds(name) {
    if (FIELD_KINDS.has(name)) return null;
    const found = new Set();
    for (const column of [name, baseOf(name)]) {
      for (const value of this.columns.get(column) ?? []) {
        if (value === null) continue;
        const kind = Number.isNaN(value) ? null : kindOf(value);
        if (kind !== "a number" && kind !== "a text") return null;
        found.add(kind);
      }
    }
    return found;
  }

  /** A run's values in a column, as a condition asks for them. */
  values(name, run) {
    const names = name === "git.commit" ? ["git.commit", "git.head"] : [name];
    const found = names.map((each) => this.columns.get(each)?.[run] ?? null).filter((value) => value !== null);
    const base = baseOf(name);
    if (found.length || base === null) return found;
    const value = this.columns.get(base)?.[run] ?? null;
    return value === null ? [] : [value];
  }
}

/** Levenshtein's distance. */
const distance = (a, b) => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length];
};

const scalar = (op, value) => {
  if (op === "~") {
    const pattern = regex(value);
    return (held) => typeof held === "string" && pattern.test(held);
  }
  if (op === "contains") return (held) => typeof held === "string" && typeof value === "string" && held.includes(value);
  const kind = kindOf(value);
  const alike = (held) => kindOf(held) === kind;
  const order = kind === "a text" ? byCodePoint : (a, b) => (a < b ? -1 : a > b ? 1 : a == b ? 0 : NaN); // eslint-disable-line eqeqeq
  const holds = {
    "=": (held) => held == value, // eslint-disable-line eqeqeq
    "<": (held) => order(held, value) < 0,
    "<=": (held) => order(held, value) <= 0,
    ">": (held) => order(held, value) > 0,
    ">=": (held) => order(held, value) >= 0,
  }[op];
  return (held) => alike(held) && holds(held);
};

/** A comparison as a function of a recorded value: a list matches if one of its elements does. */
const predicate = (op, value) => {
  const test = op === "in" ? ((tests) => (held) => tests.some((each) => each(held)))(value.map((item) => scalar("=", item))) : scalar(op, value);
  const element = op === "contains" ? scalar("=", value) : test;
  const holds = (held, check) => (Array.isArray(held) ? held.some((item) => holds(item, element)) : check(held));
  return (held) => holds(held, test);
};

/** A regular expression of Python's as one of JavaScript's that finds the same; throws where that is not certain. */
const regex = (text) => {
  const refuse = (what) => {
    throw new Error(`this page does not know ${what} in a regular expression${ELSEWHERE}`);
  };
  const literal = (letter) => letter.replace(/[\^$\\.*+?()[\]{}|/]/, "\\$&");
  const classes = { d: ["\\p{Nd}", "\\p{Nd}"], D: ["\\P{Nd}", "\\P{Nd}"], w: ["[\\p{L}\\p{N}_]", "\\p{L}\\p{N}_"], W: ["[^\\p{L}\\p{N}_]", null], n: ["\\n", "\\n"], t: ["\\t", "\\t"] };
  const letters = Array.from(text);
  let made = "";
  let inside = false;
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i];
    if (letter === "\\") {
      const next = letters[++i] ?? "";
      if (/[a-zA-Z0-9]/.test(next) || next === "") {
        const known = Object.hasOwn(classes, next) ? classes[next][inside ? 1 : 0] : null;
        made += known ?? refuse(`\\${next}`);
      } else made += inside && (next === "-" || next === "]") ? `\\${next}` : literal(next);
    } else if (inside) {
      if (letter === "]") inside = false;
      made += letter === "[" ? "\\[" : letter;
    } else if (letter === "[") {
      inside = true;
      made += "[";
      if (letters[i + 1] === "^") made += letters[++i];
      if (letters[i + 1] === "]") {
        made += "\\]";
        i++;
      }
    } else if (letter === "." || letter === "$") made += letter === "." ? "[^\\n]" : "(?![^\\n]|\\n[^])";
    else if (letter === "(" && letters[i + 1] === "?" && !":=!".includes(letters[i + 2] ?? " ")) refuse(`(?${letters[i + 2] ?? ""}`);
    else made += letter;
  }
  try {
    return new RegExp(made, "u");
  } catch {
    throw new Error(`not a regular expression that this page knows: "${text}"`);
  }
};

/** What a bare word is as a number, as Python reads it; null: it is none. */
const numberOf = (word) => {
  if (/^[+-]?(?:[0-9]+(?:_[0-9]+)*|0[xX][0-9a-fA-F]+)$/.test(word)) {
    const plain = word.replace(/_/g, "").replace(/^\+/, "");
    const big = plain.startsWith("-") ? -BigInt(plain.slice(1)) : BigInt(plain);
    return big >= -(2n ** 53n) && big <= 2n ** 53n ? Number(big) : big;
  }
  const named = /^([+-]?)(inf|infinity|nan)$/i.exec(word);
  if (named) return named[2].toLowerCase() === "nan" ? NaN : named[1] === "-" ? -Infinity : Infinity;
  const digit = "[0-9]+(?:_[0-9]+)*";
  return new RegExp(`^[+-]?(?:${digit}\\.?(?:${digit})?|\\.${digit})(?:[eE][+-]?${digit})?$`).test(word) ? Number(word.replace(/_/g, "")) : null;
};

/** Seconds in "1h 30m"; null: it is no duration. */
const durationOf = (text) => {
  const part = /([0-9]+(?:\.[0-9]+)?)[.\s]*([a-z]+)[.\s]*/g;
  const lower = text.trim().toLowerCase();
  if (!lower || lower.replace(part, "")) return null;
  let seconds = 0;
  for (const [, amount, unit] of lower.matchAll(part)) {
    const size = UNITS.get(unit) ?? UNITS.get(unit.replace(/s$/, ""));
    if (size === undefined) return null;
    seconds += Number(amount) * size;
  }
  return seconds;
};

/** Seconds since 1970 of a time, in the reader's zone where it names none; null: it is none that this page knows. */
const momentOf = (text, now) => {
  const word = text.trim().toLowerCase();
  if (word.startsWith("@")) return numberOf(word.slice(1));
  if (word === "now") return now;
  const midnight = new Date(now * 1000);
  midnight.setHours(0, 0, 0, 0);
  if (word === "today") return midnight.getTime() / 1000;
  if (word === "yesterday") return midnight.setDate(midnight.getDate() - 1) / 1000;
  if (word.endsWith("ago")) {
    const before = durationOf(word.slice(0, -3));
    return before === null ? null : now - before;
  }
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{3}))?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text.trim());
  if (!found) return null;
  const [, year, month, day, hour = 0, minute = 0, second = 0, milli = 0, zone] = found;
  const parts = [year, month - 1, day, hour, minute, second, milli].map(Number);
  const utc = new Date(Date.UTC(...parts));
  if (parts[0] < 1000 || utc.getUTCMonth() !== parts[1] || utc.getUTCDate() !== parts[2] || parts[3] > 23 || parts[4] > 59 || parts[5] > 59) return null;
  if (!zone) return new Date(...parts).getTime() / 1000;
  const [hours, minutes] = zone === "Z" ? [0, 0] : zone.slice(1).split(":").map(Number);
  return utc.getTime() / 1000 - (zone.startsWith("-") ? -1 : 1) * (hours * 3600 + minutes * 60);
};

/** Reads one expression: `condition()` gives a function of a run's place. */
class Reader {
  constructor(text, columns, now) {
    Object.assign(this, { text, columns, now, at: 0, depth: 0 });
  }

  wrong(said, start = this.at, end = start + 1) {
    throw new FilterError(said, start, end);
  }

  /** The next token if it is like this. */
  take(pattern) {
    const blank = /\s*/y;
    blank.lastIndex = this.at;
    blank.exec(this.text);
    const from = blank.lastIndex;
    pattern.lastIndex = from;
    const found = pattern.exec(this.text);
    if (!found) {
      this.at = from;
      return null;
    }
    this.at = pattern.lastIndex;
    return { text: found[0], start: from, end: this.at };
  }

  whole() {
    const test = this.either();
    if (this.take(/[^]/y)) this.wrong("expected and, or, or the end", this.at - 1);
    return test;
  }

  either() {
    const parts = [this.both()];
    while (this.take(/or(?=[\s()]|$)/iy)) parts.push(this.both());
    return parts.length === 1 ? parts[0] : (run) => parts.some((part) => part(run));
  }

  both() {
    const parts = [this.negated()];
    while (this.take(/and(?=[\s()]|$)/iy)) parts.push(this.negated());
    return parts.length === 1 ? parts[0] : (run) => parts.every((part) => part(run));
  }

  negated() {
    if (++this.depth > 100) this.wrong("the expression is nested deeper than 100 levels");
    const made = this.one();
    this.depth--;
    return made;
  }

  one() {
    if (this.take(/not(?=[\s(]|$)/iy)) {
      const part = this.negated();
      return (run) => !part(run);
    }
    if (this.take(/\(/y)) {
      const part = this.either();
      if (!this.take(/\)/y)) this.wrong("expected )");
      return part;
    }
    if (this.take(/missing(?=\s*\()/iy)) {
      this.take(/\(/y);
      const name = this.column();
      if (!this.take(/\)/y)) this.wrong("expected )");
      return (run) => this.columns.values(name, run).length === 0;
    }
    return this.comparison();
  }

  column() {
    const token = this.take(/(?:[^\s()[\],"'`&|<>=!~]|`(?:[^`]|``)*`)+/y);
    if (!token) this.wrong("expected a column, not, missing(COLUMN) or (");
    const name = token.text.replace(/`((?:[^`]|``)*)`/g, (_, inner) => inner.replaceAll("``", "`"));
    if (name === token.text && KEYWORDS.has(name.toLowerCase())) this.wrong(`expected a column, not ${name}`, token.start, token.end);
    try {
      return this.columns.resolve(name);
    } catch (error) {
      const number = name === token.text && /^[-+.]?[0-9]/.test(name);
      return this.wrong(number ? "a comparison begins with a column: write lr > 0.1 and lr < 1" : error.message, token.start, token.end);
    }
  }

  comparison() {
    const name = this.column();
    const typed = this.take(/[=<>!~]+/y);
    if (typed) {
      const op = OPS.get(typed.text);
      if (op === undefined) this.wrong(`${typed.text} is no comparison: write =, !=, <, <=, >, >=, ~ or !~`, typed.start, typed.end);
      return this.holds(name, op, this.value(name, op), typed.text.startsWith("!"));
    }
    if (this.take(/contains(?=[\s"']|$)/iy)) return this.holds(name, "contains", this.value(name, "contains"), false);
    const negation = this.take(/not(?=\s)/iy);
    if (!this.take(/in(?=[\s("']|$)/iy)) this.wrong(negation ? "expected in after not" : "expected =, !=, <, <=, >, >=, ~, !~, in, not in or contains");
    if (!this.take(/\(/y)) {
      this.wrong(name.startsWith("git.") ? `this page has no repository to look commits up in${ELSEWHERE}` : "expected a list in parentheses, as in (best, paper)");
    }
    const values = [];
    while (!this.take(/\)/y)) {
      if (values.length && !this.take(/,/y)) this.wrong("expected , or )");
      if (values.length && this.take(/\)/y)) break;
      values.push(this.value(name, "in"));
    }
    return this.holds(name, "in", values, Boolean(negation));
  }

  holds(name, op, value, negated) {
    const test = predicate(op, value);
    return (run) => this.columns.values(name, run).some(test) !== negated;
  }

  /** A value that can be compared so with a column. */
  value(name, op) {
    const tokens = [];
    const next = () => (tokens.length && this.peek(/(?:or|and)(?=[\s()]|$)/iy) ? null : this.take(/"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|[^\s()[\],"'`&|<>=!~][^\s()[\],"'`&|<>]*/y));
    for (let token = next(); token; token = next()) tokens.push(token);
    if (!tokens.length) this.wrong(/^["']/.test(this.text.slice(this.at)) ? "this quote is not closed" : "expected a value");
    const [start, end] = [tokens[0].start, tokens.at(-1).end];
    const refuse = (said) => this.wrong(said, start, end);
    let value;
    try {
      value = this.literal(name, op, tokens);
      if (op === "~") regex(value);
    } catch (error) {
      if (error instanceof FilterError) throw error;
      refuse(error.message);
    }
    const kind = kindOf(value);
    if (ORDERS.has(op) && kind === "true or false") refuse(`true and false have no order: write ${name} = ${value}`);
    const held = FIELD_KINDS.has(name) ? new Set([FIELD_KINDS.get(name)]) : this.columns.kinds(name);
    if (held?.size && (!held.has(kind) || ((op === "~" || op === "contains") && !held.has("a text")))) {
      const quote = held.has("a text") && kind !== "a text" ? `; write "${exactly(value)}" for the text` : "";
      refuse(`${name} is ${[...held].sort().join(" or ")}, and ${held.has(kind) ? `${op} is for texts` : `${exactly(value)} is ${kind}`}: that never holds${quote}`);
    }
    if (name === "state" && (op === "=" || op === "in") && !STATE_WORDS.includes(value)) {
      const near = STATE_WORDS.find((state) => distance(String(value).toLowerCase(), state) <= 2);
      refuse(`state is running, finished, failed or killed, never ${exactly(value)}${near ? `; did you mean ${near}?` : ""}`);
    }
    return value;
  }

  peek(pattern) {
    const at = this.at;
    const found = this.take(pattern);
    this.at = at;
    return found;
  }

  literal(name, op, tokens) {
    const first = tokens[0].text;
    const bare = !/^["']/.test(first);
    const text = tokens.map((token) => unquoted(token.text)).join(" ");
    const one = (said) => this.wrong(said, tokens[0].start, tokens.at(-1).end);
    if (bare && KEYWORDS.has(first.toLowerCase())) one(`expected a value, not ${first}; write "${first}" for the text`);
    if (TIMES.includes(name)) {
      const seconds = momentOf(text, this.now);
      if (seconds === null) one(`${text} is no time that this page knows: 2026-11-20, 2026-11-20T18:00, 2 days ago, yesterday, today`);
      if (op === "=" || op === "in") one(`${name} is a moment, which is hardly ever met: write ${name} >= ... and ${name} < ...`);
      return seconds;
    }
    if (name === "took" && op !== "~" && numberOf(text) === null) {
      return durationOf(text) ?? one(`${text} is not a duration: 90s, 1.5 m, 2h, 1h 30m, 3 days`);
    }
    if (tokens.length > 1) this.wrong("expected and, or, or the end; a text with blanks is quoted", tokens[1].start, tokens[1].end);
    if (bare && op !== "~" && /^(?:null|none)$/i.test(first)) one(`write missing(${name}) for no value, "${first}" for the text`);
    if ((name === "git.commit" || name === "git.head") && (op === "=" || op === "in") && !/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)) {
      one(`this page has no repository to look ${text} up in: write all 40 digits, or ${name} ~ ^${text}`);
    }
    if (!bare || op === "~" || FIELD_KINDS.get(name) === "a text") return text;
    if (/^(?:true|false)$/i.test(text)) return text.toLowerCase() === "true";
    return numberOf(text) ?? text;
  }
}

const ESCAPED = { n: "\n", t: "\t" };

const unquoted = (token) => {
  if (!/^["']/.test(token)) return token;
  return token.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4}|[nt\\"'])/g, (_, code) => ESCAPED[code] ?? ("xuU".includes(code[0]) && code.length > 1 ? String.fromCodePoint(parseInt(code.slice(1), 16)) : code));
};

/** What a filter's text finds: a function of a run's place. Words alone are looked for in `texts(run)`. */
const parseFilter = (text, columns, texts, now = Date.now() / 1000) => {
  if (!text.trim()) return () => true;
  const odd = text.search(/[\x00-\x08\x0e-\x1f\x85\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])/);
  if (odd >= 0) throw new FilterError("a character that no expression has", odd, odd + 1);
  const words = text.trim().toLowerCase().split(/\s+/);
  if (!/[=<>~!()"'`&|]/.test(text) && !words.some((word) => KEYWORDS.has(word))) return (run) => words.every((word) => texts(run).includes(word));
  return new Reader(text, columns, now).whole();
};
