//! The signals that stop the process.

use threadline_runtime::{Supervisor, TaskKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Handles SIGTERM and SIGINT. The first one cancels the returned token, so that the process drains and ends. The
/// second one ends the process at once, with exit code 128 + signal number, as shells report it.
///
/// # Errors
///
/// When the operating system does not allow the signal handlers.
pub fn on_signal(supervisor: &Supervisor) -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    supervisor.spawn(TaskKind::StopSignal, async move {
        let (name, _) = next(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "stopping; a second signal ends the process at once");
        token.cancel();
        let (name, number) = next(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "second signal; ending without a drain");
        std::process::exit(128 + number);
    });
    Ok(stop)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
        _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_first_signal_cancels_the_token_and_does_not_end_the_process() {
        let stop = on_signal(&Supervisor::default()).unwrap();
        assert!(!stop.is_cancelled());
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        tokio::time::timeout(Duration::from_secs(5), stop.cancelled()).await.expect("the token is cancelled");
    }
}
