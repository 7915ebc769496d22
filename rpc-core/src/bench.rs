//! Access for benchmarks to what is private. Not part of the API.

use crate::rpc::{Feed, StreamPermit};
use threadline_engine::testing;
use threadline_schema::ids::ItemId;

/// The log of a run.
#[derive(Default)]
pub struct Log(testing::Log);

impl Log {
    /// Appends a text delta of a message.
    pub fn append_text(&self, item_id: ItemId, delta: &str) {
        self.0.append_text(item_id, delta);
    }

    /// Returns a feed from the beginning.
    pub fn feed(&self) -> Feed {
        Feed::of_run(self.0.feed(), StreamPermit::without_user())
    }
}
