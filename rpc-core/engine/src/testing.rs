//! Access for benchmarks and tests to what is private. Not part of the API.

use crate::lifecycle::UserMessageInput;
use crate::log::{self, RunLog};
use crate::subscribe::RunFeed;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::chatkit::{Extra, InferenceOptions, ThreadItem, UserContent, UserMessage};
use threadline_schema::event::Event;
use threadline_schema::ids::{ItemId, RunId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_store::Clock;
use threadline_store::rows::{EventRow, NewItem};

/// Encodes events as the journal does.
pub fn encode_rows(run_id: RunId, first_seq: u64, events: &[Event]) -> Vec<EventRow> {
    log::encode_events(run_id, first_seq, events)
}

/// Decodes a row as a replay does: events with their sequence numbers.
pub fn decode_row(row: EventRow) -> Vec<(u64, Event)> {
    log::decode_row(row)
}

/// Makes a message that is only text, without a title for its thread.
///
/// # Errors
/// If the message cannot be serialised.
pub fn text_message(clock: &Clock, thread_id: ThreadId, text: &str) -> serde_json::Result<UserMessageInput> {
    let (id, created_at) = (clock.new_id::<ItemId>(), clock.now());
    let message = ThreadItem::UserMessage(UserMessage {
        id,
        thread_id,
        created_at: created_at.utc(),
        content: vec![UserContent::Text { text: text.to_owned(), extra: Extra::new() }],
        attachments: Vec::new(),
        quoted_text: None,
        inference_options: InferenceOptions::default(),
        extra: Extra::new(),
    });
    let body = serde_json::to_string(&message)?;
    let item = NewItem { id, kind: ItemKind::UserMessage, hidden: false, body, created_at };
    Ok(UserMessageInput { item, message, title: None, attachments: Vec::new(), reservation: None })
}

/// The log of a run.
pub struct Log(Arc<RunLog>);

impl Default for Log {
    fn default() -> Self {
        Self(Arc::new(RunLog::new(RunId::random())))
    }
}

impl Log {
    /// Appends a text delta of a message.
    pub fn append_text(&self, item_id: ItemId, delta: &str) {
        self.0.append_text(item_id, 0, delta);
        self.0.wake_readers();
    }

    /// Returns a feed from the beginning.
    pub fn feed(&self) -> RunFeed {
        RunFeed::live(self.0.clone(), 0, Duration::from_secs(3600))
    }
}
