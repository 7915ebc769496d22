//! Idempotency keys: a repeated request gets what the first one made.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::{Conflict, Entity, OrNotFound, StoreResult};
use super::query::RunQueryDsl;
use super::row_locks::RowLocks;
use super::rows::{IdempotencyKeyRow, RunRow, ThreadRow};
use super::run_start::RunStarted;
use super::unit::{read, steps, tx};
use diesel::prelude::*;
use threadline_schema::db::tables::{idempotency_keys, runs, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{RunId, ThreadId, UserId};

/// The idempotency key of a request, with the fingerprint of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key that the client has chosen.
    pub key: String,
    /// SHA-256 of the whole request, its thread included, in hex.
    pub fingerprint: String,
}

impl IdempotencyKey {
    /// Returns the row that ties the key to what the request makes.
    pub(super) fn row(
        self,
        user_id: UserId,
        thread_id: ThreadId,
        run_id: Option<RunId>,
        created_at: UtcTime,
    ) -> IdempotencyKeyRow {
        let Self { key, fingerprint } = self;
        IdempotencyKeyRow { user_id, key, fingerprint, thread_id, run_id, created_at }
    }
}

/// The thread and the run that an earlier request has made, in their present state.
pub(super) type Replay = (ThreadRow, Option<RunRow>);

steps! {
    trait IdempotencySteps {
        /// Claims an idempotency key for this transaction. Returns what an earlier request with the same key has made,
        /// if there was one.
        ///
        /// The insert waits for a transaction that has inserted the same key and not committed yet, so of two
        /// concurrent requests one does the work.
        ///
        /// # Errors
        /// [`Conflict::KeyReused`] if the earlier request had another fingerprint.
        fn claim_key(c, claimed: IdempotencyKeyRow) -> Option<Replay> {
            let insert = diesel::insert_into(idempotency_keys::table).values(&claimed).on_conflict_do_nothing();
            if insert.execute(c).await? == 1 {
                return Ok(None);
            }
            let earlier: IdempotencyKeyRow = idempotency_keys::table
                .find((claimed.user_id, &claimed.key))
                .select(IdempotencyKeyRow::as_select())
                .first(c)
                .await
                .or_not_found(Entity::Thread)?;
            c.replay(earlier, claimed.fingerprint).await.map(Some)
        }

        /// Reads what an earlier request has made. `fingerprint` is that of the present request.
        ///
        /// # Errors
        /// [`Conflict::KeyReused`] if the fingerprints differ.
        fn replay(c, earlier: IdempotencyKeyRow, fingerprint: String) -> Replay {
            if earlier.fingerprint != fingerprint {
                return Err(Conflict::KeyReused.into());
            }
            let thread = threads::table.find(earlier.thread_id).select(ThreadRow::as_select());
            let thread = thread.first(c).await.or_not_found(Entity::Thread)?;
            let run = match earlier.run_id {
                Some(id) => {
                    let run = runs::table.find(id).select(RunRow::as_select());
                    Some(run.first(c).await.or_not_found(Entity::Run)?)
                }
                None => None,
            };
            Ok((thread, run))
        }
    }
}

impl Store {
    /// Returns the run that an earlier request with the same key has started, in its present state; `None` if there was
    /// no such request.
    ///
    /// # Errors
    /// [`Conflict::KeyReused`] if the earlier request had another fingerprint or started no run.
    pub async fn find_replay(&self, user_id: UserId, key: IdempotencyKey) -> StoreResult<Option<RunStarted>> {
        read!(self, |c| {
            let earlier: Option<IdempotencyKeyRow> = idempotency_keys::table
                .find((user_id, &key.key))
                .select(IdempotencyKeyRow::as_select())
                .first(c)
                .await
                .optional()?;
            let Some(earlier) = earlier else { return Ok(None) };
            RunStarted::replayed(c.replay(earlier, key.fingerprint).await?).map(Some)
        })
    }

    /// Deletes up to `limit` keys that are older than `before`, and returns how many. A request with a deleted key is a
    /// new request. One process at a time does it; the others return 0.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn idempotency_keys_trim(&self, before: UtcTime, limit: u32) -> StoreResult<usize> {
        tx!(self, |c| {
            if !c.try_lock(Job::Trim).await? {
                return Ok(0);
            }
            let old: Vec<(UserId, String)> = idempotency_keys::table
                .filter(idempotency_keys::created_at.lt(before))
                .order(idempotency_keys::created_at.asc())
                .select((idempotency_keys::user_id, idempotency_keys::key))
                .limit(i64::from(limit))
                .load(c)
                .await?;
            let mut deleted = 0;
            for key in c.lock_available_keys(old).await? {
                deleted += diesel::delete(idempotency_keys::table.find(key)).execute(c).await?;
            }
            Ok(deleted)
        })
    }
}
