//! What users think of items.

use super::db::Store;
use super::error::{Entity, StoreError, StoreResult};
use super::rows::{FeedbackRow, ThreadRow};
use super::threads::owned;
use super::unit::{read, tx};
use super::{cut, refusal};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;
use threadline_schema::chatkit::FeedbackKind;
use threadline_schema::db::tables::{feedback, items, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ItemId, ThreadId, UserId};

impl Store {
    /// Stores what a user thinks of items of a thread, in place of what the user thought before: of all of them or of
    /// none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::NotFound`] when one is not in the thread or
    /// is hidden.
    pub async fn feedback_give(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        item_ids: BTreeSet<ItemId>,
        kind: FeedbackKind,
        now: UtcTime,
    ) -> StoreResult<()> {
        tx!(self, |c| {
            // Changes nothing, but locks the thread: until the commit neither it nor an item of it goes away.
            let held = diesel::update(threads::table.find(thread_id).filter(threads::user_id.eq(user_id)))
                .set(threads::user_id.eq(user_id))
                .execute(c)
                .await?;
            if held == 0 {
                return Err(
                    refusal!(c, threads, Thread, thread_id, user_id).unwrap_or(StoreError::NotFound(Entity::Thread))
                );
            }
            let visible: i64 = items::table
                .filter(items::id.eq_any(&item_ids).and(items::thread_id.eq(thread_id)))
                .filter(items::hidden.eq(false))
                .count()
                .get_result(c)
                .await?;
            if usize::try_from(visible) != Ok(item_ids.len()) {
                return Err(StoreError::NotFound(Entity::Item));
            }
            for item_id in item_ids {
                diesel::insert_into(feedback::table)
                    .values(FeedbackRow { item_id, user_id, thread_id, kind, created_at: now })
                    .on_conflict((feedback::item_id, feedback::user_id))
                    .do_update()
                    .set((
                        feedback::kind.eq(excluded(feedback::kind)),
                        feedback::created_at.eq(excluded(feedback::created_at)),
                    ))
                    .execute(c)
                    .await?;
            }
            Ok(())
        })
    }

    /// A page of what a user thinks of a thread's items, the newest item first, and whether more follow. `after` is the
    /// last item seen; it may be gone by now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`].
    pub async fn feedback_page(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        limit: u32,
        after: Option<ItemId>,
    ) -> StoreResult<(Vec<FeedbackRow>, bool)> {
        read!(self, |c| {
            owned(threads::table.find(thread_id).select(ThreadRow::as_select()).first(c).await.optional()?, user_id)?;
            let mut query = feedback::table
                .filter(feedback::thread_id.eq(thread_id).and(feedback::user_id.eq(user_id)))
                // Ids sort by the time they were made.
                .order(feedback::item_id.desc())
                .limit(i64::from(limit) + 1)
                .select(FeedbackRow::as_select())
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(feedback::item_id.lt(after));
            }
            Ok(cut(query.load::<FeedbackRow>(c).await?, limit))
        })
    }
}
