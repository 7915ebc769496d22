//! Cancels a run whose reader disconnects, as the front ends of ChatKit expect when they close a request.

use super::cancel::cancel_run;
use crate::shared::Shared;
use crate::subscribe::{DisconnectGuard, RunFeed};
use std::sync::Arc;
use threadline_runtime::TaskKind;
use threadline_schema::error::Chain;
use threadline_schema::ids::UserId;

/// Cancels the run when this reader disconnects before the end, and the run has no reader when the grace period is
/// over: the same client may only have reloaded its page.
///
/// Only readers of this process count. One that follows the run on another process does not keep it running.
pub(crate) fn cancel_on_disconnect(shared: &Arc<Shared>, user_id: UserId, feed: &mut RunFeed) {
    let Some(log) = feed.log().cloned() else { return };
    let (guard, disconnected) = DisconnectGuard::new();
    feed.set_disconnect_guard(guard);
    let task_shared = shared.clone();
    shared.supervisor.spawn(TaskKind::DisconnectGrace, async move {
        tokio::select! {
            biased;
            () = log.closed() => return,
            // `Ok`: the guard was disarmed. `Err`: it was dropped.
            guard = disconnected => if guard.is_ok() { return },
        }
        tokio::time::sleep(task_shared.config.cancel_grace).await;
        if log.is_closed() || log.is_read() {
            return;
        }
        let run_id = log.run_id();
        match cancel_run(&task_shared, user_id, run_id).await {
            Ok(_) => tracing::debug!(%run_id, "run cancelled: its reader has disconnected"),
            Err(error) => {
                tracing::warn!(%run_id, error = %Chain(&error), "run continues although its reader has disconnected")
            }
        }
    });
}
