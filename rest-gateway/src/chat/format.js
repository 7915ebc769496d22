// Shows the usual subset of Markdown, which models write. HTML in it stays text.

import { element, webLink } from "./dom.js";

/** The first line of each kind of block, in the order in which they are tried. All other lines are paragraphs. */
const FENCE = /^ *(```+|~~~+)/;
const HEADING = /^ {0,3}#{1,6} +(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)]) +(.*)$/;
/** The line below the head of a table, with its alignments. */
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * Code, bold, italic, and links with and without a label. The lengths are limited, so that a text of many opening
 * brackets is not slow.
 */
const SPANS =
  /(`+)(.{1,1000}?)\1|\*\*(\S.{0,1000}?)\*\*|(?<![\w*])\*([^\s*][^*]{0,1000}?)\*(?![\w*])|\[([^\]]{1,500})\]\(([^\s)]{1,2000})\)|(https?:\/\/[^\s<>()"']{1,2000}[^\s<>()"'.,;:!?])/gs;

/**
 * Shows a text in a node. Blocks that have not changed since the last call stay: a selection in them is kept, and long
 * answers stay fast.
 */
export function showText(node, text) {
  const blocks = blocksOf(text);
  blocks.forEach((block, at) => {
    const source = block.lines.join("\n");
    const old = node.children[at];
    if (old?.source === source) return;
    const drawn = DRAWN[block.kind](block.lines);
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

const DRAWN = {
  paragraph: (lines) => element("p", {}, spans(lines.join("\n"))),
  heading: ([line]) => element("h4", {}, spans(HEADING.exec(line)[1])),
  rule: () => element("hr"),
  quote: (lines) => element("blockquote", {}, spans(lines.map((line) => line.replace(QUOTE, "")).join("\n"))),
  list: drawList,
  code: drawCode,
  table: drawTable,
};

function blocksOf(text) {
  const blocks = [];
  let open = null;
  for (const line of text.split("\n")) {
    const kind = kindOf(line, open);
    if (kind === null) open = null;
    else if (kind === "paragraph" && open?.kind === "paragraph" && isTable(open.lines.at(-1), line)) {
      const head = open.lines.pop();
      if (open.lines.length === 0) blocks.pop();
      blocks.push((open = { kind: "table", lines: [head, line] }));
    }
    else if (kind === open?.kind && kind !== "heading" && kind !== "rule") open.lines.push(line);
    else blocks.push((open = { kind, lines: [line] }));
    if (kind === "code" && closes(open.lines)) open = null;
  }
  return blocks;
}

/** Returns the kind of block of a line; null for an empty line. */
function kindOf(line, open) {
  if (open?.kind === "code") return "code";
  if (FENCE.test(line)) return "code";
  if (line.trim() === "") return null;
  if (HEADING.test(line)) return "heading";
  if (RULE.test(line)) return "rule";
  if (QUOTE.test(line)) return "quote";
  // Indented lines continue a list item.
  if (ITEM.test(line) || (open?.kind === "list" && line.startsWith("  "))) return "list";
  // A table goes on to the next empty line or other block.
  return open?.kind === "table" ? "table" : "paragraph";
}

/** Returns whether two lines are the head of a table and the line below it, which has as many cells. */
function isTable(head, line) {
  return head.includes("|") && DELIMITERS.test(line) && cellsOf(head).length === cellsOf(line).length;
}

/** Returns the texts of a row of a table. A bar after a backslash is part of the text. */
function cellsOf(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.replaceAll("\\|", "|").trim());
}

/** Returns whether the last line closes the block of code. */
function closes(lines) {
  const [, fence] = FENCE.exec(lines[0]);
  return lines.length > 1 && lines.at(-1).trim() === fence;
}

function drawCode(lines) {
  const code = lines.slice(1, closes(lines) ? -1 : undefined);
  // The tab index allows to scroll wide code with the keyboard.
  return element("pre", { tabindex: 0 }, element("code", {}, code.join("\n")));
}

/** Draws a table, in a box that scrolls where the table is wider than the page. */
function drawTable([head, delimiters, ...rows]) {
  const aligns = cellsOf(delimiters).map(alignOf);
  const draw = (name, cells) =>
    element(
      "tr",
      {},
      aligns.map((align, at) => {
        const cell = element(name, { scope: name === "th" && "col" }, spans(cells[at] ?? ""));
        cell.style.textAlign = align;
        return cell;
      }),
    );
  const body = rows.map((row) => draw("td", cellsOf(row)));
  const table = element("table", {}, element("thead", {}, draw("th", cellsOf(head))), element("tbody", {}, body));
  return element("div", { class: "table", tabindex: 0 }, table);
}

function alignOf(delimiter) {
  if (!delimiter.endsWith(":")) return "start";
  return delimiter.startsWith(":") ? "center" : "end";
}

/** Draws a list with its nested lists. The indentation of an item is its level. */
function drawList(lines) {
  const items = [];
  for (const line of lines) {
    const [, indent, mark, words] = ITEM.exec(line) ?? [];
    if (mark) items.push({ level: indent.length, mark, words });
    else items.at(-1).words += `\n${line.trim()}`;
  }
  return element(items.some(({ mark }) => isNumber(mark)) ? "ol" : "ul", {}, items.map(drawItem));
}

function drawItem({ level, mark, words }) {
  const item = element("li", { value: isNumber(mark) && parseInt(mark, 10) }, spans(words));
  item.style.marginInlineStart = `${Math.min(level, 12) / 2}em`;
  item.style.listStyleType = isNumber(mark) ? "decimal" : "disc";
  return item;
}

function isNumber(mark) {
  return /\d/.test(mark);
}

/** Returns the nodes of a text: plain text, and elements for code, bold, italic and links. */
function spans(text) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(SPANS)) {
    const [all, , code, bold, italic, label, address, url] = found;
    nodes.push(text.slice(from, found.index), drawSpan({ code, bold, italic, label, address, url }));
    from = found.index + all.length;
  }
  return [...nodes, text.slice(from)];
}

function drawSpan({ code, bold, italic, label, address, url }) {
  if (code !== undefined) return element("code", {}, code);
  if (bold !== undefined) return element("strong", {}, spans(bold));
  if (italic !== undefined) return element("em", {}, spans(italic));
  return label === undefined ? webLink(url, url) : webLink(address, label);
}
