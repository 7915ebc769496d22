// The log: shows one conversation, with an entry for each item.

import { byId, element } from "./dom.js";
import { drawItem, growMessage } from "./items.js";

/** Distance from the end, in pixels, within which the log keeps following its end. */
const NEAR_END_PX = 60;

export class Log {
  conversation = null;
  nodes = new Map();
  /** Parts of messages that are drawn with the next frame. */
  grown = new Set();
  /** Whether the end stays visible: until the user scrolls up, and again when the user is back at the end. */
  followsEnd = true;
  scrolledTo = 0;

  /** `handlers` are called by the buttons of items, with the item. */
  constructor(handlers) {
    this.handlers = handlers;
    this.scroller = byId("scroller");
    this.list = byId("log");
    this.welcome = byId("welcome");
    this.status = byId("status");
    this.unanswered = byId("unanswered");
    this.earlier = byId("earlier");
    this.earlier.addEventListener("click", () => handlers.loadEarlier());
    this.scroller.addEventListener("scroll", () => this.onScroll());
    // Images load later, and the window can be resized.
    const observer = new ResizeObserver(() => this.keepEnd());
    observer.observe(this.list);
    observer.observe(this.scroller);
  }

  /** Called when the user or the log itself has scrolled. The log only scrolls down by itself. */
  onScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (isNearEnd) this.followsEnd = true;
    else if (scrollTop < this.scrolledTo) this.followsEnd = false;
    this.scrolledTo = scrollTop;
  }

  /** Shows this conversation instead of the current one. */
  show(conversation) {
    this.conversation?.detachView();
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
    // Keeps the visible items in place when items are added before them.
    this.scroller.scrollTop = this.followsEnd
      ? this.scroller.scrollHeight
      : scrollTop + this.scroller.scrollHeight - scrollHeight;
  }

  put(item) {
    this.welcome.hidden = true;
    this.draw(item);
    this.keepEnd();
  }

  /** Shows text that was appended, at most once for each frame of the screen. */
  grow(item, contentIndex) {
    const key = `${item.id} ${contentIndex}`;
    if (this.grown.has(key)) return;
    this.grown.add(key);
    requestAnimationFrame(() => {
      this.grown.delete(key);
      const node = this.nodes.get(item.id);
      // The item can have been replaced since.
      const now = this.conversation.items.find(({ id }) => id === item.id);
      if (node && now) growMessage(node, now, contentIndex);
      this.keepEnd();
    });
  }

  remove(itemId) {
    this.nodes.get(itemId)?.remove();
    this.nodes.delete(itemId);
  }

  /** Shows what the assistant is doing. */
  showState() {
    const { running, progress, isDisconnected } = this.conversation;
    // Screen readers do not read a busy log, so they do not read each word of an answer by itself.
    this.list.setAttribute("aria-busy", String(running !== null));
    const words = running && (running.stopped ? "Stopping" : (progress?.text ?? "Answering"));
    const shown = isDisconnected ? "The connection is lost. Connecting again" : words;
    this.status.replaceChildren(...(shown ? [element("span", { class: "spinner" }), shown] : []));
    this.showUnanswered();
    this.handlers.stateChanged();
    this.keepEnd();
  }

  /** Says that an answer is missing, and offers to try again. */
  showUnanswered() {
    const isMissing = this.conversation.unanswered !== null;
    if (isMissing === this.unanswered.hasChildNodes()) return;
    const retry = () => this.handlers.retry(this.conversation.unanswered);
    const button = element("button", { type: "button", click: retry }, "Try again");
    const notice = element("div", { class: "notice warning", role: "note" }, element("span", {}, "There is no answer to this."), button);
    this.unanswered.replaceChildren(...(isMissing ? [notice] : []));
  }

  draw(item) {
    const node = drawItem(item, this.handlers);
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

/** Keeps details open that the user has opened, when an item is drawn again. */
function keepOpen(old, node) {
  const [was, is] = [old, node].map((one) => one.querySelector("details"));
  if (was && is) is.open = was.open;
}

/** Replaces the old node, and keeps the focus on the same control. */
function keepFocus(old, node) {
  const focusable = (one) => [...one.querySelectorAll("button, input, textarea, select, summary, a")];
  const at = focusable(old).indexOf(document.activeElement);
  old.replaceWith(node);
  if (at >= 0) focusable(node)[at]?.focus();
}
