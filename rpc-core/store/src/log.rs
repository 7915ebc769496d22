//! The durable log of what runs emit, and how it is read.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::{Db, Store};
use super::error::{StoreError, StoreResult};
use super::rows::EventRow;
use super::unit::{Begin, LiteConn, PgConn, change, end, read, tx, work};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;
use threadline_schema::db::tables::{run_events, runs};
use threadline_schema::db::types::UtcTime;
use threadline_schema::db::types::sql::Id as SqlId;
use threadline_schema::ids::{ProcessId, RunId};

/// Inserts events in the transaction, or makes rows longer that an earlier try has inserted: whether that try was
/// committed is not always known, and a later one begins with the same rows. The earlier may even come after the later,
/// when the server was frozen: then it must not make them shorter again.
macro_rules! insert_events {
    ($c:expr, $rows:expr) => {
        for row in $rows {
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
            diesel::query_dsl::methods::FilterDsl::filter(insert, longer).execute($c).await?;
        }
    };
}
pub(super) use insert_events;

/// One statement, so one transaction and one round trip, however many runs and events. A process that is frozen in the
/// middle of it holds no lock: the server ends it alone.
const APPEND: &str = "\
INSERT INTO run_events (run_id, first_seq, last_seq, event, cuts) \
SELECT e.run_id, e.first_seq, e.last_seq, e.event, e.cuts \
FROM unnest($1, $2, $3, $4, $5) AS e (run_id, first_seq, last_seq, event, cuts) \
JOIN runs ON runs.id = e.run_id AND runs.owner = $6 AND runs.finished_at IS NULL \
ON CONFLICT (run_id, first_seq) DO UPDATE \
SET last_seq = excluded.last_seq, event = excluded.event, cuts = excluded.cuts \
WHERE run_events.last_seq <= excluded.last_seq \
RETURNING run_id";

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = SqlId)]
    run_id: RunId,
}

/// The one write that the databases need said differently: many rows at once.
trait AppendEvents {
    fn append(
        &mut self,
        owner: ProcessId,
        rows: Vec<EventRow>,
    ) -> impl Future<Output = StoreResult<BTreeSet<RunId>>> + Send;
}

impl AppendEvents for PgConn {
    async fn append(&mut self, owner: ProcessId, rows: Vec<EventRow>) -> StoreResult<BTreeSet<RunId>> {
        let (mut ids, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut events, mut cuts) = (Vec::new(), Vec::new());
        for row in rows {
            ids.push(row.run_id.0);
            firsts.push(row.first_seq);
            lasts.push(row.last_seq);
            events.push(row.event);
            cuts.push(row.cuts);
        }
        let written: Vec<Written> = diesel::sql_query(APPEND)
            .bind::<Array<SqlUuid>, _>(ids)
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
        self.begin().await?;
        let result = work(async {
            let owned = runs::table.filter(runs::owner.eq(owner).and(runs::finished_at.is_null()));
            let owned: BTreeSet<RunId> = owned.select(runs::id).load(self).await?.into_iter().collect();
            let ours: Vec<&EventRow> = rows.iter().filter(|row| owned.contains(&row.run_id)).collect();
            let written = ours.iter().map(|row| row.run_id).collect();
            insert_events!(self, ours);
            Ok(written)
        })
        .await;
        end(self, result).await
    }
}

impl Store {
    /// Appends events of runs that `owner` answers, and returns which runs those are: the others have ended, or have
    /// been taken over, and nothing of theirs is written. Rows that are there already are written anew.
    ///
    /// # Errors
    /// Only when the database fails; then nothing is written, or it is not known whether.
    pub async fn events_append(&self, owner: ProcessId, rows: Vec<EventRow>) -> StoreResult<BTreeSet<RunId>> {
        change!(self, |c| { c.append(owner, rows).await })
    }

    /// Rows of a run's log that hold events after number `after`, oldest first. The first may begin before it.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn events_after(&self, run_id: RunId, after: i64, limit: u32) -> StoreResult<Vec<EventRow>> {
        read!(self, |c| {
            // Rows do not overlap, so all but one that are needed begin after it: a range of the primary key.
            let start: Option<i64> = run_events::table
                .filter(run_events::run_id.eq(run_id).and(run_events::first_seq.le(after.saturating_add(1))))
                .select(max(run_events::first_seq))
                .first(c)
                .await?;
            Ok(run_events::table
                .filter(run_events::run_id.eq(run_id))
                .filter(run_events::first_seq.ge(start.unwrap_or_default()))
                .filter(run_events::last_seq.gt(after))
                .order(run_events::first_seq.asc())
                .limit(i64::from(limit))
                .select(EventRow::as_select())
                .load(c)
                .await?)
        })
    }

    /// Number of the last event in a run's log; 0 when it has none.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn events_last(&self, run_id: RunId) -> StoreResult<u64> {
        read!(self, |c| {
            let events = run_events::table.filter(run_events::run_id.eq(run_id));
            let last: Option<i64> =
                events.order(run_events::first_seq.desc()).select(run_events::last_seq).first(c).await.optional()?;
            Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or_default())
        })
    }

    /// Drops the logs of at most `limit` runs that ended before `before`, and returns how many. Only one process at a
    /// time does so; the others return 0.
    ///
    /// # Errors
    /// Only when the database fails; nothing is dropped then.
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
            diesel::delete(run_events::table.filter(run_events::run_id.eq_any(&ended))).execute(c).await?;
            let trimmed = diesel::update(runs::table.filter(runs::id.eq_any(&ended))).set(runs::log_kept.eq(false));
            Ok(trimmed.execute(c).await?)
        })
    }

    /// The database's clock: what leases are measured by, so that replicas need not agree on the time. SQLite has no
    /// clock but the machine's.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn now(&self) -> StoreResult<UtcTime> {
        #[cfg(feature = "simulation")]
        if let Some(now) = self.simulation().and_then(|simulation| simulation.now()) {
            return Ok(now);
        }
        if let Db::Lite { .. } = self.db() {
            return Ok(UtcTime::now());
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
