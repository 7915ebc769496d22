// A conversation: its items, from pages and from the events of its runs. It draws nothing; it tells a view about
// changes.

import { fold, isEnd } from "./fold.js";
import { follow, isInterruption } from "./follow.js";
import * as server from "./server.js";

/** Items per page. */
const PAGE_SIZE = 50;

/** The types of items that end no answer. */
const UNANSWERED = ["user_message", "workflow"];

/** The view of a conversation that is not shown. */
const NO_VIEW = { put() {}, grow() {}, remove() {}, showAll() {}, showState() {} };

export class Conversation {
  /** The thread; null until the first message has been sent. */
  thread = null;
  /** The id of the thread, which is known before the thread is loaded. */
  threadId = null;
  items = [];
  /** The cursor of the page before the first item; null if there are no earlier items. */
  earlier = null;
  /**
   * The active run: `{ runId, stopped, reading, started }`. `started` resolves when the server has answered the request
   * of this page that starts the run.
   */
  running = null;
  /** Runs whose events are not taken from the follower: this page reads them itself, or they have ended. */
  ignoredRuns = new Set();
  /** Resolves when the items are loaded; null for a new conversation. */
  loading = null;
  /** Called when the follower has connected, or has failed to. */
  firstConnection = () => {};
  /** Stops the follower; null while the conversation is not followed. */
  follower = null;
  /** Whether the conversation may have changed while it was not followed. */
  isStale = false;
  /** Whether the connection of the follower is lost. */
  isDisconnected = false;
  /** Ratings of this user, by item id. */
  ratings = new Map();
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

  /** Follows the conversation, and loads the newest items. In this order, so that no event is missed in between. */
  async load(threadId) {
    this.threadId = threadId;
    const connected = new Promise((resolve) => (this.firstConnection = resolve));
    this.loading = connected.then(() => this.loadItems());
    this.follow();
    try {
      await this.loading;
    } catch (error) {
      this.unfollow();
      throw error;
    }
  }

  async loadItems() {
    const params = { thread_id: this.threadId, limit: PAGE_SIZE, order: "desc" };
    const [thread, ratings] = await Promise.all([
      server.requestJson("threads.get_by_id", params),
      // The conversation can be read without them.
      server.ratings(this.threadId).catch(() => []),
    ]);
    this.thread = thread;
    for (const { item_id: itemId, kind } of ratings) this.ratings.set(itemId, kind);
    this.addEarlier(thread.items);
  }

  /** Begins to follow the conversation: runs that other tabs and devices start, and other changes. */
  follow() {
    if (this.follower || this.threadId === null) return;
    this.follower = new AbortController();
    this.readFollower(this.follower.signal);
  }

  /** Ends following. The events of runs that this page has started still arrive. */
  unfollow() {
    if (!this.follower) return;
    this.follower.abort();
    this.follower = null;
    this.isStale = true;
    // Its events came from the follower. The snapshot of the next one has the rest.
    if (this.running && !this.running.started) this.finish();
  }

  async readFollower(signal) {
    const options = { withSnapshot: this.isStale, connectionChanged: (isConnected) => this.setConnected(isConnected) };
    this.isStale = false;
    try {
      for await (const { runId, event } of follow(this.threadId, options, signal)) {
        await this.loading;
        // Until then it is not known whether the run is one of this page.
        await this.running?.started;
        if (signal.aborted) return;
        if (runId === null) fold(this, event);
        else if (!this.ignoredRuns.has(runId)) this.foldRun(runId, event);
      }
    } catch (error) {
      // `load` reports its own errors. 404: another tab has deleted the conversation.
      if (this.thread && error.status !== 404) this.fail(error.message, false);
    } finally {
      this.firstConnection();
    }
  }

  /** Applies an event of a run that this page does not read itself. */
  foldRun(runId, event) {
    if (this.running?.runId !== runId) this.running = { runId, stopped: false, reading: null, started: null };
    fold(this, event);
    if (isEnd(event)) {
      this.ignoredRuns.add(runId);
      this.finish();
    } else this.view.showState();
  }

  setConnected(isConnected) {
    this.firstConnection();
    this.isDisconnected = !isConnected;
    this.view.showState();
  }

