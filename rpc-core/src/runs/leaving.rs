//! Readers that end the run by leaving, as the front ends of ChatKit expect of a request that is closed.

use super::cancel::cancel;
use super::feed::RunFeed;
use crate::core::Core;
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// What such a reader holds. Dropping it is leaving.
pub(super) struct Stay(oneshot::Sender<()>);

impl Stay {
    /// Ends it without leaving: the run goes on.
    pub(super) fn end(self) {
        // Nobody listens any more when the run has ended.
        let _ = self.0.send(());
    }
}

/// Cancels the run when this reader leaves before its end and nobody reads it when the grace is over: neither the same
/// client, which had only to load its page again, nor another.
///
/// Only readers in this process are known. One that follows the run through another replica does not keep it alive.
pub(crate) fn cancel_when_left(core: &Arc<Core>, user_id: Uuid, feed: &mut RunFeed) {
    let Some(log) = feed.log().cloned() else { return };
    let (stay, left) = oneshot::channel();
    feed.hold(Stay(stay));
    let core = core.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = log.closed() => return,
            stayed = left => if stayed.is_ok() { return },
        }
        tokio::time::sleep(core.config.cancel_grace).await;
        if log.is_closed() || log.is_read() {
            return;
        }
        let run_id = log.run_id();
        match cancel(&core, user_id, run_id).await {
            Ok(_) => tracing::debug!(%run_id, "a run was cancelled, as its reader has left"),
            Err(error) => tracing::warn!(%run_id, error = error.log_text(), "a run whose reader has left goes on"),
        }
    });
}
