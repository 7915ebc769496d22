//! Feedback of users on items.

use super::db::Store;
use super::error::why_unchanged;
use super::error::{Entity, StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{FeedbackRow, ThreadRow};
use super::threads::owned;
use super::truncate_page;
use super::unit::{read, tx};
use diesel::prelude::*;
use diesel::upsert::excluded;
use std::collections::BTreeSet;
use threadline_schema::chatkit::FeedbackKind;
use threadline_schema::db::tables::{feedback, items, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ItemId, ThreadId, UserId};

impl Store {
    /// Stores the feedback of a user on items of a thread, on all of them or on none. It replaces earlier feedback.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Forbidden`] for the thread, [`StoreError::NotFound`] if the thread has
    /// no such visible item.
    pub async fn feedback_give(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        item_ids: BTreeSet<ItemId>,
        kind: FeedbackKind,
        now: UtcTime,
    ) -> StoreResult<()> {
        tx!(self, |c| {
            // The update changes nothing. It locks the thread, so that its items are not deleted before the commit.
            let held = diesel::update(threads::table.find(thread_id).filter(threads::user_id.eq(user_id)))
                .set(threads::user_id.eq(user_id))
                .fixed()
                .execute(c)
                .await?;
            if held == 0 {
                let owner = threads::table.find(thread_id).select(threads::user_id).first(c).await.optional()?;
                return Err(why_unchanged(Entity::Thread, owner, user_id, StoreError::NotFound(Entity::Thread)));
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
                    .fixed()
                    .execute(c)
                    .await?;
            }
            Ok(())
        })
    }

    /// Returns a page of a user's feedback in a thread, the newest item first, and whether more follow. `after` is the
    /// last item of the page before; it may have been deleted since.
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
                // Ids are in the order of creation.
                .order(feedback::item_id.desc())
                .limit(i64::from(limit) + 1)
                .select(FeedbackRow::as_select())
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(feedback::item_id.lt(after));
            }
            Ok(truncate_page(query.load::<FeedbackRow>(c).await?, limit))
        })
    }
}
