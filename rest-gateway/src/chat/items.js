// Draws the items of a thread as entries of the log.

import { element, webLink } from "./dom.js";
import { formatted, showText } from "./format.js";
import { icon, iconButton } from "./icons.js";
import { drawQuestions } from "./questions.js";
import { relativeUrl } from "./server.js";
import { drawWidget } from "./widgets.js";

/** Draws an item, by its type. Other types have nothing to show. */
const DRAW = {
  user_message: drawUserMessage,
  assistant_message: drawAssistantMessage,
  workflow: drawWorkflow,
  task: ({ task }) => element("ul", { class: "tasks" }, drawTask(task)),
  widget: (item, handlers) => drawWidget(item, handlers),
  structured_input: drawQuestions,
  client_tool_call: drawClientToolCall,
  generated_image: drawGeneratedImage,
  notice: drawNotice,
};

/** Draws an item; null if it has nothing to show. `handlers` are called by its buttons. */
export function drawItem(item, handlers) {
  const content = DRAW[item.type]?.(item, handlers);
  return content ? element("article", { class: `item ${item.type}`, "data-item": item.id }, content) : null;
}

/** Updates the text of a message that is drawn already. */
export function growMessage(node, { content }, contentIndex) {
  const text = node.querySelectorAll(".text")[contentIndex];
  if (text) showText(text, content[contentIndex].text);
}

/** Draws a file of a message, or of the composer. */
export function drawAttachment({ name, preview_url: preview }, ...more) {
  const picture = preview
    ? element("img", { src: relativeUrl(preview), alt: "", loading: "lazy" })
    : element("span", { class: "file-icon" }, icon("document"));
  return element("li", { class: "attachment" }, picture, element("span", { class: "name" }, name), ...more);
}

function drawUserMessage(item, handlers) {
  const { content, attachments, quoted_text: quoted } = item;
  const words = content.map(({ text }) => text).join("");
  return [
    element("h2", { class: "hidden" }, "You"),
    quoted?.trim() && element("blockquote", {}, quoted),
    attachments?.length > 0 &&
      element(
        "ul",
        { class: "attachments" },
        attachments.map((file) => drawAttachment(file)),
      ),
    words !== "" && element("p", { class: "text bubble", dir: "auto" }, words),
    words !== "" &&
      element(
        "div",
        { class: "actions", role: "group", "aria-label": "About this message" },
        iconButton("write", "Edit and send again", { click: () => handlers.edit(item) }),
      ),
  ];
}

function drawAssistantMessage(item, handlers) {
  return [
    element("h2", { class: "hidden" }, "Assistant"),
    item.content.map(({ text, annotations }) => [formatted(text), drawSources(annotations ?? [])]),
    drawIncomplete(item, handlers),
    element(
      "div",
      { class: "actions", role: "group", "aria-label": "About this answer" },
      // Browsers only have a clipboard on HTTPS and on localhost.
      navigator.clipboard && iconButton("copy", "Copy", { click: () => handlers.copy(item) }),
      rating(item, "positive", "thumbsUp", "Good answer", handlers),
      rating(item, "negative", "thumbsDown", "Bad answer", handlers),
      iconButton("reload", "Answer again", { click: () => handlers.retry(item) }),
    ),
  ];
}

/** What the user reads below an incomplete answer, by its finish reason, and whether the model can continue it. */
const INCOMPLETE = {
  length: { words: "This answer is incomplete: it reached the length limit.", canContinue: true },
  content_filter: { words: "This answer is incomplete: a content filter stopped it.", canContinue: true },
  turn_limit: { words: "This answer is incomplete: the assistant reached the limit of tool calls.", canContinue: true },
  refusal: { words: "The language model refused to answer.", canContinue: false },
};

function drawIncomplete({ finish_reason: reason }, handlers) {
  const incomplete = INCOMPLETE[reason];
  return (
    incomplete &&
    element(
      "div",
      { class: "notice warning incomplete", role: "note" },
      element("span", {}, incomplete.words),
      incomplete.canContinue &&
        element("button", { type: "button", click: () => handlers.continueAnswer() }, "Continue"),
    )
  );
}

function rating(item, kind, name, label, handlers) {
  const click = async ({ currentTarget: button }) => {
    if (!(await handlers.rate(item, kind))) return;
    for (const other of button.parentNode.querySelectorAll("[aria-pressed]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  };
  return iconButton(name, label, { "aria-pressed": String(handlers.ratingOf(item) === kind), click });
}

function drawSources(annotations) {
  const sources = annotations.filter(Boolean).map(({ source }) => source);
  if (sources.length === 0) return null;
  return element(
    "ol",
    { class: "sources", "aria-label": "Sources" },
    sources.map((one) => element("li", {}, drawSource(one))),
  );
}

function drawSource({ type, title, url, filename, description }) {
  if (type === "url") return webLink(url, title || url, { title: description });
  return element("span", { title: description }, title || filename);
}

function drawWorkflow({ workflow }) {
  const { tasks, expanded } = workflow;
  const isLoading = tasks.some(({ status_indicator: status }) => status === "loading");
  const title = element("summary", {}, spinner(isLoading), summaryOf(workflow, isLoading));
  return element("details", { open: expanded }, title, element("ul", { class: "tasks" }, tasks.map(drawTask)));
}

function summaryOf({ summary, tasks, type }, isLoading) {
  if (summary?.title) return summary.title;
  const seconds = summary?.duration > 0 ? `${summary.duration} s` : null;
  if (type === "reasoning" && summary) return seconds ? `Thought for ${seconds}` : "Thought";
  const isMany = tasks.length > 1 && !isLoading;
  const words = isMany
    ? `${tasks.length} steps`
    : (tasks.at(-1)?.title ?? (type === "reasoning" ? "Thinking" : "Working"));
  return seconds ? `${words}, ${seconds}` : words;
}

function drawTask(task) {
  const { type, title, content, queries, sources } = task;
  return element(
    "li",
    { class: "task" },
    markOf(task),
    element(
      "div",
      {},
      title && element("strong", {}, title),
      content && formatted(content),
      type === "web_search" && queries?.map((query) => element("p", { class: "text" }, query)),
      sources?.length > 0 &&
        element(
          "ul",
          { class: "sources" },
          sources.map((one) => element("li", {}, drawSource(one))),
        ),
    ),
  );
}

/** Draws the state of a task. A task without a state, such as a thought, has no mark. */
function markOf({ status_indicator: status, icon: name }) {
  if (status === "loading") return spinner(true);
  const shown = name ?? (status === "complete" ? "check" : null);
  return shown && icon(shown);
}

function spinner(isLoading) {
  return isLoading && element("span", { class: "spinner", role: "img", "aria-label": "At work" });
}

function drawClientToolCall({ name, status }) {
  const words =
    status === "pending"
      ? `The assistant called ${name}, a tool this page does not have. Say something to go on.`
      : `Called ${name}.`;
  return element("p", { class: "notice info" }, words);
}

function drawGeneratedImage({ image }) {
  if (!image) return element("p", { class: "notice info" }, spinner(true), "Making an image");
  return element("img", { src: image.url, alt: "An image the assistant made" });
}

function drawNotice(item, handlers) {
  const { level, title, message, mayRetry } = item;
  return element(
    "div",
    { class: `notice ${level}`, role: level === "danger" ? "alert" : "note" },
    element("div", {}, title && element("strong", {}, title), formatted(message)),
    mayRetry && element("button", { type: "button", click: () => handlers.retry(item) }, "Try again"),
  );
}
