// Shows Markdown, as models write it. The parser returns tokens, and this file makes elements of them: HTML in a text
// stays text.

import { element, webLink } from "./dom.js";
import { iconButton } from "./icons.js";
import { lowlight, MarkdownIt } from "./markdown-bundle.js";
import { drawMath, withMath } from "./math.js";

const markdown = new MarkdownIt({ html: false, linkify: true });
// Otherwise "main.rs" becomes a link to a server in Serbia.
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
withMath(markdown);

/** Code that is longer is not highlighted, in characters: it would slow the page down while it is streamed. */
const MAX_HIGHLIGHTED = 20_000;

/**
 * Shows a text in a node. Blocks that have not changed since the last call stay: a selection in them is kept, and long
 * answers stay fast.
 */
export function showText(node, text) {
  const environment = {};
  const tokens = markdown.parse(text, environment);
  const lines = text.split("\n");
  // A definition of a link, which can stand below its use, changes other blocks.
  const definitions = Object.keys(environment.references ?? {}).join();
  const blocks = blocksOf(tokens);
  blocks.forEach((block, at) => {
    const [from, to] = block[0].map;
    const source = `${definitions}\n${lines.slice(from, to).join("\n")}`;
    const old = node.children[at];
    if (old?.source === source) return;
    const [drawn] = draw(block);
    drawn.source = source;
    if (old) old.replaceWith(drawn);
    else node.append(drawn);
  });
  while (node.children.length > blocks.length) node.lastChild.remove();
}

/** Makes an element that shows a text. */
export function formatted(text) {
  const node = element("div", { class: "text formatted" });
  showText(node, text);
  return node;
}

/** Splits the tokens of a text into those of its outermost blocks. */
function blocksOf(tokens) {
  const blocks = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0) blocks.push([]);
    blocks.at(-1).push(token);
    depth += token.nesting;
  }
  return blocks;
}

/** Draws tokens. Returns the nodes. */
function draw(tokens) {
  const root = { children: [] };
  const open = [root];
  for (const token of tokens) {
    if (token.nesting === 1) open.push({ token, children: [] });
    else if (token.nesting === 0) open.at(-1).children.push(...drawLeaf(token));
    else {
      const { token: opening, children } = open.pop();
      open.at(-1).children.push(...drawPair(opening, children));
    }
  }
  return root.children;
}

/**
 * Draws the content of a pair of tokens, such as `strong_open` and `strong_close`.
 *
 * An outermost block, such as a table, has the direction of its first words. Blocks inside of it have no `dir`: that would hide
 * their words from it. See `unicode-bidi` in base.css.
 */
function drawPair(token, children) {
  const dir = token.block && token.level === 0 && "auto";
  // Paragraphs of a list without empty lines.
  if (token.hidden) return children;
  if (token.type === "link_open") return [webLink(token.attrGet("href"), children)];
  if (token.type === "heading_open") return [drawHeading(token, dir, children)];
  if (token.type === "table_open") return [drawTable(dir, children)];
  if (token.type === "th_open" || token.type === "td_open") return [drawCell(token, children)];
  if (token.type === "ordered_list_open") return [element("ol", { start: token.attrGet("start"), dir }, children)];
  if (token.type === "list_item_open") return [element("li", {}, children)];
  return [element(token.tag, { dir }, children)];
}

function drawLeaf(token) {
  switch (token.type) {
    case "inline":
      return draw(token.children);
    case "text":
      return [token.content];
    case "softbreak":
      return ["\n"];
    case "hardbreak":
      return [element("br")];
    case "code_inline":
      return [element("code", { dir: "ltr" }, token.content)];
    case "fence":
    case "code_block":
      return [drawCode(token)];
    case "math_inline":
      return [drawMath(token.content, token.markup === "$$" || token.markup === "\\[")];
    case "math_block":
      return [drawMath(token.content, true)];
    case "hr":
      return [element("hr")];
    // An image is only a link: loading it would tell another server that the text was read.
    case "image":
      return [webLink(token.attrGet("src"), token.content || token.attrGet("src"))];
    default:
      return [token.content];
  }
}

/** Draws a heading. The page has two levels of its own above those of a text. */
function drawHeading({ tag }, dir, children) {
  const level = Math.min(Number(tag.slice(1)) + 2, 6);
  return element(`h${level}`, { dir }, children);
}

/** Draws a table, in a box that scrolls where the table is wider than the page. */
function drawTable(dir, children) {
  const table = element("table", { dir }, children);
  return element("div", { class: "table", tabindex: 0, role: "group", "aria-label": "Table" }, table);
}

const ALIGNMENTS = { left: "start", center: "center", right: "end" };

function drawCell(token, children) {
  const cell = element(token.tag, { scope: token.tag === "th" && "col" }, children);
  const [, align] = /text-align: *(\w+)/.exec(token.attrGet("style") ?? "") ?? [];
  cell.style.textAlign = ALIGNMENTS[align] ?? "start";
  return cell;
}

/** Draws a block of code, with a button that copies it. */
function drawCode({ info, content }) {
  const [language] = info.trim().split(/\s+/);
  const code = content.replace(/\n$/, "");
  // Browsers only have a clipboard on HTTPS and on localhost.
  const copy = navigator.clipboard && iconButton("copy", "Copy code", { click: ({ currentTarget }) => copyCode(currentTarget, code) });
  return element(
    "div",
    { class: "code", dir: "ltr" },
    element("div", { class: "code-head" }, element("span", {}, language), copy),
    // The tab index allows to scroll wide code with the keyboard.
    element("pre", { tabindex: 0 }, element("code", {}, highlighted(code, language))),
  );
}

/** Copies code, and shows for a moment that it was copied. */
async function copyCode(button, code) {
  await navigator.clipboard.writeText(code);
  button.classList.add("done");
  button.setAttribute("aria-label", "Copied");
  setTimeout(() => {
    button.classList.remove("done");
    button.setAttribute("aria-label", "Copy code");
  }, 1500);
}

/** Returns the nodes of code. Code in an unknown language stays plain. */
function highlighted(code, language) {
  if (!language || !lowlight.registered(language) || code.length > MAX_HIGHLIGHTED) return code;
  return drawTree(lowlight.highlight(language, code).children);
}

function drawTree(nodes) {
  return nodes.map((node) =>
    node.type === "text"
      ? node.value
      : element("span", { class: node.properties.className.join(" ") }, drawTree(node.children)),
  );
}
