//! Closes runs that no process executes any more.

use super::charge::estimated_charge;
use super::reconstruct::RecoveredItems;
use crate::durability::{mirror_log, resync_events};
use crate::hub::StopReason;
use crate::lifecycle::status_after_owner_died;
use crate::log::{NumberedEvent, decode_row, encode_rows, last_seq_before_epoch, to_signed};
use crate::shared::Shared;
use crate::wire;
use futures::StreamExt;
use std::sync::Arc;
use threadline_schema::error::Chain;
use threadline_schema::ids::ProcessId;
use threadline_schema::items::ItemKind;
use threadline_schema::runs::Usage;
use threadline_store::rows::RunRow;
use threadline_store::{Conflict, RunEnd, StoreError, StoreResult};

/// Dead runs that are closed at the same time.
const CONCURRENCY: usize = 8;
/// Rows of a log that are read at a time.
const ROWS: u32 = 1_000;
/// Runs that one query takes over: few, so that no other process waits for it.
const BATCH: u32 = 100;

/// Closes all open runs. For a process that has the database to itself, right after its start: all of them belong to a
/// process that died.
pub(crate) async fn close_all_open_runs(shared: &Shared) -> StoreResult<()> {
    loop {
        let open = shared.store.runs_active(BATCH).await?;
        if open.is_empty() {
            return Ok(());
        }
        for run in open {
            ignore_closed(take_over_and_close(shared, run).await)?;
        }
    }
}

/// Closes the lost runs of this process: active in the database, and executed by no task. Their last write failed for
/// too long, or their task panicked, or it is unknown whether their start was stored. A run is in the hub before it is
/// stored, so a run that has just started is not among them.
pub(crate) async fn close_lost_runs(shared: &Arc<Shared>) {
    // Before the query, so that each of these runs is stored by the time of the query.
    let active = shared.hub.active();
    let open = match shared.store.runs_owned(shared.process_id).await {
        Ok(open) => open,
        Err(error) => return tracing::warn!(error = %Chain(&error), "open runs could not be looked up"),
    };
    for handle in active {
        if !open.iter().any(|run| run.id == handle.run_id) {
            // Another process has taken it over. The run would notice at its next write; its subscribers hear of it now.
            handle.stop(StopReason::Superseded);
        }
    }
    for run in open {
        let handle = shared.hub.find(run.id);
        if handle.as_ref().is_some_and(|handle| !handle.has_ended()) {
            continue;
        }
        let run_id = run.id;
        if let Some(handle) = handle.filter(|handle| !handle.log.is_closed()) {
            // Its subscribers get what recovery writes.
            mirror_log(shared, &handle, wire::run(&run));
        }
        if let Err(error) = ignore_closed(take_over_and_close(shared, run).await) {
            tracing::warn!(%run_id, error = %Chain(&error), "lost run could not be closed");
        }
    }
}

/// Closes the runs of processes whose leases have expired.
pub(crate) async fn close_dead_runs(shared: &Shared) {
    while shared.leases.can_judge_others() {
        let (now, until) = (shared.clock.now(), shared.lease_until());
        let taken = match shared.store.runs_take_expired(shared.process_id, now, until, BATCH).await {
            Ok(taken) => taken,
            Err(error) => return tracing::warn!(error = %Chain(&error), "dead runs could not be looked up"),
        };
        if taken.is_empty() {
            return;
        }
        close_taken(shared, taken).await;
    }
}

/// Closes the runs of processes that are known to be gone.
pub(super) async fn close_runs_of(shared: &Shared, gone: Vec<ProcessId>) {
    loop {
        let taken = shared.store.runs_take_from(gone.clone(), shared.process_id, shared.lease_until(), BATCH).await;
        match taken {
            Ok(taken) if taken.is_empty() => return,
            Ok(taken) => close_taken(shared, taken).await,
            Err(error) => {
                return tracing::warn!(error = %Chain(&error), "runs of a process that is gone could not be taken over");
            }
        }
    }
}

