// The page: signs in, and connects sidebar, log and composer.

import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { byId } from "./dom.js";
import { Log } from "./log.js";
import * as server from "./server.js";
import { Sidebar } from "./sidebar.js";
import { handleSignIn } from "./sign-in.js";

/** How long an error is shown, in milliseconds. */
const ALERT_MS = 8000;

/** Conversations that were opened, by thread id. They keep receiving their answers while another one is shown. */
const conversations = new Map();
let current = null;
let hideAlert = null;

const sidebar = new Sidebar({ removed: forget, failed: showError });
const composer = new Composer({
  send: (text, attachments) => current.send(text, attachments, byId("temporary").checked),
  stop: () => attempt(() => current.stop()),
  failed: showError,
});
const log = new Log({
  stateChanged: showState,
  loadEarlier: () => attempt(() => current.loadEarlier()),
  retry: (item) => attempt(() => retry(item)),
  continueAnswer: () => attempt(() => current.send("Continue", [])),
  answer: (item, input) => attempt(() => current.answer(item.id, input)),
  act: (item, action) => attempt(() => current.act(item.id, action)),
  ratingOf: (item) => current.ratings.get(item.id),
  edit: (item) => composer.offer(textOf(item)),
  rate: (item, kind) => attempt(() => current.rate(item.id, kind)),
  copy: (item) => attempt(() => navigator.clipboard.writeText(textOf(item))),
});

handleSignIn(signIn);
byId("sign-out").addEventListener("click", () => server.signOut());
byId("new-chat").addEventListener("click", () => sidebar.open(false));
for (const prompt of document.querySelectorAll("#welcome button")) {
  prompt.addEventListener("click", () => {
    composer.offer(prompt.textContent);
    composer.send();
  });
}
// A reload removes all data of the user from memory.
document.addEventListener("signed-out", () => location.reload());
window.addEventListener("hashchange", showCurrent);
document.addEventListener("visibilitychange", followVisible);

if (server.isSignedIn()) enter();
else byId("entrance").hidden = false;

/** Signs in. The button `register` creates an account before that. */
async function signIn({ invitation, ...credentials }, button) {
  if (button === "register") await register(credentials, invitation);
  await server.signIn(credentials);
  // Removes the form, and with it the password, from the page.
  byId("entrance").remove();
  await enter();
}

async function register(credentials, invitation) {
  try {
    await server.register(credentials, invitation);
  } catch (error) {
    if (error.code === "INVITATION_REQUIRED") byId("invitation-field").hidden = false;
    throw error;
  }
}

async function enter() {
  byId("app").hidden = false;
  // Without the limits, the server still refuses what is too long.
  server.limits().then(({ message_chars: chars }) => composer.setMaxChars(chars), () => {});
  await attempt(() => sidebar.load());
  await showCurrent();
}

/** Shows the conversation that the URL names, or a new one. */
async function showCurrent() {
  if (!server.isSignedIn()) return;
  const threadId = location.hash.slice(1);
  if (current?.thread && current.thread.id === threadId) return sidebar.select(threadId);
  const conversation = conversations.get(threadId) ?? new Conversation(threadChanged);
  const isNew = threadId !== "" && !conversation.thread;
  if (isNew && !(await attempt(() => conversation.load(threadId)))) return location.replace("#");
  // The user may have opened another conversation while this one was loading.
  if (location.hash.slice(1) !== threadId) return;
  if (threadId !== "") conversations.set(threadId, conversation);
  current = conversation;
  sidebar.select(threadId);
  log.show(conversation);
  followVisible();
  byId("message").focus();
}

/**
 * Follows the conversation that is shown, and no other. Browsers allow six connections to a server, for all tabs
 * together, so a tab in the background has none.
 */
function followVisible() {
  const isVisible = document.visibilityState === "visible";
  for (const conversation of conversations.values()) {
    if (conversation === current && isVisible) conversation.follow();
    else conversation.unfollow();
  }
}

/** Called when a conversation gets its thread, or when its title changes. */
function threadChanged(conversation) {
  const { thread } = conversation;
  conversations.set(thread.id, conversation);
  if (!isTemporary(thread)) sidebar.put(thread);
  if (conversation !== current) return;
  followVisible();
  // Replaces the entry in the history, so that the back button skips the empty page.
  if (location.hash.slice(1) !== thread.id) history.replaceState(null, "", `#${thread.id}`);
  sidebar.select(thread.id);
  showState();
}

/** Temporary conversations are not listed. ChatKit's form of a thread says so in its metadata. */
function isTemporary({ temporary, metadata }) {
  return temporary ?? metadata?.temporary ?? false;
}

function forget(threadId) {
  conversations.delete(threadId);
  if (current?.thread?.id === threadId) location.hash = "";
}

/** Returns the text of a message. */
function textOf({ content }) {
  return content.map(({ text }) => text).join("\n");
}

async function retry(item) {
  const message = current.messageBefore(item.id);
  if (message) await current.retry(message.id);
  // The button may have gone, and the focus with it.
  if (document.activeElement === document.body) byId("scroller").focus();
}

function showState() {
  const { thread, running } = current;
  const { type, reason } = thread?.status ?? {};
  const closed = type === "locked" || type === "closed" ? (reason ?? `This conversation is ${type}.`) : null;
  byId("title").textContent = thread?.title ?? "New chat";
  composer.setState({ isAnswering: running !== null, closed });
}

/** Runs a request and shows its error. Resolves to whether it succeeded. */
async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    showError(error);
    return false;
  }
}

function showError(error) {
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  const alert = byId("alert");
  alert.textContent = `${error.message}${wait}`;
  alert.hidden = false;
  clearTimeout(hideAlert);
  hideAlert = setTimeout(() => (alert.hidden = true), ALERT_MS);
}
