//! Runs that another process answers: a copy of their log, kept up to date for those who follow them here.

use super::log::RunLog;
use super::packing::{signed, unpack};
use crate::core::Core;
use crate::signals::Grown;
use crate::store::StoreError;
use std::sync::{Arc, Weak};
use std::time::Duration;
use threadline_schema::db::types::UtcTime;
use threadline_schema::event::{RunLifecycleEvent, is_terminal, type_of};
use threadline_schema::runs::{Run, RunStatus};
use tokio::time::Instant;

/// How long to wait for word of new events before looking without.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a copy is kept up to date that nobody reads.
const UNREAD_FOR: Duration = Duration::from_secs(10);
/// How long readers wait for a database that does not answer.
const AWAY_FOR: Duration = Duration::from_secs(10);
/// Rows that are read at a time.
const ROWS: u32 = 256;

/// The log of a run that is active elsewhere. One task for all who follow it here fills it.
pub(super) fn follow(core: &Arc<Core>, run: Run) -> Arc<RunLog> {
    let (log, new) = core.hub.mirror(run.id);
    if new {
        tokio::spawn(fill(Arc::downgrade(core), log.clone(), run, Until::Unread));
    }
    log
}

/// Goes on with the log of a run of which this process was the owner: what comes now is what is durable, whoever says it.
///
/// To its end, read or not: it is found among the runs of this process by whoever comes later.
pub(super) fn adopt(core: &Arc<Core>, log: Arc<RunLog>, run: Run) {
    tokio::spawn(fill(Arc::downgrade(core), log, run, Until::Ended));
}

/// How long a log is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until the last event.
    Ended,
    /// Until the last event, or until nobody reads it.
    Unread,
}

/// Fills a log.
async fn fill(core: Weak<Core>, log: Arc<RunLog>, run: Run, until: Until) {
    let run_id = run.id;
    let mut read_at = Instant::now();
    let started = core.upgrade().map(|core| (core.signals.follow(run_id), core.hub.wakes.closing()));
    let Some((mut follower, closing)) = started else { return };
    // Whether nothing was heard for a while: then the run may be gone, with its thread.
    let mut quiet = false;
    // Since when the database has not answered.
    let mut away: Option<Instant> = None;
    loop {
        let Some(core) = core.upgrade() else { return };
        match catch_up(&core, &log, quiet.then_some(&run)).await {
            Ok(true) => return core.hub.drop_mirror(&log),
            Ok(false) => away = None,
            Err(error) => {
                if away.is_none() {
                    tracing::warn!(%run_id, %error, "a run of another process cannot be followed right now");
                }
                away.get_or_insert_with(Instant::now);
            }
        }
        log.set_out_of_reach(away.is_some_and(|since| since.elapsed() > AWAY_FOR));
        if Arc::strong_count(&log) > 2 || until == Until::Ended {
            read_at = Instant::now();
        } else if read_at.elapsed() > UNREAD_FOR && core.hub.drop_unread_mirror(&log) {
            return;
        }
        drop(core);
        let look_at = Instant::now() + LOOK_EVERY;
        loop {
            let grown = tokio::select! {
                grown = tokio::time::timeout_at(look_at, follower.next()) => grown,
                // Its readers would keep the process from ending, and read on elsewhere just as well.
                () = closing.cancelled() => return log.set_out_of_reach(true),
            };
            match grown {
                // All that is new came along: the database need not be asked.
                Ok(grown) => {
                    if !take_in(&log, grown) {
                        quiet = false;
                        break;
                    }
                }
                Err(_) => {
                    quiet = true;
                    break;
                }
            }
        }
    }
}

/// Copies rows that came with a signal, as far as they follow on what is there. `false` when there is more to be read.
fn take_in(log: &RunLog, grown: Grown) -> bool {
    for row in grown.rows {
        if row.first_seq > signed(log.last_seq() + 1) {
            return false;
        }
        log.copy(unpack(row), false);
    }
    !grown.ended && grown.last_seq > 0 && log.last_seq() >= grown.last_seq
}

/// Copies what is new. `true` when that was the last. If nothing is, and `run` is given, it is looked whether the run
/// still exists.
async fn catch_up(core: &Core, log: &RunLog, run: Option<&Run>) -> Result<bool, StoreError> {
    let run_id = log.run_id();
    loop {
        let rows = core.store.events_after(run_id.into(), signed(log.last_seq()), ROWS).await?;
        if rows.is_empty() {
            break;
        }
        let events: Vec<_> = rows.into_iter().flat_map(unpack).collect();
        let last = events.last().and_then(|(_, event)| type_of(event)).is_some_and(is_terminal);
        log.copy(events, last);
        if last {
            return Ok(true);
        }
    }
    // Nothing new: because it goes on, or because it was deleted with its thread.
    let Some(run) = run else { return Ok(false) };
    if core.store.run_exists(run_id.into()).await? {
        return Ok(false);
    }
    let end = Run {
        status: RunStatus::Cancelled,
        finished_at: Some(UtcTime::now().utc()),
        last_seq: log.last_seq() + 1,
        ..run.clone()
    };
    let end = RunLifecycleEvent::of(end).and_then(|event| serde_json::to_string(&event).ok());
    log.close(end.map(Arc::from));
    Ok(true)
}
