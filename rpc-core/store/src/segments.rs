//! Segments: what the active runs of a process have emitted and `run_events` does not have yet, a row per tick of the
//! process's journal.
//!
//! A segment belongs to a process, not to a run, so that the number of writes does not depend on the number of runs.
//! Its process may be frozen while it writes, and wake up after its runs were taken over. So each process has a *fence*
//! in its row of `processes`: a number that is raised when a run of the process is taken over, in the same transaction.
//! A segment is only written while its process knows the current number. The new owner then moves the run's events to
//! `run_events`, where all processes read them.

use super::db::Store;
use super::error::StoreResult;
use super::log::{LogSteps, ReadLog};
use super::logged_events::{EPOCH_EVENTS, LoggedEvents, in_order};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::EventRow;
use super::segment;
use super::unit::{LiteConn, PgConn, change, read, steps, tx};
use diesel::dsl::{exists, max, not};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use diesel::upsert::excluded;
use std::collections::{BTreeMap, BTreeSet};
use threadline_schema::db::tables::{log_segments, processes, run_events, runs};
use threadline_schema::db::types::UtcTime;
use threadline_schema::db::types::sql::Id as SqlId;
use threadline_schema::ids::{ProcessId, RunId};

/// Segments that are in memory at a time.
const BATCH: i64 = 64;

/// What the journal of a process has to know before it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalTerms {
    /// The fence of the process.
    pub fence: i64,
    /// Whether all processes read segments. If not, events go to `run_events`.
    pub has_segments: bool,
    /// The active runs of the process.
    pub owned: BTreeSet<RunId>,
}

/// A segment, as far as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: i64,
    /// Events of the runs that were asked for, in the order in which they were written.
    pub events: Vec<LoggedEvents>,
}

/// What there is of an active run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveEvents {
    /// First these,
    pub rows: Vec<EventRow>,
    /// then these.
    pub segments: Vec<LoggedEvents>,
}

impl LiveEvents {
    /// Returns the number of the last event; `None` if there are none.
    pub fn last_seq(&self) -> Option<i64> {
        let row = self.rows.last().map(|row| row.last_seq);
        self.segments.last().map(LoggedEvents::last_seq).or(row)
    }
}

/// A run that was taken over.
pub(super) struct Taken {
    pub(super) run_id: RunId,
    pub(super) former_owner: ProcessId,
    /// The epoch of the former owner.
    pub(super) former_epoch: i64,
}

/// Locks the row with the fence for as long as the statement takes: either a takeover sees the segment, or this sees
/// the takeover.
const APPEND: &str = "\
WITH me AS ( \
    SELECT id FROM processes WHERE id = $1 AND fence = $2 \
    AND NOT EXISTS (SELECT 1 FROM processes AS other WHERE NOT other.reads_segments) FOR SHARE OF processes \
) \
INSERT INTO log_segments (process_id, number, events) SELECT id, $3, $4 FROM me";

/// The write that is one statement on PostgreSQL, so that a process that is frozen meanwhile holds no lock.
trait AppendSegment {
    fn append_segment(
        &mut self,
        process: ProcessId,
        fence: i64,
        number: i64,
        events: Vec<u8>,
    ) -> impl Future<Output = StoreResult<bool>> + Send;
}

impl AppendSegment for PgConn {
    async fn append_segment(
        &mut self,
        process: ProcessId,
        fence: i64,
        number: i64,
        events: Vec<u8>,
    ) -> StoreResult<bool> {
        let insert = diesel::sql_query(APPEND).bind::<SqlId, _>(process).bind::<BigInt, _>(fence);
        let insert = insert.bind::<BigInt, _>(number).bind::<Binary, _>(events);
        Ok(insert.execute(self).await? > 0)
    }
}

impl AppendSegment for LiteConn {
    async fn append_segment(
        &mut self,
        process: ProcessId,
        fence: i64,
        number: i64,
        events: Vec<u8>,
    ) -> StoreResult<bool> {
        let processes = processes::table.find(process).select(processes::fence);
        let current: Option<i64> = processes.first(self).await.optional()?;
        if current != Some(fence) {
            return Ok(false);
        }
        diesel::insert_into(log_segments::table)
            .values((
                log_segments::process_id.eq(process),
                log_segments::number.eq(number),
                log_segments::events.eq(events),
            ))
            .fixed()
            .execute(self)
            .await?;
        Ok(true)
    }
}

