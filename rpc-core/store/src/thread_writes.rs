//! Frequent writes that are one statement on PostgreSQL, so one round trip. On SQLite a statement is a function call,
//! and several cost no more.
//!
//! One statement commits or fails as a whole, as a transaction does. Rare cases (an archived thread, an idempotency
//! key, attachments, a budget) use the transactions that are written once for both databases.

use super::error::{StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{NewItem, RunRow, ThreadRow};
use super::run_start::NewRun;
use super::unit::{LiteConn, PgConn};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use threadline_schema::db::tables::{runs, threads, users};
use threadline_schema::db::types::sql::{Id, UtcTime as SqlTime};
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::threads::ThreadState;

const CREATE: &str = "\
WITH counted AS (\
UPDATE users SET session_count = session_count + 1 WHERE id = $2 AND session_count < $12 RETURNING id) \
INSERT INTO threads (id, user_id, title, title_is_set, status, status_reason, archived, metadata, message_count, \
next_position, created_at, updated_at) \
SELECT $1, id, $3, $4, $5, NULL, $6, $7, $8, $9, $10, $11 FROM counted";

/// The thread is locked before its runs, these before the user. Deleting the runs by the cascade alone would lock items
/// before runs, and deadlock with `item_complete`, which locks a run before its items.
const DELETE: &str = "\
WITH owned AS (SELECT id FROM threads WHERE id = $1 AND user_id = $2 AND status <> 'locked' \
AND NOT EXISTS (SELECT FROM runs WHERE thread_id = $1 AND finished_at IS NULL) FOR UPDATE), \
ended AS (DELETE FROM runs WHERE thread_id IN (SELECT id FROM owned) RETURNING id), \
gone AS (DELETE FROM threads WHERE id IN (SELECT id FROM owned) AND (SELECT count(*) FROM ended) >= 0 \
RETURNING id, user_id, archived), \
counted AS (UPDATE users SET session_count = session_count - 1 \
WHERE id IN (SELECT user_id FROM gone WHERE NOT archived)) \
SELECT id FROM gone";

const START: &str = "\
WITH prepared AS (\
UPDATE threads SET next_position = next_position + 1, message_count = message_count + $1, updated_at = $2, \
title = CASE WHEN title_is_set OR message_count > 0 THEN title ELSE coalesce($3, title) END \
WHERE id = $4 AND user_id = $5 AND status = 'active' AND NOT archived RETURNING *), \
started AS (\
INSERT INTO runs (id, thread_id, user_id, position, status, owner, epoch, lease_expires_at, last_seq, prompt_tokens, \
completion_tokens, log_kept, created_at, held_tokens, held_micros, request) \
SELECT $6, id, user_id, next_position - 1, $7, $8, $9, $10, $11, $12, $13, $14, $2, $15, $16, $22 FROM prepared), \
said AS (\
INSERT INTO items (id, thread_id, run_id, position, kind, hidden, body, created_at) \
SELECT $17, id, $6, next_position - 1, $18, $19, $20, $21 FROM prepared) \
SELECT * FROM prepared";

#[derive(QueryableByName)]
struct Deleted {
    #[diesel(sql_type = Id)]
    id: ThreadId,
}

/// A message that starts a run in a thread.
pub(super) struct FirstTry<'a> {
    pub(super) user_id: UserId,
    pub(super) thread_id: ThreadId,
    pub(super) item: &'a NewItem,
    pub(super) title: Option<&'a str>,
    pub(super) run: NewRun,
}

pub(super) trait ThreadWrites {
    /// Inserts a thread without messages and counts it. Returns `false`, and does nothing, if its user does not exist
    /// or has `max` threads. Condition and count are one statement: two concurrent requests cannot both be the last
    /// within the limit.
    fn insert_counted(&mut self, thread: &ThreadRow, max: i64) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Deletes a thread of the user that has no active run, with its items, runs, events and idempotency keys. Returns
    /// whether there was one.
    fn delete_idle(&mut self, user_id: UserId, id: ThreadId) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Stores a message and its run, if one statement can: `None`, and nothing is stored, if the thread is not an
    /// active one of the user, or is archived, and always on SQLite.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the thread has an active run.
    fn try_start(
        &mut self,
        message: FirstTry<'_>,
    ) -> impl Future<Output = StoreResult<Option<(ThreadRow, RunRow)>>> + Send;
}

