//! The snapshot that a feed of a thread can start with.

use crate::error::EngineError;
use crate::shared::Shared;
use crate::wire;
use threadline_schema::event::{Event, ThreadLifecycleEvent};
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::page::Order;
use threadline_schema::threads::Thread;
use threadline_store::ItemPage;

/// Items of a snapshot, at most: a whole conversation, for all but the longest.
const MAX_ITEMS: u32 = 1_000;

/// Returns the event that shows the thread with its newest items.
pub(super) async fn snapshot_event(
    shared: &Shared,
    user_id: UserId,
    thread_id: ThreadId,
) -> Result<Event, EngineError> {
    let page = ItemPage { limit: MAX_ITEMS, order: Order::Desc, after: None, hidden: false };
    let (thread, mut items, has_more) = shared.store.thread_with_items(user_id, thread_id, page).await?;
    items.iter_mut().for_each(|item| (shared.config.renew_item)(item));
    // Read from the newest on, so that `after` is where the next page starts; shown oldest first.
    let mut items = wire::item_page(items, has_more)?;
    items.data.reverse();
    let thread = Box::new(Thread { items, ..wire::thread(&thread)? });
    Ok(Event::new(&ThreadLifecycleEvent::Snapshot { thread })?)
}
