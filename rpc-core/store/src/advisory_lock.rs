//! Locks for work that one process at a time does for all that share a database.

use super::error::StoreResult;
use super::query::RunQueryDsl;
use super::unit::{LiteConn, PgConn};
use diesel::sql_types::{BigInt, Bool};

/// Work that one process at a time does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    /// Deletes the events of runs that ended long ago, and old idempotency keys.
    Trim,
    /// Archives idle threads.
    Archive,
    /// Takes over runs whose leases have expired.
    TakeOver,
    /// Deletes attachments that belong to no message.
    DropAttachments,
    /// Deletes threads after their retention.
    DeleteUnused,
    /// Deletes temporary threads. A job of its own: it must not keep the other, which is rare, from its work.
    DeleteTemporary,
    /// Completes the sums of usage.
    SumUsage,
}

impl Job {
    /// The key of the advisory lock. Its value has no meaning, but all releases must use the same one.
    fn key(self) -> i64 {
        0x7468_7265_6164_0000
            + match self {
                Self::Trim => 1,
                Self::Archive => 2,
                Self::TakeOver => 3,
                Self::DropAttachments => 4,
                Self::DeleteUnused => 5,
                Self::DeleteTemporary => 7,
                Self::SumUsage => 6,
            }
    }
}

/// A connection to a database on which processes can exclude each other.
pub(super) trait AdvisoryLock {
    /// Takes the lock of a job until the end of the transaction. Returns `false` at once if another process has it.
    fn try_lock(&mut self, job: Job) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Returns whether no other session has the lock of this key for itself.
    fn is_free(&mut self, key: i64) -> impl Future<Output = StoreResult<bool>> + Send;
}

impl AdvisoryLock for PgConn {
    async fn try_lock(&mut self, job: Job) -> StoreResult<bool> {
        ask(self, "SELECT pg_try_advisory_xact_lock($1) AS locked", job.key()).await
    }

    async fn is_free(&mut self, key: i64) -> StoreResult<bool> {
        // Shared, so that processes that look at the same time do not mislead each other.
        ask(self, "SELECT pg_try_advisory_xact_lock_shared($1) AS locked", key).await
    }
}

async fn ask(connection: &mut PgConn, query: &str, key: i64) -> StoreResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Locked {
        #[diesel(sql_type = Bool)]
        locked: bool,
    }
    let Locked { locked } = diesel::sql_query(query).bind::<BigInt, _>(key).get_result(connection).await?;
    Ok(locked)
}

/// One process serves an SQLite file, and it has one writer, so a write transaction excludes all others.
impl AdvisoryLock for LiteConn {
    async fn try_lock(&mut self, _: Job) -> StoreResult<bool> {
        Ok(true)
    }

    /// The processes of a simulation hold no locks, so nothing follows from one that is free.
    async fn is_free(&mut self, _: i64) -> StoreResult<bool> {
        Ok(false)
    }
}
