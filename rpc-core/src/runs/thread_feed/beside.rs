//! What a follower of a thread is told of beside its runs.

use super::ThreadFeed;
use super::shown::Shown;
use crate::store::rows::ThreadRow;
use crate::wire;
use threadline_schema::chatkit::ThreadStreamEvent;

impl ThreadFeed {
    /// Takes in what was said to have changed outside of runs, as the database has it now. What cannot be read now is
    /// passed over; of the thread itself a later look makes that good.
    pub(super) async fn look(&mut self) {
        let Some(items) = self.wake.changes() else { return };
        let (store, user_id, thread_id) = (&self.core.store, self.user_id.into(), self.thread_id.into());
        if let Ok(thread) = store.thread_get(user_id, thread_id).await {
            self.show(&thread);
        }
        for item_id in items {
            let Ok(row) = self.core.store.item_get(user_id, thread_id, item_id.into()).await else { continue };
            match serde_json::from_str(&row.body) {
                Ok(item) => self.tell(&ThreadStreamEvent::ItemReplaced { item }),
                Err(error) => tracing::error!(%item_id, %error, "a stored item cannot be read"),
            }
        }
    }

    /// Tells how the thread stands, if that is news.
    pub(super) fn show(&mut self, thread: &ThreadRow) {
        match wire::thread(thread) {
            Ok(thread) => {
                let shown = Shown::of(&thread);
                if shown != self.shown {
                    self.shown = shown;
                    self.tell(&ThreadStreamEvent::ThreadUpdated { thread: Box::new(thread) });
                }
            }
            Err(error) => tracing::error!(error = error.log_text(), "a thread cannot be shown"),
        }
    }

    fn tell(&mut self, event: &ThreadStreamEvent) {
        match serde_json::to_string(event) {
            Ok(event) => self.asides.push_back(event.into()),
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}
