//! Items: pages of them, the newest for the model, and those of a run.

use super::cut;
use super::db::Store;
use super::error::{Entity, OrNotFound, StoreError, StoreResult};
use super::rows::{FencingToken, ItemRow, NewItem, ThreadRow};
use super::run_start_resume::ItemRewrite;
use super::threads::owned;
use super::unit::{change, read, tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use threadline_schema::db::tables::{items, runs, threads};
use threadline_schema::ids::{ItemId, RunId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_schema::page::Order;

/// Which page of a thread's items.
#[derive(Debug, Clone, Copy)]
pub struct ItemPage {
    /// Most rows.
    pub limit: u32,
    /// By position.
    pub order: Order,
    /// The last item seen.
    pub after: Option<ItemId>,
    /// Whether hidden items are among them.
    pub hidden: bool,
}

/// Reserves places for `$new` at the end of their thread, in the transaction, and counts its messages.
///
/// Locks the thread, so it comes before anything else is touched. Gives the first place.
macro_rules! allocate_positions {
    ($c:ident, $thread_id:expr, $new:expr, $now:expr) => {{
        let new: &[$crate::rows::NewItem] = $new;
        let places = i64::try_from(new.len()).unwrap_or(i64::MAX);
        let messages: i64 = new.iter().map($crate::rows::NewItem::messages).sum();
        let end: i64 = diesel::update(threads::table.find($thread_id))
            .set((
                threads::next_position.eq(threads::next_position + places),
                threads::message_count.eq(threads::message_count + messages),
                threads::updated_at.eq($now),
            ))
            .returning(threads::next_position)
            .get_result($c)
            .await
            .optional()?
            .ok_or($crate::StoreError::NotFound($crate::Entity::Thread))?;
        end - places
    }};
}

/// Inserts items from place `$first` on, and gives their rows.
///
/// One statement each: diesel cannot say several rows in one for SQLite, where they cost no round trip either.
macro_rules! insert_items {
    ($c:ident, $token:expr, $first:expr, $new:expr) => {{
        let mut rows = Vec::new();
        for (position, item) in ($first..).zip($new) {
            let row = item.at(position, $token.thread_id, Some($token.run_id));
            diesel::insert_into(items::table).values(&row).execute($c).await?;
            rows.push(row);
        }
        rows
    }};
}

/// Checks that the token holds, and that the run is not over. It changes nothing, but locks the run: until the commit
/// it can neither end nor be taken over.
macro_rules! fence {
    ($c:ident, $token:expr) => {{
        let token: $crate::rows::FencingToken = $token;
        let held = diesel::update(runs::table.find(token.run_id))
            .filter(runs::thread_id.eq(token.thread_id).and(runs::epoch.eq(token.epoch)))
            .filter(runs::finished_at.is_null())
            .set(runs::epoch.eq(token.epoch))
            .execute($c)
            .await?;
        if held == 0 {
            return Err($crate::Conflict::RunSuperseded.into());
        }
    }};
}

/// Gives tool calls of the run their results: `(item, its whole body)`. The run must be held. Calls that are not there
/// are passed over; says how many were.
macro_rules! complete_items {
    ($c:ident, $token:expr, $results:expr) => {{
        use threadline_schema::items::ItemKind;
        let mut completed = 0;
        for (id, body) in $results {
            let (id, body): (ItemId, String) = (id, body);
            completed += diesel::update(items::table.find(id))
                .filter(items::run_id.eq($token.run_id).and(items::kind.eq(ItemKind::ToolCall)))
                .set(items::body.eq(body))
                .execute($c)
                .await?;
        }
        completed
    }};
}
pub(super) use {allocate_positions, complete_items, insert_items};

/// A page of items, and whether more follow. The thread's owner has been checked.
macro_rules! items_of {
    ($c:ident, $thread_id:expr, $page:expr) => {{
        let (thread_id, page): (ThreadId, ItemPage) = ($thread_id, $page);
        let after = match page.after {
            None => None,
            Some(id) => {
                let place = items::table.find(id).filter(items::thread_id.eq(thread_id)).select(items::position);
                let place = place.first::<i64>($c).await.optional()?;
                Some(place.ok_or(StoreError::CursorNotFound(Entity::Item))?)
            }
        };
        let mut query = items::table
            .filter(items::thread_id.eq(thread_id))
            .select(ItemRow::as_select())
            .limit(i64::from(page.limit) + 1)
            .into_boxed();
        if !page.hidden {
            query = query.filter(items::hidden.eq(false));
        }
        query = match (page.order, after) {
            (Order::Asc, None) => query.order(items::position.asc()),
            (Order::Desc, None) => query.order(items::position.desc()),
            (Order::Asc, Some(place)) => query.filter(items::position.gt(place)).order(items::position.asc()),
            (Order::Desc, Some(place)) => query.filter(items::position.lt(place)).order(items::position.desc()),
        };
        cut(query.load::<ItemRow>($c).await?, page.limit)
    }};
}

impl Store {
    /// A thread, a page of its items, and whether more follow.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::CursorNotFound`].
    pub async fn thread_with_items(
        &self,
        user_id: UserId,
        id: ThreadId,
        page: ItemPage,
    ) -> StoreResult<(ThreadRow, Vec<ItemRow>, bool)> {
        read!(self, |c| {
            let thread = threads::table.find(id).select(ThreadRow::as_select()).first(c).await.optional()?;
            let thread = owned(thread, user_id)?;
            let (rows, has_more) = items_of!(c, id, page);
            Ok((thread, rows, has_more))
        })
    }

    /// A page of a thread's items, and whether more follow.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Forbidden`], [`StoreError::CursorNotFound`].
    pub async fn items_page(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        page: ItemPage,
    ) -> StoreResult<(Vec<ItemRow>, bool)> {
        let (_, rows, has_more) = self.thread_with_items(user_id, thread_id, page).await?;
        Ok((rows, has_more))
    }

    /// A visible item of a thread.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and [`StoreError::Forbidden`] of the thread, [`StoreError::NotFound`].
    pub async fn item_get(&self, user_id: UserId, thread_id: ThreadId, id: ItemId) -> StoreResult<ItemRow> {
        read!(self, |c| {
            owned(threads::table.find(thread_id).select(ThreadRow::as_select()).first(c).await.optional()?, user_id)?;
            let item = items::table.find(id).filter(items::thread_id.eq(thread_id).and(items::hidden.eq(false)));
            item.select(ItemRow::as_select()).first(c).await.optional()?.ok_or(StoreError::NotFound(Entity::Item))
        })
    }

    /// The newest items of a thread, hidden ones included, oldest first.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn history(&self, thread_id: ThreadId, limit: u32) -> StoreResult<Vec<ItemRow>> {
        self.history_to(thread_id, None, limit).await
    }

    /// As [`history`](Self::history), as it was when `last` was the newest item.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such item.
    pub async fn history_to(&self, thread_id: ThreadId, last: Option<ItemId>, limit: u32) -> StoreResult<Vec<ItemRow>> {
        read!(self, |c| {
            let end: i64 = match last {
                Some(id) => {
                    let position = items::table.find(id).select(items::position).first(c).await;
                    // An item goes with its thread.
                    position.or_not_found(Entity::Thread)?
                }
                None => i64::MAX,
            };
            let mut rows: Vec<ItemRow> = items::table
                .filter(items::thread_id.eq(thread_id).and(items::position.le(end)))
                .order(items::position.desc())
                .limit(i64::from(limit))
                .select(ItemRow::as_select())
                .load(c)
                .await?;
            rows.reverse();
            Ok(rows)
        })
    }

    /// The user's message that stands before a place in its thread; the newest of several.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn message_before(&self, thread_id: ThreadId, position: i64) -> StoreResult<Option<ItemRow>> {
        read!(self, |c| {
            let before = items::table.filter(items::thread_id.eq(thread_id).and(items::position.lt(position)));
            Ok(before
                .filter(items::kind.eq(ItemKind::UserMessage))
                .order(items::position.desc())
                .select(ItemRow::as_select())
                .first(c)
                .await
                .optional()?)
        })
    }

    /// The items of a run, hidden ones included, oldest first: the message it answers, then what it wrote.
    ///
    /// # Errors
    /// Only when the database fails.
    pub async fn run_items(&self, run_id: RunId) -> StoreResult<Vec<ItemRow>> {
        read!(self, |c| {
            Ok(items::table
                .filter(items::run_id.eq(run_id))
                .order(items::position.asc())
                .select(ItemRow::as_select())
                .load(c)
                .await?)
        })
    }

    /// Appends items of a run that goes on, and returns them with their positions.
    ///
    /// # Errors
    /// [`super::Conflict::RunSuperseded`] when the token does not hold any more, [`StoreError::NotFound`] when the thread is
    /// gone; nothing is appended then.
    pub async fn items_append(&self, token: FencingToken, new: Vec<NewItem>) -> StoreResult<Vec<ItemRow>> {
        let Some(now) = new.iter().map(|item| item.created_at).max() else {
            return Ok(Vec::new());
        };
        tx!(self, |c| {
            let first = allocate_positions!(c, token.thread_id, &new, now);
            fence!(c, token);
            Ok(insert_items!(c, token, first, new))
        })
    }

    /// Gives a tool call of a run that goes on its result: `body` replaces the one it was stored with before it acted.
    /// Nothing else about an item changes.
    ///
    /// # Errors
    /// [`super::Conflict::RunSuperseded`] when the token does not hold any more, [`StoreError::NotFound`] when the run has no
    /// such call; nothing is changed then.
    pub async fn item_complete(&self, token: FencingToken, id: ItemId, body: String) -> StoreResult<()> {
        tx!(self, |c| {
            fence!(c, token);
            if complete_items!(c, token, [(id, body)]) == 0 { Err(StoreError::NotFound(Entity::Item)) } else { Ok(()) }
        })
    }
    /// Replaces bodies of items of the thread in which a run goes on.
    ///
    /// # Errors
    /// [`super::Conflict::RunSuperseded`] when the token does not hold any more; nothing is changed then.
    pub async fn items_rewrite(&self, token: FencingToken, bodies: Vec<(ItemId, String)>) -> StoreResult<()> {
        tx!(self, |c| {
            fence!(c, token);
            for (id, body) in bodies {
                diesel::update(items::table.find(id).filter(items::thread_id.eq(token.thread_id)))
                    .set(items::body.eq(body))
                    .execute(c)
                    .await?;
            }
            Ok(())
        })
    }
    /// Replaces the body of an item, unless somebody was quicker.
    ///
    /// # Errors
    /// [`super::Conflict::AnsweredAlready`] when it is not as it was read, or gone.
    pub async fn item_rewrite(&self, thread_id: ThreadId, rewrite: ItemRewrite) -> StoreResult<()> {
        let ItemRewrite { id, old, new } = rewrite;
        change!(self, |c| {
            let as_read = items::table.find(id).filter(items::thread_id.eq(thread_id).and(items::body.eq(old)));
            let changed = diesel::update(as_read).set(items::body.eq(new)).execute(c).await?;
            if changed == 0 { Err(super::Conflict::AnsweredAlready.into()) } else { Ok(()) }
        })
    }
}
