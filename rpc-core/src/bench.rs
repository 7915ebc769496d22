//! Doors for the benchmarks to what is private; no part of the API.

use crate::rpc::{Feed, OpenStreams};
use crate::runs::{RunFeed, RunLog};
use std::sync::Arc;
use std::time::Duration;

/// The log of a run.
pub struct Log(Arc<RunLog>);

impl Default for Log {
    fn default() -> Self {
        Self(Arc::new(RunLog::new(uuid::Uuid::now_v7())))
    }
}

impl Log {
    /// Adds an event and returns its number.
    pub fn append(&self, event: String) -> u64 {
        self.0.append(event)
    }

    /// A reader from the beginning.
    pub fn feed(&self) -> Feed {
        let feed = RunFeed::live(self.0.clone(), 0, Duration::from_secs(3600));
        Feed::of_run(feed, OpenStreams::unlimited())
    }
}
