// Formulas in TeX: `$x$`, `\(x\)`, and on lines of their own `$$x$$`, `\[x\]`. Temml makes MathML of them, which browsers draw
// without fonts of ours. It is loaded with the first formula.

import { element } from "./dom.js";

/** A longer formula stays text, in characters: a formula costs the time of its length. Its end is not looked for further. */
const MAX_TEX = 2000;
/** The same for a formula on lines of its own. */
const MAX_LINES = 200;
/** Nothing in a formula can name another file, and macros cannot grow without end. Sizes are in em and points. */
const LIMITS = { throwOnError: true, trust: false, maxExpand: 200, maxSize: [10, 400] };
const CLOSING = { "$$": "$$", "\\[": "\\]", "\\(": "\\)" };

let library = null;

/** Teaches a parser of Markdown the formulas. Their tokens are `math_inline` and `math_block`. */
export function withMath(markdown) {
  markdown.inline.ruler.before("escape", "math_inline", inlineRule);
  markdown.block.ruler.before("fence", "math_block", blockRule, { alt: ["paragraph", "reference", "blockquote", "list"] });
}

/** Draws a formula. It is shown as text until the library is there, and if it is no TeX. */
export function drawMath(tex, isBlock) {
  const node = element(isBlock ? "div" : "span", { class: isBlock ? "math block" : "math", dir: "ltr", tabindex: isBlock && 0 }, tex);
  if (tex.length > MAX_TEX) return node;
  if (library) render(node, tex, isBlock);
  else load().then(() => render(node, tex, isBlock), () => {});
  return node;
}

async function load() {
  const { temml } = await import("./temml.js");
  library = temml;
}

function render(node, tex, displayMode) {
  try {
    // Of a copy: an error leaves the text as it is.
    const drawn = element("span");
    library.render(tex, drawn, { ...LIMITS, displayMode });
    node.replaceChildren(...drawn.childNodes);
  } catch {
    node.classList.add("wrong");
  }
}

function inlineRule(state, silent) {
  const { src, pos, posMax } = state;
  const found = delimited(src, pos, posMax) ?? dollars(src, pos, posMax);
  if (!found) return false;
  if (!silent) {
    const token = state.push("math_inline", "math", 0);
    token.content = found.tex;
    token.markup = found.open;
  }
  state.pos = found.end;
  return true;
}

/** Finds `$$x$$`, `\[x\]` or `\(x\)` at a position. */
function delimited(src, from, limit) {
  const open = src.slice(from, from + 2);
  const close = CLOSING[open];
  if (!close) return null;
  const near = src.slice(from + 2, Math.min(from + 2 + MAX_TEX, limit));
  const length = near.indexOf(close);
  const tex = near.slice(0, length).trim();
  return length < 0 || !tex ? null : { open, tex, end: from + length + 4 };
}

/** Finds `$x$`. Prices are none: the formula touches both of its signs, and no digit follows. */
function dollars(src, from, limit) {
  if (src[from] !== "$" || src[from + 1] === "$" || /\s/.test(src[from + 1] ?? " ")) return null;
  const end = Math.min(from + MAX_TEX, limit);
  for (let at = from + 1; at < end; at++) {
    if (src[at] !== "$" || src[at - 1] === "\\") continue;
    if (/\s/.test(src[at - 1]) || /\d/.test(src[at + 1] ?? "")) return null;
    return { open: "$", tex: src.slice(from + 1, at), end: at + 1 };
  }
  return null;
}

function blockRule(state, startLine, endLine, silent) {
  const start = state.bMarks[startLine] + state.tShift[startLine];
  const close = CLOSING[state.src.slice(start, start + 2)];
  if (!close || close === "\\)" || state.sCount[startLine] - state.blkIndent >= 4) return false;
  for (let line = startLine; line < Math.min(endLine, startLine + MAX_LINES); line++) {
    if (line > startLine && state.sCount[line] < state.blkIndent) return false;
    const from = line === startLine ? start + 2 : state.bMarks[line];
    const text = state.src.slice(from, state.eMarks[line]).trimEnd();
    if (!text.includes(close)) continue;
    // More text follows on the line: the formula is inside of a paragraph.
    if (text.indexOf(close) !== text.length - 2) return false;
    if (silent) return true;
    const source = state.getLines(startLine, line + 1, state.blkIndent, false).trim();
    const token = state.push("math_block", "math", 0);
    token.block = true;
    token.content = source.slice(2, -2).trim();
    token.map = [startLine, line + 1];
    state.line = line + 1;
    return true;
  }
  return false;
}
