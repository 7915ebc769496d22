// Charts of the console, as drawings with a text for each part. The table under a chart has the same numbers.

import { element } from "./dom.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 160;
const LINE = 20;

/**
 * Makes a bar chart over time. `bars` are `{ label, value, text }`, oldest first. Returns nothing without bars.
 * `shown` writes a value.
 */
export function barChart(title, bars, shown) {
  if (bars.length === 0) return null;
  const largest = Math.max(...bars.map(({ value }) => value)) || 1;
  const step = WIDTH / Math.max(bars.length, 7);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + LINE}`, role: "img", "aria-label": `${title}, at most ${shown(largest)}` });
  bars.forEach(({ value, text: words }, index) => {
    const height = Math.max(1, (value / largest) * (HEIGHT - LINE));
    const bar = shape("rect", { x: index * step + 1, y: HEIGHT - height, width: Math.max(1, step - 2), height });
    bar.append(text("title", words));
    svg.append(bar);
  });
  svg.append(text("text", shown(largest), { x: 0, y: 14 }));
  svg.append(text("text", bars[0].label, { x: 0, y: HEIGHT + 16 }));
  if (bars.length > 1) svg.append(text("text", bars.at(-1).label, { x: bars.length * step, y: HEIGHT + 16, "text-anchor": "end" }));
  return element("figure", {}, element("figcaption", {}, title), svg);
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

function text(name, words, attributes = {}) {
  const node = shape(name, attributes);
  node.textContent = words;
  return node;
}
