// The sidebar: the list of conversations.

import { byId, element } from "./dom.js";
import { iconButton } from "./icons.js";
import * as server from "./server.js";

/** Conversations per page. */
const PAGE_SIZE = 100;
/** How many conversations a search loads by itself: with thousands, it would use up the requests that a user has per minute. */
const SEARCHED = 500;

export class Sidebar {
  threads = [];
  current = null;
  /** The cursor of the next page; null if all conversations are loaded. */
  next = null;
  /** Up to how many conversations a search looks at. */
  reach = SEARCHED;
  isSearching = false;

  /** `removed` is called with the id of a deleted thread, `failed` with errors. */
  constructor({ removed, failed }) {
    this.removed = removed;
    this.failed = failed;
    this.list = byId("threads");
    this.aside = byId("sidebar");
    this.toggle = byId("toggle-sidebar");
    this.toggle.addEventListener("click", () => this.open(!this.aside.classList.contains("open")));
    this.search = byId("search");
    this.search.addEventListener("input", () => this.find());
    this.more = byId("more-threads");
    this.more.addEventListener("click", () => this.showMore());
    this.empty = byId("no-threads");
    byId("shade").addEventListener("click", () => this.open(false));
    // On the document: the focus can be lost, for example when the list is drawn again.
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.open(false);
    });
    // What has the focus must not be behind the list.
    document.addEventListener("focusin", ({ target }) => {
      if (!this.aside.contains(target)) this.open(false);
    });
  }

  async load() {
    this.threads = [];
    await this.loadPage();
  }

  async loadPage() {
    const params = { limit: PAGE_SIZE, order: "desc", ...(this.next && { after: this.next }) };
    const page = await server.requestJson("threads.list", params);
    const known = new Set(this.threads.map(({ id }) => id));
    this.threads.push(...page.data.filter(({ id }) => !known.has(id)));
    this.next = page.has_more ? page.after : null;
    this.draw();
  }

  /** Shows the conversations whose title has the words of the search. Loads other pages first, as far as it may. */
  async find() {
    this.draw();
    if (this.words().length === 0 || this.isSearching) return;
    this.isSearching = true;
    await this.try(async () => {
      while (this.next !== null && this.threads.length < this.reach && this.words().length > 0) await this.loadPage();
    });
    this.isSearching = false;
    this.draw();
  }

  async showMore() {
    if (this.words().length === 0) return this.try(() => this.loadPage());
    this.reach = this.threads.length + SEARCHED;
    return this.find();
  }

  /** Returns the words that are searched. */
  words() {
    return this.search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  }

  /** Adds a conversation, or updates its title, and moves it to the top. */
  put(thread) {
    this.threads = [thread, ...this.threads.filter(({ id }) => id !== thread.id)];
    this.draw();
  }

  select(threadId) {
    this.current = threadId;
    this.open(false);
    this.draw();
  }

  /** Opens or closes the list. On a narrow screen it covers the conversation. */
  open(isOpen) {
    const wasOpen = this.aside.classList.contains("open");
    this.aside.classList.toggle("open", isOpen);
    this.toggle.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.aside.querySelector("a").focus();
    else if (wasOpen && isFocusOf(this.aside)) this.toggle.focus();
  }

  draw() {
    const words = this.words();
    const isFound = ({ title }) => words.every((word) => (title ?? "").toLocaleLowerCase().includes(word));
    const found = this.threads.filter(isFound);
    this.list.replaceChildren(...found.map((thread) => this.entry(thread)));
    const said = words.length === 0 || this.isSearching ? "" : this.outcome(found.length);
    this.empty.hidden = said === "";
    this.empty.textContent = said;
    this.more.hidden = this.next === null || this.isSearching;
    this.more.textContent = words.length === 0 ? "Show more" : "Search older conversations";
  }

  /** Says what a search has not found, or not looked at. */
  outcome(found) {
    const newest = `the newest ${this.threads.length} conversations`;
    if (found > 0) return this.next === null ? "" : `Only ${newest} were searched.`;
    return this.next === null ? "No conversation has these words in its title." : `None of ${newest} has these words in its title.`;
  }

  entry({ id, title }) {
    const isCurrent = id === this.current;
    return element(
      "li",
      { class: isCurrent ? "current" : "" },
      element("a", { href: `#${id}`, "aria-current": isCurrent && "page", dir: "auto" }, title),
      iconButton("write", `Rename ${title}`, { click: () => this.rename(id, title) }),
      iconButton("trash", `Delete ${title}`, { click: () => this.remove(id, title) }),
    );
  }

  async rename(id, old) {
    const title = prompt("Name of the conversation", old)?.trim();
    if (!title) return;
    await this.try(async () => {
      const thread = await server.requestJson("threads.update", { thread_id: id, title });
      this.threads = this.threads.map((known) => (known.id === id ? thread : known));
      this.draw();
    });
  }

  async remove(id, title) {
    if (!confirm(`Delete "${title}" and everything in it?`)) return;
    await this.try(async () => {
      await server.requestJson("threads.delete", { thread_id: id });
      this.threads = this.threads.filter((thread) => thread.id !== id);
      this.draw();
      this.removed(id);
    });
  }

  async try(work) {
    try {
      await work();
    } catch (error) {
      this.failed(error);
    }
  }
}

/** Returns whether the focus is in a node, or nowhere. */
function isFocusOf(node) {
  return node.contains(document.activeElement) || document.activeElement === document.body;
}
