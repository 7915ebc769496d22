// Requests of the chat page.

import { Client, RequestError, errorIn, unreachable } from "./http.js";

export { RequestError };

const ATTACHMENTS = "api/v1/chatkit/attachments/";

const client = new Client("threadline.token");

export function isSignedIn() {
  return client.isSignedIn;
}

export function signIn(credentials) {
  return client.signIn(credentials);
}

export function signOut() {
  client.signOut();
}

/** Creates an account, with the code of an invitation if there is one. */
export async function register(credentials, invitation) {
  await client.post("api/v1/auth/register", invitation ? { ...credentials, invitation } : credentials);
}

/** Sends a request of ChatKit's protocol. Returns its JSON. */
export async function requestJson(type, params) {
  return (await client.post("chatkit", { type, params })).json();
}

/** Sends a request of ChatKit's protocol. Returns the response, which is a stream of events. */
export function requestStream(type, params, signal) {
  return client.post("chatkit", { type, params }, signal);
}

/** Requests the events of a thread after the cursor. See `follow` for `snapshot`. */
export function followThread(threadId, { cursor, snapshot }, signal) {
  const headers = cursor ? { "last-event-id": cursor } : {};
  return client.send(`api/v1/chatkit/sessions/${threadId}/events${snapshot ? "?snapshot=true" : ""}`, { headers, signal });
}

/** Returns the user's ratings in a thread, as a list of `{ item_id, kind }`; at most a thousand. */
export async function ratings(threadId) {
  const found = [];
  let after = "";
  for (let page = 0; page < 10 && after !== null; page += 1) {
    const query = `limit=100${after && `&after=${after}`}`;
    const { data, meta } = await (await client.send(`api/v1/chatkit/sessions/${threadId}/feedback?${query}`)).json();
    found.push(...data);
    after = meta.has_more ? meta.after : null;
  }
  return found;
}

/** Returns the limits that the server has for messages. */
export async function limits() {
  return (await (await client.send("api/v1/limits")).json()).data;
}

/** Cancels a run. Closing its stream cancels it too, but only later, and until then its thread takes no message. */
export async function cancelRun(runId) {
  await client.post(`api/v1/chatkit/runs/${runId}/cancel`, {});
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
