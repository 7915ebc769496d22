//! Row locks that PostgreSQL needs and SQLite does not have: a write transaction on SQLite excludes all others.

use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::unit::{LiteConn, PgConn};
use diesel::prelude::*;
use diesel::sql_types::{Array, Text};
use threadline_schema::db::tables::{attachments, runs};
use threadline_schema::db::types::sql::Id as SqlId;
use threadline_schema::ids::{AttachmentId, RunId, UserId};

const LOCK_KEYS: &str = "\
SELECT user_id, key FROM submissions JOIN unnest($1, $2) AS wanted (user_id, key) USING (user_id, key) \
FOR UPDATE OF submissions SKIP LOCKED";

#[derive(QueryableByName)]
struct LockedKey {
    #[diesel(sql_type = SqlId)]
    user_id: UserId,
    #[diesel(sql_type = Text)]
    key: String,
}

/// Locks of rows until the end of the transaction.
///
/// Jobs that change many rows use the `lock_available` functions. They wait for no row lock, so they cannot be part of
/// a deadlock, whatever the order in which requests lock the same rows.
pub(super) trait RowLocks {
    /// Locks those of the runs that exist and that no other transaction has locked. Returns them.
    fn lock_available_runs(&mut self, ids: Vec<RunId>) -> impl Future<Output = StoreResult<Vec<RunId>>> + Send;

    /// Locks those of the attachments that exist and that no other transaction has locked. Returns them.
    fn lock_available_attachments(
        &mut self,
        ids: Vec<AttachmentId>,
    ) -> impl Future<Output = StoreResult<Vec<AttachmentId>>> + Send;

    /// Locks those of the idempotency keys that exist and that no other transaction has locked. Returns them.
    fn lock_available_keys(
        &mut self,
        keys: Vec<(UserId, String)>,
    ) -> impl Future<Output = StoreResult<Vec<(UserId, String)>>> + Send;

    /// Locks attachments in the order of their ids, and waits for those that another transaction has locked.
    fn lock_attachments(&mut self, ids: &[AttachmentId]) -> impl Future<Output = StoreResult<()>> + Send;
}

impl RowLocks for PgConn {
    async fn lock_available_runs(&mut self, ids: Vec<RunId>) -> StoreResult<Vec<RunId>> {
        let rows = runs::table.filter(runs::id.eq_any(ids)).select(runs::id);
        Ok(rows.for_no_key_update().skip_locked().load(self).await?)
    }

    async fn lock_available_attachments(&mut self, ids: Vec<AttachmentId>) -> StoreResult<Vec<AttachmentId>> {
        let rows = attachments::table.filter(attachments::id.eq_any(ids)).select(attachments::id);
        Ok(rows.for_update().skip_locked().load(self).await?)
    }

    async fn lock_available_keys(&mut self, keys: Vec<(UserId, String)>) -> StoreResult<Vec<(UserId, String)>> {
        let (users, names): (Vec<UserId>, Vec<String>) = keys.into_iter().unzip();
        let locked = diesel::sql_query(LOCK_KEYS).bind::<Array<SqlId>, _>(users).bind::<Array<Text>, _>(names);
        let locked: Vec<LockedKey> = locked.load(self).await?;
        Ok(locked.into_iter().map(|LockedKey { user_id, key }| (user_id, key)).collect())
    }

    async fn lock_attachments(&mut self, ids: &[AttachmentId]) -> StoreResult<()> {
        let rows = attachments::table.filter(attachments::id.eq_any(ids)).select(attachments::id);
        rows.order(attachments::id.asc()).for_no_key_update().load::<AttachmentId>(self).await?;
        Ok(())
    }
}

impl RowLocks for LiteConn {
    async fn lock_available_runs(&mut self, ids: Vec<RunId>) -> StoreResult<Vec<RunId>> {
        Ok(ids)
    }

    async fn lock_available_attachments(&mut self, ids: Vec<AttachmentId>) -> StoreResult<Vec<AttachmentId>> {
        Ok(ids)
    }

    async fn lock_available_keys(&mut self, keys: Vec<(UserId, String)>) -> StoreResult<Vec<(UserId, String)>> {
        Ok(keys)
    }

    async fn lock_attachments(&mut self, _: &[AttachmentId]) -> StoreResult<()> {
        Ok(())
    }
}
