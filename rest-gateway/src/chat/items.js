// Items of a thread, each drawn as an entry of the log.

import { element, webLink } from "./dom.js";
import { formatted, showText } from "./format.js";
import { icon, iconButton } from "./icons.js";
import { drawQuestions } from "./questions.js";
import { own } from "./server.js";
import { drawWidget } from "./widgets.js";

/** How each type of item is drawn. A type that is not here has nothing to show. */
const DRAWN = {
  user_message: drawUserMessage,
  assistant_message: drawAssistantMessage,
  workflow: drawWorkflow,
  task: ({ task }) => element("ul", { class: "tasks" }, drawTask(task)),
  widget: (item, does) => drawWidget(item, does),
  structured_input: drawQuestions,
  client_tool_call: drawClientToolCall,
  generated_image: drawGeneratedImage,
  notice: drawNotice,
};

/** An item as an entry; null when there is nothing to show. `does` is what its buttons do. */
export function drawItem(item, does) {
  const content = DRAWN[item.type]?.(item, does);
  return content ? element("li", { class: `item ${item.type}`, "data-item": item.id }, content) : null;
}

/** Shows more of the text of a message that is drawn already. */
export function growMessage(node, { content }, contentIndex) {
  const text = node.querySelectorAll(".text")[contentIndex];
  if (text) showText(text, content[contentIndex].text);
}

/** Files of a message, or on their way into one. */
export function drawAttachment({ name, preview_url: preview }, ...more) {
  const picture = preview
    ? element("img", { src: own(preview), alt: "", loading: "lazy" })
    : element("span", { class: "file-icon" }, icon("document"));
  return element("li", { class: "attachment" }, picture, element("span", { class: "name" }, name), ...more);
}

function drawUserMessage({ content, attachments, quoted_text: quoted }) {
  const words = content.map(({ text }) => text).join("");
  return [
    element("h3", { class: "hidden" }, "You"),
    quoted && element("blockquote", {}, quoted),
    attachments?.length > 0 &&
      element(
        "ul",
        { class: "attachments" },
        attachments.map((file) => drawAttachment(file)),
      ),
    words !== "" && element("p", { class: "text bubble" }, words),
  ];
}

function drawAssistantMessage(item, does) {
  return [
    element("h3", { class: "hidden" }, "Assistant"),
    item.content.map(({ text, annotations }) => [formatted(text), drawSources(annotations ?? [])]),
    element(
      "div",
      { class: "actions", role: "group", "aria-label": "About this answer" },
      // Browsers have it only where the page came by HTTPS or from this machine.
      navigator.clipboard && iconButton("copy", "Copy", { click: () => does.copy(item) }),
      rating(item, "positive", "thumbsUp", "Good answer", does),
      rating(item, "negative", "thumbsDown", "Bad answer", does),
      iconButton("reload", "Answer again", { click: () => does.retry(item) }),
    ),
  ];
}

function rating(item, kind, name, label, does) {
  const click = async ({ currentTarget: button }) => {
    if (!(await does.rate(item, kind))) return;
    for (const other of button.parentNode.querySelectorAll("[aria-pressed]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  };
  return iconButton(name, label, { "aria-pressed": "false", click });
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
  const isAtWork = tasks.some(({ status_indicator: status }) => status === "loading");
  const title = element("summary", {}, spinner(isAtWork), summaryOf(workflow, isAtWork));
  return element("details", { open: expanded }, title, element("ul", { class: "tasks" }, tasks.map(drawTask)));
}

function summaryOf({ summary, tasks, type }, isAtWork) {
  if (summary?.title) return summary.title;
  const seconds = summary?.duration > 0 ? `${summary.duration} s` : null;
  if (type === "reasoning" && summary) return seconds ? `Thought for ${seconds}` : "Thought";
  const isMany = tasks.length > 1 && !isAtWork;
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

/** How far an entry is. One that does not say, such as a thought, has no mark. */
function markOf({ status_indicator: status, icon: name }) {
  if (status === "loading") return spinner(true);
  const shown = name ?? (status === "complete" ? "check" : null);
  return shown && icon(shown);
}

function spinner(isAtWork) {
  return isAtWork && element("span", { class: "spinner", role: "img", "aria-label": "At work" });
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

function drawNotice(item, does) {
  const { level, title, message, mayRetry } = item;
  return element(
    "div",
    { class: `notice ${level}`, role: level === "danger" ? "alert" : "note" },
    element("div", {}, title && element("strong", {}, title), formatted(message)),
    mayRetry && element("button", { type: "button", click: () => does.retry(item) }, "Try again"),
  );
}
