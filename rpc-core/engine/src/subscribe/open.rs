//! Opens feeds: decides where a subscriber starts, and where its events come from.

use super::run_feed::RunFeed;
use super::snapshot::snapshot_event;
use super::thread_feed::{Start, ThreadFeed, ThreadPosition};
use super::thread_header::ThreadHeader;
use crate::durability::{Replay, mirror_run};
use crate::error::EngineError;
use crate::shared::Shared;
use crate::wire;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use threadline_schema::runs::After;
use threadline_schema::threads::{EventCursor, ThreadsSubscribeParams};
use threadline_store::rows::RunRow;
use threadline_store::{Entity, StoreError};

/// Opens a feed of a run, after the event that `after` names.
pub(crate) async fn subscribe_run(
    shared: &Arc<Shared>,
    user_id: UserId,
    run_id: RunId,
    after: Option<After>,
    token_lifetime: Duration,
) -> Result<RunFeed, EngineError> {
    let after = match after {
        None => 0,
        Some(cursor) => cursor.seq_of(run_id).ok_or_else(|| {
            let message = "`after` must be the number of an event, or a cursor `run_id:seq` of this run.";
            EngineError::InvalidCursor(message.to_owned())
        })?,
    };
    let handle = shared.hub.find(run_id);
    if let Some(handle) = &handle {
        if handle.user_id != user_id {
            return Err(StoreError::Forbidden(Entity::Run).into());
        }
        if handle.log.is_closed() {
            // The run may have been deleted with its thread since it ended.
            shared.store.run_get(user_id, run_id).await?;
        }
        if handle.log.is_unreachable() {
            return Err(EngineError::EventsUnreadable);
        }
        if after <= handle.log.last_seq() {
            return Ok(RunFeed::live(handle.log.clone(), after, token_lifetime));
        }
        // Another process may have closed the run, and this one does not know yet: the cursor comes from there.
    }
    let row = shared.store.run_get(user_id, run_id).await?;
    let run = wire::run(&row);
    if !row.status.is_final() {
        if let Some(handle) = handle {
            return Err(ahead(after, handle.log.last_seq()));
        }
        // A client that comes from the owner can be ahead of what is durable. The mirror gets there.
        return Ok(RunFeed::live(mirror_run(shared, run), after, token_lifetime));
    }
    if after > run.last_seq {
        return Err(ahead(after, run.last_seq));
    }
    Ok(RunFeed::replay(Replay::new(shared, row), after))
}

fn ahead(after: u64, last: u64) -> EngineError {
    EngineError::InvalidCursor(format!("`after` is {after}, but the run's last event so far is {last}."))
}

/// Opens a feed of a thread. Returns it with the cursor after which it starts.
pub(crate) async fn subscribe_thread(
    shared: &Arc<Shared>,
    user_id: UserId,
    params: ThreadsSubscribeParams,
    token_lifetime: Duration,
) -> Result<(ThreadFeed, EventCursor), EngineError> {
    let ThreadsSubscribeParams { thread_id, after, snapshot } = params;
    if shared.hub.notifier.has_ended_waiting() {
        return Err(EngineError::ShuttingDown);
    }
    let watcher = shared.hub.notifier.watch(thread_id);
    // The start is decided before the items are read. What happens between the two is in both, under the same ids. In
    // the other order it could be in neither.
    let (thread, last_run) = shared.store.thread_last_run(user_id, thread_id).await?;
    let (position, feed) = match after.as_deref() {
        None => (current_position(last_run), None),
        Some(after) => position_of(shared, user_id, thread_id, after, token_lifetime).await?,
    };
    let snapshot = if snapshot { Some(snapshot_event(shared, user_id, thread_id).await?) } else { None };
    let since = match position.run_id {
        None => EventCursor::Beginning,
        Some(run_id) => EventCursor::Event { run_id, seq: position.seq },
    };
    let header = ThreadHeader::of(&wire::thread(&thread)?);
    let start = Start { position, feed, header, snapshot };
    Ok((ThreadFeed::new(shared.clone(), user_id, thread_id, watcher, token_lifetime, start), since))
}

/// Before the active run, or after the last that has ended.
fn current_position(last_run: Option<RunRow>) -> ThreadPosition {
    match last_run {
        None => ThreadPosition::BEGINNING,
        Some(run) if run.status.is_final() => ThreadPosition::in_run(&run, wire::run(&run).last_seq, true),
        Some(run) => ThreadPosition::in_run(&run, 0, false),
    }
}

/// After the event that a cursor names, with a feed of the rest of that run if it has one.
async fn position_of(
    shared: &Arc<Shared>,
    user_id: UserId,
    thread_id: ThreadId,
    after: &str,
    token_lifetime: Duration,
) -> Result<(ThreadPosition, Option<RunFeed>), EngineError> {
    let invalid = || {
        let message = "`after` must be the cursor `run_id:seq` of an event of this thread, or `0`.";
        EngineError::InvalidCursor(message.to_owned())
    };
    let (run_id, seq) = match after.parse().map_err(|_| invalid())? {
        EventCursor::Beginning => return Ok((ThreadPosition::BEGINNING, None)),
        EventCursor::Event { run_id, seq } => (run_id, seq),
    };
    let run = shared.store.run_of_thread(thread_id, run_id).await?.ok_or_else(invalid)?;
    if run.status.is_final() && wire::run(&run).last_seq == seq {
        return Ok((ThreadPosition::in_run(&run, seq, true), None));
    }
    // Checks that the run has such an event.
    let feed = subscribe_run(shared, user_id, run_id, Some(After::Seq(seq)), token_lifetime).await?;
    Ok((ThreadPosition::in_run(&run, seq, false), Some(feed)))
}
