//! Leases, runs whose process died, and the other work that is done on the side.

use super::hub::StopReason;
use super::log::Numbered;
use super::packing::{before_epoch, pack, signed, unpack};
use super::salvage::Salvage;
use super::stored::ending;
use super::{cancel, follow, leases};
use crate::attachments;
use crate::core::Core;
use crate::store::rows::RunRow;
use crate::store::{Bill, Conflict, RunEnd, StoreError};
use crate::wire;
use futures::StreamExt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use threadline_schema::db::types::UtcTime;
use threadline_schema::runs::{RunStatus, Usage};
use tokio_util::sync::CancellationToken;

/// How often runs are looked for that nobody answers any more.
const CLOSE_EVERY: Duration = Duration::from_secs(5);
/// How often limits and logs are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often idle sessions are looked for.
const ARCHIVE_EVERY: Duration = Duration::from_secs(3600);
/// How often runs are looked for whose users asked another process for their end, should its word not have come.
const OBEY_EVERY: Duration = Duration::from_secs(1);
/// How often old logs, and attachments that nobody needs, are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// How long the name of a submission is known: a retry later than that is a new submission.
const SUBMISSIONS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Dead runs that are closed side by side.
const CLOSED_AT_ONCE: usize = 8;
/// Rows of a log that are read at a time.
const ROWS: u32 = 1_000;
/// Rows that one round takes: small, so that nobody waits for it.
const BATCH: u32 = 100;

/// Starts the work on the side; it ends with the core, or when told to.
pub(crate) fn spawn_housekeeping(core: &Arc<Core>, stop: CancellationToken) {
    // By itself: however long it takes to close what others have left, nobody is to take this process for dead meanwhile.
    every(core, &stop, leases::RENEW_EVERY, |core| async move { leases::renew(&core).await });
    every(core, &stop, CLOSE_EVERY, |core| async move {
        close_lost_runs(&core).await;
        close_dead_runs(&core).await;
    });
    if core.store.kind() != "sqlite" {
        every(core, &stop, OBEY_EVERY, |core| async move { cancel::obey(&core).await });
        every(core, &stop, follow::LOOK_EVERY, |core| async move { follow::wake_followers(&core).await });
    }
    every(core, &stop, TRIM_EVERY, |core| async move {
        trim(&core).await;
        attachments::sweep(&core).await;
    });
    every(core, &stop, SWEEP_EVERY, |core| async move {
        core.limits.sweep();
        core.hub.sweep();
        core.record_gauges();
    });
    every(core, &stop, ARCHIVE_EVERY, |core| async move { archive_idle(&core).await });
}

/// Closes every run that is still open in the database: right after the start of a process that is the only one, they
/// are all somebody's who died.
pub(crate) async fn close_orphans(core: &Core) -> Result<(), StoreError> {
    loop {
        let open = core.store.runs_active(BATCH).await?;
        if open.is_empty() {
            return Ok(());
        }
        for run in open {
            settled(take_and_close(core, run).await)?;
        }
    }
}

/// Closes the runs of this process that nobody answers any more: their last write failed for too long, or whether they
/// were stored could not be told. A run is in memory before it is stored, so none that has just begun is among them.
async fn close_lost_runs(core: &Core) {
    // Before the question, so that each of these has been stored by then.
    let answering = core.hub.answering();
    let open = match core.store.runs_owned(core.id).await {
        Ok(open) => open,
        Err(error) => return tracing::warn!(%error, "open runs could not be looked for"),
    };
    for entry in answering {
        if !open.iter().any(|run| run.id.0 == entry.run_id) {
            // Somebody took it for dead. It would notice at its next event; those who wait for that hear of it now.
            entry.stop(StopReason::Superseded);
        }
    }
    for run in open {
        let lost = core.hub.find(run.id.0).is_none_or(|entry| entry.has_ended());
        if lost {
            let run_id = run.id.0;
            if let Err(error) = settled(take_and_close(core, run).await) {
                tracing::warn!(%run_id, %error, "a lost run could not be closed");
            }
        }
    }
}

/// Closes the runs of processes that have not said for too long that they live.
async fn close_dead_runs(core: &Core) {
    while core.leases.may_judge() {
        let taken = core.store.runs_take_expired(core.id, core.clock.now(), core.lease_until(), BATCH).await;
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => return tracing::warn!(%error, "dead runs could not be looked for"),
        };
        if taken.is_empty() {
            return;
        }
        // What cannot be closed now is this process's from here on, and among its lost runs the next time.
        let close = |run: RunRow| async move {
            let run_id = run.id.0;
            if let Err(error) = settled(close(core, run).await) {
                tracing::warn!(%run_id, %error, "a dead run could not be closed");
            }
        };
        futures::stream::iter(taken).for_each_concurrent(CLOSED_AT_ONCE, close).await;
    }
}

/// Takes a run over and closes it, under a new epoch: its owner, be it this process, may have told events that were not
/// made durable.
async fn take_and_close(core: &Core, run: RunRow) -> Result<(), StoreError> {
    let taken = core.store.run_take_over(&run, core.id, core.lease_until()).await?;
    close(core, taken).await
}

