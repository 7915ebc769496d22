//! Events as rows of the log, and back.
//!
//! A model emits many small pieces of text. Neighbouring pieces become one row, which remembers where they end; read
//! back, they are the events they were, number by number and byte by byte: whoever comes back with a cursor in their
//! middle gets exactly what is missing.

use crate::store::rows::EventRow;
use std::sync::Arc;
use threadline_schema::event::text_delta::{self, Parts};
use uuid::Uuid;

/// Text in one row, at most (bytes of JSON): a row is read whole by whoever comes back into its middle.
const ROW_BYTES: usize = 16 * 1024;

/// Numbers of one epoch. Whoever closes a run for a process that died counts on from the next multiple, so no number
/// ever stands for two events: which ones the dead process had given out, nobody knows. No run comes near it.
const EPOCH_EVENTS: u64 = 1_000_000_000;

/// The number before the first of an epoch: the first owner of a run counts from 1.
pub(super) fn before_epoch(epoch: i64) -> u64 {
    u64::try_from(epoch.saturating_sub(1)).unwrap_or_default().saturating_mul(EPOCH_EVENTS)
}

/// Rows of events that are numbered from `first` on.
pub(super) fn pack(run_id: Uuid, first: u64, events: &[Arc<str>]) -> Vec<EventRow> {
    let mut rows: Vec<EventRow> = Vec::new();
    let mut open: Option<Merge<'_>> = None;
    for (seq, event) in (first..).zip(events) {
        let parts = text_delta::split(event);
        match (&mut open, parts) {
            (Some(merge), Some(parts)) if merge.takes(&parts) => merge.add(&parts),
            (_, parts) => {
                rows.extend(open.take().map(|merge| merge.row(run_id)));
                match parts {
                    Some(parts) => open = Some(Merge::new(seq, parts)),
                    None => rows.push(row(run_id, seq, seq, event.to_string(), None)),
                }
            }
        }
    }
    rows.extend(open.map(|merge| merge.row(run_id)));
    rows
}

/// The events of a row, each with its number. Of a row that does not fit its cuts it is one event, with the last of its
/// numbers: no word is lost, and whoever reads on gets past it.
pub(super) fn unpack(row: EventRow) -> Vec<(u64, Arc<str>)> {
    let (first, last, event) = (unsigned(row.first_seq), unsigned(row.last_seq), row.event);
    let Some((cuts, parts)) = row.cuts.as_deref().zip(text_delta::split(&event)) else {
        return vec![(last, event.into())];
    };
    let mut rest = unquoted(parts.delta);
    let mut events = Vec::new();
    for (seq, cut) in (first..).zip(cuts.split(',')) {
        let Some((piece, tail)) = cut.parse().ok().and_then(|cut| rest.split_at_checked(cut)) else {
            tracing::error!(run_id = %row.run_id.0, first, "a row of the log does not fit its cuts");
            return vec![(last, event.into())];
        };
        rest = tail;
        let delta = ["\"", piece, "\""].concat();
        events.push((seq, text_delta::join(Parts { delta: &delta, ..parts }).into()));
    }
    if events.last().is_none_or(|(seq, _)| *seq != last) || !rest.is_empty() {
        tracing::error!(run_id = %row.run_id.0, first, "a row of the log has other events than its numbers say");
        return vec![(last, event.into())];
    }
    events
}

/// Neighbouring pieces of one text.
struct Merge<'a> {
    first: u64,
    parts: Parts<'a>,
    /// The text, as it stands between the quotes.
    text: String,
    cuts: Vec<usize>,
}

impl<'a> Merge<'a> {
    fn new(first: u64, parts: Parts<'a>) -> Self {
        let mut merge = Self { first, parts, text: String::new(), cuts: Vec::new() };
        merge.add(&parts);
        merge
    }

    fn takes(&self, parts: &Parts<'_>) -> bool {
        self.parts.item_id == parts.item_id
            && self.parts.content_index == parts.content_index
            && self.text.len() < ROW_BYTES
    }

    fn add(&mut self, parts: &Parts<'_>) {
        let text = unquoted(parts.delta);
        self.text.push_str(text);
        self.cuts.push(text.len());
    }

    fn row(self, run_id: Uuid) -> EventRow {
        let delta = ["\"", &self.text, "\""].concat();
        let event = text_delta::join(Parts { delta: &delta, ..self.parts });
        let last = self.first + self.cuts.len() as u64 - 1;
        let cuts = (self.cuts.len() > 1).then(|| {
            let cuts: Vec<String> = self.cuts.iter().map(ToString::to_string).collect();
            cuts.join(",")
        });
        row(run_id, self.first, last, event, cuts)
    }
}

/// A JSON string without its quotes.
fn unquoted(json: &str) -> &str {
    json.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default()
}

fn row(run_id: Uuid, first: u64, last: u64, event: String, cuts: Option<String>) -> EventRow {
    EventRow { run_id: run_id.into(), first_seq: signed(first), last_seq: signed(last), event, cuts }
}

/// A number as the database keeps it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(item: Uuid, index: u32, text: &str) -> Arc<str> {
        text_delta::write(item, index, text).unwrap().into()
    }

    fn back(rows: Vec<EventRow>) -> Vec<(u64, Arc<str>)> {
        rows.into_iter().flat_map(unpack).collect()
    }

    #[test]
    fn pieces_of_one_text_are_one_row_and_come_back_as_they_were() {
        let (run, item, other) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let added: Arc<str> = r#"{"type":"thread.item.added","item":{}}"#.into();
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
        let rows = pack(run, 5, &events);
        let ranges: Vec<_> = rows.iter().map(|row| (row.first_seq, row.last_seq)).collect();
        assert_eq!(ranges, [(5, 5), (6, 8), (9, 9), (10, 10), (11, 11), (12, 12)]);
        assert_eq!(rows[1].event, *delta(item, 0, "Hello \"you\"\n\u{1F95B} ä"));
        let expected: Vec<_> = (5..).zip(events).collect();
        assert_eq!(back(rows), expected);
    }

    #[test]
    fn a_long_text_is_several_rows() {
        let (run, item) = (Uuid::now_v7(), Uuid::now_v7());
        let events: Vec<_> = (0..1_000).map(|n| delta(item, 0, &format!("{n} ").repeat(20))).collect();
        let rows = pack(run, 1, &events);
        assert!((2..100).contains(&rows.len()), "{}", rows.len());
        assert!(rows.iter().all(|row| row.event.len() < ROW_BYTES + 1_000));
        assert_eq!(back(rows), (1..).zip(events).collect::<Vec<_>>());
    }

    #[test]
    fn a_row_that_makes_no_sense_is_no_panic() {
        let item = Uuid::now_v7();
        let event = delta(item, 0, "ä").to_string();
        for cuts in ["1,1", "2", "1,1,0", "99", "x", "", "-1"] {
            let row = EventRow {
                run_id: item.into(),
                first_seq: 1,
                last_seq: 2,
                event: event.clone(),
                cuts: Some(cuts.to_owned()),
            };
            let expected: Arc<str> = event.clone().into();
            assert_eq!(unpack(row), [(2, expected)], "{cuts}");
        }
    }

    #[test]
    fn epochs_do_not_share_numbers() {
        assert_eq!((before_epoch(1), before_epoch(2), before_epoch(3)), (0, 1_000_000_000, 2_000_000_000));
    }
}
