//! What other processes say, and what this one does about it.

use super::cancel;
use crate::core::Core;
use crate::signals::Command;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Listens until the core ends, or it is told to end.
pub(crate) fn spawn(core: &Arc<Core>, stop: CancellationToken) {
    if !core.signals.has_carrier() {
        return;
    }
    let mut commands = core.signals.commands();
    let core = Arc::downgrade(core);
    tokio::spawn(async move {
        loop {
            let command = tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => command,
            };
            let Some(core) = core.upgrade() else { return };
            match command {
                Ok(Command::Began { thread_id, .. }) => core.hub.run_began(thread_id),
                Ok(Command::Changed { thread_id, item_id }) => core.hub.changed(thread_id, item_id),
                Ok(Command::Cancel { run_id }) => cancel::obey_one(&core, run_id),
                // What was missed is found by looking, a little later.
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "signals of other processes were missed"),
                Err(RecvError::Closed) => return,
            }
        }
    });
}
