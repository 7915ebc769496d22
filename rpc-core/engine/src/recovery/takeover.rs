//! Takes over runs that no process executes any more: each continues in this process, or ends.
//!
//! One pass at a time takes runs over in this process. Otherwise one would find the runs of another, which are owned by
//! this process and not in the hub yet, and take them for lost.

use super::close_run::close_run;
use super::continue_run::{ContinuationStart, continue_run};
use super::verdict::{Verdict, judge};
use crate::durability::mirror_log;
use crate::holds::book_holds;
use crate::hub::StopReason;
use crate::lifecycle::status_after_owner_died;
use crate::log::{NumberedEvent, decode_row};
use crate::shared::Shared;
use crate::wire;
use futures::StreamExt;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use threadline_schema::error::Chain;
use threadline_schema::ids::{ProcessId, RunId};
use threadline_store::rows::RunRow;
use threadline_store::{Conflict, StoreError, StoreResult, Unbooked};

/// Dead runs that are recovered at the same time.
const CONCURRENCY: usize = 8;
/// Rows of a log that are read at a time.
const ROWS: u32 = 1_000;
/// Runs that one query takes over: few, so that no other process waits for it.
const BATCH: u32 = 100;

/// Recovers all open runs. For a process that has the database to itself, right after its start: all of them belong to
/// a process that died.
pub(crate) async fn recover_all_open_runs(shared: &Arc<Shared>) -> StoreResult<()> {
    let _one_pass = shared.recovering.lock().await;
    let mut seen = HashSet::new();
    loop {
        // Those that continue have the newest leases, so they come last.
        let mut left = shared.store.runs_active(BATCH).await?;
        left.retain(|run| seen.insert(run.id));
        if left.is_empty() {
            shared.store.segments_trim_gone(shared.process_id).await?;
            book_holds(shared, Unbooked::All).await;
            return Ok(());
        }
        settle_segments(shared, &left).await?;
        for run in left {
            ignore_closed(take_over(shared, run, Recovery::GoOn).await)?;
        }
    }
}

/// Recovers the lost runs of this process: active in the database, and executed by no task. A run is in the hub before
/// it is stored, so a run that has just started is not among them.
///
/// A run that this process has executed ends: its last write failed for too long, or its task panicked, and subscribers
/// may have seen how it ended. A run that it has not executed can continue: either it was unknown whether its start was
/// stored, or it was taken over and could not be recovered at once.
pub(crate) async fn recover_lost_runs(shared: &Arc<Shared>) {
    let _one_pass = shared.recovering.lock().await;
    // Before the query, so that each of these runs is stored by the time of the query.
    let active = shared.hub.active();
    let open = match shared.store.runs_owned(shared.process_id).await {
        Ok(open) => open,
        Err(error) => return tracing::warn!(error = %Chain(&error), "open runs could not be looked up"),
    };
    for handle in active {
        if !open.iter().any(|run| run.id == handle.run_id) {
            // Another process has taken it over. The run would notice at its next write; its subscribers shall know
            // now.
            handle.stop(StopReason::Superseded);
        }
    }
    mirror_taken_runs(shared, &open).await;
    let is_executed = |run: &RunRow| shared.hub.find(run.id).is_some_and(|handle| !handle.has_ended());
    let lost: Vec<RunRow> = open.into_iter().filter(|run| !is_executed(run)).collect();
    if let Err(error) = settle_segments(shared, &lost).await {
        return tracing::warn!(error = %Chain(&error), "lost runs cannot be closed yet");
    }
    for run in lost {
        let handle = shared.hub.find(run.id);
        let run_id = run.id;
        let recovery = if handle.is_some() { Recovery::End } else { Recovery::GoOn };
        if recovery == Recovery::GoOn && shared.hub.is_shutting_down() {
            continue;
        }
        if let Some(handle) = handle.filter(|handle| !handle.log.is_closed()) {
            // Its subscribers get what recovery writes.
            mirror_log(shared, &handle, wire::run(&run));
        }
        if let Err(error) = ignore_closed(take_over(shared, run, recovery).await) {
            tracing::warn!(%run_id, error = %Chain(&error), "lost run could not be recovered");
        }
    }
}

/// Mirrors the runs that have ended in this process without an end, and that other processes have taken over since:
/// their subscribers here get what the new owners write. `owned` are the active runs of this process.
async fn mirror_taken_runs(shared: &Arc<Shared>, owned: &[RunRow]) {
    for handle in shared.hub.ended_without_end() {
        if handle.is_mirrored() || owned.iter().any(|run| run.id == handle.run_id) {
            continue;
        }
        // Without a row, the run was deleted with its thread.
        if let Ok(run) = shared.store.run_get(handle.user_id, handle.run_id).await {
            mirror_log(shared, &handle, wire::run(&run));
        }
    }
}

