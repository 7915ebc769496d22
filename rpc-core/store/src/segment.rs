//! The form of a segment: events of any number of runs in one value.
//!
//! A version, then one entry after the other. Numbers are LEB128, lengths are in bytes.
//!
//! | entry | |
//! | --- | --- |
//! | event | run (16 bytes), number, `0`, length, JSON |
//! | neighbouring text deltas | run, number of the first, `1`, item (16 bytes), content index, count, length of each, text |

use super::rows::{LoggedBody, LoggedEvents};
use threadline_schema::ids::{ItemId, RunId};
use uuid::Uuid;

const VERSION: u8 = 1;
const EVENT: u8 = 0;
const TEXT: u8 = 1;

/// Writes a segment.
#[derive(Debug)]
pub struct SegmentWriter {
    out: Vec<u8>,
}

impl Default for SegmentWriter {
    fn default() -> Self {
        Self { out: vec![VERSION] }
    }
}

impl SegmentWriter {
    /// Returns how many bytes the segment has.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// Appends an event.
    pub fn event(&mut self, run_id: RunId, seq: u64, json: &str) {
        self.begin(run_id, seq, EVENT);
        self.number(json.len() as u64);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Appends neighbouring deltas of one text, numbered from `first_seq`. `cuts` are their lengths.
    pub fn text(
        &mut self,
        run_id: RunId,
        first_seq: u64,
        item_id: ItemId,
        content_index: u32,
        cuts: impl ExactSizeIterator<Item = u32>,
        text: &str,
    ) {
        self.begin(run_id, first_seq, TEXT);
        self.out.extend_from_slice(item_id.as_uuid().as_bytes());
        self.number(content_index.into());
        self.number(cuts.len() as u64);
        cuts.for_each(|cut| self.number(cut.into()));
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Returns the segment.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn begin(&mut self, run_id: RunId, seq: u64, kind: u8) {
        self.out.extend_from_slice(run_id.as_uuid().as_bytes());
        self.number(seq);
        self.out.push(kind);
    }

    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}

/// Reads the events of those runs that are wanted, in the order in which they were written. What is damaged ends the
/// segment, with a line in the log.
pub(super) fn read(segment: &[u8], is_wanted: impl Fn(RunId) -> bool) -> Vec<LoggedEvents> {
    let mut events = Vec::new();
    let mut rest = match segment.split_first() {
        Some((&VERSION, rest)) => rest,
        _ => {
            tracing::error!("a segment of the log has a form that is not known");
            return events;
        }
    };
    while !rest.is_empty() {
        match Reader(rest).entry(&is_wanted) {
            Some((entry, after)) => {
                events.extend(entry);
                rest = after;
            }
            None => {
                tracing::error!("a segment of the log is damaged");
                break;
            }
        }
    }
    events
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the next entry, if it is wanted, and what follows it. `None` if it is damaged.
    fn entry(mut self, is_wanted: impl Fn(RunId) -> bool) -> Option<(Option<LoggedEvents>, &'a [u8])> {
        let run_id = RunId::from_uuid(self.id()?);
        let first_seq = i64::try_from(self.number()?).ok()?;
        let is_wanted = is_wanted(run_id);
        let body = match self.byte()? {
            EVENT => {
                let length = usize::try_from(self.number()?).ok()?;
                let json = self.take(length)?;
                is_wanted.then(|| std::str::from_utf8(json).map(|json| LoggedBody::Event(json.to_owned())))
            }
            TEXT => {
                let item_id = ItemId::from_uuid(self.id()?);
                let content_index = u32::try_from(self.number()?).ok()?;
                let count = usize::try_from(self.number()?).ok()?;
                let mut cuts = Vec::new();
                let mut length = 0_usize;
                for _ in 0..count {
                    let cut = u32::try_from(self.number()?).ok()?;
                    length = length.checked_add(usize::try_from(cut).ok()?)?;
                    cuts.push(cut);
                }
                let text = self.take(length)?;
                is_wanted.then(|| {
                    std::str::from_utf8(text).map(|text| LoggedBody::Text {
                        item_id,
                        content_index,
                        text: text.to_owned(),
                        cuts,
                    })
                })
            }
            _ => return None,
        };
        let body = body.transpose().ok()?;
        let entry = body.map(|body| LoggedEvents { run_id, first_seq, body });
        // An entry without events would have no last number.
        Some((entry.filter(|entry| entry.last_seq() >= entry.first_seq), self.0))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn id(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.take(16)?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn run(number: u128) -> RunId {
        RunId::from_uuid(Uuid::from_u128(number))
    }

    fn segment() -> (Vec<u8>, Vec<LoggedEvents>) {
        let item_id = ItemId::from_uuid(Uuid::from_u128(7));
        let mut writer = SegmentWriter::default();
        writer.event(run(1), 300, r#"{"type":"ä"}"#);
        writer.text(run(2), u64::MAX >> 1, item_id, 200, [2, 0, 1].into_iter(), "ä!");
        writer.event(run(1), 301, "");
        let text = LoggedBody::Text { item_id, content_index: 200, text: "ä!".to_owned(), cuts: vec![2, 0, 1] };
        let expected = vec![
            LoggedEvents { run_id: run(1), first_seq: 300, body: LoggedBody::Event(r#"{"type":"ä"}"#.to_owned()) },
            LoggedEvents { run_id: run(2), first_seq: i64::MAX, body: text },
            LoggedEvents { run_id: run(1), first_seq: 301, body: LoggedBody::Event(String::new()) },
        ];
        (writer.into_bytes(), expected)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, mut expected) = segment();
        assert_eq!(read(&bytes, |_| true), expected);
        expected.remove(1);
        assert_eq!(read(&bytes, |id| id == run(1)), expected);
        assert!(read(&bytes, |_| false).is_empty());
    }

    #[test]
    fn damage_ends_a_segment_without_a_panic() {
        let (bytes, expected) = segment();
        for end in 0..bytes.len() {
            let events = read(&bytes[..end], |_| true);
            assert!(expected.starts_with(&events), "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                read(&damaged, |_| true);
            }
        }
        assert!(read(&[], |_| true).is_empty() && read(&[9, 9], |_| true).is_empty());
    }
}
