//! SIGHUP: the agents file is read again.

use crate::config::Settings;
use std::sync::Arc;
use threadline_core::Core;
use tokio::signal::unix::{SignalKind, signal};

/// Reads the agents file again at every SIGHUP, for as long as the process lives. It is taken whole or not at all: while
/// it is wrong, the agents stay as they are. Without such a file the signal does what it does everywhere.
///
/// # Errors
///
/// The operating system refuses to hand signals over.
pub fn on_signal(settings: &Settings, core: &Arc<Core>) -> std::io::Result<()> {
    if settings.agents_file.is_none() {
        return Ok(());
    }
    let mut hangups = signal(SignalKind::hangup())?;
    let (settings, core) = (settings.clone(), core.clone());
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let settings = settings.clone();
            let read = tokio::task::spawn_blocking(move || settings.agents()).await;
            let outcome = match read {
                Ok(Ok(Some(agents))) => match core.replace_agents(&agents) {
                    Ok(()) => {
                        let names = agents.agents.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
                        tracing::info!(agents = names, default = &*agents.default, "the agents were read again");
                        "ok"
                    }
                    Err(error) => {
                        tracing::error!(%error, "the agents file is refused; the agents stay as they are");
                        "refused"
                    }
                },
                Ok(Ok(None)) => continue,
                Ok(Err(error)) => {
                    tracing::error!(%error, "the agents file is refused; the agents stay as they are");
                    "refused"
                }
                Err(error) => {
                    tracing::error!(%error, "the agents file could not be read again");
                    "refused"
                }
            };
            metrics::counter!("threadline_agents_reloads_total", "outcome" => outcome).increment(1);
        }
    });
    Ok(())
}
