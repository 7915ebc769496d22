// Runs: reads one to its end, over lost connections, and finds it again after a reload.

import * as server from "./server.js";

const RUNS = "threadline.runs";
/** Pauses before the tries to follow a run whose connection was lost, in milliseconds. After the last one it fails. */
const PAUSES_MS = [200, 1000, 3000, 8000, 15000];

const INTERRUPTED = "The answer could not be followed to its end.";

/** The active runs of this tab, by thread. They are kept over a reload. */
export const activeRuns = {
  get: (threadId) => read()[threadId],
  set: (threadId, runId) => write({ ...read(), [threadId]: runId }),
  delete: (threadId) => write({ ...read(), [threadId]: undefined }),
};

/**
 * Yields the events of a run, up to its end. `response` is the response that started the run; null after a reload.
 *
 * If the connection is lost, the run is followed instead. ChatKit's stream has no cursors, so its events then come
 * again from the first on. Applying an event twice must change nothing.
 */
export async function* eventsOf(response, runId, signal) {
  let cursor = null;
  let failures = 0;
  for (;;) {
    try {
      const stream = response ?? (await server.followRun(runId, cursor, signal));
      for await (const { id, event } of server.readEvents(stream)) {
        if (isInterruption(event)) throw new server.RequestError(0, { message: INTERRUPTED });
        cursor = id ?? cursor;
        failures = 0;
        yield event;
      }
      return;
    } catch (error) {
      if (!error.isTemporary || runId === null || failures === PAUSES_MS.length) throw error;
      await pause(PAUSES_MS[failures], signal);
      failures += 1;
      response = null;
    }
  }
}

/** Returns whether the server reports that the events stop, although the run may continue. */
function isInterruption(event) {
  return event.type === "error" && event.code === "stream.error";
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

function read() {
  return JSON.parse(sessionStorage.getItem(RUNS) ?? "{}");
}

function write(runs) {
  sessionStorage.setItem(RUNS, JSON.stringify(runs));
}
