//! Runs of a thread, one after the other: what a subscriber needs who follows the thread.

use super::db::Store;
use super::error::{Entity, StoreError, StoreResult};
use super::rows::{RunRow, ThreadRow};
use super::threads::owned;
use super::unit::read;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{runs, threads};
use threadline_schema::ids::{RunId, ThreadId, UserId};

/// What comes next in a thread.
#[derive(Debug, Clone, PartialEq)]
pub enum NextRun {
    /// This run.
    Started(Box<RunRow>),
    /// Nobody has begun one; the thread stands like this.
    NotYet(Box<ThreadRow>),
}

impl Store {
    /// A thread and its newest run. That is the one that answers, if any does: a thread answers one message at a time.
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

    /// The first run of a thread that answers a message behind this position; -1 is before the first message.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](super::StoreError::NotFound) when the thread is gone.
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
            // Nothing further, or nothing at all any more.
            let thread = threads::table.find(thread_id).select(ThreadRow::as_select()).first(c).await.optional()?;
            thread.map(|thread| NextRun::NotYet(Box::new(thread))).ok_or(StoreError::NotFound(Entity::Thread))
        })
    }

    /// A run, if it is one of this thread.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn run_of_thread(&self, thread_id: ThreadId, id: RunId) -> StoreResult<Option<RunRow>> {
        read!(self, |c| {
            let run = runs::table.find(id).filter(runs::thread_id.eq(thread_id));
            Ok(run.select(RunRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Threads in which runs were begun whose ids are above this one. Ids of runs begin with their time.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn threads_with_runs_after(&self, since: RunId) -> StoreResult<Vec<ThreadId>> {
        read!(self, |c| {
            let begun = runs::table.filter(runs::id.gt(since));
            Ok(begun.select(runs::thread_id).distinct().load(c).await?)
        })
    }
}
