//! Conversations: reading, listing, renaming, deleting, archiving. They are made in `run_start.rs`.

use super::advisory_lock::{AdvisoryLock, Job};
use super::db::Store;
use super::error::{Entity, OrNotFound, StoreError, StoreResult};
use super::rows::ThreadRow;
use super::unit::{change, read, tx};
use super::{cut, refusal};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::BTreeMap;
use threadline_schema::db::tables::{runs, threads, users};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::page::Order;
use threadline_schema::threads::ThreadState;

/// Which page of a user's threads.
#[derive(Debug, Clone, Copy)]
pub struct ThreadPage {
    /// Most rows.
    pub limit: u32,
    /// By last use.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<ThreadCursor>,
}

/// A place in a user's list of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadCursor {
    /// `updated_at` and id of the last row seen: the page goes on there even if that row has moved since.
    Key(UtcTime, ThreadId),
    /// The thread, wherever it stands now.
    Id(ThreadId),
}

impl Store {
    /// A thread.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn thread_get(&self, user_id: UserId, id: ThreadId) -> StoreResult<ThreadRow> {
        read!(self, |c| {
            let thread = threads::table.find(id).select(ThreadRow::as_select()).first(c).await.optional()?;
            owned(thread, user_id)
        })
    }

    /// A page of the user's threads that are not archived, whether more follow, and how many there are in all.
    ///
    /// # Errors
    /// [`StoreError::CursorNotFound`] when the cursor is an id that is not one of the user's.
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
            // Rides along with every row: cheaper than a query of its own, and the server computes it once.
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
            let (rows, has_more) = cut(rows, page.limit);
            Ok((rows.into_iter().map(|(thread, _)| thread).collect(), has_more, total.unwrap_or(0)))
        })
    }

    /// Gives a thread the title its user chose; messages do not change it any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn thread_rename(&self, user_id: UserId, id: ThreadId, title: String) -> StoreResult<ThreadRow> {
        change!(self, |c| {
            let renamed = diesel::update(threads::table.find(id).filter(threads::user_id.eq(user_id)))
                .set((threads::title.eq(title), threads::title_is_set.eq(true), threads::updated_at.eq(UtcTime::now())))
                .returning(ThreadRow::as_returning())
                .get_result(c)
                .await
                .optional()?;
            match renamed {
                Some(thread) => Ok(thread),
                None => Err(refusal!(c, threads, Thread, id, user_id).unwrap_or(StoreError::NotFound(Entity::Thread))),
            }
        })
    }

    /// Opens, locks or closes a thread, whosever it is, and says why. A run that is under way goes on.
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
            set.get_result(c).await.or_not_found(Entity::Thread)
        })
    }

    /// Gives a thread another title while it still has the one it was given first; `None` when it has not, since its user
    /// has chosen one or deleted it. The thread's last use stays as it is.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn thread_retitle(&self, id: ThreadId, first: String, title: String) -> StoreResult<Option<ThreadRow>> {
        change!(self, |c| {
            let untouched = threads::title_is_set.eq(false).and(threads::title.eq(first));
            Ok(diesel::update(threads::table.find(id).filter(untouched))
                .set(threads::title.eq(title))
                .returning(ThreadRow::as_returning())
                .get_result(c)
                .await
                .optional()?)
        })
    }

    /// Deletes a thread with its items, runs, events and idempotency_keys.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn thread_delete(&self, user_id: UserId, id: ThreadId) -> StoreResult<()> {
        tx!(self, |c| {
            // Locks the thread, then deletes its runs, then the rest by the cascade. The cascade alone would lock items
            // before runs, and deadlock with `item_complete`, which locks a run before its items.
            let owned = threads::table.find(id).filter(threads::user_id.eq(user_id));
            diesel::update(owned).set(threads::user_id.eq(user_id)).execute(c).await?;
            let owned_runs = runs::table.filter(runs::thread_id.eq(id).and(runs::user_id.eq(user_id)));
            diesel::delete(owned_runs).execute(c).await?;
            let archived = diesel::delete(threads::table.find(id).filter(threads::user_id.eq(user_id)))
                .returning(threads::archived)
                .get_result::<bool>(c)
                .await
                .optional()?;
            match archived {
                // Counted out when it was archived.
                Some(true) => Ok(()),
                Some(false) => {
                    diesel::update(users::table.find(user_id))
                        .set(users::session_count.eq(users::session_count - 1))
                        .execute(c)
                        .await?;
                    Ok(())
                }
                None => Err(refusal!(c, threads, Thread, id, user_id).unwrap_or(StoreError::NotFound(Entity::Thread))),
            }
        })
    }

    /// Archives at most `limit` threads last used before `before`, the longest unused first, and returns how many.
    /// Those with an active run are left for another time.
    ///
    /// # Errors
    /// Only when the database fails; nothing is archived then.
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
            // In one order, here and below: two sweeps at once then wait for each other instead of deadlocking.
            idle.sort_unstable();
            let mut owners = BTreeMap::<UserId, i64>::new();
            for id in idle {
                // Asked again, as somebody may have spoken in it since.
                let still_idle = threads::table
                    .find(id)
                    .filter(threads::archived.eq(false).and(threads::updated_at.lt(before)))
                    .filter(not(exists(active_run_of_thread())));
                let owner = diesel::update(still_idle)
                    .set(threads::archived.eq(true))
                    .returning(threads::user_id)
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
                    .execute(c)
                    .await?;
                archived += usize::try_from(threads).unwrap_or(0);
            }
            Ok(archived)
        })
    }
}

/// The thread, if it is there and the user's.
pub(super) fn owned(thread: Option<ThreadRow>, user_id: UserId) -> StoreResult<ThreadRow> {
    match thread {
        None => Err(StoreError::NotFound(Entity::Thread)),
        Some(thread) if thread.user_id != user_id => Err(StoreError::Forbidden(Entity::Thread)),
        Some(thread) => Ok(thread),
    }
}

/// The active run of the thread that the surrounding query is about.
#[diesel::dsl::auto_type(no_type_alias)]
fn active_run_of_thread() -> _ {
    runs::table.filter(runs::thread_id.eq(threads::id).and(runs::finished_at.is_null()))
}
