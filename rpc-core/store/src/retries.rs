//! The end of a run that answered a message again: the old answer goes, or the new one does.
//!
//! While such a run goes on, what it says is stored hidden, so that readers of the thread see one answer at any time.

use super::db::Store;
use super::error::{Entity, OrNotFound, StoreResult};
use super::unit::read;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::items;
use threadline_schema::ids::{ItemId, RunId, ThreadId};
use threadline_schema::items::ItemKind;

/// Kinds that are hidden for good.
pub(super) const NEVER_SHOWN: [ItemKind; 2] = [ItemKind::ToolCall, ItemKind::HiddenContext];

/// Puts the new answer in place of everything behind the message, in the transaction that ends the run. The thread is
/// locked, and its messages are counted anew.
macro_rules! replace_answer {
    ($c:ident, $run:expr, $message:expr) => {{
        use threadline_schema::items::ItemKind;
        let (run, message): (&$crate::rows::RunRow, ItemId) = ($run, $message);
        let place: i64 =
            items::table.find(message).select(items::position).first($c).await.or_not_found($crate::Entity::Item)?;
        let old =
            items::thread_id.eq(run.thread_id).and(items::position.gt(place)).and(items::position.lt(run.position));
        let counted = items::kind.eq_any([ItemKind::UserMessage, ItemKind::AssistantMessage]);
        let gone = diesel::delete(items::table.filter(old).filter(items::hidden.eq(false)).filter(counted));
        let gone = gone.execute($c).await?;
        diesel::delete(items::table.filter(old)).execute($c).await?;
        let new = items::run_id.eq(run.id).and(items::hidden.eq(true));
        let said = diesel::update(items::table.filter(new).filter(items::kind.eq(ItemKind::AssistantMessage)));
        let said = said.set(items::hidden.eq(false)).execute($c).await?;
        let shown = items::kind.ne_all($crate::retries::NEVER_SHOWN);
        diesel::update(items::table.filter(new).filter(shown)).set(items::hidden.eq(false)).execute($c).await?;
        // It belongs to the run that answers it.
        diesel::update(items::table.find(message)).set(items::run_id.eq(run.id)).execute($c).await?;
        let count = |rows: usize| i64::try_from(rows).unwrap_or_default();
        diesel::update(threads::table.find(run.thread_id))
            .set(threads::message_count.eq(threads::message_count + count(said) - count(gone)))
            .execute($c)
            .await?;
    }};
}

/// Takes back what was said. The calls of tools stay: they have acted, and the model is to know.
macro_rules! drop_answer {
    ($c:ident, $run:expr) => {{
        use threadline_schema::items::ItemKind;
        let new = items::run_id.eq($run.id).and(items::kind.ne(ItemKind::ToolCall));
        diesel::delete(items::table.filter(new)).execute($c).await?;
    }};
}
pub(super) use {drop_answer, replace_answer};

impl Store {
    /// Ids of the visible items behind `message` and before what `run_id` wrote, oldest first: those that go when that
    /// run, which answers the message again, completes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](super::StoreError::NotFound) when the thread is gone.
    pub async fn retry_replaces(&self, message: ItemId, run_id: RunId) -> StoreResult<Vec<ItemId>> {
        read!(self, |c| {
            let (thread_id, place): (ThreadId, i64) = items::table
                .find(message)
                .select((items::thread_id, items::position))
                .first(c)
                .await
                .or_not_found(Entity::Thread)?;
            Ok(items::table
                .filter(items::thread_id.eq(thread_id).and(items::position.gt(place)))
                .filter(items::hidden.eq(false))
                .filter(items::run_id.is_null().or(items::run_id.ne(run_id)))
                .order(items::position.asc())
                .select(items::id)
                .load(c)
                .await?)
        })
    }
}
