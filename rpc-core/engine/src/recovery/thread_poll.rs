//! Finds runs that other processes have started in threads with subscribers here: their signals can be lost.

use crate::shared::Shared;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_schema::ids::RunId;

/// How far back to look: longer than a transaction takes, and several times the interval of the poll.
const LOOK_BACK: Duration = Duration::from_secs(20);

/// Wakes the feeds of threads in which a run has started lately. One query for all of them.
pub(crate) async fn poll_threads(shared: &Shared) {
    if shared.hub.notifier.is_empty() {
        return;
    }
    let since = shared.clock.now().utc() - LOOK_BACK;
    // The id of a run starts with the time at which it was made, by the clock that all processes share.
    let millis = u64::try_from(since.timestamp_millis()).unwrap_or_default();
    let since = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
    match shared.store.threads_with_runs_after(RunId::from_uuid(since)).await {
        Ok(threads) => threads.into_iter().for_each(|thread_id| shared.hub.notifier.notify(thread_id)),
        Err(error) => tracing::warn!(error = %Chain(&error), "new runs could not be looked up"),
    }
}
