//! Items: pages, history for the model, appending, and changes of bodies.

use super::db::Store;
use super::error::{Conflict, Entity, OrNotFound, StoreError, StoreResult};
use super::query::{FixedDsl, RunQueryDsl};
use super::rows::{FencingToken, ItemRow, NewItem, ThreadRow};
use super::run_start::ItemRewrite;
use super::threads::owned;
use super::truncate_page;
use super::unit::{change, read, steps, tx};
use diesel::prelude::*;
use threadline_schema::db::tables::{items, runs, threads};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ItemId, RunId, ThreadId, UserId};
use threadline_schema::items::ItemKind;
use threadline_schema::page::Order;

/// A request for a page of a thread's items.
#[derive(Debug, Clone, Copy)]
pub struct ItemPage {
    /// Maximum number of rows.
    pub limit: u32,
    /// Order by position.
    pub order: Order,
    /// The last item of the page before.
    pub after: Option<ItemId>,
    /// Whether to include hidden items.
    pub hidden: bool,
}

/// The position before the first item of a thread.
pub(super) const BEFORE_ALL: i64 = -1;
/// Maximum size of a page, in bytes of the bodies of its items. A page has one item at least.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Items that are read at a time.
const ITEMS_AT_A_TIME: usize = 100;

steps! {
    trait ItemSteps {
        /// Allocates the positions of new items at the end of their thread, and counts the messages among them. Returns
        /// the first position.
        ///
        /// Locks the thread, so a transaction calls it before it touches runs or items.
        ///
        /// # Errors
        /// [`StoreError::NotFound`] if the thread has been deleted.
        fn allocate_positions(c, thread_id: ThreadId, new: &[NewItem], now: UtcTime) -> i64 {
            let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
            let messages: i64 = new.iter().map(NewItem::messages).sum();
            let next: i64 = diesel::update(threads::table.find(thread_id))
                .set((
                    threads::next_position.eq(threads::next_position + count),
                    threads::message_count.eq(threads::message_count + messages),
                    threads::updated_at.eq(now),
                ))
                .returning(threads::next_position)
                .fixed()
                .get_result(c)
                .await
                .or_not_found(Entity::Thread)?;
            Ok(next - count)
        }

        /// Inserts items from position `first` on. Returns their rows.
        ///
        /// Each item is one statement: diesel-async cannot insert several rows at once on SQLite, where a statement
        /// costs no round trip.
        fn insert_items(c, token: FencingToken, first: i64, new: Vec<NewItem>) -> Vec<ItemRow> {
            let mut rows = Vec::new();
            for (position, item) in (first..).zip(new) {
                let row = item.at(position, token.thread_id, Some(token.run_id));
                diesel::insert_into(items::table).values(&row).execute(c).await?;
                rows.push(row);
            }
            Ok(rows)
        }

        /// Checks a fencing token, and locks its run: until the commit the run can neither end nor be taken over.
        /// Records what the run has used so far, if that is given.
        ///
        /// # Errors
        /// [`Conflict::RunSuperseded`] if the run has ended or has another owner.
        fn check_token(c, token: FencingToken, used: Option<String>) -> () {
            // Without `used` the update changes nothing. It is the lock.
            let current = diesel::update(runs::table.find(token.run_id))
                .filter(runs::thread_id.eq(token.thread_id).and(runs::epoch.eq(token.epoch)))
                .filter(runs::finished_at.is_null())
                .set((runs::epoch.eq(token.epoch), used.map(|used| runs::used.eq(used))))
                .fixed()
                .execute(c)
                .await?;
            if current == 0 { Err(Conflict::RunSuperseded.into()) } else { Ok(()) }
        }

        /// Stores the results of tool calls: pairs of an item and its whole new body. The run must be locked. Returns
        /// how many of the items are tool calls of the run; others are left alone.
        fn complete_items(c, token: FencingToken, results: Vec<(ItemId, String)>) -> usize {
            let mut completed = 0;
            for (id, body) in results {
                completed += diesel::update(items::table.find(id))
                    .filter(items::run_id.eq(token.run_id).and(items::kind.eq(ItemKind::ToolCall)))
                    .set(items::body.eq(body))
                    .fixed()
                    .execute(c)
                    .await?;
            }
            Ok(completed)
        }

        /// Reads the newest items of a thread between two positions, in order of position, with the hidden ones: at
        /// most `limit`.
        fn newest_items(c, thread_id: ThreadId, after: i64, before: i64, limit: u32) -> Vec<ItemRow> {
            let mut rows: Vec<ItemRow> = items::table
                .filter(items::thread_id.eq(thread_id))
                .filter(items::position.gt(after).and(items::position.lt(before)))
                .order(items::position.desc())
                .limit(i64::from(limit))
                .select(ItemRow::as_select())
                .load(c)
                .await?;
            rows.reverse();
            Ok(rows)
        }

        /// Reads a page of a thread's items, and whether more follow. The caller has checked who owns the thread.
        ///
        /// # Errors
        /// [`StoreError::CursorNotFound`] if the thread has no item `page.after`.
        fn page_of_items(c, thread_id: ThreadId, page: ItemPage) -> (Vec<ItemRow>, bool) {
            let after = match page.after {
                None => None,
                Some(id) => {
                    let cursor = items::table.find(id).filter(items::thread_id.eq(thread_id)).select(items::position);
                    let position: Option<i64> = cursor.first(c).await.optional()?;
                    Some(position.ok_or(StoreError::CursorNotFound(Entity::Item))?)
                }
            };
            let (mut rows, mut bytes, mut after) = (Vec::<ItemRow>::new(), 0_usize, after);
            let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX).saturating_add(1);
            while rows.len() < wanted {
                // A few at a time: a conversation of long items must not be in memory before it is cut.
                let count = ITEMS_AT_A_TIME.min(wanted - rows.len());
                let mut query = items::table
                    .filter(items::thread_id.eq(thread_id))
                    .select(ItemRow::as_select())
                    .limit(i64::try_from(count).unwrap_or(i64::MAX))
                    .into_boxed();
                if !page.hidden {
                    query = query.filter(items::hidden.eq(false));
                }
                query = match (page.order, after) {
                    (Order::Asc, None) => query.order(items::position.asc()),
                    (Order::Desc, None) => query.order(items::position.desc()),
                    (Order::Asc, Some(cursor)) => {
                        query.filter(items::position.gt(cursor)).order(items::position.asc())
                    }
                    (Order::Desc, Some(cursor)) => {
                        query.filter(items::position.lt(cursor)).order(items::position.desc())
                    }
                };
                let found: Vec<ItemRow> = query.load(c).await?;
                let is_last = found.len() < count;
                after = found.last().map(|row| row.position).or(after);
                for row in found {
                    bytes = bytes.saturating_add(row.body.len());
                    if bytes > MAX_PAGE_BYTES && !rows.is_empty() {
                        return Ok((rows, true));
                    }
                    rows.push(row);
                }
                if is_last {
                    break;
                }
            }
            Ok(truncate_page(rows, page.limit))
        }
    }
}

