//! Work that one process at a time does for all.

use super::error::StoreResult;
use super::unit::{LiteConn, PgConn};
use diesel::sql_types::{BigInt, Bool};
use diesel_async::RunQueryDsl;

/// What is done by one process at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    /// Dropping logs of ended runs, and names of old submissions.
    TrimLogs,
    /// Archiving idle threads.
    Archive,
    /// Closing runs of dead processes.
    CloseDead,
    /// Dropping attachments that no message has taken.
    DropAttachments,
}

impl Job {
    /// The advisory lock: any numbers, as long as every release locks the same ones.
    fn lock(self) -> i64 {
        0x7468_7265_6164_0000
            + match self {
                Self::TrimLogs => 1,
                Self::Archive => 2,
                Self::CloseDead => 3,
                Self::DropAttachments => 4,
            }
    }
}

/// Takes the place of the one process for the rest of the transaction, or answers `false`: another one is at it.
pub(super) async fn alone<C: TryLock>(connection: &mut C, chore: Job) -> StoreResult<bool> {
    connection.try_lock(chore.lock()).await
}

/// A connection on whose database processes can agree who does something.
pub(super) trait TryLock {
    fn try_lock(&mut self, key: i64) -> impl Future<Output = StoreResult<bool>> + Send;
}

impl TryLock for PgConn {
    async fn try_lock(&mut self, key: i64) -> StoreResult<bool> {
        #[derive(diesel::QueryableByName)]
        struct Locked {
            #[diesel(sql_type = Bool)]
            locked: bool,
        }
        let query = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS locked").bind::<BigInt, _>(key);
        let Locked { locked } = query.get_result(self).await?;
        Ok(locked)
    }
}

/// There is one process on a file, and one writer in it.
impl TryLock for LiteConn {
    async fn try_lock(&mut self, _: i64) -> StoreResult<bool> {
        Ok(true)
    }
}
