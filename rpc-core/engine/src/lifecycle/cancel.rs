//! Cancels runs, whichever process executes them.

use crate::error::EngineError;
use crate::hub::StopReason;
use crate::leases::LEASE;
use crate::shared::Shared;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use threadline_store::StoreResult;
use threadline_store::rows::RunRow;
use tokio::time::Instant;

/// How long a cancel waits for the end of a run of this process. Ending takes one transaction.
const WAIT: Duration = Duration::from_secs(10);
/// How long it waits for a run of another process, which may be dead: then its lease must expire first.
const WAIT_ELSEWHERE: Duration = Duration::from_secs(LEASE.as_secs() + 10);
/// Poll interval for the end of a run of another process.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Cancels a run and waits until it has ended: its connection to the model is closed then, and its output is stored. A
/// run that has ended already stays as it is. Returns the run.
pub(crate) async fn cancel_run(shared: &Shared, user_id: UserId, run_id: RunId) -> Result<RunRow, EngineError> {
    // A run that has ended here and is active in the database is closed by recovery, in this process or another.
    let Some(handle) = shared.hub.find(run_id).filter(|handle| !handle.has_ended()) else {
        let row = shared.store.run_request_cancel(user_id, run_id, shared.clock.now()).await?;
        if !row.status.is_final() {
            shared.signals.cancel(run_id);
            wait_for_end(shared, user_id, run_id, WAIT_ELSEWHERE).await?;
        }
        return Ok(shared.store.run_get(user_id, run_id).await?);
    };
    let row = shared.store.run_get(user_id, run_id).await?;
    if row.status.is_final() {
        return Ok(row);
    }
    handle.stop(StopReason::Cancelled);
    tokio::time::timeout(WAIT, handle.log.closed()).await.map_err(|_| EngineError::StillEnding)?;
    Ok(shared.store.run_get(user_id, run_id).await?)
}

/// Stops the active run of a thread that is about to be deleted. The deletion continues either way: a run whose thread
/// is gone ends by itself.
pub(crate) async fn stop_run_in_thread(shared: &Shared, user_id: UserId, thread_id: ThreadId) -> StoreResult<()> {
    if !stop_local_run(shared, thread_id).await
        && let Some(run) = shared.store.active_run(thread_id).await?
    {
        shared.store.run_request_cancel(user_id, run.id, shared.clock.now()).await?;
        shared.signals.cancel(run.id);
        let _ = wait_for_end(shared, user_id, run.id, WAIT).await;
    }
    Ok(())
}

/// Stops the active run of a thread if this process executes it, and returns whether it does.
pub(crate) async fn stop_local_run(shared: &Shared, thread_id: ThreadId) -> bool {
    let Some(handle) = shared.hub.active_in(thread_id) else { return false };
    handle.stop(StopReason::Cancelled);
    let _ = tokio::time::timeout(WAIT, handle.log.closed()).await;
    true
}

/// Applies the cancel requests that users made on other processes.
pub(crate) async fn apply_cancel_requests(shared: &Shared) {
    match shared.store.runs_to_cancel(shared.process_id).await {
        Ok(runs) => runs.into_iter().for_each(|run_id| apply_cancel_request(shared, run_id)),
        Err(error) => tracing::warn!(error = %Chain(&error), "cancel requests could not be looked up"),
    }
}

/// Applies a cancel request, if this process executes the run.
pub(crate) fn apply_cancel_request(shared: &Shared, run_id: RunId) {
    if let Some(handle) = shared.hub.find(run_id) {
        handle.stop(StopReason::Cancelled);
    }
}

/// Waits for the end of a run that another process executes.
async fn wait_for_end(shared: &Shared, user_id: UserId, run_id: RunId, limit: Duration) -> Result<(), EngineError> {
    let deadline = Instant::now() + limit;
    loop {
        let row = shared.store.run_get(user_id, run_id).await?;
        if row.status.is_final() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(EngineError::StillEnding);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}
