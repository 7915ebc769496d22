//! The runs of a thread in order, for the feeds of threads.

use super::db::Store;
use super::error::{Entity, StoreError, StoreResult};
use super::query::RunQueryDsl;
use super::rows::{RunRow, ThreadRow};
use super::threads::owned;
use super::unit::read;
use diesel::prelude::*;
use threadline_schema::db::tables::{runs, threads};
use threadline_schema::ids::{RunId, ThreadId, UserId};

/// The next run of a thread.
#[derive(Debug, Clone, PartialEq)]
pub enum NextRun {
    /// It has started.
    Started(Box<RunRow>),
    /// It has not started. Holds the thread.
    NotYet(Box<ThreadRow>),
}

impl Store {
    /// Returns a thread and its newest run. If the thread has an active run, it is the newest one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](super::StoreError::NotFound), [`StoreError::Forbidden`](super::StoreError::Forbidden).
    pub async fn thread_last_run(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
    ) -> StoreResult<(ThreadRow, Option<RunRow>)> {
        read!(self, |c| {
            let thread: Option<ThreadRow> =
                threads::table.find(thread_id).select(ThreadRow::as_select()).first(c).await.optional()?;
            let thread = owned(thread, user_id)?;
            let last = runs::table.filter(runs::thread_id.eq(thread_id)).order(runs::position.desc());
            Ok((thread, last.select(RunRow::as_select()).first(c).await.optional()?))
        })
    }

    /// Returns the first run of a thread after a position; -1 is before the first run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](super::StoreError::NotFound) if the thread has been deleted.
    pub async fn thread_next_run(&self, thread_id: ThreadId, position: i64) -> StoreResult<NextRun> {
        read!(self, |c| {
            let next: Option<RunRow> = runs::table
                .filter(runs::thread_id.eq(thread_id).and(runs::position.gt(position)))
                .order(runs::position.asc())
                .select(RunRow::as_select())
                .first(c)
                .await
                .optional()?;
            if let Some(run) = next {
                return Ok(NextRun::Started(Box::new(run)));
            }
            // No run follows, or the thread has been deleted.
            let thread = threads::table.find(thread_id).select(ThreadRow::as_select()).first(c).await.optional()?;
            thread.map(|thread| NextRun::NotYet(Box::new(thread))).ok_or(StoreError::NotFound(Entity::Thread))
        })
    }

    /// Returns a run if it belongs to this thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn run_of_thread(&self, thread_id: ThreadId, id: RunId) -> StoreResult<Option<RunRow>> {
        read!(self, |c| {
            let run = runs::table.find(id).filter(runs::thread_id.eq(thread_id));
            Ok(run.select(RunRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Returns the threads with runs whose ids are greater than `after`. Ids of runs begin with the time of creation.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn threads_with_runs_after(&self, after: RunId) -> StoreResult<Vec<ThreadId>> {
        read!(self, |c| {
            let begun = runs::table.filter(runs::id.gt(after));
            Ok(begun.select(runs::thread_id).distinct().load(c).await?)
        })
    }
}
