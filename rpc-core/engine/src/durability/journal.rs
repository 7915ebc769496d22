//! The journal makes events durable: one writer for all runs of the process.
//!
//! Each tick it writes what the runs have emitted since the last one, as one segment however many runs there are (see
//! `threadline_store`'s `segments.rs`). Subscribers read from memory and never wait for it. So a crash can lose the
//! output of the last tick, and nothing that was acknowledged. The end of a run writes its events to `run_events`. The
//! journal does the same for runs that take long, and then deletes the segments that no process needs any more.

use crate::hub::{RunHandle, StopReason};
use crate::log::{Saved, UnsavedEvents, encode_rows};
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_store::rows::EventRow;
use threadline_store::{JournalTerms, SegmentWriter, StoreError, StoreResult};
use tokio::time::Instant;

/// Pause after a transaction that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// A tick is this many times as long as the last write took, so that the journal leaves the database to others.
const PAUSE_PER_WRITE: u32 = 4;
/// Longest tick, unless a longer one is configured. docs/DURABILITY.md promises it.
const MAX_TICK: Duration = Duration::from_millis(250);
/// Events of one run in one transaction: after an outage, a run with a long backlog must not delay the others.
const MAX_RUN_EVENTS: usize = 2_000;
/// Rows in one transaction. The next one follows at once.
const MAX_ROWS: usize = 5_000;
/// Bytes of a segment, at most and the events of one run more. The next one follows at once.
const MAX_SEGMENT_BYTES: usize = 1024 * 1024;
/// How long events are in segments only. A process that takes a run over, or begins to follow it, reads that much.
const SETTLE_AFTER: Duration = Duration::from_secs(30);
/// How often old events are moved out of the segments.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// How often to check whether segments can be written again, while they cannot.
const TERMS_GOOD_FOR: Duration = Duration::from_secs(10);

/// Writes until the shutdown, each `interval`, or less often if a write takes long.
pub(crate) async fn run_journal(shared: Arc<Shared>, interval: Duration) {
    let mut journal = Journal::new(shared, interval);
    loop {
        if journal.shared.hub.is_idle() {
            journal.trim().await;
            journal.shared.hub.run_activated.notified().await;
        }
        tokio::time::sleep(journal.pause()).await;
        if let Err(error) = journal.write_all().await {
            journal.note_failure(&error);
        }
        let lag = journal.failing_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        metrics::gauge!("threadline_journal_lag_seconds").set(lag);
    }
}

struct Journal {
    shared: Arc<Shared>,
    interval: Duration,
    /// `None` when they must be read.
    terms: Option<Terms>,
    /// Number of the next segment. A number is used once, because a process reads a segment once.
    next_segment: i64,
    /// Segments below this number are deleted.
    trimmed_below: i64,
    settled_at: Instant,
    last_write: Duration,
    failing_since: Option<Instant>,
}

struct Terms {
    fence: i64,
    has_segments: bool,
    read_at: Instant,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// There was more than fits into one write.
    Part,
    All,
    /// Nothing was written: the terms are not current any more.
    Refused,
}

/// A run of which some events are being written.
struct SavingRun {
    handle: Arc<RunHandle>,
    /// Number of the last of them.
    up_to: u64,
    /// The same events for the processes that follow the run.
    followed: Vec<EventRow>,
}

impl Journal {
    fn new(shared: Arc<Shared>, interval: Duration) -> Self {
        Self {
            shared,
            interval,
            terms: None,
            next_segment: 1,
            trimmed_below: 1,
            settled_at: Instant::now(),
            last_write: Duration::ZERO,
            failing_since: None,
        }
    }

    fn pause(&self) -> Duration {
        match self.failing_since {
            Some(_) => PAUSE_AFTER_FAILURE,
            None => self.interval.max((self.last_write * PAUSE_PER_WRITE).min(MAX_TICK)),
        }
    }

    /// Writes until nothing is left, or until the database fails.
    async fn write_all(&mut self) -> StoreResult<()> {
        loop {
            let (fence, has_segments) = self.terms().await?;
            let written = if has_segments { self.write_segment(fence).await? } else { self.write_rows().await? };
            match written {
                Written::All => break,
                Written::Part => {}
                Written::Refused => self.terms = None,
            }
        }
        if self.settled_at.elapsed() >= SETTLE_EVERY {
            self.settle().await?;
            self.trim().await;
            self.settled_at = Instant::now();
        }
        Ok(())
    }

    fn note_failure(&mut self, error: &StoreError) {
        metrics::counter!("threadline_log_failures_total").increment(1);
        if self.failing_since.is_none() {
            tracing::warn!(error = %Chain(error), "journal cannot write; events stay in memory until it can");
        }
        self.failing_since.get_or_insert_with(Instant::now);
    }

    fn note_write(&mut self, started: Instant) {
        self.last_write = started.elapsed();
        metrics::histogram!("threadline_log_write_seconds").record(self.last_write.as_secs_f64());
        if let Some(since) = self.failing_since.take() {
            tracing::info!(seconds = since.elapsed().as_secs(), "journal writes again");
        }
    }

