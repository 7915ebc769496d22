// What models write is Markdown, of which the usual part is shown: elements are made, and the words go into them as
// text. HTML in it is text like any other.

import { element, webLink } from "./dom.js";

/** A line that begins a block of a kind, tried from the first on; whatever none fits belongs to a paragraph. */
const FENCE = /^ *(```+|~~~+)/;
const HEADING = /^ {0,3}#{1,6} +(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)]) +(.*)$/;

/**
 * What stands out in a line: code, bold, italic, links with and without a label. Bounded, so that a text of opening
 * brackets costs no more than another.
 */
const SPANS =
  /(`+)(.{1,1000}?)\1|\*\*(\S.{0,1000}?)\*\*|(?<![\w*])\*([^\s*][^*]{0,1000}?)\*(?![\w*])|\[([^\]]{1,500})\]\(([^\s)]{1,2000})\)|(https?:\/\/[^\s<>()"']{1,2000}[^\s<>()"'.,;:!?])/gs;

/**
 * Shows a text in a node. What is there from an earlier, shorter text stays as far as it is still right: a selection in
 * it survives, and a long answer does not get slow.
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

/** An element that shows a text. */
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
};

function blocksOf(text) {
  const blocks = [];
  let open = null;
  for (const line of text.split("\n")) {
    const kind = kindOf(line, open);
    if (kind === null) open = null;
    else if (kind === open?.kind && kind !== "heading" && kind !== "rule") open.lines.push(line);
    else blocks.push((open = { kind, lines: [line] }));
    if (kind === "code" && closes(open.lines)) open = null;
  }
  return blocks;
}

/** The kind of block that a line belongs to; null for one that is empty. */
function kindOf(line, open) {
  if (open?.kind === "code") return "code";
  if (FENCE.test(line)) return "code";
  if (line.trim() === "") return null;
  if (HEADING.test(line)) return "heading";
  if (RULE.test(line)) return "rule";
  if (QUOTE.test(line)) return "quote";
  // An item goes on in lines that are set in.
  if (ITEM.test(line) || (open?.kind === "list" && line.startsWith("  "))) return "list";
  return "paragraph";
}

/** Whether a block of code ends with its last line. */
function closes(lines) {
  const [, fence] = FENCE.exec(lines[0]);
  return lines.length > 1 && lines.at(-1).trim() === fence;
}

function drawCode(lines) {
  const code = lines.slice(1, closes(lines) ? -1 : undefined);
  // Wide code is scrolled, by key as well.
  return element("pre", { tabindex: 0 }, element("code", {}, code.join("\n")));
}

/** A list with its lists: how far an item is set in is all that tells them apart. */
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

/** The words of a line, and what stands out among them. */
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
