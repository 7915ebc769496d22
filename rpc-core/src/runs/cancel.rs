//! Ending a run from outside, whichever process answers it.

use super::hub::StopReason;
use super::{LEASE, get};
use crate::core::Core;
use crate::error::Error;
use crate::store::StoreError;
use std::time::Duration;
use threadline_schema::runs::Run;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a cancel waits for a run of this process to have ended. Ending takes one transaction.
const WAIT: Duration = Duration::from_secs(10);
/// ... and for one of another process, which may be dead: then its lease has to end first.
const WAIT_ELSEWHERE: Duration = Duration::from_secs(LEASE.as_secs() + 10);
/// How often the database is asked whether a run of another process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ends a run, and waits until it has ended: its connection to the model is closed then, and what it had said is kept.
/// Of a run that has ended already, tells how.
pub(crate) async fn cancel(core: &Core, user_id: Uuid, run_id: Uuid) -> Result<Run, Error> {
    // One that has ended here and is open in the database is for somebody else to close.
    let Some(active) = core.hub.find(run_id).filter(|entry| !entry.has_ended()) else {
        let now = core.clock.now();
        let row = core.store.run_request_cancel(user_id.into(), run_id.into(), now).await.map_err(Error::of_run)?;
        if !row.status.is_final() {
            core.signals.cancel(run_id);
            ended_elsewhere(core, user_id, run_id, WAIT_ELSEWHERE).await?;
        }
        return get(core, user_id, run_id).await;
    };
    let row = core.store.run_get(user_id.into(), run_id.into()).await.map_err(Error::of_run)?;
    if !row.status.is_final() {
        active.stop(StopReason::Cancelled);
        tokio::time::timeout(WAIT, active.log.closed()).await.map_err(|_| still_ending())?;
    }
    get(core, user_id, run_id).await
}

/// Ends whatever is answering in a thread that goes away. Deleting goes on either way: a run whose thread is gone ends
/// by itself.
pub(crate) async fn stop_in_thread(core: &Core, user_id: Uuid, thread_id: Uuid) -> Result<(), StoreError> {
    if let Some(active) = core.hub.in_thread(thread_id) {
        active.stop(StopReason::Cancelled);
        let _ = tokio::time::timeout(WAIT, active.log.closed()).await;
    } else if let Some(run) = core.store.active_run(thread_id.into()).await? {
        core.store.run_request_cancel(user_id.into(), run.id, core.clock.now()).await?;
        core.signals.cancel(run.id.0);
        let _ = ended_elsewhere(core, user_id, run.id.0, WAIT).await;
    }
    Ok(())
}

/// Ends the runs of this process whose users have asked another one.
pub(super) async fn obey(core: &Core) {
    match core.store.runs_to_cancel(core.id).await {
        Ok(asked) => asked.into_iter().for_each(|run_id| obey_one(core, run_id.0)),
        Err(error) => tracing::warn!(%error, "cancelled runs could not be looked for"),
    }
}

/// Ends a run of this process, if it is one.
pub(super) fn obey_one(core: &Core, run_id: Uuid) {
    if let Some(active) = core.hub.find(run_id) {
        active.stop(StopReason::Cancelled);
    }
}

/// Waits for the end of a run that another process answers.
async fn ended_elsewhere(core: &Core, user_id: Uuid, run_id: Uuid, limit: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    loop {
        let row = core.store.run_get(user_id.into(), run_id.into()).await.map_err(Error::of_run)?;
        if row.status.is_final() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(still_ending());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn still_ending() -> Error {
    Error::unavailable("The run is still ending. Please ask again in a moment.", None)
}
