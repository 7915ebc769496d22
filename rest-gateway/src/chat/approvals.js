// Tool calls that wait for approval: a card with the call and its arguments, and buttons. Later, what was decided.

import { element } from "./dom.js";

const OUTCOMES = {
  approved: "You approved this call.",
  approved_always: "You approved this call, and those of this tool in this conversation.",
  edited: "You changed the arguments and approved this call.",
  refused: "You refused this call.",
  expired: "This call was not approved in time. It was not made.",
  abandoned: "You went on without approving this call. It was not made.",
};

/** Draws a structured input with an `approval`. */
export function drawApproval(item, handlers) {
  const { approval, status } = item;
  const call = [
    element("strong", {}, `Call ${approval.tool}?`),
    element("pre", { class: "arguments" }, textOf(approval.edited_arguments ?? approval.arguments)),
  ];
  if (status !== "pending") {
    const outcome = OUTCOMES[approval.outcome] ?? "This call was not made.";
    return element("div", { class: "approval card" }, call, element("p", { class: "outcome" }, outcome));
  }
  const attributes = { class: "approval card", role: "group", "aria-label": "Approval" };
  return element("div", attributes, call, drawForm(item, handlers));
}

function drawForm(item, handlers) {
  const { approval } = item;
  const problem = element("p", { class: "hint problem", role: "alert" });
  const editor = element("textarea", { rows: 6, "aria-label": "Arguments", spellcheck: "false" });
  editor.value = textOf(approval.arguments);
  const send = (decision, more = {}) => {
    const answer = (value) => ({ values: [value], skipped: false });
    const given = { decision, ...more };
    const answers = Object.fromEntries(Object.entries(given).map(([id, value]) => [id, answer(value)]));
    handlers.answer(item, { status: "answered", answers });
  };
  const button = (name, words, click) => {
    const style = name === "approve" && "primary";
    return element("button", { type: "button", class: style, "data-decision": name, click }, words);
  };
  const sendEdited = () => {
    if (!isObject(editor.value)) {
      problem.textContent = "The arguments must be a JSON object.";
      return;
    }
    send("edit", { arguments: editor.value });
  };
  const edit = element(
    "div",
    { class: "edit", hidden: true },
    editor,
    problem,
    button("send_edited", "Approve with these arguments", sendEdited),
  );
  const showEditor = () => {
    edit.hidden = false;
    editor.focus();
  };
  return [
    element(
      "div",
      { class: "buttons" },
      button("approve", "Approve", () => send("approve")),
      button("approve_always", "Always in this conversation", () => send("approve_always")),
      button("edit", "Edit", showEditor),
      button("refuse", "Refuse", () => send("refuse")),
    ),
    edit,
  ];
}

function textOf(value) {
  return JSON.stringify(value, null, 2);
}

function isObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