  async loadEarlier() {
    const params = { thread_id: this.thread.id, limit: PAGE_SIZE, order: "desc", after: this.earlier };
    this.addEarlier(await server.requestJson("items.list", params));
    this.view.showAll();
  }

  /**
   * Sends a message. Resolves when the server has it; the answer arrives later. `temporary` says whether a new conversation
   * is not to be listed, and deleted some hours after its last use.
   */
  async send(text, attachments, temporary = false) {
    const content = text === "" ? [] : [{ type: "input_text", text }];
    const input = { content, attachments, inference_options: {} };
    if (this.thread) await this.begin("threads.add_user_message", { thread_id: this.thread.id, input });
    else await this.begin("threads.create", temporary ? { input, temporary } : { input });
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
    this.ratings.set(itemId, kind);
  }

  /** Stops the answer. The stream then ends with the text so far. */
  async stop() {
    const { running } = this;
    if (!running) return;
    running.stopped = true;
    this.view.showState();
    // The request that starts the run has not been answered yet: `begin` stops the run when it is.
    if (running.runId !== null) await server.cancelRun(running.runId);
  }

  /**
   * Returns the last item if an answer is missing after it: the run has failed or was stopped, and its notice was lost with
   * a reload. Null if all is answered, or may still be.
   */
  get unanswered() {
    const last = this.items.at(-1);
    const mayAsk = this.running === null && (this.thread?.status?.type ?? "active") === "active";
    return mayAsk && last && !last.local && UNANSWERED.includes(last.type) ? last : null;
  }

  /** Returns the user message that an item is, or answers. */
  messageBefore(itemId) {
    const at = this.items.findIndex(({ id }) => id === itemId);
    return this.items.slice(0, at + 1).findLast(({ type }) => type === "user_message");
  }

  /** Starts a run with a request. Resolves when the server has it. */
  async begin(type, params) {
    if (this.running) throw new server.RequestError(409, { message: "The assistant is still answering." });
    const request = server.requestStream(type, params);
    const started = request.then(
      (response) => this.ignoredRuns.add(response.headers.get("x-run-id")),
      () => null,
    );
    this.running = { runId: null, stopped: false, reading: null, started };
    const { running } = this;
    this.view.showState();
    try {
      const response = await request;
      running.runId = response.headers.get("x-run-id");
      running.reading = this.read(response, running);
    } catch (error) {
      this.finish();
      throw error;
    }
    if (running.stopped) await server.cancelRun(running.runId);
  }

  /** Reads the events of a run that this page has started. */
  async read(response, running) {
    try {
      for await (const { event } of server.readEvents(response)) {
        if (event && isInterruption(event)) throw new server.RequestError(0, {});
        if (event) fold(this, event);
      }
      if (running.stopped) this.note({ level: "info", message: "You stopped this answer." });
      this.finish();
    } catch (error) {
      if (!error.isTemporary || !this.thread) this.fail(error.message, true);
      this.finish();
      // The run continues without this connection. The follower reads it again from its first event on.
      if (error.isTemporary) this.followAgain(running.runId);
    }
  }

  followAgain(runId) {
    this.ignoredRuns.delete(runId);
    this.isStale = true;
    if (!this.follower) return;
    this.unfollow();
    this.follow();
  }

  finish() {
    this.running = null;
    this.progress = null;
    const changed = this.items.filter(({ id }) => this.growing.has(id) || this.outgoing.has(id));
    this.growing.clear();
    this.outgoing.clear();
    for (const item of changed) this.view.put(item);
    this.view.showState();
  }

  /** Sets the thread, or its changed title or status. */
  setThread(thread) {
    this.thread = { ...this.thread, ...thread };
    this.threadId = thread.id;
    this.threadChanged(this);
  }

  /** Replaces the newest items by those of a snapshot. Earlier ones stay. */
  setSnapshot({ items, ...thread }) {
    const known = new Set(items.data.map(({ id }) => id));
    const first = items.data[0]?.created_at ?? "";
    const earlier = this.items.filter(({ id, created_at: at, local }) => !local && !known.has(id) && at < first);
    this.items = [...earlier, ...items.data];
    if (earlier.length === 0) this.earlier = items.has_more ? items.after : null;
    this.growing.clear();
    this.view.showAll();
    this.setThread(thread);
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
