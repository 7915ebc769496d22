//! Mirrors: copies of the logs of runs that another process executes, for the subscribers of this process.

use crate::hub::RunHandle;
use crate::log::{RunLog, decode_logged, decode_row};
use crate::shared::Shared;
use std::sync::{Arc, Weak};
use std::time::Duration;
use threadline_runtime::TaskKind;
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, RunLifecycleEvent};
use threadline_schema::ids::ProcessId;
use threadline_schema::runs::{Run, RunStatus};
use threadline_signals::Grown;
use threadline_store::{StoreResult, to_signed};
use tokio::time::Instant;

/// How long to wait for a signal before reading the database without one.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long a mirror without readers is kept up to date.
const KEEP_UNREAD: Duration = Duration::from_secs(10);
/// How long readers wait for a database that does not answer.
const READER_PATIENCE: Duration = Duration::from_secs(10);
/// Rows that are read at a time.
const ROWS: u32 = 256;

/// Returns the log of a run that another process executes. One task fills it for all readers in this process.
pub(crate) fn mirror_run(shared: &Arc<Shared>, run: Run) -> Arc<RunLog> {
    let (log, is_new) = shared.hub.mirror(run.id);
    if is_new {
        let task = fill(Arc::downgrade(shared), log.clone(), run, Until::Unread);
        shared.supervisor.spawn(TaskKind::Mirror, task);
    }
    log
}

/// Continues the log of a run that this process executed and does not own any more: from now on it gets what is in the
/// database. Continues to the end of the run even without readers: later subscribers find this log in the hub.
pub(crate) fn mirror_log(shared: &Arc<Shared>, handle: &RunHandle, run: Run) {
    if handle.begin_mirroring() {
        handle.log.release();
        let task = fill(Arc::downgrade(shared), handle.log.clone(), run, Until::Ended);
        shared.supervisor.spawn(TaskKind::Mirror, task);
    }
}

/// How long a mirror is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until the last event.
    Ended,
    /// Until the last event, or until it has no reader.
    Unread,
}

async fn fill(shared: Weak<Shared>, log: Arc<RunLog>, run: Run, until: Until) {
    let run_id = log.run_id();
    let mut last_read_at = Instant::now();
    let started = shared.upgrade().map(|shared| (shared.signals.follow(run_id), shared.hub.notifier.reading_ended()));
    let Some((mut follower, reading_ended)) = started else { return };
    let mut why = Why::Quiet;
    // The process whose segments this mirror gets. One of an ended run reads for itself: the hub does not know it.
    let mut owner = None;
    let mut failing_since: Option<Instant> = None;
    let mut waiting_since = Instant::now();
    loop {
        let Some(shared) = shared.upgrade() else { return };
        if log.is_adopted() {
            // This process has taken the run over, and writes the log itself.
            return;
        }
        match copy_new_events(&shared, &log, why, &mut owner, &run).await {
            Ok(HasEnded(true)) => return shared.hub.remove_mirror(&log),
            Ok(HasEnded(false)) => failing_since = None,
            Err(error) => {
                if failing_since.is_none() {
                    tracing::warn!(%run_id, error = %Chain(&error), "run of another process cannot be mirrored at the moment");
                }
                failing_since.get_or_insert_with(Instant::now);
            }
        }
        if until == Until::Ended {
            owner = None;
        }
        let cannot_read = failing_since.is_some_and(|since| since.elapsed() > READER_PATIENCE);
        // If the database can be read and refuses writes, the end of a run of this process cannot be stored, and no
        // other process will store one. Readers that have waited get an error; later readers wait as long.
        if !log.is_read() {
            waiting_since = Instant::now();
        }
        let cannot_write = until == Until::Ended
            && waiting_since.elapsed() > READER_PATIENCE
            && shared
                .store
                .runs_owned(shared.process_id)
                .await
                .is_ok_and(|runs| runs.iter().any(|run| run.id == run_id))
            // This process may have lost the run, taken it over again and be continuing it.
            && shared.hub.find(run_id).is_none_or(|handle| handle.has_ended());
        log.set_unreachable(cannot_read || cannot_write);
        let has_readers = Arc::strong_count(&log) > 2;
        if has_readers || until == Until::Ended {
            last_read_at = Instant::now();
        } else if last_read_at.elapsed() > KEEP_UNREAD && shared.hub.remove_unread_mirror(&log) {
            return;
        }
        drop(shared);
        let poll_at = Instant::now() + POLL_EVERY;
        loop {
            let grown = tokio::select! {
                biased;
                // A mirror would keep the process alive; its readers continue on another one.
                () = reading_ended.cancelled() => return log.set_unreachable(true),
                grown = tokio::time::timeout_at(poll_at, follower.next()) => grown,
            };
            match grown {
                // If the signal contained all new events, the database need not be read.
                Ok(grown) => {
                    let (last_seq, has_ended) = (grown.last_seq, grown.ended);
                    if !apply_signal(&log, grown) {
                        why = if has_ended || last_seq == 0 { Why::Ended } else { Why::Grown(last_seq) };
                        break;
                    }
                }
                Err(_) => {
                    why = Why::Quiet;
                    break;
                }
            }
        }
    }
}

