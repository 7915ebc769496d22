// Parts of the console about usage and budgets.

import { barChart, DAY_MS, eachStep, meterLine, shareChart } from "./chart.js";
import { element } from "./dom.js";
import { cost, number } from "./format.js";

const UNKNOWN = "(not known)";

/** How many days a report has without dates. */
const DAYS = 30;

/** A day without usage. */
const NO_USAGE = { prompt_tokens: 0, completion_tokens: 0, cost_micros: 0, runs: 0 };

const tokens = ({ prompt_tokens: input, completion_tokens: output }) => input + output;

/** Returns the choices of a filter: the names of a report. */
function names(list) {
  return (list ?? []).map(({ name }) => name).filter(Boolean);
}

function usageCharts({ days, agents, models, total }, { since, until }) {
  const last = until ? Date.parse(until) : Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const first = since ? Date.parse(since) : last - (DAYS - 1) * DAY_MS;
  const byDay = eachStep(days, ({ date }) => Date.parse(date), { first, last, step: DAY_MS });
  const bars = (value, shown) =>
    byDay.map(([at, day = NO_USAGE]) => {
      const label = new Date(at).toISOString().slice(0, 10);
      return { label, value: value(day), text: `${label}: ${shown(value(day))}, ${number(day.runs)} runs` };
    });
  const shares = (list) =>
    list.map((entry) => ({
      name: entry.name ?? UNKNOWN,
      value: total.cost_micros > 0 ? entry.cost_micros : tokens(entry),
      text: `${number(tokens(entry))} tokens, ${cost(entry.cost_micros)}`,
    }));
  return [
    barChart("Tokens per day", bars(tokens, number), number),
    total.cost_micros > 0 && barChart("Cost per day", bars((day) => day.cost_micros, cost), cost),
    shareChart("By agent", shares(agents)),
    shareChart("By model", shares(models)),
  ];
}

function budgetLines({ scope, tokens: ofTokens, cost_micros: ofCost }) {
  const line = (allowance, unit, shown) => {
    if (!allowance) return null;
    const taken = allowance.used + allowance.held;
    const percent = Math.round((taken / Math.max(1, allowance.limit)) * 100);
    return meterLine(`${scope}, ${unit}`, taken, allowance.limit, `${shown(taken)} of ${shown(allowance.limit)} (${percent} %)`, true);
  };
  return [line(ofTokens, "tokens", number), line(ofCost, "cost", cost)];
}

function userLimits(budgets) {
  const limit = ({ class: name, tokens: limitTokens, cost_micros: limitCost }) => {
    const limits = [limitTokens !== undefined && `${number(limitTokens)} tokens`, limitCost !== undefined && cost(limitCost)];
    return element("li", {}, `${name ?? "without a class"}: ${limits.filter(Boolean).join(", ")}`);
  };
  return element("figure", {}, element("figcaption", {}, "What one user may use per day"), element("ul", {}, budgets.map(limit)));
}

function share(allowance, shown) {
  return allowance ? `${shown(allowance.used + allowance.held)} of ${shown(allowance.limit)}` : "no limit";
}

/** The parts. See tables.js. */
export const USAGE_PARTS = [
  {
    key: "usage",
    title: "Usage",
    path: () => "usage",
    isWhole: true,
    rows: ({ days }) => days,
    charts: usageCharts,
    none: "Nothing was used in these days.",
    fields: [
      { name: "since", label: "From", type: "date" },
      { name: "until", label: "To", type: "date" },
      { name: "agent", label: "Agent", choices: (data) => names(data?.agents) },
      { name: "model", label: "Model", choices: (data) => names(data?.models) },
    ],
    columns: [
      ["Day", (day) => day.date],
      ["Users", (day) => (day.users === undefined ? "" : number(day.users))],
      ["Runs", (day) => number(day.runs)],
      ["Input tokens", (day) => number(day.prompt_tokens)],
      ["Output tokens", (day) => number(day.completion_tokens)],
      ["Cost", (day) => cost(day.cost_micros)],
      ["Runs without a price", (day) => number(day.unpriced_runs)],
    ],
  },
  {
    key: "top-users",
    title: "Top users",
    path: () => "usage/users",
    none: "Nobody used anything in this month.",
    fields: [{ name: "month_of", label: "A day of the month", type: "date" }],
    columns: [
      ["User", (user) => user.email ?? user.user_id],
      ["Cost", (user) => cost(user.cost_micros)],
      ["Tokens", (user) => number(user.tokens)],
      ["Runs", (user) => number(user.runs)],
      ["Runs without a price", (user) => number(user.unpriced_runs)],
    ],
    acts: (user) => [{ label: "Conversations", words: `Conversations of ${user.email ?? user.user_id}`, open: ["threads", { user_id: user.user_id }] }],
  },
  {
    key: "budgets",
    title: "Budgets",
    path: () => "budgets/users",
    above: async (list) => {
      const { data } = await list("budgets");
      const lines = data.shared.flatMap(budgetLines);
      return [
        lines.length > 0 && element("figure", {}, element("figcaption", {}, "Shared budgets today"), element("ul", { class: "meters" }, lines)),
        data.users.length > 0 && userLimits(data.users),
      ];
    },
    none: "No user is near a budget.",
    fields: [{ name: "percent", label: "Used, in percent, at least", type: "number", min: 1, max: 100, value: "80" }],
    columns: [
      ["User", (user) => user.email ?? user.user_id],
      ["Class", (user) => user.class],
      ["Used", (user) => `${number(user.percent)} %`],
      ["Tokens", (user) => share(user.tokens, number)],
      ["Cost", (user) => share(user.cost_micros, cost)],
    ],
  },
];
