//! Stores items while a run is active, so that they are kept when the run is stopped at any point.

use super::run_writer::RunWriter;
use std::time::Duration;
use threadline_runtime::TaskKind;
use threadline_schema::error::Chain;
use threadline_schema::event::Event;
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::items::ItemKind;
use threadline_store::rows::{FencingToken, NewItem};
use threadline_store::{Store, StoreError, StoreResult};
use threadline_trace::{InSpan, Span};
use tokio::task::JoinHandle;

/// How often the database is asked which items it has, while it does not answer.
const TRIES: u32 = 20;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Items that are being stored.
pub(super) struct PendingWrite {
    items: Vec<NewItem>,
    task: JoinHandle<Option<StoreResult<()>>>,
}

impl RunWriter {
    /// Stores the items that are complete, and announces them. If the future is dropped, call
    /// `settle` before the end of the run.
    ///
    /// # Errors
    /// Those of `Store::items_append`.
    pub async fn store_items(&mut self, store: &Store, token: FencingToken) -> StoreResult<()> {
        let items = std::mem::take(&mut self.items);
        if items.is_empty() {
            return Ok(());
        }
        let (store, new, used) = (store.clone(), items.clone(), self.used_so_far());
        let write = async move { store.items_append(token, new, used).await.map(drop) };
        let task = self.supervisor.spawn_with_result(TaskKind::Request, write.in_span(Span::current()));
        self.pending_write = Some(PendingWrite { items, task });
        self.finish_write().await
    }

    /// Waits for the items that are being stored.
    async fn finish_write(&mut self) -> StoreResult<()> {
        let Some(write) = &mut self.pending_write else { return Ok(()) };
        let result = (&mut write.task).await;
        let Some(PendingWrite { items, .. }) = self.pending_write.take() else { return Ok(()) };
        let result = match result {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => Err(StoreError::unavailable("the task that stores items did not finish")),
        };
        match &result {
            Ok(()) => self.announce_stored(),
            // They may be stored all the same.
            Err(StoreError::Unavailable(_)) => {
                self.items.splice(0..0, items);
                self.is_storage_unknown = true;
            }
            // They would be refused again.
            Err(_) => self.announcements.clear(),
        }
        result
    }

    /// Finds out which items are stored, so that the end of the run stores the rest, and each item once. Called before
    /// the end of a run that may have been stopped at any point.
    pub(crate) async fn settle(&mut self, store: &Store, run_id: RunId) {
        if let Err(error) = self.finish_write().await {
            tracing::warn!(%run_id, error = %Chain(&error), "items of a stopped run could not be stored");
        }
        for _ in 0..TRIES {
            if !self.is_storage_unknown {
                break;
            }
            match store.run_items(run_id).await {
                Ok(rows) => {
                    self.items.retain(|item| rows.iter().all(|row| row.id != item.id));
                    self.is_storage_unknown = false;
                }
                Err(error) => {
                    tracing::warn!(%run_id, error = %Chain(&error), "items of a run could not be looked up; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // A call runs only after it was stored, so these have not run.
        if self.items.iter().any(|item| item.kind == ItemKind::ToolCall) {
            self.items.retain(|item| item.kind != ItemKind::ToolCall);
            self.calls.forget();
        }
    }

    /// Takes the items to store with the end of the run.
    pub(crate) fn take_items(&mut self) -> Vec<NewItem> {
        std::mem::take(&mut self.items)
    }

    /// Takes the results to store with the end of the run: the item of each call, and its whole body.
    pub(crate) fn take_results(&mut self) -> Vec<(ItemId, String)> {
        self.calls.take_results()
    }

    /// Emits the events that were waiting for their items to be stored.
    pub(crate) fn announce_stored(&mut self) {
        for event in self.announcements.drain(..) {
            self.log.append(event);
        }
    }

    /// Takes the events that wait for their items to be stored.
    pub(crate) fn take_announcements(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.announcements)
    }
}
