//! Threads: reading, listing, renaming, deleting, archiving. `thread_create.rs` creates them.

use super::advisory_lock::{AdvisoryLock, Job};
use super::budget_holds::HoldSteps;
use super::db::Store;
use super::error::why_unchanged;
use super::error::{Entity, OrNotFound, StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::ThreadRow;
use super::thread_writes::ThreadWrites;
use super::truncate_page;
use super::unit::{change, read, steps, tx};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use std::collections::BTreeMap;
use threadline_schema::db::tables::{runs, threads, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::page::Order;
use threadline_schema::threads::ThreadState;

/// A request for a page of a user's threads.
#[derive(Debug, Clone, Copy)]
pub struct ThreadPage {
    /// Maximum number of rows.
    pub limit: u32,
    /// Order by last use.
    pub order: Order,
    /// The end of the page before.
    pub after: Option<ThreadCursor>,
}

/// A position in a user's list of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadCursor {
    /// `updated_at` and id of the last thread of the page before, as they were then: the thread may have moved since.
    Key(UtcTime, ThreadId),
    /// A thread, at its present position.
    Id(ThreadId),
}

steps! {
    trait ThreadDeleteSteps {
        /// Deletes a thread that the transaction has locked, and counts it out. Returns whether there was one. What its
        /// active run holds of budgets stays held until the process that executes it books it.
        fn delete_thread(c, user_id: UserId, id: ThreadId) -> bool {
            c.keep_holds(user_id, id).await?;
            let owned_runs = runs::table.filter(runs::thread_id.eq(id).and(runs::user_id.eq(user_id)));
            diesel::delete(owned_runs).execute(c).await?;
            let archived = diesel::delete(threads::table.find(id).filter(threads::user_id.eq(user_id)))
                .returning(threads::archived)
                .get_result::<bool>(c)
                .await
                .optional()?;
            // An archived thread is not counted.
            if archived == Some(false) {
                diesel::update(users::table.find(user_id))
                    .set(users::session_count.eq(users::session_count - 1))
                    .fixed()
                    .execute(c)
                    .await?;
            }
            Ok(archived.is_some())
        }
    }
}

impl Store {
    /// Returns a thread.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn thread_get(&self, user_id: UserId, id: ThreadId) -> StoreResult<ThreadRow> {
        read!(self, |c| {
            let thread = threads::table.find(id).select(ThreadRow::as_select()).first(c).await.optional()?;
            owned(thread, user_id)
        })
    }

    /// Returns a page of the user's threads that are not archived, whether more follow, and how many there are in
    /// total.
    ///
    /// # Errors
    /// [`StoreError::CursorNotFound`] if the cursor is the id of no thread of the user.
    pub async fn threads_page(&self, user_id: UserId, page: ThreadPage) -> StoreResult<(Vec<ThreadRow>, bool, i64)> {
        let limit = i64::from(page.limit) + 1;
        read!(self, |c| {
            let after = match page.after {
                None => None,
                Some(ThreadCursor::Key(updated_at, id)) => Some((updated_at, id)),
                Some(ThreadCursor::Id(id)) => {
                    let key = threads::table.find(id).filter(threads::user_id.eq(user_id));
                    let key = key.select((threads::updated_at, threads::id)).first(c).await.optional()?;
                    Some(key.ok_or(StoreError::CursorNotFound(Entity::Thread))?)
                }
            };
            // A column of each row: cheaper than another query, and the server computes it once.
            let total = users::table.find(user_id).select(users::session_count).single_value();
            let mut query = threads::table
                .filter(threads::user_id.eq(user_id).and(threads::archived.eq(false)))
                .select((ThreadRow::as_select(), total))
                .limit(limit)
                .into_boxed();
            // `a <= x AND (a < x OR b < y)` and not the usual `a < x OR (a = x AND b < y)`: only the first form gives
            // PostgreSQL a bound to start its index scan from.
            query = match (page.order, after) {
                (Order::Desc, None) => query.order((threads::updated_at.desc(), threads::id.desc())),
                (Order::Asc, None) => query.order((threads::updated_at.asc(), threads::id.asc())),
                (Order::Desc, Some((time, id))) => query
                    .filter(threads::updated_at.le(time).and(threads::updated_at.lt(time).or(threads::id.lt(id))))
                    .order((threads::updated_at.desc(), threads::id.desc())),
                (Order::Asc, Some((time, id))) => query
                    .filter(threads::updated_at.ge(time).and(threads::updated_at.gt(time).or(threads::id.gt(id))))
                    .order((threads::updated_at.asc(), threads::id.asc())),
            };
            let rows: Vec<(ThreadRow, Option<i64>)> = query.load(c).await?;
            let total = match rows.as_slice().first() {
                Some((_, total)) => *total,
                None => users::table.find(user_id).select(users::session_count).first(c).await.optional()?,
            };
            let (rows, has_more) = truncate_page(rows, page.limit);
            Ok((rows.into_iter().map(|(thread, _)| thread).collect(), has_more, total.unwrap_or(0)))
        })
    }

    /// Sets the title that the user has chosen. Messages do not change it any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], or [`StoreError::Closed`] if the thread is locked.
    pub async fn thread_rename(
        &self,
        user_id: UserId,
        id: ThreadId,
        title: String,
        now: UtcTime,
    ) -> StoreResult<ThreadRow> {
        change!(self, |c| {
            let unlocked = threads::user_id.eq(user_id).and(threads::status.ne(ThreadState::Locked));
            let renamed = diesel::update(threads::table.find(id).filter(unlocked))
                .set((threads::title.eq(title), threads::title_is_set.eq(true), threads::updated_at.eq(now)))
                .returning(ThreadRow::as_returning())
                .fixed()
                .get_result(c)
                .await
                .optional()?;
            match renamed {
                Some(thread) => Ok(thread),
                None => {
                    let thread = threads::table.find(id).select(ThreadRow::as_select());
                    Err(closed_error(thread.first(c).await.optional()?, user_id))
                }
            }
        })
    }

    /// Returns a thread that can be deleted: one that is not locked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Closed`].
    pub async fn thread_unlocked(&self, user_id: UserId, id: ThreadId) -> StoreResult<ThreadRow> {
        let thread = self.thread_get(user_id, id).await?;
        match thread.status {
            ThreadState::Locked => Err(closed_error(Some(thread), user_id)),
            ThreadState::Active | ThreadState::Closed => Ok(thread),
        }
    }

    /// Returns a thread that takes input: one that is neither locked nor closed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Closed`].
    pub async fn thread_open(&self, user_id: UserId, id: ThreadId) -> StoreResult<ThreadRow> {
        let thread = self.thread_get(user_id, id).await?;
        match thread.status {
            ThreadState::Active => Ok(thread),
            ThreadState::Locked | ThreadState::Closed => Err(closed_error(Some(thread), user_id)),
        }
    }

    /// Sets the status of a thread of any user, and the reason that the user sees. An active run continues.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn thread_set_status(
        &self,
        id: ThreadId,
        status: ThreadState,
        reason: Option<String>,
    ) -> StoreResult<ThreadRow> {
        change!(self, |c| {
            let set = diesel::update(threads::table.find(id))
                .set((threads::status.eq(status), threads::status_reason.eq(reason)))
                .returning(ThreadRow::as_returning());
            set.fixed().get_result(c).await.or_not_found(Entity::Thread)
        })
    }

    /// Replaces the title `first` that was set when the thread was created. Returns `None` if the user has chosen a
    /// title or deleted the thread since. Does not count as a use of the thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn thread_retitle(&self, id: ThreadId, first: String, title: String) -> StoreResult<Option<ThreadRow>> {
        change!(self, |c| {
            let untouched = threads::title_is_set.eq(false).and(threads::title.eq(first));
            Ok(diesel::update(threads::table.find(id).filter(untouched))
                .set(threads::title.eq(title))
                .returning(ThreadRow::as_returning())
                .fixed()
                .get_result(c)
                .await
                .optional()?)
        })
    }

    /// Deletes a thread of the user if it has no active run, and returns whether it did.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn thread_delete_idle(&self, user_id: UserId, id: ThreadId) -> StoreResult<bool> {
        change!(self, |c| { c.delete_idle(user_id, id).await })
    }

    /// Deletes a thread with its items, runs, events and idempotency_keys. A locked one stays: the operator who has
    /// locked it still needs it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::Closed`].
    pub async fn thread_delete(&self, user_id: UserId, id: ThreadId) -> StoreResult<()> {
        tx!(self, |c| {
            // Locks the thread, then deletes its runs, then the rest by the cascade. The cascade alone would lock items
            // before runs, and deadlock with `item_complete`, which locks a run before its items.
            let unlocked = threads::user_id.eq(user_id).and(threads::status.ne(ThreadState::Locked));
            let owned = threads::table.find(id).filter(unlocked);
            if diesel::update(owned).set(threads::user_id.eq(user_id)).fixed().execute(c).await? == 0 {
                let thread = threads::table.find(id).select(ThreadRow::as_select());
                return Err(closed_error(thread.first(c).await.optional()?, user_id));
            }
            if c.delete_thread(user_id, id).await? {
                return Ok(());
            }
            let owner = threads::table.find(id).select(threads::user_id).first(c).await.optional()?;
            Err(why_unchanged(Entity::Thread, owner, user_id, StoreError::NotFound(Entity::Thread)))
        })
    }

    /// Archives up to `limit` threads that were last used before `before`, the oldest first, and returns how many.
    /// Threads with an active run are left out.
    ///
    /// # Errors
    /// Only if the database fails; nothing is archived then.
    pub async fn threads_archive_idle(&self, before: UtcTime, limit: u32) -> StoreResult<usize> {
        tx!(self, |c| {
            if !c.try_lock(Job::Archive).await? {
                return Ok(0);
            }
            let mut idle: Vec<ThreadId> = threads::table
                .filter(not(threads::archived).and(threads::updated_at.lt(before)))
                .filter(not(exists(active_run_of_thread())))
                .order(threads::updated_at.asc())
                .select(threads::id)
                .limit(i64::from(limit))
                .load(c)
                .await?;
            // Threads and users are locked in the order of their ids, as everywhere.
            idle.sort_unstable();
            let mut owners = BTreeMap::<UserId, i64>::new();
            for id in idle {
                // The user may have used the thread between the two statements.
                let still_idle = threads::table
                    .find(id)
                    .filter(threads::archived.eq(false).and(threads::updated_at.lt(before)))
                    .filter(not(exists(active_run_of_thread())));
                let owner = diesel::update(still_idle)
                    .set(threads::archived.eq(true))
                    .returning(threads::user_id)
                    .fixed()
                    .get_result(c)
                    .await
                    .optional()?;
                if let Some(owner) = owner {
                    *owners.entry(owner).or_default() += 1;
                }
            }
            let mut archived = 0;
            for (owner, threads) in owners {
                diesel::update(users::table.find(owner))
                    .set(users::session_count.eq(users::session_count - threads))
                    .fixed()
                    .execute(c)
                    .await?;
                archived += usize::try_from(threads).unwrap_or(0);
            }
            Ok(archived)
        })
    }
}

/// Explains why a thread takes no input: it does not exist, belongs to another user, or is not active.
pub(super) fn closed_error(thread: Option<ThreadRow>, user_id: UserId) -> StoreError {
    match owned(thread, user_id) {
        Err(error) => error,
        Ok(thread) => StoreError::Closed { locked: thread.status == ThreadState::Locked, reason: thread.status_reason },
    }
}

/// Returns the thread if it exists and belongs to the user.
pub(super) fn owned(thread: Option<ThreadRow>, user_id: UserId) -> StoreResult<ThreadRow> {
    match thread {
        None => Err(StoreError::NotFound(Entity::Thread)),
        Some(thread) if thread.user_id != user_id => Err(StoreError::Forbidden(Entity::Thread)),
        Some(thread) => Ok(thread),
    }
}

/// Selects the active run of the thread of the outer query.
#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn active_run_of_thread() -> _ {
    runs::table.filter(runs::thread_id.eq(threads::id).and(runs::finished_at.is_null()))
}
