// The page: signing in, and putting list, log and composer together.

import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { byId } from "./dom.js";
import { Log } from "./log.js";
import * as server from "./server.js";
import { Sidebar } from "./sidebar.js";

/** Milliseconds for which something that went wrong is shown. */
const ALERT_TIME = 8000;

/** Conversations that have been looked at. An answer goes on arriving in one that is left. */
const conversations = new Map();
let current = null;
let hideAlert = null;

const sidebar = new Sidebar({ removed: forget, failed: showFailure });
const composer = new Composer({
  send: (text, attachments) => current.send(text, attachments),
  stop: () => current.stop(),
  failed: showFailure,
});
const log = new Log({
  stateChanged: showState,
  loadEarlier: () => attempt(() => current.loadEarlier()),
  retry: (item) => attempt(() => retry(item)),
  answer: (item, input) => attempt(() => current.answer(item.id, input)),
  act: (item, action) => attempt(() => current.act(item.id, action)),
  rate: (item, kind) => attempt(() => current.rate(item.id, kind)),
  copy: (item) => attempt(() => navigator.clipboard.writeText(item.content.map(({ text }) => text).join("\n"))),
});

byId("sign-in").addEventListener("submit", signIn);
byId("sign-out").addEventListener("click", () => server.signOut());
byId("new-chat").addEventListener("click", () => sidebar.open(false));
for (const prompt of document.querySelectorAll("#welcome button")) {
  prompt.addEventListener("click", () => {
    composer.setText(prompt.textContent);
    composer.send();
  });
}
// Nothing of what was shown stays in memory.
document.addEventListener("signed-out", () => location.reload());
window.addEventListener("hashchange", showCurrent);

if (server.isSignedIn()) enter();
else byId("entrance").hidden = false;

/** The form's two buttons differ in what comes before the sign-in. */
async function signIn(event) {
  event.preventDefault();
  const problem = byId("sign-in-problem");
  const credentials = Object.fromEntries(new FormData(event.currentTarget));
  problem.textContent = "";
  try {
    if (event.submitter?.value === "register") await server.register(credentials);
    await server.signIn(credentials);
    // Gone from the page, with the password in it.
    byId("entrance").remove();
    await enter();
  } catch (error) {
    problem.textContent = error.message;
  }
}

async function enter() {
  byId("app").hidden = false;
  await attempt(() => sidebar.load());
  await showCurrent();
}

/** Shows the conversation that the address names, or a new one. */
async function showCurrent() {
  if (!server.isSignedIn()) return;
  const threadId = location.hash.slice(1);
  if (current?.thread && current.thread.id === threadId) return sidebar.select(threadId);
  const conversation = conversations.get(threadId) ?? new Conversation(threadChanged);
  const isNew = threadId !== "" && !conversation.thread;
  if (isNew && !(await attempt(() => conversation.load(threadId)))) return location.replace("#");
  // Another one may have been chosen meanwhile.
  if (location.hash.slice(1) !== threadId) return;
  if (threadId !== "") conversations.set(threadId, conversation);
  current = conversation;
  sidebar.select(threadId);
  log.show(conversation);
  byId("message").focus();
}

/** A conversation has its thread, or another title. */
function threadChanged(conversation) {
  const { thread } = conversation;
  conversations.set(thread.id, conversation);
  sidebar.put(thread);
  if (conversation !== current) return;
  // The address changes without a new entry in the history: the empty page before it is not worth going back to.
  if (location.hash.slice(1) !== thread.id) history.replaceState(null, "", `#${thread.id}`);
  sidebar.select(thread.id);
  showState();
}

function forget(threadId) {
  conversations.delete(threadId);
  if (current?.thread?.id === threadId) location.hash = "";
}

async function retry(item) {
  const message = current.messageBefore(item.id);
  if (message) await current.retry(message.id);
}

function showState() {
  const { thread, running } = current;
  const { type, reason } = thread?.status ?? {};
  const closed = type === "locked" || type === "closed" ? (reason ?? `This conversation is ${type}.`) : null;
  byId("title").textContent = thread?.title ?? "New chat";
  composer.setState({ isAnswering: running !== null, closed });
}

/** Does something that the server may refuse. Resolves to whether it was done. */
async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    showFailure(error);
    return false;
  }
}

function showFailure(error) {
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  const alert = byId("alert");
  alert.textContent = `${error.message}${wait}`;
  alert.hidden = false;
  clearTimeout(hideAlert);
  hideAlert = setTimeout(() => (alert.hidden = true), ALERT_TIME);
}
