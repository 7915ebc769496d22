//! Side events: the events of a thread that belong to no run.

use super::ThreadFeed;
use super::thread_header::ThreadHeader;
use crate::wire;
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, ThreadStreamEvent};
use threadline_schema::ids::ItemId;
use threadline_store::rows::ThreadRow;
use threadline_store::{StoreError, StoreResult};

/// Changes that feeds were notified of, and that were not read from the database yet.
///
/// They are part of the feed, and each is removed only after it was read. So a future that is dropped in the middle of
/// a query loses none, and neither does a database that fails.
#[derive(Debug, Default)]
pub(super) struct UnreadChanges {
    thread: bool,
    items: Vec<ItemId>,
}

impl UnreadChanges {
    pub(super) fn is_empty(&self) -> bool {
        !self.thread && self.items.is_empty()
    }

    fn add(&mut self, items: Vec<ItemId>) {
        self.thread = true;
        for item in items {
            if !self.items.contains(&item) {
                self.items.push(item);
            }
        }
    }
}

impl ThreadFeed {
    /// Reads what has changed outside of runs, as the database has it now, and queues the side events. Cancel safe.
    ///
    /// # Errors
    /// When the database fails: what could not be read stays unread.
    pub(super) async fn read_changes(&mut self) -> StoreResult<()> {
        if let Some(items) = self.watcher.take_changes() {
            self.unread.add(items);
        }
        if self.unread.thread {
            match self.shared.store.thread_get(self.user_id, self.thread_id).await {
                Ok(thread) => self.queue_header(&thread),
                // The end of the thread is found where its next run is looked for.
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            self.unread.thread = false;
        }
        while let Some(item_id) = self.unread.items.first().copied() {
            match self.shared.store.item_get(self.user_id, self.thread_id, item_id).await {
                Ok(row) => match serde_json::from_str(&row.body) {
                    Ok(item) => self.queue(&ThreadStreamEvent::ItemReplaced { item }),
                    Err(error) => tracing::error!(%item_id, %error, "stored item cannot be read"),
                },
                // It was deleted after it changed.
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            self.unread.items.retain(|unread| *unread != item_id);
        }
        Ok(())
    }

    /// Queues `thread.updated` if the subscriber does not know the thread like this.
    pub(super) fn queue_header(&mut self, thread: &ThreadRow) {
        match wire::thread(thread) {
            Ok(thread) => {
                let header = ThreadHeader::of(&thread);
                if header != self.header {
                    self.header = header;
                    self.queue(&ThreadStreamEvent::ThreadUpdated { thread: Box::new(thread) });
                }
            }
            Err(error) => {
                tracing::error!(thread_id = %self.thread_id, error = %Chain(&error), "stored thread cannot be read")
            }
        }
    }

    fn queue(&mut self, event: &ThreadStreamEvent) {
        match Event::new(event) {
            Ok(event) => self.side_events.push_back(event),
            Err(error) => tracing::error!(%error, "event cannot be serialised"),
        }
    }
}
