// What the page asks of the server. Addresses are relative to the page, which may stand behind a prefix.

const TOKEN = "threadline.token";
const ATTACHMENTS = "api/v1/chatkit/attachments/";

/** The server said no, or could not be reached. */
export class Refusal extends Error {
  constructor(status, { code, message, retry_after: retryAfter } = {}) {
    super(message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may work a moment later. */
  get isPassing() {
    return this.status === 0 || this.status >= 500;
  }
}

export function isSignedIn() {
  return sessionStorage.getItem(TOKEN) !== null;
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
  document.dispatchEvent(new Event("signed-out"));
}

export async function register(credentials) {
  await post("api/v1/auth/register", credentials);
}

export async function signIn(credentials) {
  const { data } = await (await post("api/v1/auth/login", credentials)).json();
  sessionStorage.setItem(TOKEN, data.token);
}

/** A request of ChatKit's that is answered with JSON. */
export async function ask(type, params) {
  return (await post("chatkit", { type, params })).json();
}

/** A request of ChatKit's that is answered with events. */
export function open(type, params, signal) {
  return post("chatkit", { type, params }, signal);
}

/** The events of a run behind the cursor, or all of them. */
export function follow(runId, cursor, signal) {
  const headers = cursor ? { "last-event-id": cursor } : {};
  return send(`api/v1/chatkit/runs/${runId}/events`, { headers, signal });
}

/** Ends a run. Closing its stream would as well, but only after a while, in which its thread takes no message. */
export async function cancel(runId) {
  await post(`api/v1/chatkit/runs/${runId}/cancel`, {});
}

/** The events of an answer, each with the cursor that stands in front of it, if one does. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      yield* blocks.map(parse).filter(({ event }) => event !== null);
    }
  } catch (error) {
    throw unreachable(error);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Puts a file where its descriptor says. `progress` is told how much of it is there, from 0 to 1.
 *
 * By XMLHttpRequest, since `fetch` tells nobody how far an upload is.
 */
export function upload(descriptor, file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(descriptor.method, own(descriptor.url));
    for (const [name, value] of Object.entries(descriptor.headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded, total }) => progress(total ? loaded / total : 0));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve();
      else reject(new Refusal(request.status, errorIn(request.responseText)));
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Where something of this server's is, seen from the page: the server gives the address it takes for its own, and the
 * page may have been reached by another name. What is kept elsewhere stays where it is.
 */
export function own(address) {
  const begin = address.indexOf(ATTACHMENTS);
  return begin < 0 ? address : address.slice(begin);
}

function post(path, body, signal) {
  const headers = { "content-type": "application/json" };
  return send(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

async function send(path, { headers, ...options }) {
  const token = sessionStorage.getItem(TOKEN);
  const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
  const answer = fetch(path, { ...options, headers: { ...headers, ...authorization } });
  const response = await answer.catch((error) => Promise.reject(unreachable(error)));
  if (response.ok) return response;
  if (response.status === 401 && token !== null) signOut();
  throw new Refusal(response.status, errorIn(await response.text()));
}

/** What an error says, whoever sent it: a proxy in between speaks another language. */
function errorIn(text) {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

/** A connection that failed. What was broken off on purpose stays what it is. */
function unreachable(error) {
  if (error?.name === "AbortError" || error instanceof Refusal) return error;
  return new Refusal(0, { code: "UNREACHABLE", message: "The server cannot be reached." });
}

/** One block of the stream. `event` is null where there is none: a comment, a cursor alone, `[DONE]`. */
function parse(block) {
  let id = null;
  let event = null;
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) id = line.slice(4);
    if (line.startsWith("data: ") && line !== "data: [DONE]") event = JSON.parse(line.slice(6));
  }
  return { id, event };
}
