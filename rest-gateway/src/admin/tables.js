// What each part of the console lists: the REST row, and the columns as `[title, cell]`.

import { bytes, cost, duration, number, time } from "./format.js";

/** The parts. `act` of a row is its button: `{ label, path, confirm }`. */
export const PARTS = [
  {
    key: "runs",
    title: "Live runs",
    list: "runs",
    none: "No run is active.",
    columns: [
      ["Run", (run) => run.id],
      ["User", (run) => run.email ?? run.user_id],
      ["Agent", (run) => run.agent],
      ["Model", (run) => run.model ?? "default"],
      ["Age", (run) => duration(run.age_ms)],
      ["Lease owner", (run) => run.lease_owner],
    ],
    act: (run) => ({ label: "Cancel", path: `runs/${run.id}/cancel`, confirm: `Cancel the run ${run.id}?` }),
  },
  {
    key: "users",
    title: "Users",
    list: "users",
    search: true,
    none: "No user was found.",
    columns: [
      ["Email", (user) => user.email ?? user.id],
      ["State", (user) => (user.disabled_at ? `disabled since ${time(user.disabled_at)}` : "enabled")],
      ["Created", (user) => time(user.created_at)],
      ["Roles", (user) => user.roles.join(", ")],
      ["Sessions", (user) => number(user.sessions)],
      ["Attachments", (user) => bytes(user.attachment_bytes)],
    ],
    act: (user) =>
      user.disabled_at
        ? { label: "Enable", path: `users/${user.id}/enable`, confirm: `Enable ${user.email ?? user.id}?` }
        : { label: "Disable", path: `users/${user.id}/disable`, confirm: `Disable ${user.email ?? user.id}?` },
  },
  {
    key: "usage",
    title: "Usage",
    list: "usage",
    chart: true,
    none: "Nothing was used in the last 30 days.",
    columns: [
      ["Day", (day) => day.date],
      ["Users", (day) => number(day.users)],
      ["Runs", (day) => number(day.runs)],
      ["Input tokens", (day) => number(day.prompt_tokens)],
      ["Output tokens", (day) => number(day.completion_tokens)],
      ["Cost", (day) => cost(day.cost_micros)],
    ],
  },
  {
    key: "feedback",
    title: "Feedback",
    list: "feedback",
    none: "No answer was rated.",
    columns: [
      ["Time", (rating) => time(rating.created_at)],
      ["Kind", (rating) => rating.kind],
      ["User", (rating) => rating.user_id],
      ["Session", (rating) => rating.thread_id],
      ["Item", (rating) => rating.item_id],
    ],
  },
  {
    key: "keys",
    title: "API keys",
    list: "keys",
    none: "There is no service key.",
    columns: [
      ["Name", (key) => key.name],
      ["State", (key) => (key.revoked_at ? `revoked ${time(key.revoked_at)}` : "valid")],
      ["Expires", (key) => time(key.expires_at) || "never"],
      ["Methods", (key) => key.methods.join(", ")],
      ["Users", (key) => key.users.join(", ")],
      ["Last use", (key) => time(key.last_used_at) || "never"],
    ],
  },
  {
    key: "audit",
    title: "Audit log",
    list: "audit-log",
    none: "The audit log is empty.",
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
    list: "settings",
    none: "There are no settings.",
    columns: [
      ["Setting", (setting) => setting.name],
      ["Value", (setting) => (setting.is_secret ? (setting.is_set ? "(secret)" : "") : setting.value)],
      ["Set", (setting) => (setting.is_set ? "yes" : "default")],
      ["Group", (setting) => setting.group],
    ],
  },
];
