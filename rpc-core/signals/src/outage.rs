//! Reconnecting to a server, with few log lines.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::fmt::Display;
use std::time::Duration;

/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The connection state of one server. Logs one line when an outage begins, and one when it ends.
pub(super) struct Outage {
    what: &'static str,
    /// The next pauses; `None` while the server can be reached.
    pauses: Option<ExponentialBackoff>,
}

impl Outage {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, pauses: None }
    }

    /// Notes that the server was reached.
    pub(super) fn end(&mut self) {
        if self.pauses.take().is_some() {
            tracing::info!(what = self.what, "the server can be reached again");
        }
    }

    /// Notes that the server could not be reached, or that the connection was lost. Waits until the next attempt.
    pub(super) async fn wait(&mut self, error: impl Display) {
        let what = self.what;
        let pauses = self.pauses.get_or_insert_with(|| {
            tracing::warn!(what, %error, "the server cannot be reached; replicas poll the database until then");
            ExponentialBuilder::default()
                .with_jitter()
                .with_min_delay(Duration::from_millis(100))
                .with_max_delay(MAX_PAUSE)
                .without_max_times()
                .build()
        });
        tokio::time::sleep(pauses.next().unwrap_or(MAX_PAUSE)).await;
    }
}
