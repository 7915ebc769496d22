//! Removes old data: logs of ended runs, idempotency keys, rows of processes. Archives idle threads.

use crate::shared::Shared;
use std::time::Duration;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;

/// How long idempotency keys are kept. The same key later is a new request.
const IDEMPOTENCY_KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long the row of a process is kept after the process was last alive.
const PROCESSES_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Rows that one transaction removes: few, so that other transactions do not wait long for it.
const BATCH: u32 = 100;

/// Removes the logs of runs that ended long ago, and old idempotency keys.
pub(crate) async fn remove_expired_logs(shared: &Shared) {
    let before = |age: Duration| UtcTime::from(shared.clock.now().utc() - age);
    if let Err(error) = shared.store.processes_trim(before(PROCESSES_KEPT)).await {
        tracing::warn!(error = %Chain(&error), "old processes could not be removed");
    }
    if let Err(error) = shared.store.segments_trim_gone(shared.process_id).await {
        tracing::warn!(error = %Chain(&error), "segments of processes that are gone could not be removed");
    }
    loop {
        let logs = shared.store.logs_trim(before(shared.config.events_retention), BATCH).await;
        let keys = shared.store.idempotency_keys_trim(before(IDEMPOTENCY_KEYS_KEPT), BATCH).await;
        match (logs, keys) {
            (Ok(0), Ok(0)) => return,
            (Ok(logs), Ok(keys)) => tracing::debug!(logs, keys, "removed old logs and idempotency keys"),
            (Err(error), _) | (_, Err(error)) => {
                return tracing::warn!(error = %Chain(&error), "old logs and idempotency keys could not be removed");
            }
        }
    }
}

/// Archives threads that were not used for `max_idle`.
pub(crate) async fn archive_idle_threads(shared: &Shared, max_idle: Duration) {
    let idle = chrono::TimeDelta::from_std(max_idle).ok();
    let Some(before) = idle.and_then(|idle| shared.clock.now().utc().checked_sub_signed(idle)) else { return };
    loop {
        match shared.store.threads_archive_idle(before.into(), BATCH).await {
            Ok(0) => return,
            Ok(count) => tracing::info!(count, "archived idle threads"),
            Err(error) => return tracing::warn!(error = %Chain(&error), "idle threads could not be archived"),
        }
    }
}
