//! Access for benchmarks and tests to what is private. Not part of the API.

use crate::log::{self, RunLog};
use crate::subscribe::RunFeed;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::event::Event;
use threadline_schema::ids::RunId;
use threadline_store::rows::EventRow;

/// Encodes events as the journal does.
pub fn encode_rows(run_id: RunId, first_seq: u64, events: &[Event]) -> Vec<EventRow> {
    log::encode_rows(run_id, first_seq, events)
}

/// Decodes a row as a replay does: events with their sequence numbers.
pub fn decode_row(row: EventRow) -> Vec<(u64, Event)> {
    log::decode_row(row)
}

/// The log of a run.
pub struct Log(Arc<RunLog>);

impl Default for Log {
    fn default() -> Self {
        Self(Arc::new(RunLog::new(uuid::Uuid::new_v4().into())))
    }
}

impl Log {
    /// Appends an event and returns its number.
    pub fn append(&self, event: String) -> u64 {
        self.0.append(Event::from_json(event))
    }

    /// Returns a feed from the beginning.
    pub fn feed(&self) -> RunFeed {
        RunFeed::live(self.0.clone(), 0, Duration::from_secs(3600))
    }
}
