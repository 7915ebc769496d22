//! The place of one connection among those a listener allows.

use super::guard::Cut;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Held as long as the connection's socket is open, whoever has it.
pub(super) struct Slot {
    listener: &'static str,
    _permit: OwnedSemaphorePermit,
    _open: TaskTrackerToken,
}

impl Slot {
    /// Counts a connection of `listener` as open.
    pub(super) fn take(listener: &'static str, permit: OwnedSemaphorePermit, open: TaskTrackerToken) -> Self {
        metrics::gauge!("threadline_connections", "listener" => listener).increment(1.0);
        Self { listener, _permit: permit, _open: open }
    }

    /// Counts the connection as closed from this side.
    pub(super) fn cut(&self, cut: Cut) {
        tracing::debug!(listener = self.listener, reason = cut.reason(), "connection cut");
        // Closing an idle connection is how keep-alive ends, and no sign of anything.
        if cut != Cut::Idle {
            let reason = cut.reason();
            metrics::counter!("threadline_connections_cut_total", "listener" => self.listener, "reason" => reason)
                .increment(1);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        metrics::gauge!("threadline_connections", "listener" => self.listener).decrement(1.0);
    }
}
