// The log: the conversation that is looked at, an entry for each item.

import { byId, element } from "./dom.js";
import { drawItem, growMessage } from "./items.js";

/** Distance from the end, in pixels, within which the log goes on showing its end. */
const NEAR = 60;

export class Log {
  conversation = null;
  nodes = new Map();
  /** Whether the end stays in sight: until somebody scrolls up, and again when they are back. */
  followsEnd = true;
  scrolledTo = 0;

  /** `does` is what the buttons of items do; it is given the item. */
  constructor(does) {
    this.does = does;
    this.scroller = byId("scroller");
    this.list = byId("log");
    this.welcome = byId("welcome");
    this.status = byId("status");
    this.earlier = byId("earlier");
    this.earlier.addEventListener("click", () => does.loadEarlier());
    this.scroller.addEventListener("scroll", () => this.notice());
    // Images arrive when they like, and windows change.
    const observer = new ResizeObserver(() => this.keepEnd());
    observer.observe(this.list);
    observer.observe(this.scroller);
  }

  /** Somebody has scrolled, or the log has by itself: it only ever goes down. */
  notice() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    if (isNearEnd) this.followsEnd = true;
    else if (scrollTop < this.scrolledTo) this.followsEnd = false;
    this.scrolledTo = scrollTop;
  }

  /** Shows this conversation, and no other any more. */
  show(conversation) {
    this.conversation?.lookAway();
    this.conversation = conversation;
    conversation.view = this;
    this.followsEnd = true;
    this.showAll();
    this.showState();
  }

  showAll() {
    const { scrollHeight, scrollTop } = this.scroller;
    this.nodes.clear();
    this.list.replaceChildren();
    for (const item of this.conversation.items) this.draw(item);
    this.earlier.hidden = this.conversation.earlier === null;
    this.welcome.hidden = this.conversation.thread !== null || this.conversation.items.length > 0;
    // What was in sight stays there when something comes before it.
    this.scroller.scrollTop = this.followsEnd
      ? this.scroller.scrollHeight
      : scrollTop + this.scroller.scrollHeight - scrollHeight;
  }

  put(item) {
    this.welcome.hidden = true;
    this.draw(item);
    this.keepEnd();
  }

  grow(item, contentIndex) {
    const node = this.nodes.get(item.id);
    if (node) growMessage(node, item, contentIndex);
    this.keepEnd();
  }

  remove(itemId) {
    this.nodes.get(itemId)?.remove();
    this.nodes.delete(itemId);
  }

  /** What the assistant is doing. */
  showState() {
    const { running, progress } = this.conversation;
    // Nobody wants to be read every word by itself: while it is busy, the log is not read out.
    this.list.setAttribute("aria-busy", String(running !== null));
    const words = running?.stopped ? "Stopping" : (progress?.text ?? "Answering");
    this.status.replaceChildren(...(running ? [element("span", { class: "spinner" }), words] : []));
    this.does.stateChanged();
    this.keepEnd();
  }

  draw(item) {
    const node = drawItem(item, this.does);
    const old = this.nodes.get(item.id);
    if (!node) return this.remove(item.id);
    node.classList.toggle("growing", this.conversation.growing.has(item.id));
    node.classList.toggle("outgoing", this.conversation.outgoing.has(item.id));
    if (old) {
      keepOpen(old, node);
      keepFocus(old, node);
    } else this.list.append(node);
    this.nodes.set(item.id, node);
  }

  keepEnd() {
    if (this.followsEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}

/** What somebody has opened stays open, when it is drawn anew. */
function keepOpen(old, node) {
  const [was, is] = [old, node].map((one) => one.querySelector("details"));
  if (was && is) is.open = was.open;
}

/** Puts the new node in the place of the old, and the focus where it was: with the button that was pressed. */
function keepFocus(old, node) {
  const focusable = (one) => [...one.querySelectorAll("button, input, textarea, select, summary, a")];
  const at = focusable(old).indexOf(document.activeElement);
  old.replaceWith(node);
  if (at >= 0) focusable(node)[at]?.focus();
}