/// Recovers the runs of processes whose leases have expired. A process that shuts down leaves them to others.
pub(crate) async fn recover_dead_runs(shared: &Arc<Shared>) {
    let _one_pass = shared.recovering.lock().await;
    while shared.leases.can_judge_others() && !shared.hub.is_shutting_down() {
        let (now, until) = (shared.clock.now(), shared.lease_until());
        let taken = match shared.store.runs_take_expired(shared.process_id, now, until, BATCH).await {
            Ok(taken) => taken,
            Err(error) => return tracing::warn!(error = %Chain(&error), "dead runs could not be looked up"),
        };
        if taken.is_empty() {
            let me = shared.process_id;
            return book_holds(shared, Unbooked::Expired { me, now }).await;
        }
        recover_taken(shared, taken).await;
    }
}

/// Recovers the runs of processes that are known to be gone.
pub(super) async fn recover_runs_of(shared: &Arc<Shared>, gone: Vec<ProcessId>) {
    let _one_pass = shared.recovering.lock().await;
    while !shared.hub.is_shutting_down() {
        let (now, until) = (shared.clock.now(), shared.lease_until());
        let taken = shared.store.runs_take_from(gone.clone(), shared.process_id, now, until, BATCH).await;
        match taken {
            Ok(taken) if taken.is_empty() => return book_holds(shared, Unbooked::Of(gone)).await,
            Ok(taken) => recover_taken(shared, taken).await,
            Err(error) => {
                return tracing::warn!(error = %Chain(&error), "runs of a process that is gone could not be taken over");
            }
        }
    }
}

/// Recovers runs that this process has taken over. One that cannot be recovered now is a lost run of this process, and
/// is recovered as such.
async fn recover_taken(shared: &Arc<Shared>, taken: Vec<RunRow>) {
    metrics::counter!("threadline_leases_lost_total").increment(taken.len() as u64);
    let recover = |run: RunRow| async move {
        let run_id = run.id;
        if let Err(error) = ignore_closed(recover(shared, run, Recovery::GoOn).await) {
            tracing::warn!(%run_id, error = %Chain(&error), "dead run could not be recovered");
        }
    };
    futures::stream::iter(taken).for_each_concurrent(CONCURRENCY, recover).await;
    if let Err(error) = shared.store.segments_trim_gone(shared.process_id).await {
        // They are removed the next time.
        tracing::debug!(error = %Chain(&error), "segments of a process that is gone could not be removed");
    }
}

/// What recovery may do with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    /// Continue it, if that is safe; else end it.
    GoOn,
    /// End it.
    End,
}

/// Takes a run over and recovers it. The epoch is new even if the owner was this process: events that it has emitted
/// may not be durable.
async fn take_over(shared: &Arc<Shared>, run: RunRow, recovery: Recovery) -> StoreResult<()> {
    let taken = shared.store.run_take_over(&run, shared.process_id, shared.lease_until()).await?;
    recover(shared, taken, recovery).await
}

/// Continues a run that this process has taken over, or ends it. Its former owner, should it come back, cannot write
/// any more.
async fn recover(shared: &Arc<Shared>, run: RunRow, recovery: Recovery) -> StoreResult<()> {
    let events = read_log(shared, &run).await?;
    let items = shared.store.run_items(run.id).await?;
    let verdict = match recovery {
        Recovery::GoOn => judge(shared, &run, &items).await?,
        Recovery::End => {
            let status = status_after_owner_died(run.cancel_requested_at.is_some());
            Verdict::End(status, None, "this process has lost it")
        }
    };
    match verdict {
        Verdict::Continue(driver, progress) => match ContinuationStart::of(shared, &run, &events, &items) {
            Ok(start) => continue_run(shared, run, events, start, driver, progress).await,
            Err(error) => {
                // It must not keep its thread busy for ever.
                tracing::error!(run_id = %run.id, error = %Chain(&error), "run cannot continue");
                close_run(shared, run, &events, items, status_after_owner_died(false), None).await
            }
        },
        Verdict::End(status, failure, why) => {
            tracing::info!(run_id = %run.id, why, "run does not continue");
            close_run(shared, run, &events, items, status, failure).await
        }
    }
}

/// Moves the events of runs that no process executes from the segments to `run_events`, from where they are read.
async fn settle_segments(shared: &Shared, runs: &[RunRow]) -> StoreResult<()> {
    let mut epochs: BTreeMap<ProcessId, BTreeMap<RunId, i64>> = BTreeMap::new();
    for run in runs {
        epochs.entry(run.owner).or_default().insert(run.id, run.epoch);
    }
    for (owner, epochs) in epochs {
        shared.store.segments_settle(owner, epochs).await?;
    }
    Ok(())
}

/// A run that has ended meanwhile, or that another process closes, needs nothing more.
fn ignore_closed(closed: StoreResult<()>) -> StoreResult<()> {
    match closed {
        Err(StoreError::Conflict(Conflict::RunSuperseded) | StoreError::NotFound(_)) => Ok(()),
        other => other,
    }
}

async fn read_log(shared: &Shared, run: &RunRow) -> StoreResult<Vec<NumberedEvent>> {
    let mut events = Vec::new();
    let mut position = 0;
    loop {
        let rows = shared.store.events_after(run.id, position, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(events) };
        // From the row and not from its events: a row that cannot be decoded must not be read for ever.
        position = last.last_seq;
        events.extend(rows.into_iter().flat_map(decode_row));
    }
}
