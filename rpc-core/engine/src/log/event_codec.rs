//! Events as rows of the database, and back.
//!
//! A model emits many small pieces of text. Neighbouring text deltas become one row, with the positions where they end.
//! Decoding returns the same events with the same numbers and bytes: a client whose cursor is in the middle of a row
//! gets exactly the missing deltas.

use super::run_log::NumberedEvent;
use threadline_schema::event::Event;
use threadline_schema::event::text_delta::{self, Parts};
use threadline_schema::ids::RunId;
use threadline_store::rows::EventRow;

/// Maximum size of the JSON text in one row, in bytes. For a cursor in the middle of a row, the whole row is read.
const ROW_BYTES: usize = 16 * 1024;

/// Sequence numbers per epoch. A process that closes a run of a dead process starts at the next multiple, because it
/// cannot know which numbers the dead process has used. No run has nearly as many events.
const EPOCH_EVENTS: u64 = 1_000_000_000;

/// Returns the number before the first of an epoch. The first owner of a run counts from 1.
pub(crate) fn last_seq_before_epoch(epoch: i64) -> u64 {
    to_unsigned(epoch.saturating_sub(1)).saturating_mul(EPOCH_EVENTS)
}

/// Encodes events that are numbered from `first_seq` on.
pub(crate) fn encode_rows(run_id: RunId, first_seq: u64, events: &[Event]) -> Vec<EventRow> {
    let mut rows: Vec<EventRow> = Vec::new();
    let mut open: Option<DeltaRow<'_>> = None;
    for (seq, event) in (first_seq..).zip(events) {
        let delta = text_delta::split(event.json());
        match (&mut open, delta) {
            (Some(row), Some(delta)) if row.accepts(&delta) => row.add(&delta),
            (_, delta) => {
                rows.extend(open.take().map(|row| row.finish(run_id)));
                match delta {
                    Some(delta) => open = Some(DeltaRow::new(seq, delta)),
                    None => rows.push(event_row(run_id, seq, seq, event.json().to_string(), None)),
                }
            }
        }
    }
    rows.extend(open.map(|row| row.finish(run_id)));
    rows
}

/// Decodes a row. If the cuts of a row do not fit its text, it becomes one event with the last of its numbers: no text
/// is lost, and a reader continues after it.
pub(crate) fn decode_row(row: EventRow) -> Vec<NumberedEvent> {
    let (first, last, json) = (to_unsigned(row.first_seq), to_unsigned(row.last_seq), row.event);
    let Some((cuts, parts)) = row.cuts.as_deref().zip(text_delta::split(&json)) else {
        return vec![(last, Event::from_json(json))];
    };
    let mut rest = unquote(parts.delta);
    let mut events = Vec::new();
    for (seq, cut) in (first..).zip(cuts.split(',')) {
        let Some((piece, tail)) = cut.parse().ok().and_then(|cut| rest.split_at_checked(cut)) else {
            tracing::error!(run_id = %row.run_id, first, "event row has cuts that do not fit its text");
            return vec![(last, Event::from_json(json))];
        };
        rest = tail;
        let delta = ["\"", piece, "\""].concat();
        events.push((seq, Event::from_json(text_delta::join(Parts { delta: &delta, ..parts }))));
    }
    if events.last().is_none_or(|(seq, _)| *seq != last) || !rest.is_empty() {
        tracing::error!(run_id = %row.run_id, first, "event row has other events than its numbers say");
        return vec![(last, Event::from_json(json))];
    }
    events
}

/// A row of neighbouring deltas of one text.
struct DeltaRow<'a> {
    first_seq: u64,
    parts: Parts<'a>,
    /// The text as it stands between the quotes of its JSON.
    text: String,
    /// Bytes of each delta in `text`.
    cuts: Vec<usize>,
}

impl<'a> DeltaRow<'a> {
    fn new(first_seq: u64, parts: Parts<'a>) -> Self {
        let mut row = Self { first_seq, parts, text: String::new(), cuts: Vec::new() };
        row.add(&parts);
        row
    }

    fn accepts(&self, delta: &Parts<'_>) -> bool {
        self.parts.item_id == delta.item_id
            && self.parts.content_index == delta.content_index
            && self.text.len() < ROW_BYTES
    }

