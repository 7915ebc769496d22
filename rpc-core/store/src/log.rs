//! The stored events of runs.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::{Db, Store};
use super::error::{StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::row_locks::RowLocks;
use super::rows::EventRow;
use super::unit::{LiteConn, PgConn, change, read, steps, tx};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel::upsert::excluded;
use std::collections::BTreeSet;
use threadline_schema::db::tables::{run_events, runs};
use threadline_schema::db::types::UtcTime;
use threadline_schema::db::types::sql::Id as SqlId;
use threadline_schema::ids::{ProcessId, RunId};

/// The insertion of events, which on PostgreSQL is one statement for all rows.
pub(super) trait LogSteps {
    /// Inserts rows of events. Replaces a row that an earlier attempt has inserted, unless that row is longer.
    ///
    /// Whether an earlier attempt was committed is not always known, so a later one begins with the same rows. The
    /// earlier attempt may even be executed after the later one, if the server was frozen.
    fn insert_events(&mut self, rows: &[EventRow]) -> impl Future<Output = StoreResult<()>> + Send;
}

impl LogSteps for PgConn {
    async fn insert_events(&mut self, rows: &[EventRow]) -> StoreResult<()> {
        if !rows.is_empty() {
            let EventColumns { ids, firsts, lasts, events, cuts } = rows.iter().cloned().collect();
            diesel::sql_query(INSERT)
                .bind::<Array<SqlId>, _>(ids)
                .bind::<Array<BigInt>, _>(firsts)
                .bind::<Array<BigInt>, _>(lasts)
                .bind::<Array<Text>, _>(events)
                .bind::<Array<Nullable<Text>>, _>(cuts)
                .execute(self)
                .await?;
        }
        Ok(())
    }
}

impl LogSteps for LiteConn {
    async fn insert_events(&mut self, rows: &[EventRow]) -> StoreResult<()> {
        for row in rows {
            let insert = diesel::insert_into(run_events::table)
                .values(row)
                .on_conflict((run_events::run_id, run_events::first_seq))
                .do_update()
                .set((
                    run_events::last_seq.eq(excluded(run_events::last_seq)),
                    run_events::event.eq(excluded(run_events::event)),
                    run_events::cuts.eq(excluded(run_events::cuts)),
                ));
            let longer = run_events::last_seq.le(excluded(run_events::last_seq));
            diesel::query_dsl::methods::FilterDsl::filter(insert, longer).fixed().execute(self).await?;
        }
        Ok(())
    }
}

const INSERT: &str = "\
INSERT INTO run_events (run_id, first_seq, last_seq, event, cuts) \
SELECT * FROM unnest($1, $2, $3, $4, $5) \
ON CONFLICT (run_id, first_seq) DO UPDATE \
SET last_seq = excluded.last_seq, event = excluded.event, cuts = excluded.cuts \
WHERE run_events.last_seq <= excluded.last_seq";

/// Rows by column, as `unnest` takes them.
#[derive(Default)]
struct EventColumns {
    ids: Vec<RunId>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    events: Vec<String>,
    cuts: Vec<Option<String>>,
}

impl FromIterator<EventRow> for EventColumns {
    fn from_iter<T: IntoIterator<Item = EventRow>>(rows: T) -> Self {
        let mut columns = Self::default();
        for EventRow { run_id, first_seq, last_seq, event, cuts } in rows {
            columns.ids.push(run_id);
            columns.firsts.push(first_seq);
            columns.lasts.push(last_seq);
            columns.events.push(event);
            columns.cuts.push(cuts);
        }
        columns
    }
}

steps! {
    trait ReadLog {
        /// Reads rows with events of a run after a number, in order. Rows do not overlap, so at most one of them begins
        /// before that number.
        fn rows_after(c, run_id: RunId, after: i64, limit: i64) -> Vec<EventRow> {
            let start: Option<i64> = run_events::table
                .filter(run_events::run_id.eq(run_id).and(run_events::first_seq.le(after.saturating_add(1))))
                .select(max(run_events::first_seq))
                .first(c)
                .await?;
            // A range of the primary key.
            Ok(run_events::table
                .filter(run_events::run_id.eq(run_id))
                .filter(run_events::first_seq.ge(start.unwrap_or_default()))
                .filter(run_events::last_seq.gt(after))
                .order(run_events::first_seq.asc())
                .limit(limit)
                .select(EventRow::as_select())
                .load(c)
                .await?)
        }
    }
}

/// Appends events of any number of runs in one statement, so in one round trip, and a process that is frozen meanwhile
/// holds no lock.
///
/// The lock of the runs is the one that the foreign key takes anyway. Taking it first leaves out the rows of a run
/// whose thread is being deleted; without it the foreign key would refuse the rows of all runs.
const APPEND: &str = "\
INSERT INTO run_events (run_id, first_seq, last_seq, event, cuts) \
SELECT e.run_id, e.first_seq, e.last_seq, e.event, e.cuts \
FROM unnest($1, $2, $3, $4, $5) AS e (run_id, first_seq, last_seq, event, cuts) \
JOIN (SELECT id FROM runs WHERE id = ANY($1) AND owner = $6 AND finished_at IS NULL ORDER BY id FOR KEY SHARE) AS owned \
ON owned.id = e.run_id \
ON CONFLICT (run_id, first_seq) DO UPDATE \
SET last_seq = excluded.last_seq, event = excluded.event, cuts = excluded.cuts \
WHERE run_events.last_seq <= excluded.last_seq \
RETURNING run_id";

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = SqlId)]
    run_id: RunId,
}

