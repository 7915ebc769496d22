// A conversation: its items, folded from pages and from the events of its runs. It draws nothing; a view is told what
// has changed.

import { fold } from "./fold.js";
import { eventsOf, remembered } from "./runs.js";
import * as server from "./server.js";

/** Items on a page of the conversation. */
const PAGE = 50;

/** A conversation that nobody looks at tells this. */
const NOBODY = { put() {}, grow() {}, remove() {}, showAll() {}, showState() {} };

export class Conversation {
  /** The thread; null until the first message has been sent. */
  thread = null;
  items = [];
  /** Whether there are items before the first one here, and where they begin. */
  earlier = null;
  /** The run that is being read: `{ runId, controller, stopped }`. */
  running = null;
  /** What the assistant is doing, until it says something. */
  progress = null;
  /** Ids of the items that are not whole yet. */
  growing = new Set();
  /** Ids of the items that go when the run has answered again. */
  outgoing = new Set();
  /** How many notes were shown here, which gives each its id. */
  notes = 0;
  view = NOBODY;

  /** `changed` is told of a thread that is new or has another title. */
  constructor(changed) {
    this.threadChanged = changed;
  }

  lookAway() {
    this.view = NOBODY;
  }

  /** Loads what there is, and goes on reading a run that was being read before a reload. */
  async load(threadId) {
    const thread = await server.ask("threads.get_by_id", { thread_id: threadId, limit: PAGE, order: "desc" });
    this.thread = thread;
    this.addEarlier(thread.items);
    const runId = remembered.of(threadId);
    if (runId) this.resume(runId);
  }

  async loadEarlier() {
    const params = { thread_id: this.thread.id, limit: PAGE, order: "desc", after: this.earlier };
    this.addEarlier(await server.ask("items.list", params));
    this.view.showAll();
  }

  /** Sends a message. Resolves when the server has it; the answer arrives later. */
  async send(text, attachments) {
    const content = text === "" ? [] : [{ type: "input_text", text }];
    const input = { content, attachments, inference_options: {} };
    if (this.thread) await this.begin("threads.add_user_message", { thread_id: this.thread.id, input });
    else await this.begin("threads.create", { input });
  }

  /** Has a message of the user answered again. What stands behind it goes when the new answer is there. */
  async retry(itemId) {
    const behind = this.items.slice(this.items.findIndex(({ id }) => id === itemId) + 1);
    for (const item of behind.filter(({ local }) => local)) this.remove(item.id);
    await this.begin("threads.retry_after_item", { thread_id: this.thread.id, item_id: itemId });
    for (const item of behind.filter(({ local }) => !local)) {
      this.outgoing.add(item.id);
      this.view.put(item);
    }
  }

  /** Answers the questions of an item. */
  async answer(itemId, input) {
    await this.begin("threads.add_structured_input", { thread_id: this.thread.id, item_id: itemId, input });
  }

  /** Has the action of a widget carried out, and resolves when that is done. */
  async act(itemId, { type, payload, streaming = true }) {
    const params = { thread_id: this.thread.id, item_id: itemId, action: { type, payload } };
    if (streaming) {
      await this.begin("threads.custom_action", params);
      await this.running?.reading;
    } else {
      const { updated_item: item } = await server.ask("threads.sync_custom_action", params);
      if (item) this.put(item);
    }
  }

  async rate(itemId, kind) {
    await server.ask("items.feedback", { thread_id: this.thread.id, item_ids: [itemId], kind });
  }

  /** Ends the answer. Its stream then ends by itself, with what was said so far. */
  async stop() {
    const { running } = this;
    if (!running) return;
    running.stopped = true;
    this.view.showState();
    // Nobody knows the run yet: the server cancels what its client has left.
    if (running.runId === null) return running.controller.abort();
    await server.cancel(running.runId).catch(() => running.controller.abort());
  }

  /** The message of the user that an item is, or is an answer to. */
  messageBefore(itemId) {
    const at = this.items.findIndex(({ id }) => id === itemId);
    return this.items.slice(0, at + 1).findLast(({ type }) => type === "user_message");
  }

  async begin(type, params) {
    if (this.running) throw new server.Refusal(409, { message: "The assistant is still answering." });
    const running = this.start(null);
    try {
      const response = await server.open(type, params, running.controller.signal);
      running.runId = response.headers.get("x-run-id");
      this.remember();
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
      // A run of before the reload that is not kept any more has nothing to add.
      if (!running.stopped && error.status !== 404) this.fail(error.message, true);
    } finally {
      if (running.stopped) this.note({ level: "info", message: "You stopped this answer." });
      this.finish();
    }
  }

  finish() {
    this.running = null;
    this.progress = null;
    if (this.thread) remembered.delete(this.thread.id);
    const unsettled = this.items.filter(({ id }) => this.growing.has(id) || this.outgoing.has(id));
    this.growing.clear();
    this.outgoing.clear();
    for (const item of unsettled) this.view.put(item);
    this.view.showState();
  }

  /** The thread is new, or has another title. */
  setThread(thread) {
    this.thread = thread;
    this.remember();
    this.threadChanged(this);
  }

  remember() {
    if (this.thread && this.running?.runId) remembered.set(this.thread.id, this.running.runId);
  }

  /** Adds an item, or puts it in the place of the one with its id. */
  put(item) {
    const at = this.items.findIndex(({ id }) => id === item.id);
    if (at < 0) this.items.push(item);
    else this.items[at] = item;
    this.view.put(item);
  }

  /** Appends to a part of a message. */
  grow(item, contentIndex, delta) {
    this.setProgress(null);
    item.content[contentIndex].text += delta;
    this.view.grow(item, contentIndex);
  }

  remove(itemId) {
    this.items = this.items.filter(({ id }) => id !== itemId);
    this.view.remove(itemId);
  }

  /** A page that came newest first, in front of what is here. */
  addEarlier(page) {
    this.items = [...page.data.toReversed(), ...this.items];
    this.earlier = page.has_more ? page.after : null;
  }

  setProgress(progress) {
    if (this.progress === progress) return;
    this.progress = progress;
    this.view.showState();
  }

  /** Shows something that is no item of the thread, and is gone after a reload. */
  note(notice) {
    this.notes += 1;
    this.put({ ...notice, type: "notice", id: `note-${this.notes}`, local: true });
  }

  fail(message, mayRetry) {
    const isTold = this.items.at(-1)?.message === message;
    if (!isTold) this.note({ level: "danger", message, mayRetry });
  }
}
