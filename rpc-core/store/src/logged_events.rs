//! Consecutive events of a run, as they are read from segments.

use super::rows::EventRow;
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::text_delta::{TextDelta, TextPiece};

/// Bytes of text after which another row begins, as in the rows that runs write themselves.
pub const ROW_BYTES: usize = 16 * 1024;

/// Maximum number of events of one epoch. Each owner of a run numbers its events from a multiple of this, because the
/// numbers that a dead owner had used are not known.
pub const EPOCH_EVENTS: i64 = 1_000_000_000;

/// Consecutive events of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvents {
    /// The run.
    pub run_id: RunId,
    /// Number of the first.
    pub first_seq: i64,
    /// What they are.
    pub body: LoggedBody,
}

/// One event, or neighbouring text deltas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedBody {
    /// An event as JSON.
    Event(String),
    /// Neighbouring deltas of one text.
    Text {
        /// The item of the text.
        item_id: ItemId,
        /// Its content part.
        content_index: u32,
        /// The deltas together, as they stand between the quotes of their JSON.
        text: String,
        /// Bytes of each delta.
        cuts: Vec<u32>,
    },
}

impl LoggedEvents {
    /// Returns the number of the last event.
    pub fn last_seq(&self) -> i64 {
        let count = match &self.body {
            LoggedBody::Event(_) => 1,
            LoggedBody::Text { cuts, .. } => i64::try_from(cuts.len()).unwrap_or(i64::MAX),
        };
        self.first_seq.saturating_add(count - 1)
    }

    /// Returns the events after a number; `None` if there are none.
    pub fn after(mut self, after: i64) -> Option<Self> {
        if self.first_seq > after {
            return Some(self);
        }
        if self.last_seq() <= after {
            return None;
        }
        let LoggedBody::Text { text, cuts, .. } = &mut self.body else { return None };
        let skipped: Vec<u32> = cuts.drain(..usize::try_from(after - self.first_seq + 1).ok()?).collect();
        let bytes: usize = skipped.into_iter().filter_map(|cut| usize::try_from(cut).ok()).sum();
        *text = text.get(bytes..)?.to_owned();
        self.first_seq = after + 1;
        Some(self)
    }

    /// Appends later events, if they continue the same text. Returns them otherwise.
    fn join(&mut self, later: Self) -> Option<Self> {
        let next = self.last_seq().saturating_add(1);
        match (&mut self.body, later.body) {
            (
                LoggedBody::Text { item_id, content_index, text, cuts },
                LoggedBody::Text { item_id: same_id, content_index: same_index, text: more, cuts: more_cuts },
            ) if later.first_seq == next
                && (*item_id, *content_index) == (same_id, same_index)
                && text.len() < ROW_BYTES =>
            {
                text.push_str(&more);
                cuts.extend(more_cuts);
                None
            }
            (_, body) => Some(Self { body, ..later }),
        }
    }

    /// Returns the row of `run_events` with these events.
    pub(super) fn into_row(self) -> EventRow {
        let (run_id, first_seq, last_seq) = (self.run_id, self.first_seq, self.last_seq());
        let (event, cuts) = match self.body {
            LoggedBody::Event(json) => (json, None),
            LoggedBody::Text { item_id, content_index, text, cuts } => {
                let ends: Vec<String> = cuts.iter().map(ToString::to_string).collect();
                let delta = TextDelta { item_id, content_index, text: TextPiece::new(text) };
                (delta.json(), (ends.len() > 1).then(|| ends.join(",")))
            }
        };
        EventRow { run_id, first_seq, last_seq, event, cuts }
    }
}

/// Returns the events of one run after a number, each once, in order, and joined where they are neighbours. Segments
/// can have an event twice: a process that does not know whether it was written writes it again.
pub(super) fn in_order(mut events: Vec<LoggedEvents>, after: i64) -> Vec<LoggedEvents> {
    events.sort_by_key(|events| events.first_seq);
    let mut ordered: Vec<LoggedEvents> = Vec::new();
    let mut last = after;
    for events in events {
        let Some(events) = events.after(last) else { continue };
        last = events.last_seq();
        let other = match ordered.last_mut() {
            Some(earlier) => earlier.join(events),
            None => Some(events),
        };
        ordered.extend(other);
    }
    ordered
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(first_seq: i64, deltas: &[&str]) -> LoggedEvents {
        let cuts = deltas.iter().map(|delta| u32::try_from(delta.len()).unwrap()).collect();
        let body = LoggedBody::Text { item_id: ItemId::nil(), content_index: 0, text: deltas.concat(), cuts };
        LoggedEvents { run_id: RunId::nil(), first_seq, body }
    }

    fn event(first_seq: i64) -> LoggedEvents {
        LoggedEvents { run_id: RunId::nil(), first_seq, body: LoggedBody::Event("{}".to_owned()) }
    }

    #[test]
    fn events_that_were_written_twice_are_read_once() {
        let written = vec![text(1, &["a", "b"]), text(1, &["a", "b", "ä"]), event(4), text(5, &["d"]), text(3, &["ä"])];
        assert_eq!(in_order(written.clone(), 0), [text(1, &["a", "b", "ä"]), event(4), text(5, &["d"])]);
        assert_eq!(in_order(written.clone(), 2), [text(3, &["ä"]), event(4), text(5, &["d"])]);
        assert!(in_order(written, 5).is_empty());
    }

    #[test]
    fn neighbours_are_joined_and_gaps_stay() {
        let written = vec![text(1, &["a"]), text(2, &["", "b"]), text(9, &["c"])];
        assert_eq!(in_order(written, 0), [text(1, &["a", "", "b"]), text(9, &["c"])]);
        let row = text(3, &["a", "\u{e4}"]).into_row();
        assert_eq!((row.first_seq, row.last_seq, row.cuts.as_deref()), (3, 4, Some("1,2")));
        assert_eq!(row.event, TextDelta::new(ItemId::nil(), 0, "a\u{e4}").json());
        assert_eq!(text(3, &["a"]).into_row().cuts, None);
    }
}
