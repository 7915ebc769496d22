//! The signals, and their texts.

use serde::{Deserialize, Serialize};
use std::fmt;
use threadline_schema::ids::{AccessSubjectId, Id, ItemId, RunId, ThreadId};
use threadline_store::rows::EventRow;
use uuid::Uuid;

/// Maximum size of the rows in one signal, in bytes. If there are more, followers read the rows from the log.
const MAX_ROW_BYTES: usize = 256 * 1024;

/// The growth of a run. The default value means that signals may have been lost, and that the log must be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grown {
    /// Number of the last event in the log.
    pub last_seq: u64,
    /// Whether that is the last event of the run.
    pub ended: bool,
    /// New rows, in order, as far as the signals contained them. There may be gaps before, between and after them.
    pub rows: Vec<EventRow>,
}

impl Grown {
    /// Adds a later signal. Returns by how many bytes the rows have grown or shrunk.
    pub(super) fn merge(&mut self, later: Self) -> isize {
        let before = self.row_bytes();
        self.last_seq = self.last_seq.max(later.last_seq);
        self.ended |= later.ended;
        if before + later.row_bytes() > MAX_ROW_BYTES {
            self.rows.clear();
        } else {
            self.rows.extend(later.rows);
        }
        self.row_bytes().cast_signed() - before.cast_signed()
    }

    pub(super) fn row_bytes(&self) -> usize {
        bytes_of(&self.rows)
    }
}

pub(super) fn bytes_of(rows: &[EventRow]) -> usize {
    rows.iter().map(|row| size_of::<EventRow>() + row.event.len() + row.cuts.as_ref().map_or(0, String::len)).sum()
}

/// A signal to all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// A run has started in a thread.
    Began { thread_id: ThreadId, run_id: RunId },
    /// A thread has changed, or one of its items.
    Changed { thread_id: ThreadId, item_id: Option<ItemId> },
    /// The user has cancelled a run.
    Cancel { run_id: RunId },
    /// The access of a user, a service key or a client token has changed.
    Access { subject_id: AccessSubjectId },
    /// The sender follows the growth of a run.
    Follow { run_id: RunId },
    /// A run has grown.
    Grown { run_id: RunId, last_seq: u64, ended: bool },
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { thread_id, run_id } => {
                write!(f, "b:{}:{}", thread_id.as_uuid().simple(), run_id.as_uuid().simple())
            }
            Self::Changed { thread_id, item_id: None } => write!(f, "t:{}", thread_id.as_uuid().simple()),
            Self::Changed { thread_id, item_id: Some(item_id) } => {
                write!(f, "i:{}:{}", thread_id.as_uuid().simple(), item_id.as_uuid().simple())
            }
            Self::Cancel { run_id } => write!(f, "c:{}", run_id.as_uuid().simple()),
            Self::Access { subject_id } => write!(f, "a:{}", subject_id.as_uuid().simple()),
            Self::Follow { run_id } => write!(f, "f:{}", run_id.as_uuid().simple()),
            Self::Grown { run_id, last_seq, ended: false } => write!(f, "g:{}:{last_seq}", run_id.as_uuid().simple()),
            Self::Grown { run_id, last_seq, ended: true } => write!(f, "e:{}:{last_seq}", run_id.as_uuid().simple()),
        }
    }
}

impl Signal {
    fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split(':');
        let kind = parts.next()?;
        match kind {
            "b" => Some(Self::Began { thread_id: next_id(&mut parts)?, run_id: next_id(&mut parts)? }),
            "t" => Some(Self::Changed { thread_id: next_id(&mut parts)?, item_id: None }),
            "i" => Some(Self::Changed { thread_id: next_id(&mut parts)?, item_id: Some(next_id(&mut parts)?) }),
            "c" => Some(Self::Cancel { run_id: next_id(&mut parts)? }),
            "a" => Some(Self::Access { subject_id: next_id(&mut parts)? }),
            "f" => Some(Self::Follow { run_id: next_id(&mut parts)? }),
            "g" | "e" => {
                let run_id = next_id(&mut parts)?;
                let last_seq = parts.next()?.parse().ok()?;
                Some(Self::Grown { run_id, last_seq, ended: kind == "e" })
            }
            _ => None,
        }
    }
}

/// Reads the next part of a word as an id.
fn next_id<T: Id>(parts: &mut std::str::Split<'_, char>) -> Option<T> {
    parts.next()?.parse().ok()
}

/// Writes signals of the sender `from` as texts of up to `max_bytes` each, as few as possible.
pub(super) fn encode_signals(from: Uuid, signals: impl IntoIterator<Item = Signal>, max_bytes: usize) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for signal in signals {
        let word = signal.to_string();
        match texts.last_mut() {
            Some(text) if text.len() + 1 + word.len() <= max_bytes => {
                text.push(' ');
                text.push_str(&word);
            }
            _ => texts.push(format!("{} {word}", from.simple())),
        }
    }
    texts
}

