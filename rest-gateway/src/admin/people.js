// Parts of the console about users, their conversations, and service keys.

import { bytes, number, time } from "./format.js";

const nameOf = (user) => user.email ?? user.id;

const split = (text) => text.split(/[\s,]+/u).filter(Boolean);

function userActs(user) {
  const name = nameOf(user);
  const disable = user.disabled_at ? "enable" : "disable";
  const label = user.disabled_at ? "Enable" : "Disable";
  return [
    { label, words: `${label} ${name}?`, confirm: true, path: `users/${user.id}/${disable}` },
    { label: "Conversations", words: `Conversations of ${name}`, open: ["threads", { user_id: user.id }] },
    {
      label: "Budget class",
      words: `Budget class of ${name}. Empty takes it away.`,
      ask: user.budget_class ?? "",
      method: "PUT",
      path: `users/${user.id}/budget-class`,
      body: (answer) => (answer.trim() ? { class: answer.trim() } : {}),
    },
  ];
}

/** Maximum number of items of a page, which may be long. */
export const MAX_ITEMS = 20;

/** Returns what an item says: its text, or what kind it is. */
export function words(item) {
  const texts = (item.content ?? []).map((part) => part.text).filter(Boolean);
  return texts.length > 0 ? texts.join("\n") : `(${item.type})`;
}

/** The parts. See tables.js. */
export const PEOPLE_PARTS = [
  {
    key: "users",
    title: "Users",
    path: () => "users",
    none: "No user was found.",
    fields: [{ name: "email_prefix", id: "prefix", label: "Email begins with", maxlength: 254 }],
    columns: [
      ["Email", nameOf],
      ["State", (user) => (user.disabled_at ? `disabled since ${time(user.disabled_at)}` : "enabled")],
      ["Created", (user) => time(user.created_at)],
      ["Roles", (user) => user.roles.join(", ")],
      ["Budget class", (user) => user.budget_class],
      ["Sessions", (user) => number(user.sessions)],
      ["Attachments", (user) => bytes(user.attachment_bytes)],
    ],
    acts: userActs,
  },
  {
    key: "threads",
    title: "Conversations",
    path: ({ user_id: id }) => id && `users/${encodeURIComponent(id)}/threads`,
    inPath: ["user_id"],
    ask: "Enter the id of a user, or choose Conversations in the list of users.",
    none: "The user has no conversation.",
    fields: [{ name: "user_id", label: "User id", maxlength: 36 }],
    columns: [
      ["Session", (thread) => thread.id],
      ["Messages", (thread) => number(thread.messages)],
      ["Open", (thread) => (thread.is_open ? "yes" : "no")],
      ["Created", (thread) => time(thread.created_at)],
      ["Changed", (thread) => time(thread.updated_at)],
    ],
    acts: (thread) => [
      {
        label: "Read",
        words: `Read the conversation ${thread.id}? The audit log gets an entry.`,
        confirm: true,
        open: ["items", { thread_id: thread.id }],
      },
    ],
  },
  {
    key: "items",
    title: "Messages",
    path: ({ thread_id: id }) => id && `threads/${encodeURIComponent(id)}/items`,
    inPath: ["thread_id"],
    limit: () => MAX_ITEMS,
    ask: "Enter the id of a session, or choose Read in the list of conversations. The audit log gets an entry.",
    none: "The conversation is empty.",
    fields: [{ name: "thread_id", label: "Session id", maxlength: 36 }],
    columns: [
      ["Time", (item) => time(item.created_at)],
      ["Kind", (item) => item.type],
      ["Text", words],
    ],
  },
];

/** Service keys. */
export const KEYS_PART = {
  key: "keys",
  title: "API keys",
  path: () => "keys",
  none: "There is no service key.",
  columns: [
    ["Name", (key) => key.name],
    ["State", (key) => (key.revoked_at ? `revoked ${time(key.revoked_at)}` : "valid")],
    ["Expires", (key) => time(key.expires_at) || "never"],
    ["Methods", (key) => key.methods.join(", ")],
    ["Users", (key) => key.users.join(", ")],
    ["Last use", (key) => time(key.last_used_at) || "never"],
  ],
  acts: (key) =>
    key.revoked_at ? [] : [{ label: "Revoke", words: `Revoke the key ${key.name} for good?`, confirm: true, path: `keys/${key.id}/revoke` }],
  create: {
    title: "Create a key",
    path: "keys",
    fields: [
      { name: "name", label: "Name", required: true, maxlength: 100 },
      { name: "methods", label: "Methods, such as threads.*", required: true },
      { name: "users", label: "Users: ids, or *", required: true },
      { name: "expires_days", label: "Days until it expires", type: "number", min: 1, max: 3650 },
    ],
    body: ({ name, methods, users, expires_days: days }) => ({
      name,
      methods: split(methods),
      users: split(users),
      ...(days && { expires_days: Number(days) }),
    }),
    told: ({ secret }) => `The key is told only now: ${secret}`,
  },
};
