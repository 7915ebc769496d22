// Runs: reading one to its end, whatever happens to the connection, and finding it again after a reload.

import * as server from "./server.js";

const RUNS = "threadline.runs";
/** Milliseconds to wait before a lost run is asked for again. After the last of them it is given up. */
const PAUSES = [200, 1000, 3000, 8000, 15000];

/** The runs that this tab is reading, by thread. They outlive a reload. */
export const remembered = {
  of: (threadId) => read()[threadId],
  set: (threadId, runId) => write({ ...read(), [threadId]: runId }),
  delete: (threadId) => write({ ...read(), [threadId]: undefined }),
};

/**
 * The events of a run, up to its end. `response` is the answer that began it; null when there is none any more.
 *
 * When the connection is lost the run is followed instead. ChatKit's answer has no cursors, so its events come again
 * from the first on: whoever folds them must not mind.
 */
export async function* eventsOf(response, runId, signal) {
  let cursor = null;
  let lost = 0;
  for (;;) {
    try {
      const answer = response ?? (await server.follow(runId, cursor, signal));
      for await (const { id, event } of server.events(answer)) {
        if (isBreak(event)) throw new server.Refusal(0, { message: "The answer could not be followed to its end." });
        cursor = id ?? cursor;
        lost = 0;
        yield event;
      }
      return;
    } catch (error) {
      if (!error.isPassing || runId === null || lost === PAUSES.length) throw error;
      await pause(PAUSES[lost], signal);
      lost += 1;
      response = null;
    }
  }
}

/** Whether the server says that the events stop although the run may go on. */
function isBreak(event) {
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
