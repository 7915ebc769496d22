// The part of the console about the agents file: what is loaded, checking a text, loading the file again.

import { element } from "./dom.js";
import { time } from "./format.js";

/** The part. See tables.js. */
export const AGENTS_PART = {
  key: "agents",
  title: "Agents",
  path: () => "agents-file",
  isWhole: true,
  rows: (file) => file.agents.map((name) => ({ name, isDefault: name === file.default })),
  charts: ({ path, loaded_at: at, text }) => [
    element("p", {}, path ? `${path}, loaded ${time(at)} by the process that answers` : "There is no agents file: AGENTS_FILE is not set."),
    text && element("pre", { tabindex: "0", role: "region", "aria-label": "Agents file as loaded" }, text),
  ],
  none: "There are no agents.",
  columns: [
    ["Agent", ({ name }) => name],
    ["Default", ({ isDefault }) => (isDefault ? "yes" : "")],
  ],
  whole: [{ label: "Load the agents file again", words: "Load the agents file again?", confirm: true, path: "agents-file/reload" }],
  create: {
    title: "Check a text",
    path: "agents-file/check",
    fields: [{ name: "text", label: "Text of an agents file", isLong: true, required: true, maxlength: 500_000 }],
    keeps: true,
    body: ({ text }) => ({ text }),
    told: ({ is_valid: isValid, problem, agents }) => (isValid ? `The text is valid. Agents: ${agents.join(", ")}` : problem),
  },
};
