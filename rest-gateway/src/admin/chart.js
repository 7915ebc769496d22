// A bar chart of the usage per day. The table under it has the same numbers, for those who do not see it.

import { cost, number } from "./format.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 160;
const LINE = 20;

/** Makes the chart of days, which are newest first. Returns nothing without days. */
export function usageChart(days) {
  if (days.length === 0) return null;
  const tokens = ({ prompt_tokens: input, completion_tokens: output }) => input + output;
  const largest = Math.max(1, ...days.map(tokens));
  const shown = days.toReversed();
  const step = WIDTH / Math.max(shown.length, 7);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + LINE}`, role: "img", "aria-labelledby": "chart-title" });
  svg.append(text("title", `Tokens per day, at most ${number(largest)}`, { id: "chart-title" }));
  shown.forEach((day, index) => {
    const height = Math.max(1, (tokens(day) / largest) * (HEIGHT - LINE));
    const bar = shape("rect", { x: index * step + 1, y: HEIGHT - height, width: Math.max(1, step - 2), height });
    bar.append(text("title", `${day.date}: ${number(tokens(day))} tokens, ${number(day.runs)} runs, ${cost(day.cost_micros)}`));
    svg.append(bar);
  });
  svg.append(text("text", `${number(largest)} tokens`, { x: 0, y: 14 }));
  svg.append(text("text", shown[0].date, { x: 0, y: HEIGHT + 16 }));
  return svg;
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
