// The list of conversations.

import { byId, element } from "./dom.js";
import { iconButton } from "./icons.js";
import * as server from "./server.js";

export class Sidebar {
  threads = [];
  current = null;

  /** `removed` is told of a conversation that is gone, `failed` of what went wrong. */
  constructor({ removed, failed }) {
    this.removed = removed;
    this.failed = failed;
    this.list = byId("threads");
    this.aside = byId("sidebar");
    this.toggle = byId("toggle-sidebar");
    this.toggle.addEventListener("click", () => this.open(!this.aside.classList.contains("open")));
    byId("shade").addEventListener("click", () => this.open(false));
    this.aside.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.open(false);
    });
  }

  async load() {
    this.threads = (await server.ask("threads.list", { limit: 100, order: "desc" })).data;
    this.draw();
  }

  /** A conversation that is new, or has another title. */
  put(thread) {
    this.threads = [thread, ...this.threads.filter(({ id }) => id !== thread.id)];
    this.draw();
  }

  select(threadId) {
    this.current = threadId;
    this.open(false);
    this.draw();
  }

  /** On a narrow screen the list lies over the conversation while it is open. */
  open(isOpen) {
    const wasOpen = this.aside.classList.contains("open");
    this.aside.classList.toggle("open", isOpen);
    this.toggle.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.aside.querySelector("a").focus();
    else if (wasOpen && this.aside.contains(document.activeElement)) this.toggle.focus();
  }

  draw() {
    this.list.replaceChildren(...this.threads.map((thread) => this.entry(thread)));
  }

  entry({ id, title }) {
    const isCurrent = id === this.current;
    return element(
      "li",
      { class: isCurrent ? "current" : "" },
      element("a", { href: `#${id}`, "aria-current": isCurrent && "page" }, title),
      iconButton("write", `Rename ${title}`, { click: () => this.rename(id, title) }),
      iconButton("trash", `Delete ${title}`, { click: () => this.remove(id, title) }),
    );
  }

  async rename(id, old) {
    const title = prompt("Name of the conversation", old)?.trim();
    if (!title) return;
    await this.try(async () => {
      const thread = await server.ask("threads.update", { thread_id: id, title });
      this.threads = this.threads.map((known) => (known.id === id ? thread : known));
      this.draw();
    });
  }

  async remove(id, title) {
    if (!confirm(`Delete "${title}" and everything in it?`)) return;
    await this.try(async () => {
      await server.ask("threads.delete", { thread_id: id });
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
