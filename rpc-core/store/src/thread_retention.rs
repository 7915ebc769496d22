//! Threads that are not kept any longer: they are found here, and deleted one by one.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::StoreResult;
use super::query::{FixedDsl, RunQueryDsl};
use super::threads::{ThreadDeleteSteps, active_run_of_thread};
use super::unit::{read, tx};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use threadline_schema::db::tables::threads;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::threads::ThreadState;

/// A thread that was not used for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedThread {
    /// Id.
    pub id: ThreadId,
    /// The owner.
    pub user_id: UserId,
    /// JSON object.
    pub metadata: String,
    /// Time of the last use.
    pub updated_at: UtcTime,
}

/// Why a thread is not kept any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It was not used for as long as such threads are kept.
    Retention,
    /// It is temporary.
    Temporary,
}

impl Expiry {
    /// Returns its name in metrics and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Temporary => "temporary",
        }
    }

    fn job(self) -> Job {
        match self {
            Self::Retention => Job::DeleteUnused,
            Self::Temporary => Job::DeleteTemporary,
        }
    }
}

/// What became of a thread that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusedDeletion {
    /// It is deleted.
    Deleted,
    /// It stays: it was used, is being answered, or is locked, or it is gone already.
    Kept,
    /// Another process deletes such threads at the moment.
    Elsewhere,
}

impl Store {
    /// Returns up to `limit` threads that were last used before a time, in the order of their ids, after one. Locked
    /// ones are left out: the operator who has locked them still needs them.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn threads_unused_since(
        &self,
        before: UtcTime,
        after: Option<ThreadId>,
        limit: u32,
    ) -> StoreResult<Vec<UnusedThread>> {
        read!(self, |c| {
            // Ids begin with the time of creation. So the primary key finds those that can be old enough.
            let rows: Vec<UnusedColumns> = threads::table
                .filter(threads::id.gt(after.unwrap_or_else(ThreadId::nil)).and(threads::id.lt(first_id_at(before))))
                .filter(threads::updated_at.lt(before).and(threads::status.ne(ThreadState::Locked)))
                .order(threads::id.asc())
                .select(unused_columns())
                .limit(i64::from(limit))
                .load(c)
                .await?;
            Ok(rows.into_iter().map(UnusedThread::from).collect())
        })
    }

    /// Does what [`threads_unused_since`](Self::threads_unused_since) does, for temporary threads only.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn temporary_threads_unused_since(
        &self,
        before: UtcTime,
        after: Option<ThreadId>,
        limit: u32,
    ) -> StoreResult<Vec<UnusedThread>> {
        read!(self, |c| {
            // There are few: a partial index has them.
            let rows: Vec<UnusedColumns> = threads::table
                .filter(threads::temporary)
                .filter(threads::id.gt(after.unwrap_or_else(ThreadId::nil)))
                .filter(threads::updated_at.lt(before).and(threads::status.ne(ThreadState::Locked)))
                .order(threads::id.asc())
                .select(unused_columns())
                .limit(i64::from(limit))
                .load(c)
                .await?;
            Ok(rows.into_iter().map(UnusedThread::from).collect())
        })
    }

    /// Returns up to `limit` temporary threads of a user, but for the `keep` that were used last.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn temporary_threads_beyond(&self, user_id: UserId, keep: u32, limit: u32) -> StoreResult<Vec<ThreadId>> {
        read!(self, |c| {
            Ok(threads::table
                .filter(threads::temporary)
                .filter(threads::user_id.eq(user_id).and(threads::status.ne(ThreadState::Locked)))
                .order(threads::updated_at.desc())
                .select(threads::id)
                .offset(i64::from(keep))
                .limit(i64::from(limit))
                .load(c)
                .await?)
        })
    }

    /// Deletes a thread as its user would, if it was last used before a time, has no active run and is not locked. One
    /// process at a time does that.
    ///
    /// # Errors
    /// Only if the database fails; nothing is deleted then.
    pub async fn thread_delete_unused(
        &self,
        user_id: UserId,
        id: ThreadId,
        before: UtcTime,
        expiry: Expiry,
    ) -> StoreResult<UnusedDeletion> {
        tx!(self, |c| {
            if !c.try_lock(expiry.job()).await? {
                return Ok(UnusedDeletion::Elsewhere);
            }
            // The update changes nothing. It locks the thread; who starts a run changes the time of its last use.
            let unused = threads::table
                .find(id)
                .filter(threads::user_id.eq(user_id).and(threads::status.ne(ThreadState::Locked)))
                .filter(threads::updated_at.lt(before))
                .filter(not(exists(active_run_of_thread())));
            if diesel::update(unused).set(threads::user_id.eq(user_id)).fixed().execute(c).await? == 0 {
                return Ok(UnusedDeletion::Kept);
            }
            match c.delete_thread(user_id, id).await? {
                true => Ok(UnusedDeletion::Deleted),
                false => Ok(UnusedDeletion::Kept),
            }
        })
    }
}

type UnusedColumns = (ThreadId, UserId, String, UtcTime);

impl From<UnusedColumns> for UnusedThread {
    fn from((id, user_id, metadata, updated_at): UnusedColumns) -> Self {
        Self { id, user_id, metadata, updated_at }
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
fn unused_columns() -> _ {
    (threads::id, threads::user_id, threads::metadata, threads::updated_at)
}

/// Returns the smallest id that can be of this time or later.
fn first_id_at(time: UtcTime) -> ThreadId {
    let millis = u64::try_from(time.utc().timestamp_millis()).unwrap_or_default();
    ThreadId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
}