steps! {
    trait SegmentSteps {
        /// Keeps the former owners of runs from writing more of them, and moves what they have written to `run_events`.
        fn take_segments(c, taken: &[Taken], now: UtcTime) -> () {
            let mut runs_by_owner: BTreeMap<ProcessId, BTreeMap<RunId, i64>> = BTreeMap::new();
            for Taken { run_id, former_owner, former_epoch } in taken {
                runs_by_owner.entry(*former_owner).or_default().insert(*run_id, *former_epoch);
            }
            for owner in runs_by_owner.keys() {
                diesel::insert_into(processes::table)
                    .values((
                        processes::id.eq(*owner),
                        processes::holds_lock.eq(false),
                        processes::seen_at.eq(now),
                        processes::fence.eq(1),
                        processes::reads_segments.eq(true),
                    ))
                    .on_conflict(processes::id)
                    .do_update()
                    .set(processes::fence.eq(processes::fence + 1))
                    .execute(c)
                    .await?;
            }
            for (owner, epochs) in runs_by_owner {
                c.move_segments(owner, epochs).await?;
            }
            Ok(())
        }

        /// Reads the events of some runs in the segments of a process.
        fn read_segments(c, process: ProcessId, wanted: BTreeSet<RunId>) -> Vec<LoggedEvents> {
            let mut events = Vec::new();
            let mut number = i64::MIN;
            loop {
                let segments: Vec<(i64, Vec<u8>)> = log_segments::table
                    .filter(log_segments::process_id.eq(process).and(log_segments::number.gt(number)))
                    .order(log_segments::number.asc())
                    .limit(BATCH)
                    .select((log_segments::number, log_segments::events))
                    .load(c)
                    .await?;
                let Some((last, _)) = segments.last() else { return Ok(events) };
                number = *last;
                for (_, segment) in &segments {
                    events.extend(segment::read(segment, |run| wanted.contains(&run)));
                }
            }
        }

        /// Copies the events of some runs from the segments of their owner to `run_events`. `epochs` has the runs, and
        /// their epochs under that owner.
        fn move_segments(c, owner: ProcessId, epochs: BTreeMap<RunId, i64>) -> () {
            let mut found: BTreeMap<RunId, Vec<LoggedEvents>> = BTreeMap::new();
            for events in c.read_segments(owner, epochs.keys().copied().collect()).await? {
                found.entry(events.run_id).or_default().push(events);
            }
            for (run_id, events) in found {
                let stored: Option<i64> =
                    run_events::table.filter(run_events::run_id.eq(run_id)).select(max(run_events::last_seq)).first(c).await?;
                let before_epoch = last_seq_before_epoch(epochs.get(&run_id).copied().unwrap_or_default());
                let events = in_order(events, stored.unwrap_or_default().max(before_epoch));
                let rows: Vec<EventRow> = events.into_iter().map(LoggedEvents::into_row).collect();
                c.insert_events(&rows).await?;
            }
            Ok(())
        }
    }
}

/// Returns the number before the first of an epoch. The first owner of a run counts from 1.
pub fn last_seq_before_epoch(epoch: i64) -> i64 {
    epoch.saturating_sub(1).max(0).saturating_mul(EPOCH_EVENTS)
}