    /// Returns the fence of this process, and whether segments can be written. Stops the runs that it does not own any
    /// more.
    async fn terms(&mut self) -> StoreResult<(i64, bool)> {
        let is_good = |terms: &&Terms| terms.has_segments || terms.read_at.elapsed() < TERMS_GOOD_FOR;
        if let Some(Terms { fence, has_segments, .. }) = self.terms.as_ref().filter(is_good) {
            return Ok((*fence, *has_segments));
        }
        let shared = &self.shared;
        // Listed before the query, so that each of these runs is stored by the time of the query.
        let active = shared.hub.active();
        let JournalTerms { fence, has_segments, owned } =
            shared.store.journal_terms(shared.process_id, shared.clock.now()).await?;
        for handle in active.iter().filter(|handle| !owned.contains(&handle.run_id)) {
            handle.stop(StopReason::Superseded);
        }
        self.terms = Some(Terms { fence, has_segments, read_at: Instant::now() });
        Ok((fence, has_segments))
    }

    /// Writes what is not durable yet as a segment.
    async fn write_segment(&mut self, fence: i64) -> StoreResult<Written> {
        let shared = self.shared.clone();
        let mut segment = SegmentWriter::default();
        let mut runs = Vec::new();
        for handle in shared.hub.active().into_iter().filter(|handle| !handle.is_superseded()) {
            if segment.size() >= MAX_SEGMENT_BYTES {
                break;
            }
            let followed = if shared.signals.is_followed(handle.run_id) {
                let UnsavedEvents { first_seq, events } = handle.log.unsaved(MAX_RUN_EVENTS);
                encode_rows(handle.run_id, first_seq, &events)
            } else {
                Vec::new()
            };
            let Some(up_to) = handle.log.begin_segment(MAX_RUN_EVENTS, &mut segment) else { continue };
            runs.push(SavingRun { handle, up_to, followed });
        }
        if runs.is_empty() {
            return Ok(Written::All);
        }
        let is_full = segment.size() >= MAX_SEGMENT_BYTES;
        let number = self.next_segment;
        self.next_segment += 1;
        let started = Instant::now();
        let appended = shared.store.segment_append(shared.process_id, fence, number, segment.into_bytes()).await;
        let is_written = matches!(appended, Ok(true));
        for SavingRun { handle, up_to, followed } in runs {
            handle.log.end_saving(if is_written { Saved::InSegment(up_to, number) } else { Saved::Unknown });
            if is_written {
                shared.signals.grown(handle.run_id, up_to, false, &followed);
            }
        }
        if !appended? {
            return Ok(Written::Refused);
        }
        self.note_write(started);
        Ok(if is_full { Written::Part } else { Written::All })
    }

    /// Writes what is not in `run_events` yet to that table: there is a process that does not read segments.
    async fn write_rows(&mut self) -> StoreResult<Written> {
        let runs = self.shared.hub.active();
        self.log(runs).await
    }

    /// Writes what is not in `run_events` yet, for some runs.
    async fn log(&mut self, handles: Vec<Arc<RunHandle>>) -> StoreResult<Written> {
        let shared = self.shared.clone();
        let mut rows = Vec::new();
        let mut runs = Vec::new();
        for handle in handles {
            if rows.len() >= MAX_ROWS {
                break;
            }
            let Some(unlogged) = handle.log.begin_saving(MAX_RUN_EVENTS) else { continue };
            let new = encode_rows(handle.run_id, unlogged.first_seq, &unlogged.events);
            let followed = if shared.signals.is_followed(handle.run_id) { new.clone() } else { Vec::new() };
            rows.extend(new);
            runs.push(SavingRun { handle, up_to: unlogged.last_seq(), followed });
        }
        let is_full = rows.len() >= MAX_ROWS;
        if runs.is_empty() {
            return Ok(Written::All);
        }
        let started = Instant::now();
        let written = shared.store.events_append(shared.process_id, rows).await;
        for SavingRun { handle, up_to, followed } in runs {
            let is_ours = written.as_ref().is_ok_and(|written| written.contains(&handle.run_id));
            handle.log.end_saving(if is_ours { Saved::Logged(up_to) } else { Saved::Unknown });
            if is_ours {
                shared.signals.grown(handle.run_id, up_to, false, &followed);
            } else if written.is_ok() {
                // Another process has taken it over, or its thread is gone.
                handle.stop(StopReason::Superseded);
            }
        }
        written?;
        self.note_write(started);
        Ok(if is_full { Written::Part } else { Written::All })
    }

    /// Moves what has been in segments for long to `run_events`.
    async fn settle(&mut self) -> StoreResult<()> {
        let is_due = |handle: &Arc<RunHandle>| {
            handle.log.first_segment().is_some_and(|(_, written_at)| written_at.elapsed() >= SETTLE_AFTER)
        };
        let due: Vec<_> = self.shared.hub.active().into_iter().filter(is_due).collect();
        self.log(due).await?;
        Ok(())
    }

    /// Deletes the segments that no process needs any more.
    async fn trim(&mut self) {
        let below = self.shared.hub.first_segment().unwrap_or(self.next_segment);
        if below <= self.trimmed_below {
            return;
        }
        match self.shared.store.segments_trim(self.shared.process_id, below).await {
            Ok(_) => self.trimmed_below = below,
            // They are deleted the next time, or by another process when this one is gone.
            Err(error) => tracing::debug!(error = %Chain(&error), "old segments of the log could not be deleted"),
        }
    }
}
