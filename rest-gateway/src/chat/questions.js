// Questions of the assistant: a form while they are open, the answers after that.

import { drawApproval } from "./approvals.js";
import { element } from "./dom.js";

export function drawQuestions(item, handlers) {
  if (item.approval) return drawApproval(item, handlers);
  return item.status === "pending" ? drawForm(item, handlers) : drawAnswers(item);
}

function drawForm(item, handlers) {
  const fields = item.inputs.map((input) =>
    input.type === "multiple_choice" ? drawChoice(input, item.id) : drawFreeform(input, item.id),
  );
  const submit = (event) => {
    event.preventDefault();
    handlers.answer(item, { status: "answered", answers: answersIn(event.currentTarget, item.inputs) });
  };
  const skip = () => handlers.answer(item, { status: "skipped", answers: {} });
  return element(
    "form",
    { class: "questions card", submit },
    fields,
    element(
      "div",
      { class: "buttons" },
      element("button", { type: "submit", class: "primary" }, "Send answers"),
      element("button", { type: "button", click: skip }, "Skip"),
    ),
  );
}

function drawFreeform({ id, question, description }, itemId) {
  const field = `${itemId}-${id}`;
  return element(
    "div",
    { class: "field" },
    element("label", { for: field }, question),
    description && element("p", { class: "hint" }, description),
    element("textarea", { id: field, name: id, rows: 2 }),
  );
}

function drawChoice({ id, question, options, multiple }, itemId) {
  const type = multiple ? "checkbox" : "radio";
  const choices = options.map(({ value }) =>
    element("label", { class: "choice" }, element("input", { type, name: id, value }), value),
  );
  const other = `${itemId}-${id}-other`;
  return element(
    "fieldset",
    {},
    element("legend", {}, question),
    choices,
    element("label", { class: "hint", for: other }, "Something else"),
    element("input", { id: other, type: "text", name: `${id}-other` }),
  );
}

/** Returns the answers of a form, by the id of the question. A question without an answer is skipped. */
function answersIn(form, inputs) {
  const data = new FormData(form);
  const valuesOf = (name) =>
    data
      .getAll(name)
      .map((value) => value.trim())
      .filter((value) => value !== "");
  const answer = ({ id, multiple }) => {
    const other = valuesOf(`${id}-other`);
    // If only one answer is allowed, written text has precedence over the choice.
    const values = other.length > 0 && !multiple ? other : [...valuesOf(id), ...other];
    return [id, { values, skipped: values.length === 0 }];
  };
  return Object.fromEntries(inputs.map(answer));
}

function drawAnswers({ inputs }) {
  const rows = inputs.flatMap(({ question, answer }) => [
    element("dt", {}, question),
    element("dd", { class: "text" }, answer?.values?.length > 0 ? answer.values.join(", ") : "No answer"),
  ]);
  return element("dl", { class: "questions card" }, rows);
}
