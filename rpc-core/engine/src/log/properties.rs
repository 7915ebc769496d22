//! Property tests of the run log and the event codec.

use super::event_codec::{decode_row, encode_rows};
use super::event_list::EventList;
use super::run_log::{NumberedEvent, RunLog};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use threadline_schema::event::Event;
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::text_delta::TextDelta;
use threadline_store::rows::{EventRow, ROW_BYTES};
use threadline_store::to_unsigned;
use uuid::Uuid;

/// Deltas of a few texts, and other events.
fn event() -> impl Strategy<Value = Event> {
    let delta = (0..2_u128, 0..2_u32, any::<String>()).prop_map(|(item, index, text)| {
        Event::from(TextDelta::new(ItemId::from_uuid(Uuid::from_u128(item)), index, &text))
    });
    let other = any::<u32>().prop_map(|number| Event::from_json(format!(r#"{{"type":"notice","number":{number}}}"#)));
    prop_oneof![8 => delta, 1 => other]
}

/// What the events of a log are, kept in the simplest way.
#[derive(Debug, Default)]
struct Reference(Vec<NumberedEvent>);

impl Reference {
    fn last_seq(&self) -> u64 {
        self.0.last().map_or(0, |(seq, _)| *seq)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Event),
    /// Events of another process: this many numbers before or after the next one.
    Copy(i64, Vec<Event>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => event().prop_map(Step::Append),
        1 => (-3..=0_i64, vec(event(), 0..5)).prop_map(|(offset, events)| Step::Copy(offset, events)),
    ]
}

proptest! {
    #[test]
    fn decoding_gives_the_encoded_events(first in 1..u64::MAX / 4, events in vec(event(), 0..40)) {
        let list: EventList = events.iter().cloned().collect();
        let rows = encode_rows(RunId::nil(), first, &list.coalesced(0, usize::MAX, ROW_BYTES));
        let mut next = first;
        for row in &rows {
            prop_assert_eq!(to_unsigned(row.first_seq), next);
            next = to_unsigned(row.last_seq) + 1;
        }
        let decoded: Vec<_> = rows.into_iter().flat_map(decode_row).collect();
        let expected: Vec<_> = (first..).zip(events).collect();
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn coalesced_events_are_the_events_from_any_place(
        events in vec(event(), 0..40),
        from in 0..45_usize,
        limit in 0..45_usize,
        text_bytes in 1..40_usize,
    ) {
        let list: EventList = events.iter().cloned().collect();
        let rows = encode_rows(RunId::nil(), 1, &list.coalesced(from, limit, text_bytes));
        let decoded: Vec<_> = rows.into_iter().flat_map(decode_row).map(|(_, event)| event).collect();
        let expected: Vec<_> = events.into_iter().skip(from).take(limit).collect();
        prop_assert_eq!(&decoded, &expected);
        let mut read = VecDeque::new();
        list.read(from, limit, |index, event| read.push_back((index, event)));
        let expected: VecDeque<_> = (from..).zip(expected).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn decoding_anything_ends_at_the_last_number(
        event in prop_oneof![any::<String>(), any::<String>().prop_map(|text| TextDelta::new(ItemId::nil(), 0, &text).json())],
        cuts in proptest::option::of("[-0-9,x]{0,12}"),
        first in any::<i64>(),
        length in 0..5_i64,
    ) {
        let last = first.saturating_add(length);
        let row = EventRow { run_id: RunId::nil(), first_seq: first, last_seq: last, event, cuts };
        let decoded = decode_row(row);
        prop_assert_eq!(decoded.last().map(|(seq, _)| *seq), Some(to_unsigned(last)));
    }

    #[test]
    fn a_log_gives_each_reader_the_events_after_its_position(
        steps in vec(step(), 0..30),
        jump in proptest::option::of((0..30_usize, 1_000..2_000_u64)),
        after in 0..2_100_u64,
        limit in 0..60_usize,
    ) {
        let log = RunLog::new(RunId::nil());
        let mut reference = Reference::default();
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(event) => {
                    let seq = log.append(event.clone());
                    prop_assert_eq!(seq, reference.last_seq() + 1);
                    reference.0.push((seq, event));
                }
                Step::Copy(offset, events) => {
                    let next = reference.last_seq() + 1;
                    // One gap at most: a run changes its owner at most once before it is closed.
                    let start = match jump {
                        Some((at, seq)) if index == at && seq > next => seq,
                        _ => next.saturating_add_signed(offset).max(1),
                    };
                    let numbered: Vec<_> = (start..).zip(events).collect();
                    log.copy(numbered.clone(), false);
                    let last = reference.last_seq();
                    reference.0.extend(numbered.into_iter().filter(|(seq, _)| *seq > last));
                }
            }
        }
        prop_assert_eq!(log.last_seq(), reference.last_seq());
        let mut read = VecDeque::new();
        log.read(after, limit, &mut read);
        let expected: VecDeque<_> =
            reference.0.into_iter().filter(|(seq, _)| *seq > after).take(limit).collect();
        prop_assert_eq!(read, expected);
    }
}
