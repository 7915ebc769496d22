//! Trying again and again to reach a server, without filling the log.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::fmt::Display;
use std::time::Duration;

/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Counts tries to reach something. Each outage is one line in the log, and so is its end.
pub(super) struct Outage {
    what: &'static str,
    /// The pauses to come; `None` while all is well.
    pauses: Option<ExponentialBackoff>,
}

impl Outage {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, pauses: None }
    }

    /// It was reached.
    pub(super) fn over(&mut self) {
        if self.pauses.take().is_some() {
            tracing::info!(what = self.what, "reached again");
        }
    }

    /// It was not, or was lost. Waits until it is time to try again.
    pub(super) async fn goes_on(&mut self, error: impl Display) {
        let what = self.what;
        let pauses = self.pauses.get_or_insert_with(|| {
            tracing::warn!(what, %error, "not reached; replicas poll meanwhile");
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
