//! Submissions that name themselves: the same one twice does its work once.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::{Conflict, StoreResult};
use super::rows::{IdempotencyKeyRow, RunRow, ThreadRow};
use super::run_start::RunStarted;
use super::unit::{read, tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{idempotency_keys, runs, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{RunId, ThreadId, UserId};

/// The name of a request, and what it submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's idempotency key.
    pub key: String,
    /// SHA-256 of everything that is submitted, the thread included, in hex.
    pub fingerprint: String,
}

/// Claims the key of a request for the transaction, or finds who had it first.
///
/// `None`: it is ours. `Some(row)`: the same request was made before, and `row` says what it made. The insert waits
/// for another transaction that is about to commit the same key, so two at once do the work once.
macro_rules! claim_key {
    ($c:ident, $row:expr) => {{
        use $crate::error::OrNotFound;
        let ours: $crate::rows::IdempotencyKeyRow = $row;
        let inserted =
            diesel::insert_into(idempotency_keys::table).values(&ours).on_conflict_do_nothing().execute($c).await?;
        if inserted == 1 {
            None
        } else {
            let earlier = idempotency_keys::table
                .find((ours.user_id, &ours.key))
                .select($crate::rows::IdempotencyKeyRow::as_select())
                .first($c)
                .await
                .or_not_found($crate::Entity::Thread)?;
            if earlier.fingerprint != ours.fingerprint {
                return Err($crate::Conflict::KeyReused.into());
            }
            Some(earlier)
        }
    }};
}
/// What an earlier request made, as it stands now.
macro_rules! replay {
    ($c:ident, $earlier:expr) => {{
        use $crate::error::OrNotFound;
        let earlier: $crate::rows::IdempotencyKeyRow = $earlier;
        let thread = threads::table
            .find(earlier.thread_id)
            .select(ThreadRow::as_select())
            .first($c)
            .await
            .or_not_found($crate::Entity::Thread)?;
        let run = match earlier.run_id {
            Some(id) => Some(
                runs::table.find(id).select(RunRow::as_select()).first($c).await.or_not_found($crate::Entity::Run)?,
            ),
            None => None,
        };
        (thread, run)
    }};
}
pub(super) use {claim_key, replay};

impl IdempotencyKey {
    /// The row it becomes.
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

impl Store {
    /// What an earlier request of the same name made, as it stands now; `None` when there was none.
    ///
    /// # Errors
    /// [`Conflict::KeyReused`] when it was another request.
    pub async fn find_replay(
        &self,
        user_id: UserId,
        idempotency_key: IdempotencyKey,
    ) -> StoreResult<Option<RunStarted>> {
        read!(self, |c| {
            let earlier: Option<IdempotencyKeyRow> = idempotency_keys::table
                .find((user_id, &idempotency_key.key))
                .select(IdempotencyKeyRow::as_select())
                .first(c)
                .await
                .optional()?;
            let Some(earlier) = earlier else { return Ok(None) };
            if earlier.fingerprint != idempotency_key.fingerprint {
                return Err(Conflict::KeyReused.into());
            }
            RunStarted::again(replay!(c, earlier)).map(Some)
        })
    }

    /// Forgets at most `limit` names of submissions from before `before`, and returns how many: after that the same
    /// name is a new request. Only one process at a time does so; the others return 0.
    ///
    /// # Errors
    /// Only when the database fails; nothing is forgotten then.
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
            let mut forgotten = 0;
            for name in old {
                forgotten += diesel::delete(idempotency_keys::table.find(name)).execute(c).await?;
            }
            Ok(forgotten)
        })
    }
}
