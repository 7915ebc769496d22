// Follows a conversation: the events of all its runs, also of those that other clients have started, and changes
// outside of runs.

import * as server from "./server.js";

/** Pauses before the tries to connect again, in milliseconds. The last one repeats. */
const PAUSES_MS = [200, 1000, 3000, 8000, 15000];

/**
 * Yields `{ runId, event }` for each event of a thread, until `signal` aborts, over lost connections. `runId` is null for
 * a change outside of a run.
 *
 * `withSnapshot`: begin with the conversation as it is now. Otherwise with the first event of the active run, if there
 * is one. `connectionChanged` is called with whether there is a connection.
 */
export async function* follow(threadId, { withSnapshot, connectionChanged }, signal) {
  let cursor = null;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const snapshot = withSnapshot && cursor === null;
      const stream = await server.followThread(threadId, { cursor, snapshot }, signal);
      connectionChanged(true);
      for await (const { id, event } of server.readEvents(stream)) {
        failures = 0;
        cursor = id ?? cursor;
        if (event && !isInterruption(event)) yield { runId: id?.split(":")[0] ?? null, event };
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!error.isTemporary) throw error;
    }
    connectionChanged(false);
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)], signal);
    failures += 1;
  }
}

/** Returns whether the server reports that the events stop, although the run may continue. */
export function isInterruption(event) {
  return event.type === "error" && event.code === "stream.error";
}

/** Resolves after a time, or when `signal` aborts. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", resolve, { once: true });
  });
}
