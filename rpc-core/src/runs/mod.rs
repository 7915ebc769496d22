//! Runs: turns of the assistant, and everything that streams.
//!
//! A run is a task of its own. It does not know who listens: it appends to its log, and subscribers read the log each
//! at its own pace.

mod actions;
mod answers;
mod cancel;
mod changes;
mod feed;
mod follow;
mod hub;
mod journal;
mod leases;
mod leaving;
mod listener;
mod log;
mod message;
mod mirror;
mod output;
mod packing;
mod recovery;
mod resume;
mod runner;
mod salvage;
mod start;
mod stored;
mod submission;
mod thread_feed;
mod titles;
mod wakes;

pub(crate) use actions::{Acting, Redrawn, custom_action, redraw, sync_custom_action};
pub(crate) use answers::{add_client_tool_output, add_structured_input};
pub(crate) use cancel::{cancel, stop_in_thread};
pub(crate) use changes::thread_changed;
pub(crate) use feed::RunFeed;
use feed::UNREADABLE;
pub(crate) use follow::follow;
pub(crate) use hub::Hub;
pub(crate) use journal::spawn as spawn_journal;
pub(crate) use leases::{LEASE, Leases};
pub(crate) use leaving::cancel_when_left;
pub(crate) use listener::spawn as spawn_listener;
pub(crate) use log::RunLog;
pub(crate) use output::Output;
pub(crate) use recovery::{close_orphans, spawn_housekeeping};
pub(crate) use resume::retry_after_item;
pub(crate) use start::{Started, add_user_message, create_thread};
pub(crate) use thread_feed::{End, ThreadFeed};

use crate::core::Core;
use crate::error::Error;
use crate::store::rows::RunRow;
use crate::wire;
use std::sync::Arc;
use std::time::Duration;
use stored::Stored;
use threadline_schema::runs::{After, Run};
use uuid::Uuid;

/// A run as its owner sees it.
pub(crate) async fn get(core: &Core, user_id: Uuid, run_id: Uuid) -> Result<Run, Error> {
    let row = core.store.run_get(user_id.into(), run_id.into()).await.map_err(Error::of_run)?;
    describe(core, row).await
}

/// Opens a reader of a run's events.
pub(crate) async fn subscribe(
    core: &Arc<Core>,
    user_id: Uuid,
    run_id: Uuid,
    after: Option<After>,
    token_lifetime: Duration,
) -> Result<RunFeed, Error> {
    let after = match after {
        None => 0,
        Some(cursor) => cursor.seq_of(run_id).ok_or_else(|| {
            Error::invalid("`after` must be the number of an event, or a cursor `run_id:seq` of this run.")
        })?,
    };
    let here = core.hub.find(run_id);
    if let Some(entry) = &here {
        if entry.user_id != user_id {
            return Err(Error::of_run(crate::store::StoreError::Forbidden));
        }
        if entry.log.is_closed() {
            // Memory keeps an ended run for a while, and a session that is deleted takes its runs with it.
            core.store.run_get(user_id.into(), run_id.into()).await.map_err(Error::of_run)?;
        }
        if entry.log.is_out_of_reach() {
            return Err(Error::unavailable(UNREADABLE, None));
        }
        if after <= entry.log.last_seq() {
            return Ok(RunFeed::live(entry.log.clone(), after, token_lifetime));
        }
        // Another process may have closed the run without this one knowing yet: the reader comes from there.
    }
    let row = core.store.run_get(user_id.into(), run_id.into()).await.map_err(Error::of_run)?;
    let run = wire::run(&row);
    if !row.status.is_final() {
        if let Some(entry) = here {
            return Err(ahead(after, entry.log.last_seq()));
        }
        // Whoever comes from the process that answers may be ahead of what is durable: the copy gets there.
        return Ok(RunFeed::live(mirror::follow(core, run), after, token_lifetime));
    }
    if after > run.last_seq {
        return Err(ahead(after, run.last_seq));
    }
    Ok(RunFeed::stored(Stored::new(core, row), after))
}

fn ahead(after: u64, last: u64) -> Error {
    Error::invalid(format!("`after` is {after}, but the run's last event so far is {last}."))
}

/// A row with the tool calls behind it.
async fn describe(core: &Core, row: RunRow) -> Result<Run, Error> {
    let mut run = wire::run(&row);
    if !run.status.is_final() {
        run.last_seq = match core.hub.find(run.id) {
            Some(entry) => entry.log.last_seq(),
            // Answered elsewhere: what is durable of it.
            None => core.store.events_last(row.id).await.map_err(Error::of_run)?,
        };
    } else {
        let items = core.store.run_items(row.id).await.map_err(Error::of_run)?;
        run.tool_calls = wire::tool_calls(&items)?;
    }
    Ok(run)
}
