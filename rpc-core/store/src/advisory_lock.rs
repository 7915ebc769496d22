//! Locks for work that one process at a time does for all that share a database.

use super::error::StoreResult;
use super::unit::{LiteConn, PgConn};
use diesel::sql_types::{BigInt, Bool};
use diesel_async::RunQueryDsl;

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
            }
    }
}

/// A connection to a database on which processes can exclude each other.
pub(super) trait AdvisoryLock {
    /// Takes the lock of a job until the end of the transaction. Returns `false` at once if another process has it.
    fn try_lock(&mut self, job: Job) -> impl Future<Output = StoreResult<bool>> + Send;
}

impl AdvisoryLock for PgConn {
    async fn try_lock(&mut self, job: Job) -> StoreResult<bool> {
        #[derive(diesel::QueryableByName)]
        struct Locked {
            #[diesel(sql_type = Bool)]
            locked: bool,
        }
        let query = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS locked");
        let Locked { locked } = query.bind::<BigInt, _>(job.key()).get_result(self).await?;
        Ok(locked)
    }
}

/// One process serves an SQLite file, and it has one writer, so a write transaction excludes all others.
impl AdvisoryLock for LiteConn {
    async fn try_lock(&mut self, _: Job) -> StoreResult<bool> {
        Ok(true)
    }
}