impl Store {
    /// Returns what the journal of a process has to know. Says that the process reads segments.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn journal_terms(&self, process: ProcessId, now: UtcTime) -> StoreResult<JournalTerms> {
        tx!(self, |c| {
            // The fence before the runs: a takeover in between makes the number an old one.
            let fence: i64 = diesel::insert_into(processes::table)
                .values((
                    processes::id.eq(process),
                    processes::holds_lock.eq(false),
                    processes::seen_at.eq(now),
                    processes::reads_segments.eq(true),
                ))
                .on_conflict(processes::id)
                .do_update()
                .set(processes::reads_segments.eq(excluded(processes::reads_segments)))
                .returning(processes::fence)
                .get_result(c)
                .await?;
            let reads_none = processes::table.filter(processes::reads_segments.eq(false));
            let has_segments: bool = diesel::select(not(exists(reads_none))).get_result(c).await?;
            let owned = runs::table.filter(runs::owner.eq(process).and(runs::finished_at.is_null()));
            let owned: Vec<RunId> = owned.select(runs::id).load(c).await?;
            Ok(JournalTerms { fence, has_segments, owned: owned.into_iter().collect() })
        })
    }

    /// Appends a segment. Returns `false`, and writes nothing, if the terms of the journal are not current any more:
    /// runs were taken over, or there is a process that does not read segments.
    ///
    /// # Errors
    /// Only if the database fails. It is not known then whether the segment was written: write its events again, under
    /// another number.
    pub async fn segment_append(
        &self,
        process: ProcessId,
        fence: i64,
        number: i64,
        events: Vec<u8>,
    ) -> StoreResult<bool> {
        change!(self, |c| { c.append_segment(process, fence, number, events).await })
    }

    /// Returns up to `limit` segments of a process after number `after`, with the events of the runs that are wanted.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn segments_after(
        &self,
        process: ProcessId,
        after: i64,
        limit: u32,
        wanted: BTreeSet<RunId>,
    ) -> StoreResult<Vec<Segment>> {
        read!(self, |c| {
            let segments: Vec<(i64, Vec<u8>)> = log_segments::table
                .filter(log_segments::process_id.eq(process).and(log_segments::number.gt(after)))
                .order(log_segments::number.asc())
                .limit(i64::from(limit))
                .select((log_segments::number, log_segments::events))
                .load(c)
                .await?;
            let segments = segments.into_iter();
            Ok(segments
                .map(|(number, events)| Segment { number, events: segment::read(&events, |run| wanted.contains(&run)) })
                .collect())
        })
    }

    /// Returns the number of the last segment of a process; 0 if it has none.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn segments_last(&self, process: ProcessId) -> StoreResult<i64> {
        read!(self, |c| {
            let segments = log_segments::table.filter(log_segments::process_id.eq(process));
            let last: Option<i64> = segments.select(max(log_segments::number)).first(c).await?;
            Ok(last.unwrap_or_default())
        })
    }

    /// Returns the owner of an active run, and its epoch; `None` if the run has ended or does not exist.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn run_owner(&self, run_id: RunId) -> StoreResult<Option<(ProcessId, i64)>> {
        read!(self, |c| {
            let active = runs::table.find(run_id).filter(runs::finished_at.is_null());
            Ok(active.select((runs::owner, runs::epoch)).first(c).await.optional()?)
        })
    }

    /// Returns the stored events of an active run after number `after`, also those in segments. Of a run that has
    /// ended, returns its whole log.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn live_events_after(&self, run_id: RunId, after: i64) -> StoreResult<LiveEvents> {
        read!(self, |c| {
            let active = runs::table.find(run_id).filter(runs::finished_at.is_null());
            let owner: Option<(ProcessId, i64)> =
                active.select((runs::owner, runs::epoch)).first(c).await.optional()?;
            // The segments first: what leaves them is in `run_events` by then.
            let mut events = Vec::new();
            let mut before_epoch = 0;
            if let Some((owner, epoch)) = owner {
                before_epoch = last_seq_before_epoch(epoch);
                events = c.read_segments(owner, BTreeSet::from([run_id])).await?;
            }
            let rows = c.rows_after(run_id, after, i64::MAX).await?;
            let stored = rows.last().map_or(after, |row| row.last_seq);
            Ok(LiveEvents { segments: in_order(events, stored.max(before_epoch)), rows })
        })
    }

    /// Copies the events of active runs from the segments of their owner to `run_events`. The owner must not execute
    /// these runs any more.
    ///
    /// # Errors
    /// Only if the database fails; nothing is copied then.
    pub async fn segments_settle(&self, owner: ProcessId, epochs: BTreeMap<RunId, i64>) -> StoreResult<()> {
        tx!(self, |c| { c.move_segments(owner, epochs).await })
    }

    /// Deletes the segments of a process below a number: their events are in `run_events`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn segments_trim(&self, process: ProcessId, below: i64) -> StoreResult<usize> {
        change!(self, |c| {
            let old = log_segments::process_id.eq(process).and(log_segments::number.lt(below));
            Ok(diesel::delete(log_segments::table.filter(old)).execute(c).await?)
        })
    }

    /// Deletes the segments of other processes that have no active runs.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn segments_trim_gone(&self, me: ProcessId) -> StoreResult<usize> {
        change!(self, |c| {
            let active = runs::table.filter(runs::finished_at.is_null().and(runs::owner.eq(log_segments::process_id)));
            let gone = log_segments::process_id.ne(me).and(not(exists(active)));
            Ok(diesel::delete(log_segments::table.filter(gone)).execute(c).await?)
        })
    }
}
