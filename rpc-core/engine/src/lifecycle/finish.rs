//! Stores the end of a run, in one transaction with everything that is not stored yet, and then emits it.

use super::execute::RunTask;
use super::state::RunOutcome;
use crate::durability::mirror_log;
use crate::holds::settle_hold;
use crate::log::{CoalescedEvent, encode_rows};
use crate::output::RunWriter;
use crate::shared::Shared;
use crate::subscribe::error_event;
use crate::wire;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, RunLifecycleEvent};
use threadline_schema::ids::ItemId;
use threadline_schema::runs::{Run, ToolCallRecord, Usage};
use threadline_store::rows::NewItem;
use threadline_store::{Conflict, RunEnd, StoreError, StoreResult, to_signed};

/// Attempts to store the end of a run while the database is not reachable: 10 s in all.
const TRIES: u32 = 20;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Stores the end of the run and emits its last events.
pub(super) async fn finish_run(shared: &Arc<Shared>, task: &RunTask, writer: &mut RunWriter, outcome: &RunOutcome) {
    let handle = task.guard.handle();
    let log = &handle.log;
    // From here on only this function writes to the log.
    let mut unsaved = log.seal().await;
    let (items, results) = (writer.take_items(), writer.take_results());
    let failure = outcome.failure();
    let error_event = failure.as_ref().map(|failure| error_event(&failure.message));
    let mut last: Vec<Event> = writer.take_announcements();
    last.extend(error_event.clone());
    let charge = writer.charge();
    let finished_at = shared.clock.now();
    let run = Run {
        id: handle.run_id,
        thread_id: handle.thread_id,
        status: outcome.status(),
        created_at: task.created_at,
        finished_at: Some(finished_at.utc()),
        last_seq: log.last_seq() + last.len() as u64 + 1,
        retry_of: task.retry_of,
        error: failure,
        finish_reason: writer.finish_reason.filter(|_| outcome.is_driver_done()),
        usage: (writer.usage != Usage::default()).then_some(writer.usage),
        cost_micros: charge.cost_micros.and_then(|cost| u64::try_from(cost).ok()),
        message_id: writer.message_id,
        tool_calls: tool_calls(shared, task, writer, &items, &results).await,
    };
    last.extend(terminal_event(run.clone()));
    unsaved.events.extend(last.iter().cloned().map(CoalescedEvent::Event));
    let end = RunEnd {
        status: run.status,
        error: run.error.clone(),
        finish_reason: run.finish_reason,
        usage: writer.usage,
        charge,
        uses: writer.uses(),
        last_seq: to_signed(run.last_seq),
        message_id: writer.message_id,
        finished_at,
        results,
        events: encode_rows(handle.run_id, unsaved.first_seq, &unsaved.events),
    };
    match store_end(shared, task, end, items).await {
        Ok(()) => {
            metrics::counter!("threadline_model_cost_micros_total").increment(run.cost_micros.unwrap_or_default());
            shared.signals.grown(run.id, run.last_seq, true, &[]);
            log.close(last);
        }
        Err(StoreError::Conflict(Conflict::RunSuperseded)) => {
            // The new owner decides how it ended. What was emitted here and is not durable does not count.
            tracing::warn!(run_id = %run.id, "another process has taken the run over");
            mirror_log(shared, handle, run);
        }
        Err(StoreError::NotFound(_)) => {
            tracing::warn!(run_id = %run.id, "the thread of the run was deleted");
            // Its hold was kept. If it is gone too, another process has booked the run.
            settle_hold(shared, handle.run_id.into(), charge, writer.uses()).await;
            let last_seq = log.last_seq() + u64::from(error_event.is_some()) + 1;
            let run = Run { last_seq, usage: None, cost_micros: None, message_id: None, tool_calls: None, ..run };
            log.close(error_event.into_iter().chain(terminal_event(run)));
        }
        Err(error) => {
            // It may be stored all the same; otherwise recovery closes the run. Either way it has one end, and that is
            // what subscribers read.
            tracing::error!(run_id = %run.id, error = %Chain(&error), "the end of a run could not be stored");
            mirror_log(shared, handle, run);
        }
    }
}

/// Stores the end, and tries again while the database is away: the answer exists in memory and on screens.
async fn store_end(shared: &Shared, task: &RunTask, end: RunEnd, items: Vec<NewItem>) -> StoreResult<()> {
    let handle = task.guard.handle();
    let mut tries = 0;
    loop {
        match shared.store.run_finish(task.token, end.clone(), items.clone()).await {
            Ok(_) => return Ok(()),
            Err(error @ StoreError::Unavailable(_)) if tries < TRIES && !shared.hub.is_shutting_down() => {
                tries += 1;
                tracing::warn!(run_id = %handle.run_id, error = %Chain(&error), tries, "end of a run could not be stored; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            // An earlier try may have been committed, and only its reply was lost.
            Err(superseded @ StoreError::Conflict(Conflict::RunSuperseded)) if tries > 0 => {
                let row = shared.store.run_get(handle.user_id, handle.run_id).await?;
                let is_ours = row.epoch == task.token.epoch && row.status == end.status;
                return if is_ours { Ok(()) } else { Err(superseded) };
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns the tool calls of the run, with those that are about to be stored. `None` if they cannot be read: the run
/// has ended, and that is what matters.
async fn tool_calls(
    shared: &Shared,
    task: &RunTask,
    writer: &RunWriter,
    new: &[NewItem],
    results: &[(ItemId, String)],
) -> Option<Vec<ToolCallRecord>> {
    if !writer.has_tool_calls {
        return None;
    }
    let token = task.token;
    let stored = shared.store.run_items(token.run_id).await;
    let calls = stored.and_then(|mut items| {
        let new = new.iter().cloned().zip(0..);
        items.extend(new.map(|(item, position)| item.at(position, token.thread_id, Some(token.run_id))));
        wire::replace_bodies(&mut items, results);
        wire::tool_calls(&items)
    });
    calls.unwrap_or_else(|error| {
        tracing::warn!(run_id = %token.run_id, error = %Chain(&error), "tool calls of a run cannot be read");
        None
    })
}

fn terminal_event(run: Run) -> Option<Event> {
    let event = RunLifecycleEvent::of(run)?;
    Event::new(&event).inspect_err(|error| tracing::error!(%error, "terminal event cannot be serialised")).ok()
}
