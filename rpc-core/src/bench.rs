//! Access for benchmarks to what is private. Not part of the API.

use crate::rpc::{Feed, StreamPermit};
use threadline_engine::testing;

/// The log of a run.
#[derive(Default)]
pub struct Log(testing::Log);

impl Log {
    /// Appends an event and returns its number.
    pub fn append(&self, event: String) -> u64 {
        self.0.append(event)
    }

    /// Returns a feed from the beginning.
    pub fn feed(&self) -> Feed {
        Feed::of_run(self.0.feed(), StreamPermit::of_nobody())
    }
}
