// Requests to the server. URLs are relative to the page, which can be served under a path prefix.

const TOKEN = "threadline.token";
const ATTACHMENTS = "api/v1/chatkit/attachments/";

/** An error response, or status 0 if the server could not be reached. */
export class RequestError extends Error {
  constructor(status, { code, message, retry_after: retryAfter } = {}) {
    super(message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function isSignedIn() {
  return sessionStorage.getItem(TOKEN) !== null;
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
  document.dispatchEvent(new Event("signed-out"));
}

/** Creates an account, with the code of an invitation if there is one. */
export async function register(credentials, invitation) {
  await post("api/v1/auth/register", invitation ? { ...credentials, invitation } : credentials);
}

export async function signIn(credentials) {
  const { data } = await (await post("api/v1/auth/login", credentials)).json();
  sessionStorage.setItem(TOKEN, data.token);
}

/** Sends a request of ChatKit's protocol. Returns its JSON. */
export async function requestJson(type, params) {
  return (await post("chatkit", { type, params })).json();
}

/** Sends a request of ChatKit's protocol. Returns the response, which is a stream of events. */
export function requestStream(type, params, signal) {
  return post("chatkit", { type, params }, signal);
}

/** Requests the events of a thread after the cursor. See `follow` for `snapshot`. */
export function followThread(threadId, { cursor, snapshot }, signal) {
  const headers = cursor ? { "last-event-id": cursor } : {};
  return send(`api/v1/chatkit/sessions/${threadId}/events${snapshot ? "?snapshot=true" : ""}`, { headers, signal });
}

/** Returns the user's ratings in a thread, as a list of `{ item_id, kind }`; at most a thousand. */
export async function ratings(threadId) {
  const found = [];
  let after = "";
  for (let page = 0; page < 10 && after !== null; page += 1) {
    const query = `limit=100${after && `&after=${after}`}`;
    const { data, meta } = await (await send(`api/v1/chatkit/sessions/${threadId}/feedback?${query}`, {})).json();
    found.push(...data);
    after = meta.has_more ? meta.after : null;
  }
  return found;
}

/** Returns the limits that the server has for messages. */
export async function limits() {
  return (await (await send("api/v1/limits", {})).json()).data;
}

/** Cancels a run. Closing its stream cancels it too, but only later, and until then its thread takes no message. */
export async function cancelRun(runId) {
  await post(`api/v1/chatkit/runs/${runId}/cancel`, {});
}

/** Yields the events of a response, each with its cursor if it has one. A cursor can come without an event. */
export async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      yield* blocks.map(parse).filter(({ id, event }) => id !== null || event !== null);
    }
  } catch (error) {
    throw unreachable(error);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Uploads a file to the URL of its descriptor. `progress` is called with the part that was sent, from 0 to 1.
 *
 * Uses XMLHttpRequest, because `fetch` does not report the progress of an upload.
 */
export function upload(descriptor, file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(descriptor.method, relativeUrl(descriptor.url));
    for (const [name, value] of Object.entries(descriptor.headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded, total }) => progress(total ? loaded / total : 0));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve();
      else reject(new RequestError(request.status, errorIn(request.responseText)));
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Makes the URL of an attachment relative to the page: the server's own host name can differ from the one in the
 * browser. URLs of other servers, such as a bucket, stay unchanged.
 */
export function relativeUrl(url) {
  const start = url.indexOf(ATTACHMENTS);
  return start < 0 ? url : url.slice(start);
}

function post(path, body, signal) {
  const headers = { "content-type": "application/json" };
  return send(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

async function send(path, { headers, ...options }) {
  const token = sessionStorage.getItem(TOKEN);
  const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
  const sent = fetch(path, { ...options, headers: { ...headers, ...authorization } });
  const response = await sent.catch((error) => Promise.reject(unreachable(error)));
  if (response.ok) return response;
  if (response.status === 401 && token !== null) signOut();
  throw new RequestError(response.status, errorIn(await response.text()));
}

/** Returns the error of a response body; empty if a proxy has sent it in another form. */
function errorIn(text) {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

/** Returns the error of a failed connection. An abort by the page stays an AbortError. */
function unreachable(error) {
  if (error?.name === "AbortError" || error instanceof RequestError) return error;
  return new RequestError(0, { code: "UNREACHABLE", message: "The server cannot be reached." });
}

/** Parses one block of the stream. `event` is null for a comment, a cursor alone, and `[DONE]`. */
function parse(block) {
  let id = null;
  let event = null;
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) id = line.slice(4);
    if (line.startsWith("data: ") && line !== "data: [DONE]") event = JSON.parse(line.slice(6));
  }
  return { id, event };
}
