//! Continues a run whose process has died, under its id, from its last stored step.

use super::kept_output::KeptOutput;
use crate::driver::{RunDriver, RunProgress};
use crate::lifecycle::{RunTask, spawn_run};
use crate::log::{NumberedEvent, encode_events, last_seq_before_epoch};
use crate::shared::Shared;
use crate::wire;
use std::sync::Arc;
use threadline_schema::event::Event;
use threadline_store::rows::{ItemRow, RunRow};
use threadline_store::{RunContinuation, StoreResult};

/// The state from which this process continues a run.
pub(super) struct ContinuationStart {
    kept: KeptOutput,
    /// Numbered from `first_seq` on.
    first_events: Vec<Event>,
    first_seq: u64,
}

impl ContinuationStart {
    /// Computes what is kept of the output of the former owners, and the first events of this one, which replace that
    /// output.
    ///
    /// # Errors
    /// When a stored item cannot be read.
    pub(super) fn of(shared: &Shared, run: &RunRow, events: &[NumberedEvent], items: &[ItemRow]) -> StoreResult<Self> {
        let mut kept = KeptOutput::reconstruct(&shared.clock, run, events, items);
        // Numbers that no former owner can have used, whatever it did after its last durable event.
        let first_seq = last_seq_before_epoch(run.epoch) + 1;
        let first_events = kept.first_events(run, items, first_seq)?;
        Ok(Self { kept, first_events, first_seq })
    }
}

/// Stores what is kept of a run, and its first events. Then the run's task starts. `events` are those of its former
/// owners.
///
/// The caller holds the lock of recovery, so the run is in the hub before this process looks for its lost runs.
pub(super) async fn continue_run(
    shared: &Arc<Shared>,
    run: RunRow,
    mut events: Vec<NumberedEvent>,
    start: ContinuationStart,
    driver: Box<dyn RunDriver>,
    progress: RunProgress,
) -> StoreResult<()> {
    // Before the check: a shutdown that starts in between waits for the run.
    let permit = shared.hub.hold_shutdown();
    if shared.hub.is_shutting_down() {
        // Another process takes the run over; on SQLite, the next process that opens the file.
        return Ok(());
    }
    let ContinuationStart { mut kept, first_events, first_seq } = start;
    let last_seq = first_seq + first_events.len() as u64 - 1;
    let continuation = RunContinuation {
        append: std::mem::take(&mut kept.append),
        results: std::mem::take(&mut kept.completed_calls),
        events: encode_events(run.id, first_seq, &first_events),
        now: shared.clock.now(),
    };
    shared.store.run_continue(run.fencing_token(), continuation).await?;
    // From here on nothing waits: the run is stored as one of this process.
    events.extend((first_seq..).zip(first_events));
    let guard = shared.hub.register_continued(run.id, run.user_id, run.thread_id, events);
    shared.signals.grown(run.id, last_seq, false, &[]);
    let request = wire::request_context(run.request.as_deref());
    let (run_id, thread_id, epoch) = (run.id, run.thread_id, run.epoch);
    tracing::warn!(
        target: "threadline::run", request_id = %request.request_id, %run_id, %thread_id, epoch,
        "continuing a run of a dead process"
    );
    metrics::counter!("threadline_runs_taken_over_total", "outcome" => "continued").increment(1);
    let task = RunTask::new(guard, &run, request, driver).resume(shared.age_of(&run), progress, kept.output);
    spawn_run(shared, task);
    drop(permit);
    Ok(())
}