/// Closes runs that this process has taken over. One that cannot be closed now is a lost run of this process, and is closed
/// as such.
async fn close_taken(shared: &Shared, taken: Vec<RunRow>) {
    let close = |run: RunRow| async move {
        let run_id = run.id;
        if let Err(error) = ignore_closed(close_run(shared, run).await) {
            tracing::warn!(%run_id, error = %Chain(&error), "dead run could not be closed");
        }
    };
    futures::stream::iter(taken).for_each_concurrent(CONCURRENCY, close).await;
}

/// Takes a run over and closes it, under a new epoch: its owner, be it this process, may have emitted events that are
/// not durable.
async fn take_over_and_close(shared: &Shared, run: RunRow) -> StoreResult<()> {
    let taken = shared.store.run_take_over(&run, shared.process_id, shared.lease_until()).await?;
    close_run(shared, taken).await
}

/// A run that has ended meanwhile, or that another process closes, needs nothing more.
fn ignore_closed(closed: StoreResult<()>) -> StoreResult<()> {
    match closed {
        Err(StoreError::Conflict(Conflict::RunSuperseded) | StoreError::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// Ends a run that this process has taken over. What is known of its answer is kept. Its former owner, should it come
/// back, cannot write any more.
async fn close_run(shared: &Shared, run: RunRow) -> StoreResult<()> {
    let token = run.fencing_token();
    let is_cancelled = run.cancel_requested_at.is_some();
    let status = status_after_owner_died(is_cancelled);
    let events = read_log(shared, &run).await?;
    let mut items = shared.store.run_items(run.id).await?;
    let RecoveredItems { mut append, completed_calls, mut message_id, unknown_tools } =
        RecoveredItems::reconstruct(&shared.clock, token.thread_id, &events, &items, is_cancelled);
    if run.retry_of.is_some() {
        // The old answer stays, so nothing is kept of the new one but its tool calls.
        append.clear();
        message_id = None;
        items.retain(|item| item.kind == ItemKind::ToolCall);
    }
    for tool in &unknown_tools {
        (shared.config.on_unknown_outcome)(tool);
    }
    // Numbers that the dead process cannot have given out, whatever it did after its last durable event.
    let first_seq = last_seq_before_epoch(run.epoch) + 1;
    let finished_at = shared.clock.now();
    let ended = RunRow {
        status,
        last_seq: to_signed(first_seq + 1),
        message_id: message_id.or(run.message_id),
        finished_at: Some(finished_at),
        ..run
    };
    wire::replace_bodies(&mut items, &completed_calls);
    let added = append.iter().cloned().map(|item| item.at(i64::MAX, token.thread_id, Some(token.run_id)));
    items.extend(added);
    // The resync event stands for everything that was emitted, also for what was heard and is lost. An item that cannot
    // be read must not keep the run open, and its thread busy, for ever.
    let last_events = resync_events(&ended, &items).or_else(|error| {
        tracing::error!(run_id = %ended.id, error = %Chain(&error), "items of a dead run cannot be read");
        resync_events(&ended, &[])
    })?;
    let charge = estimated_charge(shared, &ended, &items).await;
    let end = RunEnd {
        status,
        error: None,
        finish_reason: None,
        usage: Usage::default(),
        charge,
        last_seq: ended.last_seq,
        message_id: ended.message_id,
        finished_at,
        results: completed_calls,
        events: encode_rows(ended.id, first_seq, &last_events),
    };
    shared.store.run_finish(token, end, append).await?;
    shared.signals.grown(token.run_id.0, first_seq + 1, true, &[]);
    let (run_id, thread_id, status) = (ended.id, ended.thread_id, status.name());
    tracing::warn!(target: "threadline::run", %run_id, %thread_id, status, "closed a run of a dead process");
    metrics::counter!("threadline_runs_total", "status" => status).increment(1);
    Ok(())
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