/// The write that has a form of its own on PostgreSQL: many rows in one statement.
trait AppendEvents {
    fn append(
        &mut self,
        owner: ProcessId,
        rows: Vec<EventRow>,
    ) -> impl Future<Output = StoreResult<BTreeSet<RunId>>> + Send;
}

impl AppendEvents for PgConn {
    async fn append(&mut self, owner: ProcessId, rows: Vec<EventRow>) -> StoreResult<BTreeSet<RunId>> {
        let EventColumns { ids, firsts, lasts, events, cuts } = rows.into_iter().collect();
        let written: Vec<Written> = diesel::sql_query(APPEND)
            .bind::<Array<SqlId>, _>(ids)
            .bind::<Array<BigInt>, _>(firsts)
            .bind::<Array<BigInt>, _>(lasts)
            .bind::<Array<Text>, _>(events)
            .bind::<Array<Nullable<Text>>, _>(cuts)
            .bind::<SqlId, _>(owner)
            .load(self)
            .await?;
        Ok(written.into_iter().map(|row| row.run_id).collect())
    }
}

impl AppendEvents for LiteConn {
    async fn append(&mut self, owner: ProcessId, rows: Vec<EventRow>) -> StoreResult<BTreeSet<RunId>> {
        let owned = runs::table.filter(runs::owner.eq(owner).and(runs::finished_at.is_null()));
        let owned: BTreeSet<RunId> = owned.select(runs::id).load(self).await?.into_iter().collect();
        let rows: Vec<EventRow> = rows.into_iter().filter(|row| owned.contains(&row.run_id)).collect();
        self.insert_events(&rows).await?;
        Ok(rows.iter().map(|row| row.run_id).collect())
    }
}

impl Store {
    /// Appends events of active runs of `owner`, and returns these runs. The others have ended, have another owner or
    /// have been deleted, and none of their events is written. A row that exists is replaced, unless it is longer.
    ///
    /// # Errors
    /// Only if the database fails. It is not known then whether the events were written.
    pub async fn events_append(&self, owner: ProcessId, rows: Vec<EventRow>) -> StoreResult<BTreeSet<RunId>> {
        change!(self, |c| { c.append(owner, rows).await })
    }

    /// Returns rows of `run_events` with events of a run after number `after`, in order. The first row may begin before
    /// that number. A run that has ended has all its events there.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn events_after(&self, run_id: RunId, after: i64, limit: u32) -> StoreResult<Vec<EventRow>> {
        read!(self, |c| { c.rows_after(run_id, after, i64::from(limit)).await })
    }

    /// Returns the number of the last event of a run in `run_events`; 0 if it has none.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn events_last(&self, run_id: RunId) -> StoreResult<i64> {
        read!(self, |c| {
            let events = run_events::table.filter(run_events::run_id.eq(run_id));
            let last: Option<i64> =
                events.order(run_events::first_seq.desc()).select(run_events::last_seq).first(c).await.optional()?;
            Ok(last.unwrap_or_default())
        })
    }

    /// Deletes the events of up to `limit` runs that ended before `before`, and returns how many runs these are. One
    /// process at a time does it; the others return 0.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn logs_trim(&self, before: UtcTime, limit: u32) -> StoreResult<usize> {
        tx!(self, |c| {
            if !c.try_lock(Job::Trim).await? {
                return Ok(0);
            }
            let ended: Vec<RunId> = runs::table
                .filter(runs::log_kept)
                .filter(runs::finished_at.lt(before))
                .order(runs::finished_at.asc())
                .select(runs::id)
                .limit(i64::from(limit))
                .load(c)
                .await?;
            // Runs are locked before their events, as in the deletion of a thread.
            let ended = c.lock_available_runs(ended).await?;
            diesel::delete(run_events::table.filter(run_events::run_id.eq_any(&ended))).execute(c).await?;
            let trimmed = diesel::update(runs::table.filter(runs::id.eq_any(&ended))).set(runs::log_kept.eq(false));
            Ok(trimmed.execute(c).await?)
        })
    }

    /// Returns the time of the database, which is the same for all replicas. With SQLite it is the time of the machine.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn now(&self) -> StoreResult<UtcTime> {
        #[cfg(feature = "simulation")]
        if let Some(now) = self.simulation().and_then(|simulation| simulation.now()) {
            return Ok(now);
        }
        if let Db::Lite(_) = self.db() {
            return Ok(machine_time());
        }
        #[derive(QueryableByName)]
        struct Now {
            #[diesel(sql_type = BigInt)]
            micros: i64,
        }
        read!(self, |c| {
            let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros";
            let now: Now = diesel::sql_query(sql).get_result(c).await?;
            UtcTime::from_micros(now.micros).ok_or_else(|| StoreError::corrupt("the database's clock is out of range"))
        })
    }
}

/// The clock of the machine, which is that of an SQLite database: one process serves its file.
#[expect(clippy::disallowed_methods, reason = "SQLite has no clock of its own")]
fn machine_time() -> UtcTime {
    chrono::Utc::now().into()
}
