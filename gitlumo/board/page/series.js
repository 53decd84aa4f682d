
// series.js: what is drawn of curves: their x, smoothing, means over groups. Numbers in, numbers out.

const GRID = 240; // points of a mean

/** The x of a curve's points. */
const xsOf = (curve, x, start) => (x === "step" ? curve.steps : x === "relative" ? curve.times : curve.times.map((time) => start + time));

/** A moving average whose beginning is not drawn to zero, as TensorBoard has it; what is not finite is passed over. */
const smoothed = (values, weight) => {
  let last = 0;
  let count = 0;
  return values.map((value) => {
    if (!weight || !Number.isFinite(value)) return value;
    last = last * weight + (1 - weight) * value;
    count++;
    return last / (1 - weight ** count);
  });
};

/** Points in the order of their x, as uPlot wants them; of those with one x the last, which is the latest logged. */
const sorted = (xs, ys) => {
  const order = xs.map((_, i) => i).sort((a, b) => xs[a] - xs[b] || a - b);
  const kept = order.filter((at, i) => i === order.length - 1 || xs[order[i + 1]] !== xs[at]);
  return [kept.map((i) => xs[i]), kept.map((i) => ys[i])];
};

/** What a scale can show of some values: null is a gap; `marks` are the points that are none, `lost` those below a log scale. */
const drawable = (xs, ys, logX, logY) => {
  const marks = [];
  let lost = 0;
  const shown = { xs: [], ys: [] };
  xs.forEach((x, i) => {
    const y = ys[i];
    if (logX && x <= 0) {
      lost++;
      return;
    }
    if (!Number.isFinite(y)) marks.push([x, y]);
    else if (logY && y <= 0) lost++;
    shown.xs.push(x);
    shown.ys.push(Number.isFinite(y) && !(logY && y <= 0) ? y : null);
  });
  return { ...shown, marks, lost };
};

/** A curve's value at x, on the line between its points; null outside of it, and next to a gap. */
const valueAt = (xs, ys, x) => {
  if (!xs.length || x < xs[0] || x > xs[xs.length - 1]) return null;
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  if (x === xs[low]) return Number.isFinite(ys[low]) ? ys[low] : null;
  if (x === xs[high]) return Number.isFinite(ys[high]) ? ys[high] : null;
  const [a, b] = [ys[low], ys[high]];
  return Number.isFinite(a) && Number.isFinite(b) ? a + ((b - a) * (x - xs[low])) / (xs[high] - xs[low]) : null;
};

/** Mean and deviation of the sample of some curves, `[xs, ys]` each, where any has a value. */
const meanOf = (curves) => {
  const every = [...new Set(curves.flatMap(([xs]) => xs))].sort((a, b) => a - b);
  const xs = every.length <= GRID ? every : Array.from({ length: GRID }, (_, i) => every[Math.round((i * (every.length - 1)) / (GRID - 1))]);
  const [mean, low, high, count] = [[], [], [], []];
  for (const x of xs) {
    const some = curves.map(([ownXs, ys]) => valueAt(ownXs, ys, x)).filter((value) => value !== null);
    const middle = some.reduce((sum, value) => sum + value / some.length, 0);
    const spread = some.length > 1 ? Math.sqrt(some.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (some.length - 1)) : 0;
    count.push(some.length);
    mean.push(some.length ? middle : null);
    low.push(some.length ? middle - spread : null);
    high.push(some.length ? middle + spread : null);
  }
  return { xs, mean, low, high, count };
};

/** Whether a metric is among those that a pattern asks for: words with *, separated by commas; none: all. */
const chosenBy = (pattern) => {
  const parts = pattern.split(",").map((part) => part.trim()).filter(Boolean);
  const tests = parts.map((part) => new RegExp(part.split("*").map((text) => text.replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&")).join(".*"), "iu"));
  return (name) => !tests.length || tests.some((test) => test.test(name));
};