/// A run that has ended meanwhile, or that another process was quicker to close, is as good as closed.
fn settled(closed: Result<(), StoreError>) -> Result<(), StoreError> {
    match closed {
        Err(StoreError::Conflict(Conflict::RunSuperseded) | StoreError::NotFound) => Ok(()),
        other => other,
    }
}

/// Ends a run, which this process has taken over, for a process that died: as interrupted, or as cancelled where its
/// user had asked for that. What is known of its answer is kept; its former owner, should it come back, cannot write.
async fn close(core: &Core, run: RunRow) -> Result<(), StoreError> {
    let claim = run.claim();
    let status = if run.cancel_requested_at.is_some() { RunStatus::Cancelled } else { RunStatus::Interrupted };
    let mut events: Vec<Numbered> = Vec::new();
    let mut read = 0;
    loop {
        let rows = core.store.events_after(run.id, read, ROWS).await?;
        let Some(last) = rows.last() else { break };
        // By the row and not by its events: one that cannot be read must not be read for ever.
        read = last.last_seq;
        events.extend(rows.into_iter().flat_map(unpack));
    }
    let mut items = core.store.run_items(run.id).await?;
    let texts: Vec<&str> = events.iter().map(|(_, event)| &**event).collect();
    let Salvage { mut append, complete: results, mut message_id, unknown_tools } =
        Salvage::of(claim.thread_id.0, &texts, &items, status == RunStatus::Cancelled);
    if run.retry_of.is_some() {
        // The old answer stands, so nothing is kept of the new one but the calls it made.
        append.clear();
        message_id = None;
        items.retain(|item| item.kind == wire::TOOL_CALL);
    }
    for tool in &unknown_tools {
        core.agents.roster().count_unknown(tool);
    }
    // Numbers that the dead process cannot have given out, whatever it did after its last durable event.
    let first = before_epoch(run.epoch) + 1;
    let ended = RunRow {
        status,
        last_seq: signed(first + 1),
        message_id: message_id.or(run.message_id),
        finished_at: Some(UtcTime::now()),
        ..run
    };
    wire::rewrite(&mut items, &results);
    let added = append.iter().cloned().map(|item| item.at(i64::MAX, claim.thread_id, Some(claim.run_id)));
    items.extend(added);
    // The first stands for all that was said, also for what was heard and is lost. An item that cannot be read must not
    // keep the run open, and its thread busy, for ever.
    let told = ending(&ended, &items)
        .or_else(|error| {
            tracing::error!(run_id = %ended.id.0, error = error.log_text(), "the items of a dead run cannot be read");
            ending(&ended, &[])
        })
        .map_err(|error| StoreError::Corrupt(error.log_text().to_owned()))?;
    let end = RunEnd {
        status,
        error: None,
        usage: Usage::default(),
        // What it had used went with its process.
        bill: Bill::default(),
        last_seq: ended.last_seq,
        message_id: ended.message_id,
        finished_at: ended.finished_at.unwrap_or_else(UtcTime::now),
        results,
        events: pack(ended.id.0, first, &told.map(Arc::from)),
    };
    core.store.run_finish(claim, end, append).await?;
    core.signals.grown(claim.run_id.0, first + 1, true, &[]);
    tracing::warn!(target: "threadline::run", run_id = %ended.id.0, thread_id = %ended.thread_id.0, status = status.name(), "a run of a process that died was closed");
    metrics::counter!("threadline_runs_total", "status" => status.name()).increment(1);
    Ok(())
}

/// Drops what is not kept any longer: logs of ended runs, and names of old submissions.
async fn trim(core: &Core) {
    let since = |age: Duration| UtcTime::from(core.clock.now().utc() - age);
    loop {
        let logs = core.store.logs_trim(since(core.config.run_events_retention), BATCH).await;
        let names = core.store.submissions_trim(since(SUBMISSIONS_KEPT), BATCH).await;
        match (logs, names) {
            (Ok(0), Ok(0)) => return,
            (Ok(logs), Ok(names)) => tracing::debug!(logs, names, "old logs and names of submissions dropped"),
            (Err(error), _) | (_, Err(error)) => {
                return tracing::warn!(%error, "old logs and names of submissions could not be dropped");
            }
        }
    }
}

async fn archive_idle(core: &Core) {
    let Some(max_idle) = core.config.session_max_idle else { return };
    let Some(before) =
        chrono::TimeDelta::from_std(max_idle).ok().and_then(|idle| chrono::Utc::now().checked_sub_signed(idle))
    else {
        return;
    };
    loop {
        match core.store.threads_archive_idle(before.into(), BATCH).await {
            Ok(0) => return,
            Ok(count) => tracing::info!(count, "idle sessions archived"),
            Err(error) => return tracing::warn!(%error, "idle sessions could not be archived"),
        }
    }
}

/// Repeats `work`, the first time at once. It holds the core weakly, so that the core's end is the end of it.
fn every<W, F>(core: &Arc<Core>, stop: &CancellationToken, period: Duration, work: W)
where
    W: Fn(Arc<Core>) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let core: Weak<Core> = Arc::downgrade(core);
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let Some(core) = core.upgrade() else { return };
            work(core).await;
        }
    });
}