impl Store {
    /// Returns a thread, a page of its items, and whether more follow.
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
            let (rows, has_more) = c.page_of_items(id, page).await?;
            Ok((thread, rows, has_more))
        })
    }

    /// Returns a page of a thread's items, and whether more follow.
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

    /// Returns a visible item of a thread.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the thread or the item, [`StoreError::Forbidden`] for the thread.
    pub async fn item_get(&self, user_id: UserId, thread_id: ThreadId, id: ItemId) -> StoreResult<ItemRow> {
        read!(self, |c| {
            owned(threads::table.find(thread_id).select(ThreadRow::as_select()).first(c).await.optional()?, user_id)?;
            let item = items::table.find(id).filter(items::thread_id.eq(thread_id).and(items::hidden.eq(false)));
            item.select(ItemRow::as_select()).first(c).await.optional()?.ok_or(StoreError::NotFound(Entity::Item))
        })
    }

    /// Returns the newest items of a thread in order of position, with the hidden ones.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn history(&self, thread_id: ThreadId, limit: u32) -> StoreResult<Vec<ItemRow>> {
        self.history_to(thread_id, None, limit).await
    }

    /// Does what [`history`](Self::history) does, as if `last` were the newest item.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the thread if the item does not exist.
    pub async fn history_to(&self, thread_id: ThreadId, last: Option<ItemId>, limit: u32) -> StoreResult<Vec<ItemRow>> {
        read!(self, |c| {
            let end = match last {
                Some(id) => {
                    let position = items::table.find(id).select(items::position).first::<i64>(c).await;
                    // Items are deleted with their thread.
                    position.or_not_found(Entity::Thread)?.saturating_add(1)
                }
                None => i64::MAX,
            };
            c.newest_items(thread_id, BEFORE_ALL, end, limit).await
        })
    }

    /// Returns the last user message before a position of a thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn message_before(&self, thread_id: ThreadId, position: i64) -> StoreResult<Option<ItemRow>> {
        self.item_before(thread_id, ItemKind::UserMessage, position).await
    }

    /// Returns the last item of a kind before a position of a thread.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn item_before(
        &self,
        thread_id: ThreadId,
        kind: ItemKind,
        position: i64,
    ) -> StoreResult<Option<ItemRow>> {
        read!(self, |c| {
            let before = items::table.filter(items::thread_id.eq(thread_id).and(items::position.lt(position)));
            Ok(before
                .filter(items::kind.eq(kind))
                .order(items::position.desc())
                .select(ItemRow::as_select())
                .first(c)
                .await
                .optional()?)
        })
    }

    /// Returns the items of a run in order of position, with the hidden ones: the message that it answers, then its
    /// output.
    ///
    /// # Errors
    /// Only if the database fails.
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

    /// Appends items of an active run, and returns them with their positions. `used` is JSON of what the run has used
    /// so far; `None` leaves what is recorded.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] if the token is not current, [`StoreError::NotFound`] if the thread has been
    /// deleted. Nothing is appended then.
    pub async fn items_append(
        &self,
        token: FencingToken,
        new: Vec<NewItem>,
        used: Option<String>,
    ) -> StoreResult<Vec<ItemRow>> {
        let Some(now) = new.iter().map(|item| item.created_at).max() else {
            return Ok(Vec::new());
        };
        tx!(self, |c| {
            let first = c.allocate_positions(token.thread_id, &new, now).await?;
            c.check_token(token, used).await?;
            c.insert_items(token, first, new).await
        })
    }

    /// Stores the result of a tool call of an active run: `body` replaces the body that was stored before the call ran.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] if the token is not current, [`StoreError::NotFound`] if the run has no such call.
    /// Nothing is changed then.
    pub async fn item_complete(&self, token: FencingToken, id: ItemId, body: String) -> StoreResult<()> {
        tx!(self, |c| {
            c.check_token(token, None).await?;
            let completed = c.complete_items(token, vec![(id, body)]).await?;
            if completed == 0 { Err(StoreError::NotFound(Entity::Item)) } else { Ok(()) }
        })
    }

    /// Replaces the bodies of items in the thread of an active run.
    ///
    /// # Errors
    /// [`Conflict::RunSuperseded`] if the token is not current; nothing is changed then.
    pub async fn items_rewrite(&self, token: FencingToken, bodies: Vec<(ItemId, String)>) -> StoreResult<()> {
        tx!(self, |c| {
            c.check_token(token, None).await?;
            for (id, body) in bodies {
                diesel::update(items::table.find(id).filter(items::thread_id.eq(token.thread_id)))
                    .set(items::body.eq(body))
                    .fixed()
                    .execute(c)
                    .await?;
            }
            Ok(())
        })
    }

    /// Replaces the body of an item if nothing has changed it since it was read.
    ///
    /// # Errors
    /// [`Conflict::AnsweredAlready`] if it has changed or does not exist.
    pub async fn item_rewrite(&self, thread_id: ThreadId, rewrite: ItemRewrite) -> StoreResult<()> {
        let ItemRewrite { id, old, new } = rewrite;
        change!(self, |c| {
            let as_read = items::table.find(id).filter(items::thread_id.eq(thread_id).and(items::body.eq(old)));
            let changed = diesel::update(as_read).set(items::body.eq(new)).fixed().execute(c).await?;
            if changed == 0 { Err(Conflict::AnsweredAlready.into()) } else { Ok(()) }
        })
    }
}
