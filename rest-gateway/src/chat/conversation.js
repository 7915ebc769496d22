// A conversation: its items, from pages and from the events of its runs. It draws nothing; it tells a view about
// changes.

import { fold } from "./fold.js";
import { activeRuns, eventsOf } from "./runs.js";
import * as server from "./server.js";

/** Items per page. */
const PAGE_SIZE = 50;

/** The view of a conversation that is not shown. */
const NO_VIEW = { put() {}, grow() {}, remove() {}, showAll() {}, showState() {} };

export class Conversation {
  /** The thread; null until the first message has been sent. */
  thread = null;
  items = [];
  /** The cursor of the page before the first item; null if there are no earlier items. */
  earlier = null;
  /** The active run: `{ runId, controller, stopped, reading }`. */
  running = null;
  /** The progress event before the first text, or null. */
  progress = null;
  /** Ids of items that are not complete. */
  growing = new Set();
  /** Ids of items that a retry removes when its run completes. */
  outgoing = new Set();
  /** Number of notices so far; it makes their ids. */
  notices = 0;
  view = NO_VIEW;

  /** `changed` is called when the conversation gets its thread, or when its title changes. */
  constructor(changed) {
    this.threadChanged = changed;
  }

  detachView() {
    this.view = NO_VIEW;
  }

  /** Loads the newest items, and follows a run that was active before a reload. */
  async load(threadId) {
    const params = { thread_id: threadId, limit: PAGE_SIZE, order: "desc" };
    const thread = await server.requestJson("threads.get_by_id", params);
    this.thread = thread;
    this.addEarlier(thread.items);
    const runId = activeRuns.get(threadId);
    if (runId) this.resume(runId);
  }

  async loadEarlier() {
    const params = { thread_id: this.thread.id, limit: PAGE_SIZE, order: "desc", after: this.earlier };
    this.addEarlier(await server.requestJson("items.list", params));
    this.view.showAll();
  }

  /** Sends a message. Resolves when the server has it; the answer arrives later. */
  async send(text, attachments) {
    const content = text === "" ? [] : [{ type: "input_text", text }];
    const input = { content, attachments, inference_options: {} };
    if (this.thread) await this.begin("threads.add_user_message", { thread_id: this.thread.id, input });
    else await this.begin("threads.create", { input });
  }

  /** Answers a user message again. The items after it are removed when the new answer is complete. */
  async retry(itemId) {
    const later = this.items.slice(this.items.findIndex(({ id }) => id === itemId) + 1);
    for (const item of later.filter(({ local }) => local)) this.remove(item.id);
    await this.begin("threads.retry_after_item", { thread_id: this.thread.id, item_id: itemId });
    for (const item of later.filter(({ local }) => !local)) {
      this.outgoing.add(item.id);
      this.view.put(item);
    }
  }

  /** Sends the answers to the questions of an item. */
  async answer(itemId, input) {
    await this.begin("threads.add_structured_input", { thread_id: this.thread.id, item_id: itemId, input });
  }

  /** Runs the action of a widget, and resolves when it has ended. */
  async act(itemId, { type, payload, streaming = true }) {
    const params = { thread_id: this.thread.id, item_id: itemId, action: { type, payload } };
    if (streaming) {
      await this.begin("threads.custom_action", params);
      await this.running?.reading;
    } else {
      const { updated_item: item } = await server.requestJson("threads.sync_custom_action", params);
      if (item) this.put(item);
    }
  }

  async rate(itemId, kind) {
    await server.requestJson("items.feedback", { thread_id: this.thread.id, item_ids: [itemId], kind });
  }

  /** Stops the answer. The stream then ends with the text so far. */
  async stop() {
    const { running } = this;
    if (!running) return;
    running.stopped = true;
    this.view.showState();
    // The id of the run is not known yet. The server cancels the run when the request is closed.
    if (running.runId === null) return running.controller.abort();
    await server.cancelRun(running.runId).catch(() => running.controller.abort());
  }

  /** Returns the user message that an item is, or answers. */
  messageBefore(itemId) {
    const at = this.items.findIndex(({ id }) => id === itemId);
    return this.items.slice(0, at + 1).findLast(({ type }) => type === "user_message");
  }

  async begin(type, params) {
    if (this.running) throw new server.RequestError(409, { message: "The assistant is still answering." });
    const running = this.start(null);
    try {
      const response = await server.requestStream(type, params, running.controller.signal);
      running.runId = response.headers.get("x-run-id");
      this.rememberRun();
      running.reading = this.read(response, running);
    } catch (error) {
      this.finish();
      if (!running.stopped) throw error;
    }
  }

  resume(runId) {
    const running = this.start(runId);
    running.reading = this.read(null, running);
  }

  start(runId) {
    this.running = { runId, controller: new AbortController(), stopped: false, reading: null };
    this.view.showState();
    return this.running;
  }

  async read(response, running) {
    try {
      for await (const event of eventsOf(response, running.runId, running.controller.signal)) fold(this, event);
    } catch (error) {
      // The server does not keep the events of old runs: 404 after a reload is no error.
      if (!running.stopped && error.status !== 404) this.fail(error.message, true);
    } finally {
      if (running.stopped) this.note({ level: "info", message: "You stopped this answer." });
      this.finish();
    }
  }

  finish() {
    this.running = null;
    this.progress = null;
    if (this.thread) activeRuns.delete(this.thread.id);
    const changed = this.items.filter(({ id }) => this.growing.has(id) || this.outgoing.has(id));
    this.growing.clear();
    this.outgoing.clear();
    for (const item of changed) this.view.put(item);
    this.view.showState();
  }

  /** Sets the thread, or its changed title. */
  setThread(thread) {
    this.thread = thread;
    this.rememberRun();
    this.threadChanged(this);
  }

  rememberRun() {
    if (this.thread && this.running?.runId) activeRuns.set(this.thread.id, this.running.runId);
  }

  /** Adds an item, or replaces the one with its id. */
  put(item) {
    const at = this.items.findIndex(({ id }) => id === item.id);
    if (at < 0) this.items.push(item);
    else this.items[at] = item;
    this.view.put(item);
  }

  /** Appends text to a part of a message. */
  grow(item, contentIndex, delta) {
    this.setProgress(null);
    item.content[contentIndex].text += delta;
    this.view.grow(item, contentIndex);
  }

  remove(itemId) {
    this.items = this.items.filter(({ id }) => id !== itemId);
    this.view.remove(itemId);
  }

  /** Adds a page of earlier items. The page has the newest item first. */
  addEarlier(page) {
    this.items = [...page.data.toReversed(), ...this.items];
    this.earlier = page.has_more ? page.after : null;
  }

  setProgress(progress) {
    if (this.progress === progress) return;
    this.progress = progress;
    this.view.showState();
  }

  /** Shows a notice. It is no item of the thread, so it disappears with a reload. */
  note(notice) {
    this.notices += 1;
    this.put({ ...notice, type: "notice", id: `note-${this.notices}`, local: true });
  }

  fail(message, mayRetry) {
    const isShown = this.items.at(-1)?.message === message;
    if (!isShown) this.note({ level: "danger", message, mayRetry });
  }
}
