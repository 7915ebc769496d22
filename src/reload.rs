//! Reloads the agents file on SIGHUP.

use crate::config::Settings;
use std::sync::Arc;
use threadline_core::Core;
use tokio::signal::unix::{SignalKind, signal};

/// Starts a task that reloads the agents file on each SIGHUP. If the file has an error, the agents do not change.
/// Without an agents file, SIGHUP keeps its default action, which ends the process.
///
/// # Errors
///
/// When the operating system does not allow the signal handler.
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
                        tracing::info!(agents = names, default = &*agents.default, "agents file reloaded");
                        "ok"
                    }
                    Err(error) => {
                        tracing::error!(%error, "agents file has an error; the agents do not change");
                        "refused"
                    }
                },
                Ok(Ok(None)) => continue,
                Ok(Err(error)) => {
                    tracing::error!(%error, "agents file has an error; the agents do not change");
                    "refused"
                }
                Err(error) => {
                    tracing::error!(%error, "agents file could not be reloaded");
                    "refused"
                }
            };
            metrics::counter!("threadline_agents_reloads_total", "outcome" => outcome).increment(1);
        }
    });
    Ok(())
}
