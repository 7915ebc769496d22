//! Ends a run whose process has died.

use super::charge::estimated_charge;
use super::reconstruct::RecoveredItems;
use crate::durability::resync_events;
use crate::log::{NumberedEvent, encode_events, last_seq_before_epoch};
use crate::output::UsedSoFar;
use crate::shared::Shared;
use crate::subscribe::error_event;
use crate::wire;
use threadline_schema::error::{Chain, Failure};
use threadline_schema::event::Event;
use threadline_schema::items::ItemKind;
use threadline_schema::runs::RunStatus;
use threadline_store::rows::{ItemRow, RunRow};
use threadline_store::{Charge, RunEnd, StoreResult, to_signed};

/// Ends a run that this process has taken over. The known part of its answer is kept. Its former owner, should it come
/// back, cannot write any more.
pub(super) async fn close_run(
    shared: &Shared,
    run: RunRow,
    events: &[NumberedEvent],
    mut items: Vec<ItemRow>,
    status: RunStatus,
    failure: Option<Failure>,
) -> StoreResult<()> {
    let token = run.fencing_token();
    let is_cancelled = status == RunStatus::Cancelled;
    let RecoveredItems { mut append, completed_calls, mut message_id, unknown_tools } =
        RecoveredItems::reconstruct(&shared.clock, token.thread_id, events, &items, is_cancelled);
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
    let used = UsedSoFar::read(run.used.as_deref());
    let error_event = failure.as_ref().map(|failure| error_event(&failure.message));
    let last_seq = first_seq + 1 + u64::from(error_event.is_some());
    let ended = RunRow {
        status,
        last_seq: to_signed(last_seq),
        error_code: failure.as_ref().map(|failure| failure.code.name().to_owned()),
        error_message: failure.as_ref().map(|failure| failure.message.clone()),
        prompt_tokens: to_signed(used.usage().prompt_tokens),
        completion_tokens: to_signed(used.usage().completion_tokens),
        cost_micros: used.charge().cost_micros,
        message_id: message_id.or(run.message_id),
        finished_at: Some(finished_at),
        ..run
    };
    wire::replace_bodies(&mut items, &completed_calls);
    let added = append.iter().cloned().map(|item| item.at(i64::MAX, token.thread_id, Some(token.run_id)));
    items.extend(added);
    // The resync event replaces everything that was emitted, also events that subscribers have seen and that are lost.
    // An item that cannot be read must not keep the run open, and its thread busy, for ever.
    let [resync, terminal] = resync_events(&ended, &items).or_else(|error| {
        tracing::error!(run_id = %ended.id, error = %Chain(&error), "items of a dead run cannot be read");
        resync_events(&ended, &[])
    })?;
    let last_events: Vec<Event> = [resync].into_iter().chain(error_event).chain([terminal]).collect();
    let charge = match used.charge() {
        // No step of it was stored; its model has read the prompt all the same.
        nothing if nothing == Charge::default() => estimated_charge(shared, &ended, &items).await,
        charge => charge,
    };
    let end = RunEnd {
        status,
        error: failure,
        finish_reason: None,
        // Up to its last stored step. The usage after that is lost with its process.
        usage: used.usage(),
        charge,
        // Which models it has used is lost with its process too.
        uses: Vec::new(),
        last_seq: ended.last_seq,
        message_id: ended.message_id,
        finished_at,
        results: completed_calls,
        events: encode_events(ended.id, first_seq, &last_events),
    };
    shared.store.run_finish(token, end, append).await?;
    shared.signals.grown(token.run_id, last_seq, true, &[]);
    let (run_id, thread_id, status) = (ended.id, ended.thread_id, status.name());
    tracing::warn!(target: "threadline::run", %run_id, %thread_id, status, "closed a run of a dead process");
    metrics::counter!("threadline_runs_total", "status" => status).increment(1);
    metrics::counter!("threadline_runs_taken_over_total", "outcome" => status).increment(1);
    Ok(())
}
