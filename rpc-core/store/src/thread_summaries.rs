//! What models read in place of the oldest turns of a thread, and the jobs that write it.
//!
//! A summary says what the items up to a position say. It is derived from them: what changes these items deletes it,
//! and with it the claim of a job that is at work, which may have read the items as they were.

use super::db::Store;
use super::error::{Entity, StoreError, StoreResult};
use super::items::{BEFORE_ALL, ItemSteps};
use super::query::RunQueryDsl;
use super::rows::{ItemRow, ThreadSummaryRow};
use super::unit::{change, read, steps, tx};
use diesel::prelude::*;
use threadline_schema::db::tables::{items, thread_summaries, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ItemId, SummaryJobId, ThreadId};

steps! {
    trait SummarySteps {
        /// Forgets the summary of a thread whose items change from a position on, if it says something about them or a
        /// job is writing one. The thread must be locked.
        fn forget_summary(c, thread_id: ThreadId, from: i64) -> () {
            let of_thread = thread_summaries::table.find(thread_id);
            let is_old = thread_summaries::through_position.ge(from).or(thread_summaries::job_id.is_not_null());
            diesel::delete(of_thread.filter(is_old)).execute(c).await?;
            Ok(())
        }
    }
}

impl Store {
    /// Returns the summary of a thread; `None` if it has none.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn thread_summary(&self, thread_id: ThreadId) -> StoreResult<Option<ThreadSummaryRow>> {
        read!(self, |c| {
            let of_thread = thread_summaries::table.find(thread_id);
            let written = of_thread.filter(thread_summaries::through_position.gt(BEFORE_ALL));
            Ok(written.select(ThreadSummaryRow::as_select()).first(c).await.optional()?)
        })
    }

    /// Returns the summary of a thread, and the last visible item in it; `None` if there is no summary.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn thread_summary_with_end(
        &self,
        thread_id: ThreadId,
    ) -> StoreResult<Option<(ThreadSummaryRow, Option<ItemId>)>> {
        let Some(summary) = self.thread_summary(thread_id).await? else { return Ok(None) };
        let through = summary.through_position;
        let last = read!(self, |c| {
            let visible = items::table.filter(items::thread_id.eq(thread_id).and(items::hidden.eq(false)));
            let inside = visible.filter(items::position.le(through)).order(items::position.desc());
            Ok(inside.select(items::id).first(c).await.optional()?)
        })?;
        Ok(Some((summary, last)))
    }

    /// Begins a job that writes the next summary of a thread. Returns the summary so far. Returns `None` if another job
    /// is at work, or one has failed a short time ago. If this job does not end, another can begin at `next_job_at`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the thread has been deleted.
    pub async fn summary_begin(
        &self,
        thread_id: ThreadId,
        job_id: SummaryJobId,
        now: UtcTime,
        next_job_at: UtcTime,
    ) -> StoreResult<Option<ThreadSummaryRow>> {
        let empty = ThreadSummaryRow {
            thread_id,
            through_position: BEFORE_ALL,
            text: String::new(),
            job_id: None,
            next_job_at: now,
            updated_at: now,
        };
        tx!(self, |c| {
            // The update changes nothing. It is the lock: what changes items of the thread either sees the row of the
            // job and deletes it, or has ended before the job reads.
            let locked =
                diesel::update(threads::table.find(thread_id)).set(threads::next_position.eq(threads::next_position));
            if locked.execute(c).await? == 0 {
                return Err(StoreError::NotFound(Entity::Thread));
            }
            diesel::insert_into(thread_summaries::table).values(empty).on_conflict_do_nothing().execute(c).await?;
            let free = thread_summaries::table.find(thread_id).filter(thread_summaries::next_job_at.le(now));
            Ok(diesel::update(free)
                .set((thread_summaries::job_id.eq(job_id), thread_summaries::next_job_at.eq(next_job_at)))
                .returning(ThreadSummaryRow::as_returning())
                .get_result(c)
                .await
                .optional()?)
        })
    }

    /// Returns the newest items between two positions, in order of position, with the hidden ones: at most `limit`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn items_between(
        &self,
        thread_id: ThreadId,
        after: i64,
        before: i64,
        limit: u32,
    ) -> StoreResult<Vec<ItemRow>> {
        read!(self, |c| { c.newest_items(thread_id, after, before, limit).await })
    }

    /// Replaces the summary of a thread by that of a job. Returns `false` if the items have changed since the job
    /// began, the thread has been deleted, or another job has taken over; nothing is stored then. If the job does not
    /// end, another can begin at `next_job_at`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn summary_replace(
        &self,
        thread_id: ThreadId,
        job_id: SummaryJobId,
        through_position: i64,
        text: String,
        next_job_at: UtcTime,
        now: UtcTime,
    ) -> StoreResult<bool> {
        change!(self, |c| {
            let of_job = thread_summaries::table.find(thread_id).filter(thread_summaries::job_id.eq(job_id));
            let replaced = diesel::update(of_job).set((
                thread_summaries::through_position.eq(through_position),
                thread_summaries::text.eq(text),
                thread_summaries::next_job_at.eq(next_job_at),
                thread_summaries::updated_at.eq(now),
            ));
            Ok(replaced.execute(c).await? > 0)
        })
    }

    /// Ends a job. The next one can begin at `next_job_at`.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn summary_end(
        &self,
        thread_id: ThreadId,
        job_id: SummaryJobId,
        next_job_at: UtcTime,
    ) -> StoreResult<()> {
        change!(self, |c| {
            let of_job = thread_summaries::table.find(thread_id).filter(thread_summaries::job_id.eq(job_id));
            let no_job = thread_summaries::job_id.eq(None::<SummaryJobId>);
            diesel::update(of_job).set((no_job, thread_summaries::next_job_at.eq(next_job_at))).execute(c).await?;
            Ok(())
        })
    }
}