/// Reads the signals in a text, or none if `sender_id` has sent it. Skips unknown words, which a newer release may
/// send.
pub(super) fn decode_signals(sender_id: Uuid, text: &str) -> impl Iterator<Item = Signal> {
    let mut words = text.split(' ');
    let from = words.next().and_then(|word| word.parse::<Uuid>().ok());
    let is_foreign = from.is_some_and(|from| from != sender_id);
    words.filter(move |_| is_foreign).filter_map(Signal::parse)
}

/// The growth of a run with its rows, as JSON.
#[derive(Serialize, Deserialize)]
struct GrowthMessage<'a> {
    from: Uuid,
    last_seq: u64,
    ended: bool,
    #[serde(borrow)]
    rows: Vec<GrowthRow<'a>>,
}

#[derive(Serialize, Deserialize)]
struct GrowthRow<'a>(i64, i64, #[serde(borrow)] std::borrow::Cow<'a, str>, Option<String>);

/// Writes the growth of a run; `None` in the impossible case that it is not JSON.
pub(super) fn encode_growth(from: Uuid, grown: &Grown) -> Option<Vec<u8>> {
    let rows = grown.rows.iter();
    let rows = rows.map(|row| GrowthRow(row.first_seq, row.last_seq, row.event.as_str().into(), row.cuts.clone()));
    let message = GrowthMessage { from, last_seq: grown.last_seq, ended: grown.ended, rows: rows.collect() };
    serde_json::to_vec(&message).ok()
}

/// Reads the growth of a run; `None` if `sender_id` has sent it, or if it is invalid.
pub(super) fn decode_growth(sender_id: Uuid, run_id: RunId, text: &[u8]) -> Option<Grown> {
    let message: GrowthMessage<'_> = serde_json::from_slice(text).ok()?;
    if message.from == sender_id {
        return None;
    }
    let rows = message.rows.into_iter().map(|GrowthRow(first_seq, last_seq, event, cuts)| EventRow {
        run_id,
        first_seq,
        last_seq,
        event: event.into_owned(),
        cuts,
    });
    Some(Grown { last_seq: message.last_seq, ended: message.ended, rows: rows.collect() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn other_processes_read_a_text_and_its_sender_ignores_it() {
        let (me, other) = (Uuid::new_v4(), Uuid::new_v4());
        let (thread_id, item_id, run_id) = (ThreadId::random(), ItemId::random(), RunId::random());
        let signals = [
            Signal::Began { thread_id, run_id },
            Signal::Changed { thread_id, item_id: None },
            Signal::Changed { thread_id, item_id: Some(item_id) },
            Signal::Cancel { run_id },
            Signal::Access { subject_id: AccessSubjectId::random() },
            Signal::Follow { run_id },
            Signal::Grown { run_id, last_seq: 7, ended: false },
            Signal::Grown { run_id, last_seq: 1_000_000_001, ended: true },
        ];
        let [text] = <[String; 1]>::try_from(encode_signals(me, signals, 8000)).unwrap();
        assert_eq!(decode_signals(other, &text).collect::<Vec<_>>(), signals);
        assert_eq!(decode_signals(me, &text).next(), None);
        assert_eq!(decode_signals(me, "what is this").next(), None);
        let newer = format!("{} x:1 c:{run_id} c:nobody", other.simple());
        assert_eq!(decode_signals(me, &newer).collect::<Vec<_>>(), [Signal::Cancel { run_id }]);
    }

    #[test]
    fn a_text_is_never_longer_than_allowed() {
        let signals = (0..1_000).map(|last_seq| Signal::Grown { run_id: RunId::random(), last_seq, ended: false });
        let texts = encode_signals(Uuid::nil(), signals, 7_900);
        assert!(texts.len() <= 6 && texts.iter().all(|text| text.len() <= 7_900), "{}", texts.len());
        let read: usize = texts.iter().map(|text| decode_signals(Uuid::max(), text).count()).sum();
        assert_eq!(read, 1_000);
    }

    #[test]
    fn rows_travel_whole_and_are_dropped_when_there_are_too_many() {
        let (me, run_id) = (Uuid::new_v4(), RunId::random());
        let row = |seq, event: &str| EventRow {
            run_id,
            first_seq: seq,
            last_seq: seq + 1,
            event: event.to_owned(),
            cuts: Some("1,2".to_owned()),
        };
        let mut grown = Grown { last_seq: 2, ended: false, rows: vec![row(1, r#"{"a":"\"ö\n"}"#)] };
        let text = encode_growth(Uuid::nil(), &grown).unwrap();
        assert_eq!(decode_growth(me, run_id, &text), Some(grown.clone()));
        assert_eq!(decode_growth(Uuid::nil(), run_id, &text), None);

        grown.merge(Grown { last_seq: 4, ended: true, rows: vec![row(3, "{}")] });
        assert_eq!((grown.last_seq, grown.ended, grown.rows.len()), (4, true, 2));
        let shrunk = grown.merge(Grown { last_seq: 6, ended: false, rows: vec![row(5, &"x".repeat(300_000))] });
        assert!(shrunk < 0);
        assert_eq!((grown.last_seq, grown.ended, grown.rows.len()), (6, true, 0));
    }
}
