// The parts of the console: the REST row of each, and its columns as `[title, cell]`.

import { AGENTS_PART } from "./agents.js";
import { barChart, eachStep, HOUR_MS } from "./chart.js";
import { duration, number, time } from "./format.js";
import { KEYS_PART, MAX_ITEMS, PEOPLE_PARTS, words } from "./people.js";
import { USAGE_PARTS } from "./usage.js";

function failureChart({ hours }, { hours: asked }) {
  const last = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const range = { first: last - (Number(asked ?? 24) - 1) * HOUR_MS, last, step: HOUR_MS };
  const bars = eachStep(hours, ({ hour }) => Date.parse(hour), range).map(([at, { count } = { count: 0 }]) => {
    const label = time(new Date(at).toISOString());
    return { label, value: count, text: `${label}: ${number(count)} failures` };
  });
  return [barChart("Failures per hour", bars, number)];
}

/**
 * The parts.
 *
 * - `path(values)` is the REST row below `api/v1/admin/`, for the values of the fields. Without one, `ask` is shown.
 * - `fields` are filters. They are parameters of the row, except those `inPath`.
 * - `limit(values)` is the number of rows of a page, if it is not the usual one.
 * - `isWhole` says that the row has no pages; `rows(data)` are its rows then.
 * - `charts(data, values)` and `above(list)` are shown over the table.
 * - `acts(row)` are buttons: each opens another part, or requests a change, after a question if it has `confirm` or `ask`. The
 *   response is the changed row, or the row is removed if the button `removes` it.
 * - `whole` are such buttons that belong to no row: the part is loaded again after a change.
 * - `create` is a form that makes something, or asks something: `told(data)` is shown. It is emptied unless it `keeps` its text.
 */
export const PARTS = [
  {
    key: "runs",
    title: "Live runs",
    path: () => "runs",
    none: "No run is active.",
    columns: [
      ["Run", (run) => run.id],
      ["User", (run) => run.email ?? run.user_id],
      ["Agent", (run) => run.agent],
      ["Model", (run) => run.model ?? "default"],
      ["Age", (run) => duration(run.age_ms)],
      ["Tokens so far", (run) => (run.tokens === undefined ? "not known" : number(run.tokens))],
      ["Lease owner", (run) => run.lease_owner],
    ],
    acts: (run) => [{ label: "Cancel", words: `Cancel the run ${run.id}?`, confirm: true, path: `runs/${run.id}/cancel`, removes: true }],
  },
  ...USAGE_PARTS,
  ...PEOPLE_PARTS,
  {
    key: "feedback",
    title: "Feedback",
    path: () => "feedback",
    limit: ({ include_content: isWithContent }) => (isWithContent ? MAX_ITEMS : undefined),
    none: "No answer was rated.",
    fields: [
      { name: "kind", label: "Kind", choices: () => ["positive", "negative"] },
      { name: "include_content", label: "With the answers (the audit log gets entries)", type: "checkbox", value: "true" },
    ],
    columns: [
      ["Time", (rating) => time(rating.created_at)],
      ["Kind", (rating) => rating.kind],
      ["Answer", ({ item }) => item && words(item)],
      ["User", (rating) => rating.user_id],
      ["Session", (rating) => rating.thread_id],
      ["Item", (rating) => rating.item_id],
    ],
  },
  {
    key: "errors",
    title: "Errors",
    path: () => "errors",
    isWhole: true,
    rows: ({ errors }) => errors,
    charts: failureChart,
    none: "Nothing has failed in this time.",
    fields: [{ name: "hours", label: "Hours back", type: "number", min: 1, max: 720, value: "24" }],
    columns: [
      ["Kind", (error) => error.kind],
      ["Name", (error) => error.name],
      ["Code", (error) => error.code],
      ["Count", (error) => number(error.count)],
      ["Last in the hour", (error) => time(error.last_hour)],
    ],
  },
  {
    key: "processes",
    title: "Replicas",
    path: () => "processes",
    isWhole: true,
    rows: ({ processes }) => processes,
    none: "No process was seen in the last hour.",
    columns: [
      ["Process", (process) => (process.is_this ? `${process.id} (this one)` : process.id)],
      ["State", (process) => process.state],
      ["Machine", (process) => process.host],
      ["Address", (process) => process.address],
      ["Version", (process) => process.version],
      ["Since", (process) => time(process.started_at)],
      ["Last seen", (process) => time(process.seen_at)],
      ["Live runs", (process) => number(process.live_runs)],
      ["Leases until", (process) => time(process.lease_expires_at)],
    ],
  },
  KEYS_PART,
  AGENTS_PART,
  {
    key: "audit",
    title: "Audit log",
    path: () => "audit-log",
    none: "The audit log is empty.",
    fields: [{ name: "user_id", label: "About user id", maxlength: 36 }],
    columns: [
      ["Time", (entry) => time(entry.at)],
      ["Actor", (entry) => entry.actor],
      ["Action", (entry) => entry.action],
      ["Outcome", (entry) => entry.outcome],
      ["About user", (entry) => entry.user_id],
      ["Address", (entry) => entry.address],
    ],
  },
  {
    key: "settings",
    title: "Settings",
    path: () => "settings",
    isWhole: true,
    rows: ({ settings }) => settings,
    none: "There are no settings.",
    columns: [
      ["Setting", (setting) => setting.name],
      ["Value", (setting) => (setting.is_secret ? (setting.is_set ? "(secret)" : "") : setting.value)],
      ["Set", (setting) => (setting.is_set ? "yes" : "default")],
      ["Group", (setting) => setting.group],
    ],
  },
];
