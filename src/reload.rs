//! SIGHUP: reloads the agents file, and never ends a service.

use crate::config::Settings;
use std::io::IsTerminal;
use std::sync::Arc;
use threadline_core::Core;
use threadline_core::config::AgentsConfig;
use threadline_runtime::{Supervisor, TaskKind};
use tokio::signal::unix::{SignalKind, signal};

/// Keeps SIGHUP from ending the process, and logs that there is nothing to reload if that is so. On a terminal, SIGHUP
/// says that the terminal is closed, and ends a process that has nothing to reload.
///
/// # Errors
///
/// When the operating system does not allow the signal handler.
pub fn survive_hangups(has_tls: bool, settings: &Settings, supervisor: &Supervisor) -> std::io::Result<()> {
    let is_used = has_tls || settings.agents_file.is_some();
    if !is_used && std::io::stderr().is_terminal() {
        return Ok(());
    }
    let mut hangups = signal(SignalKind::hangup())?;
    supervisor.spawn(TaskKind::AgentsReload, async move {
        while hangups.recv().await.is_some() {
            if !is_used {
                tracing::info!("SIGHUP: there is nothing to reload; neither AGENTS_FILE nor TLS_CERT_FILE is set");
            }
        }
    });
    Ok(())
}

/// Starts a task that reloads the agents file on each SIGHUP. If the file has an error, the agents do not change.
/// Without an agents file it does nothing.
///
/// # Errors
///
/// When the operating system does not allow the signal handler.
pub fn on_signal(settings: &Settings, core: &Arc<Core>, supervisor: &Supervisor) -> std::io::Result<()> {
    if settings.agents_file.is_none() {
        return Ok(());
    }
    let mut hangups = signal(SignalKind::hangup())?;
    let (settings, core) = (settings.clone(), core.clone());
    supervisor.spawn(TaskKind::AgentsReload, async move {
        while hangups.recv().await.is_some() {
            let (settings, core) = (settings.clone(), core.clone());
            // As a whole on a blocking thread: a panic anywhere in it is an error of this reload, and not the end of
            // the task.
            let reload = tokio::task::spawn_blocking(move || reload(&settings, &core));
            let outcome = match reload.await {
                Ok(Ok(Some(agents))) => {
                    let names = agents.agents.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
                    tracing::info!(agents = names, default = &*agents.default, "agents file reloaded");
                    "ok"
                }
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

/// Reads the agents file and replaces the agents. `None` if no file is configured.
fn reload(settings: &Settings, core: &Core) -> anyhow::Result<Option<AgentsConfig>> {
    let agents = settings.agents()?;
    if let Some(agents) = &agents {
        core.replace_agents(agents)?;
    }
    Ok(agents)
}