impl ThreadWrites for PgConn {
    async fn insert_counted(&mut self, thread: &ThreadRow, max: i64) -> StoreResult<bool> {
        let insert = diesel::sql_query(CREATE)
            .bind::<Id, _>(thread.id)
            .bind::<Id, _>(thread.user_id)
            .bind::<Text, _>(&thread.title)
            .bind::<Bool, _>(thread.title_is_set)
            .bind::<Text, _>(thread.status)
            .bind::<Bool, _>(thread.archived)
            .bind::<Text, _>(&thread.metadata)
            .bind::<BigInt, _>(thread.message_count)
            .bind::<BigInt, _>(thread.next_position)
            .bind::<SqlTime, _>(thread.created_at)
            .bind::<SqlTime, _>(thread.updated_at)
            .bind::<BigInt, _>(max);
        Ok(insert.fixed().execute(self).await? == 1)
    }

    async fn delete_idle(&mut self, user_id: UserId, id: ThreadId) -> StoreResult<bool> {
        let delete = diesel::sql_query(DELETE).bind::<Id, _>(id).bind::<Id, _>(user_id);
        let deleted: Vec<Deleted> = delete.fixed().load(self).await?;
        Ok(deleted.iter().any(|deleted| deleted.id == id))
    }

    async fn try_start(&mut self, message: FirstTry<'_>) -> StoreResult<Option<(ThreadRow, RunRow)>> {
        let FirstTry { user_id, thread_id, item, title, run } = message;
        let row = run.row(thread_id, user_id, 0);
        let start = diesel::sql_query(START)
            .bind::<BigInt, _>(item.messages())
            .bind::<SqlTime, _>(row.created_at)
            .bind::<Nullable<Text>, _>(title)
            .bind::<Id, _>(thread_id)
            .bind::<Id, _>(user_id)
            .bind::<Id, _>(row.id)
            .bind::<Text, _>(row.status)
            .bind::<Id, _>(row.owner)
            .bind::<BigInt, _>(row.epoch)
            .bind::<SqlTime, _>(row.lease_expires_at)
            .bind::<BigInt, _>(row.last_seq)
            .bind::<BigInt, _>(row.prompt_tokens)
            .bind::<BigInt, _>(row.completion_tokens)
            .bind::<Bool, _>(row.log_kept)
            .bind::<BigInt, _>(row.held_tokens)
            .bind::<BigInt, _>(row.held_micros)
            .bind::<Id, _>(item.id)
            .bind::<Text, _>(item.kind)
            .bind::<Bool, _>(item.hidden)
            .bind::<Text, _>(&item.body)
            .bind::<SqlTime, _>(item.created_at)
            .bind::<Nullable<Text>, _>(row.request.as_deref());
        let started: QueryResult<Option<ThreadRow>> = start.fixed().get_result(self).await.optional();
        match started {
            Ok(Some(thread)) => {
                let position = thread.next_position - 1;
                Ok(Some((thread, RunRow { position, ..row })))
            }
            Ok(None) => Ok(None),
            // This unique index allows one active run per thread.
            Err(diesel::result::Error::DatabaseError(DatabaseErrorKind::UniqueViolation, info))
                if info.constraint_name() == Some("runs_active") =>
            {
                Err(StoreError::Busy)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl ThreadWrites for LiteConn {
    async fn insert_counted(&mut self, thread: &ThreadRow, max: i64) -> StoreResult<bool> {
        let counted = diesel::update(users::table.find(thread.user_id).filter(users::session_count.lt(max)))
            .set(users::session_count.eq(users::session_count + 1))
            .fixed()
            .execute(self)
            .await?;
        if counted == 1 {
            diesel::insert_into(threads::table).values(thread).execute(self).await?;
        }
        Ok(counted == 1)
    }

    async fn delete_idle(&mut self, user_id: UserId, id: ThreadId) -> StoreResult<bool> {
        // The cascade deletes the rest. Without row locks its order does not matter.
        let active = runs::table.filter(runs::thread_id.eq(id).and(runs::finished_at.is_null()));
        let unlocked = threads::user_id.eq(user_id).and(threads::status.ne(ThreadState::Locked));
        let idle = threads::table.find(id).filter(unlocked).filter(not(exists(active)));
        let deleted = diesel::delete(idle).returning(threads::archived).get_result::<bool>(self).await.optional()?;
        // An archived thread is not counted.
        if deleted == Some(false) {
            diesel::update(users::table.find(user_id))
                .set(users::session_count.eq(users::session_count - 1))
                .fixed()
                .execute(self)
                .await?;
        }
        Ok(deleted.is_some())
    }

    async fn try_start(&mut self, _: FirstTry<'_>) -> StoreResult<Option<(ThreadRow, RunRow)>> {
        Ok(None)
    }
}
