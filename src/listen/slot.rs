//! A slot of a connection, among the connections that a listener allows.

use super::addresses::AddressSlot;
use super::guard::CloseReason;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// One open connection of a listener. It exists until the socket is closed, also after an upgrade.
pub(super) struct ConnectionSlot {
    listener: &'static str,
    _slots: (OwnedSemaphorePermit, AddressSlot),
    _open: TaskTrackerToken,
}

impl ConnectionSlot {
    /// Counts a connection of `listener` as open.
    pub(super) fn new(
        listener: &'static str,
        slots: (OwnedSemaphorePermit, AddressSlot),
        open: TaskTrackerToken,
    ) -> Self {
        metrics::gauge!("threadline_connections", "listener" => listener).increment(1.0);
        Self { listener, _slots: slots, _open: open }
    }

    /// Logs and counts that this side closes the connection.
    pub(super) fn record_close(&self, reason: CloseReason) {
        tracing::debug!(listener = self.listener, reason = reason.name(), "connection closed by the server");
        // An idle connection that is closed is the normal end of keep-alive.
        if reason != CloseReason::Idle {
            let reason = reason.name();
            metrics::counter!("threadline_connections_cut_total", "listener" => self.listener, "reason" => reason)
                .increment(1);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        metrics::gauge!("threadline_connections", "listener" => self.listener).decrement(1.0);
    }
}