/// Copies the rows that came with a signal, as far as they continue the log. Returns `false` when there is more to
/// read.
fn apply_signal(log: &RunLog, grown: Grown) -> bool {
    for row in grown.rows {
        if row.first_seq > to_signed(log.last_seq() + 1) {
            return false;
        }
        log.copy(decode_row(row), false);
    }
    !grown.ended && grown.last_seq > 0 && log.last_seq() >= grown.last_seq
}

/// Whether a mirror has got its last event.
struct HasEnded(bool);

/// Why a mirror reads the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The run has grown to this event.
    Grown(u64),
    /// The run has ended, or something was missed.
    Ended,
    /// No signal came for a while: the run may have been deleted with its thread.
    Quiet,
}

/// Copies new events from the database. If there are none and no signal came, checks whether the run still exists.
///
/// `attached` is the process whose segments the log gets from now on, together with all other mirrors. It is set here.
async fn copy_new_events(
    shared: &Shared,
    log: &RunLog,
    why: Why,
    attached: &mut Option<ProcessId>,
    run: &Run,
) -> StoreResult<HasEnded> {
    let run_id = log.run_id();
    if let (Why::Grown(up_to), Some(owner)) = (why, *attached) {
        shared.segment_positions.of(owner).read_up_to(shared, owner, run_id, up_to).await?;
        if log.last_seq() >= up_to {
            return Ok(HasEnded(false));
        }
    }
    if let Some((owner, _)) = shared.store.run_owner(run_id).await? {
        shared.segment_positions.of(owner).read_new(shared, owner).await?;
        if *attached != Some(owner) || why != Why::Quiet {
            let live = shared.store.live_events_after(run_id, to_signed(log.last_seq())).await?;
            let segments = live.segments.into_iter().flat_map(decode_logged);
            let events: Vec<_> = live.rows.into_iter().flat_map(decode_row).chain(segments).collect();
            let is_last = events.last().is_some_and(|(_, event)| event.kind().is_terminal());
            log.copy(events, is_last);
            *attached = Some(owner);
            return Ok(HasEnded(is_last));
        }
    }
    loop {
        let rows = shared.store.events_after(run_id, to_signed(log.last_seq()), ROWS).await?;
        if rows.is_empty() {
            break;
        }
        let events: Vec<_> = rows.into_iter().flat_map(decode_row).collect();
        let is_last = events.last().is_some_and(|(_, event)| event.kind().is_terminal());
        log.copy(events, is_last);
        if is_last {
            return Ok(HasEnded(true));
        }
    }
    if why != Why::Quiet {
        return Ok(HasEnded(false));
    }
    if shared.store.run_exists(run_id).await? || log.is_adopted() {
        return Ok(HasEnded(false));
    }
    // The run was deleted with its thread.
    let end = Run {
        status: RunStatus::Cancelled,
        finished_at: Some(shared.clock.now().utc()),
        last_seq: log.last_seq() + 1,
        ..run.clone()
    };
    let end = RunLifecycleEvent::of(end).and_then(|event| Event::new(&event).ok());
    log.close(end);
    Ok(HasEnded(true))
}
