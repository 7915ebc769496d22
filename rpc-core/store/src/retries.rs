//! The end of a run that answers a message again: one of the two answers is deleted.
//!
//! The items of such a run are hidden while it is active, so readers of the thread see one answer at any time.

use super::db::Store;
use super::error::{Entity, OrNotFound, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::RunRow;
use super::thread_summaries::SummarySteps;
use super::unit::{read, steps};
use diesel::prelude::*;
use threadline_schema::db::tables::{items, threads};
use threadline_schema::ids::{ItemId, RunId, ThreadId};
use threadline_schema::items::ItemKind;

/// Kinds of items that are always hidden.
const ALWAYS_HIDDEN: [ItemKind; 2] = [ItemKind::ToolCall, ItemKind::HiddenContext];

steps! {
    trait RetrySteps {
        /// Deletes what follows the message up to the run, shows the items of the run instead, and adjusts the message
        /// count. The thread and the run must be locked.
        fn replace_answer(c, run: &RunRow, message: ItemId) -> () {
            let position: i64 =
                items::table.find(message).select(items::position).first(c).await.or_not_found(Entity::Item)?;
            let old = items::thread_id
                .eq(run.thread_id)
                .and(items::position.gt(position))
                .and(items::position.lt(run.position));
            let counted = items::kind.eq_any([ItemKind::UserMessage, ItemKind::AssistantMessage]);
            let deleted = diesel::delete(items::table.filter(old).filter(items::hidden.eq(false)).filter(counted));
            let deleted = deleted.execute(c).await?;
            c.forget_summary(run.thread_id, position + 1).await?;
            diesel::delete(items::table.filter(old)).execute(c).await?;
            let new = items::run_id.eq(run.id).and(items::hidden.eq(true));
            let shown = diesel::update(items::table.filter(new).filter(items::kind.eq(ItemKind::AssistantMessage)));
            let shown = shown.set(items::hidden.eq(false)).fixed().execute(c).await?;
            let others = items::table.filter(new).filter(items::kind.ne_all(ALWAYS_HIDDEN));
            diesel::update(others).set(items::hidden.eq(false)).fixed().execute(c).await?;
            // A message belongs to the run that answers it.
            diesel::update(items::table.find(message)).set(items::run_id.eq(run.id)).fixed().execute(c).await?;
            let count = |rows: usize| i64::try_from(rows).unwrap_or_default();
            diesel::update(threads::table.find(run.thread_id))
                .set(threads::message_count.eq(threads::message_count + count(shown) - count(deleted)))
                .fixed()
                .execute(c)
                .await?;
            Ok(())
        }

        /// Deletes the items of the run, except its tool calls: they have had their effects, and the model must see
        /// that.
        fn discard_answer(c, run: &RunRow) -> () {
            let new = items::run_id.eq(run.id).and(items::kind.ne(ItemKind::ToolCall));
            diesel::delete(items::table.filter(new)).execute(c).await?;
            Ok(())
        }
    }
}

impl Store {
    /// Returns the ids of the visible items that follow `message` and do not belong to `run_id`, in order of position:
    /// those that are deleted if that run, which answers the message again, completes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](super::StoreError::NotFound) if the thread has been deleted.
    pub async fn retry_replaces(&self, message: ItemId, run_id: RunId) -> StoreResult<Vec<ItemId>> {
        read!(self, |c| {
            let (thread_id, position): (ThreadId, i64) = items::table
                .find(message)
                .select((items::thread_id, items::position))
                .first(c)
                .await
                .or_not_found(Entity::Thread)?;
            Ok(items::table
                .filter(items::thread_id.eq(thread_id).and(items::position.gt(position)))
                .filter(items::hidden.eq(false))
                .filter(items::run_id.is_null().or(items::run_id.ne(run_id)))
                .order(items::position.asc())
                .select(items::id)
                .load(c)
                .await?)
        })
    }
}
