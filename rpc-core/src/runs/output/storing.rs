//! Storing what is whole while a run goes on, so that nothing of it is lost wherever the run is stopped.

use super::Output;
use crate::store::rows::{Claim, NewItem};
use crate::store::{Store, StoreError, StoreResult};
use crate::wire;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ids::{ItemId, RunId};
use tokio::task::JoinHandle;

/// How often it is asked whether items were stored, while the database is away, and how long apart.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Items on their way into the database.
pub(super) struct Storing {
    items: Vec<NewItem>,
    task: JoinHandle<StoreResult<()>>,
}

impl Output {
    /// Stores what is whole, and says so. Who drops this while it waits calls [`settle`](Self::settle).
    ///
    /// # Errors
    /// Those of `Store::items_append`.
    pub(crate) async fn store(&mut self, store: &Store, claim: Claim) -> StoreResult<()> {
        let items = std::mem::take(&mut self.finished);
        if items.is_empty() {
            return Ok(());
        }
        let (store, new) = (store.clone(), items.clone());
        let task = tokio::spawn(async move { store.items_append(claim, new).await.map(drop) });
        self.storing = Some(Storing { items, task });
        self.stored().await
    }

    /// Waits for the items that are on their way.
    async fn stored(&mut self) -> StoreResult<()> {
        let Some(storing) = &mut self.storing else { return Ok(()) };
        let result = (&mut storing.task).await;
        let Some(Storing { items, .. }) = self.storing.take() else { return Ok(()) };
        let result = result.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())));
        match &result {
            Ok(()) => self.announce(),
            // They may be stored all the same.
            Err(StoreError::Unavailable(_)) => {
                self.finished.splice(0..0, items);
                self.unsure = true;
            }
            // They will be refused next time, too.
            Err(_) => self.announcements.clear(),
        }
        result
    }

    /// Before the end of a run that may have been stopped anywhere: finds out what is stored, so that the end stores
    /// the rest, and each item once.
    pub(crate) async fn settle(&mut self, store: &Store, run_id: RunId) {
        if let Err(error) = self.stored().await {
            tracing::warn!(run_id = %run_id.0, %error, "items of a run that was stopped could not be stored");
        }
        for _ in 0..TRIES {
            if !self.unsure {
                break;
            }
            match store.run_items(run_id).await {
                Ok(rows) => {
                    self.finished.retain(|item| rows.iter().all(|row| row.id != item.id));
                    self.unsure = false;
                }
                Err(error) => {
                    tracing::warn!(run_id = %run_id.0, %error, "items of a run could not be looked for; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // A call acts only after it has been stored, so these have not.
        if self.finished.iter().any(|item| item.kind == wire::TOOL_CALL) {
            self.finished.retain(|item| item.kind != wire::TOOL_CALL);
            self.calls.forget();
        }
    }

    /// Items to store with the end. Once they are, call [`announce`](Self::announce).
    pub(crate) fn take_finished(&mut self) -> Vec<NewItem> {
        std::mem::take(&mut self.finished)
    }

    /// Tool calls to complete with the end: those whose results are not stored yet, with their whole bodies.
    pub(crate) fn take_results(&mut self) -> Vec<(ItemId, String)> {
        self.calls.take_results()
    }

    /// Says which items have been stored.
    pub(crate) fn announce(&mut self) {
        for event in self.announcements.drain(..) {
            self.log.append(event);
        }
    }

    /// What [`announce`](Self::announce) would append.
    pub(crate) fn take_announcements(&mut self) -> impl Iterator<Item = Arc<str>> + use<> {
        std::mem::take(&mut self.announcements).into_iter().map(Arc::from)
    }
}
