//! Events as rows of the database, and back.
//!
//! A model emits many small pieces of text. Neighbouring text deltas become one row, with the positions where they end.
//! Decoding returns the same events with the same numbers and bytes: a client whose cursor is in the middle of a row
//! gets exactly the missing deltas.

use super::event_list::{CoalescedEvent, CoalescedText, EventList};
use super::run_log::NumberedEvent;
use std::fmt::Write;
use threadline_schema::event::Event;
use threadline_schema::ids::RunId;
use threadline_schema::text_delta::{TextDelta, TextPiece};
use threadline_store::rows::{EventRow, LoggedBody, LoggedEvents, ROW_BYTES};
use threadline_store::{to_signed, to_unsigned};

/// Returns the number before the first of an epoch. The first owner of a run counts from 1.
pub(crate) fn last_seq_before_epoch(epoch: i64) -> u64 {
    to_unsigned(threadline_store::last_seq_before_epoch(epoch))
}

/// Encodes events that are numbered from `first_seq` on: a row for each coalesced event.
pub(crate) fn encode_rows(run_id: RunId, first_seq: u64, events: &[CoalescedEvent]) -> Vec<EventRow> {
    let mut next = first_seq;
    let rows = events.iter().map(|coalesced| {
        let first = next;
        next += coalesced.len() as u64;
        let (event, cuts) = match coalesced {
            CoalescedEvent::Event(event) => (event.json().into_owned(), None),
            CoalescedEvent::Text(CoalescedText { delta, cuts }) => (delta.json(), (cuts.len() > 1).then(|| join(cuts))),
        };
        EventRow { run_id, first_seq: to_signed(first), last_seq: to_signed(next - 1), event, cuts }
    });
    rows.collect()
}

/// Encodes events that are in no log, like [`encode_rows`].
pub(crate) fn encode_events(run_id: RunId, first_seq: u64, events: &[Event]) -> Vec<EventRow> {
    let events: EventList = events.iter().cloned().collect();
    encode_rows(run_id, first_seq, &events.coalesced(0, usize::MAX, ROW_BYTES))
}

/// Decodes a row. If the cuts of a row do not fit its text, it becomes one event with the last of its numbers: no text
/// is lost, and a reader continues after it.
pub(crate) fn decode_row(row: EventRow) -> Vec<NumberedEvent> {
    let (first, last) = (to_unsigned(row.first_seq), to_unsigned(row.last_seq));
    let event = Event::from_json(row.event);
    let Some((cuts, whole)) = row.cuts.as_deref().zip(event.text_delta()) else { return vec![(last, event)] };
    let mut events = Vec::new();
    let mut start = 0_usize;
    for (seq, cut) in (first..).zip(cuts.split(',')) {
        let end = cut.parse().ok().and_then(|cut: usize| start.checked_add(cut));
        let Some(end) = end.filter(|end| whole.text.as_str().get(start..*end).is_some()) else {
            tracing::error!(run_id = %row.run_id, first, "event row has cuts that do not fit its text");
            return vec![(last, event)];
        };
        events.push((seq, TextDelta { text: whole.text.part(start, end), ..whole.clone() }.into()));
        start = end;
    }
    if events.last().is_none_or(|(seq, _)| *seq != last) || start != whole.text.as_str().len() {
        tracing::error!(run_id = %row.run_id, first, "event row has other events than its numbers say");
        return vec![(last, event)];
    }
    events
}

/// Decodes what was read from segments.
pub(crate) fn decode_logged(events: LoggedEvents) -> Vec<NumberedEvent> {
    let (first, last) = (to_unsigned(events.first_seq), to_unsigned(events.last_seq()));
    match events.body {
        LoggedBody::Event(json) => vec![(last, Event::from_json(json))],
        LoggedBody::Text { item_id, content_index, text, cuts } => {
            let whole = TextPiece::new(text);
            let mut start = 0_usize;
            let deltas = (first..).zip(cuts).map(|(seq, cut)| {
                let end = start.saturating_add(usize::try_from(cut).unwrap_or(usize::MAX));
                let text = whole.part(start, end);
                start = end;
                (seq, TextDelta { item_id, content_index, text }.into())
            });
            deltas.collect()
        }
    }
}

fn join(cuts: &[u32]) -> String {
    let mut out = String::with_capacity(cuts.len() * 3);
    for cut in cuts {
        if !out.is_empty() {
            out.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{cut}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::ids::ItemId;

    fn delta(item: ItemId, index: u32, text: &str) -> Event {
        TextDelta::new(item, index, text).into()
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
        let rows = encode_events(run, 5, &events);
        let ranges: Vec<_> = rows.iter().map(|row| (row.first_seq, row.last_seq)).collect();
        assert_eq!(ranges, [(5, 5), (6, 8), (9, 9), (10, 10), (11, 11), (12, 12)]);
        assert_eq!(rows[1].event, delta(item, 0, "Hello \"you\"\n\u{1F95B} ä").json());
        let expected: Vec<_> = (5..).zip(events).collect();
        assert_eq!(decode(rows), expected);
    }

    #[test]
    fn a_long_text_is_several_rows() {
        let (run, item) = (RunId::random(), ItemId::random());
        let events: Vec<_> = (0..1_000).map(|n| delta(item, 0, &format!("{n} ").repeat(20))).collect();
        let rows = encode_events(run, 1, &events);
        assert!((2..100).contains(&rows.len()), "{}", rows.len());
        assert!(rows.iter().all(|row| row.event.len() < ROW_BYTES + 1_000));
        assert_eq!(decode(rows), (1..).zip(events).collect::<Vec<_>>());
    }

    #[test]
    fn a_corrupt_row_is_no_panic_and_loses_no_text() {
        let item = ItemId::random();
        let event = delta(item, 0, "ä").json().into_owned();
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
