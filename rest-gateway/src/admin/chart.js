// Charts of the console, as drawings with a text for each part. The table under a chart has the same numbers.

import { element } from "./dom.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 140;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/**
 * Returns `[time, entry]` for each step from the time `first` to `last`, in milliseconds, oldest first. `entry` is undefined
 * where there is none: a chart would otherwise show distant times as neighbours. Earlier and later entries are there too.
 */
export function eachStep(entries, timeOf, { first, last, step }) {
  const byTime = new Map(entries.map((entry) => [timeOf(entry), entry]));
  const [from, to] = [Math.min(first, ...byTime.keys()), Math.max(last, ...byTime.keys())];
  const times = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
  return times.map((at) => [at, byTime.get(at)]);
}

/**
 * Makes a bar chart over time. `bars` are `{ label, value, text }`, oldest first. Returns nothing without values.
 * `shown` writes a value. The labels are beside the drawing, which is narrow on a phone: they keep their size.
 */
export function barChart(title, bars, shown) {
  const largest = Math.max(0, ...bars.map(({ value }) => value));
  if (largest === 0) return null;
  const step = WIDTH / bars.length;
  const [first, last] = [bars[0].label, bars.at(-1).label];
  const words = `${title}, ${first} to ${last}, at most ${shown(largest)}`;
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words });
  bars.forEach(({ value, text: told }, index) => {
    if (value === 0) return;
    const height = Math.max(1, (value / largest) * HEIGHT);
    const bar = shape("rect", { x: (index + 0.1) * step, y: HEIGHT - height, width: 0.8 * step, height });
    bar.append(text("title", told));
    svg.append(bar);
  });
  const ends = [first, bars.length > 1 && last].filter(Boolean).map((label) => element("span", {}, label));
  return element(
    "figure",
    {},
    element("figcaption", {}, title),
    element("p", { class: "scale" }, shown(largest)),
    svg,
    element("p", { class: "scale" }, ends),
  );
}

/** Makes a list of shares as bars beside their names: `[{ name, value, text }]`, largest first. Nothing without values. */
export function shareChart(title, shares) {
  const sorted = shares.filter(({ value }) => value > 0).sort((one, other) => other.value - one.value);
  if (sorted.length === 0) return null;
  const largest = sorted[0].value;
  const lines = sorted.slice(0, 12).map(({ name, value, text: words }) => meterLine(name, value, largest, words));
  return element("figure", {}, element("figcaption", {}, title), element("ul", { class: "meters" }, lines));
}

/** Makes a bar with a name and a text. It warns from 80 % on if `isLimit`. */
export function meterLine(name, value, max, words, isLimit = false) {
  const limits = isLimit ? { low: max * 0.8, high: max, optimum: 0 } : {};
  const meter = element("meter", { min: 0, max, value: Math.min(value, max), "aria-label": `${name}: ${words}`, ...limits });
  return element("li", {}, element("span", {}, name), meter, element("span", {}, words));
}

function shape(name, attributes) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function text(name, words) {
  const node = shape(name, {});
  node.textContent = words;
  return node;
}