    fn add(&mut self, delta: &Parts<'_>) {
        let text = unquote(delta.delta);
        self.text.push_str(text);
        self.cuts.push(text.len());
    }

    fn finish(self, run_id: RunId) -> EventRow {
        let delta = ["\"", &self.text, "\""].concat();
        let json = text_delta::join(Parts { delta: &delta, ..self.parts });
        let last_seq = self.first_seq + self.cuts.len() as u64 - 1;
        let cuts = (self.cuts.len() > 1).then(|| {
            let cuts: Vec<String> = self.cuts.iter().map(ToString::to_string).collect();
            cuts.join(",")
        });
        event_row(run_id, self.first_seq, last_seq, json, cuts)
    }
}

fn event_row(run_id: RunId, first_seq: u64, last_seq: u64, event: String, cuts: Option<String>) -> EventRow {
    EventRow { run_id, first_seq: to_signed(first_seq), last_seq: to_signed(last_seq), event, cuts }
}

/// Removes the quotes of a JSON string.
fn unquote(json: &str) -> &str {
    json.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default()
}

/// Converts a number to the type of the database. Saturates.
pub(crate) fn to_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts a number of the database, where it is never negative.
pub(crate) fn to_unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::ids::ItemId;

    fn delta(item: ItemId, index: u32, text: &str) -> Event {
        Event::from_json(text_delta::write(item, index, text).unwrap())
    }

    fn decode(rows: Vec<EventRow>) -> Vec<NumberedEvent> {
        rows.into_iter().flat_map(decode_row).collect()
    }

    #[test]
    fn deltas_of_one_text_are_one_row_and_come_back_as_they_were() {
        let (run, item, other) = (RunId::random(), ItemId::random(), ItemId::random());
        let added = Event::from_json(r#"{"type":"thread.item.added","item":{}}"#);
        let events = vec![
            added.clone(),
            delta(item, 0, "Hel"),
            delta(item, 0, ""),
            delta(item, 0, "lo \"you\"\n\u{1F95B} ä"),
            delta(item, 1, "next part"),
            delta(other, 0, "\"\\"),
            added,
            delta(item, 0, "end"),
        ];
        let rows = encode_rows(run, 5, &events);
        let ranges: Vec<_> = rows.iter().map(|row| (row.first_seq, row.last_seq)).collect();
        assert_eq!(ranges, [(5, 5), (6, 8), (9, 9), (10, 10), (11, 11), (12, 12)]);
        assert_eq!(rows[1].event, **delta(item, 0, "Hello \"you\"\n\u{1F95B} ä").json());
        let expected: Vec<_> = (5..).zip(events).collect();
        assert_eq!(decode(rows), expected);
    }

    #[test]
    fn a_long_text_is_several_rows() {
        let (run, item) = (RunId::random(), ItemId::random());
        let events: Vec<_> = (0..1_000).map(|n| delta(item, 0, &format!("{n} ").repeat(20))).collect();
        let rows = encode_rows(run, 1, &events);
        assert!((2..100).contains(&rows.len()), "{}", rows.len());
        assert!(rows.iter().all(|row| row.event.len() < ROW_BYTES + 1_000));
        assert_eq!(decode(rows), (1..).zip(events).collect::<Vec<_>>());
    }

    #[test]
    fn a_corrupt_row_is_no_panic_and_loses_no_text() {
        let item = ItemId::random();
        let event = delta(item, 0, "ä").json().to_string();
        for cuts in ["1,1", "2", "1,1,0", "99", "x", "", "-1"] {
            let row = EventRow {
                run_id: RunId::nil(),
                first_seq: 1,
                last_seq: 2,
                event: event.clone(),
                cuts: Some(cuts.to_owned()),
            };
            assert_eq!(decode_row(row), [(2, Event::from_json(event.as_str()))], "{cuts}");
        }
    }

    #[test]
    fn epochs_do_not_share_numbers() {
        let starts = [1, 2, 3].map(last_seq_before_epoch);
        assert_eq!(starts, [0, 1_000_000_000, 2_000_000_000]);
    }
}
