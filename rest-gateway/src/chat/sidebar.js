// The sidebar: the list of conversations.

import { byId, element } from "./dom.js";
import { iconButton } from "./icons.js";
import * as server from "./server.js";

export class Sidebar {
  threads = [];
  current = null;
  /** The cursor of the next page; null if all conversations are loaded. */
  next = null;

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
    this.more.addEventListener("click", () => this.try(() => this.loadPage()));
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
    const params = { limit: 100, order: "desc", ...(this.next && { after: this.next }) };
    const page = await server.requestJson("threads.list", params);
    const known = new Set(this.threads.map(({ id }) => id));
    this.threads.push(...page.data.filter(({ id }) => !known.has(id)));
    this.next = page.has_more ? page.after : null;
    this.draw();
  }

  /** Shows the conversations whose title has the words of the search. Loads the other pages first. */
  async find() {
    this.draw();
    if (this.search.value === "" || this.isLoadingAll) return;
    this.isLoadingAll = true;
    await this.try(async () => {
      while (this.next !== null) await this.loadPage();
    });
    this.isLoadingAll = false;
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
    const words = this.search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const isFound = ({ title }) => words.every((word) => (title ?? "").toLocaleLowerCase().includes(word));
    const found = this.threads.filter(isFound);
    this.list.replaceChildren(...found.map((thread) => this.entry(thread)));
    this.empty.hidden = words.length === 0 || found.length > 0;
    this.empty.textContent = this.empty.hidden ? "" : "No conversation has these words in its title.";
    this.more.hidden = this.next === null || words.length > 0;
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
