//! What is said, and how it is written down.

use serde::{Deserialize, Serialize};
use std::fmt;
use threadline_schema::ids::RunId;
use threadline_store::rows::EventRow;
use uuid::Uuid;

/// Bytes of rows that are kept or sent for one run at a time. What is more is read from the log.
const MAX_ROW_BYTES: usize = 256 * 1024;

/// How a run has grown. All zero: nobody said so, but something may have been missed, so look at its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grown {
    /// Number of the last event in the log.
    pub last_seq: u64,
    /// Whether that was the run's last.
    pub ended: bool,
    /// What is new, in order, as far as it came along. There may be gaps before, between and after.
    pub rows: Vec<EventRow>,
}

impl Grown {
    /// Adds what was said later. Gives back by how many bytes of rows it has grown, or shrunk.
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

/// Something said to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A run has begun in a thread.
    Began { thread_id: Uuid, run_id: Uuid },
    /// A thread is another, or an item of it.
    Changed { thread_id: Uuid, item_id: Option<Uuid> },
    /// A run's user asks for its end.
    Cancel { run_id: Uuid },
    /// The access of a user, a key or a token has changed.
    Access { subject_id: Uuid },
    /// Somebody wants to hear of a run's growth.
    Follow { run_id: Uuid },
    /// A run has grown.
    Grown { run_id: Uuid, last_seq: u64, ended: bool },
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { thread_id, run_id } => write!(f, "b:{}:{}", thread_id.simple(), run_id.simple()),
            Self::Changed { thread_id, item_id: None } => write!(f, "t:{}", thread_id.simple()),
            Self::Changed { thread_id, item_id: Some(item_id) } => {
                write!(f, "i:{}:{}", thread_id.simple(), item_id.simple())
            }
            Self::Cancel { run_id } => write!(f, "c:{}", run_id.simple()),
            Self::Access { subject_id } => write!(f, "a:{}", subject_id.simple()),
            Self::Follow { run_id } => write!(f, "f:{}", run_id.simple()),
            Self::Grown { run_id, last_seq, ended: false } => write!(f, "g:{}:{last_seq}", run_id.simple()),
            Self::Grown { run_id, last_seq, ended: true } => write!(f, "e:{}:{last_seq}", run_id.simple()),
        }
    }
}

impl Said {
    fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split(':');
        let kind = parts.next()?;
        let mut id = || parts.next()?.parse::<Uuid>().ok();
        match kind {
            "b" => Some(Self::Began { thread_id: id()?, run_id: id()? }),
            "t" => Some(Self::Changed { thread_id: id()?, item_id: None }),
            "i" => Some(Self::Changed { thread_id: id()?, item_id: Some(id()?) }),
            "c" => Some(Self::Cancel { run_id: id()? }),
            "a" => Some(Self::Access { subject_id: id()? }),
            "f" => Some(Self::Follow { run_id: id()? }),
            "g" | "e" => {
                let run_id = id()?;
                let last_seq = parts.next()?.parse().ok()?;
                Some(Self::Grown { run_id, last_seq, ended: kind == "e" })
            }
            _ => None,
        }
    }
}

/// Writes down what `from` says, in as few texts as fit into `max_bytes` each.
pub(super) fn pack(from: Uuid, said: impl IntoIterator<Item = Said>, max_bytes: usize) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for said in said {
        let word = said.to_string();
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

/// Reads what another said; nothing of what `me` said. Words that are not understood, as a newer version may have some,
/// are passed over.
pub(super) fn unpack(me: Uuid, text: &str) -> impl Iterator<Item = Said> {
    let mut words = text.split(' ');
    let from = words.next().and_then(|word| word.parse::<Uuid>().ok());
    let heard = from.is_some_and(|from| from != me);
    words.filter(move |_| heard).filter_map(Said::parse)
}

/// Growth with its rows, as JSON.
#[derive(Serialize, Deserialize)]
struct Told<'a> {
    from: Uuid,
    last_seq: u64,
    ended: bool,
    #[serde(borrow)]
    rows: Vec<ToldRow<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ToldRow<'a>(i64, i64, #[serde(borrow)] std::borrow::Cow<'a, str>, Option<String>);

/// Writes down how a run has grown.
pub(super) fn write_grown(from: Uuid, grown: &Grown) -> Option<Vec<u8>> {
    let rows = grown.rows.iter();
    let rows = rows.map(|row| ToldRow(row.first_seq, row.last_seq, row.event.as_str().into(), row.cuts.clone()));
    let told = Told { from, last_seq: grown.last_seq, ended: grown.ended, rows: rows.collect() };
    serde_json::to_vec(&told).ok()
}

/// Reads how a run has grown; `None` for what `me` said, and for what is not understood.
pub(super) fn read_grown(me: Uuid, run_id: Uuid, text: &[u8]) -> Option<Grown> {
    let told: Told<'_> = serde_json::from_slice(text).ok()?;
    if told.from == me {
        return None;
    }
    let rows = told.rows.into_iter().map(|ToldRow(first_seq, last_seq, event, cuts)| EventRow {
        run_id: RunId(run_id),
        first_seq,
        last_seq,
        event: event.into_owned(),
        cuts,
    });
    Some(Grown { last_seq: told.last_seq, ended: told.ended, rows: rows.collect() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_others_and_by_them_only() {
        let [me, other, thread_id, run_id] = std::array::from_fn(|_| Uuid::now_v7());
        let said = [
            Said::Began { thread_id, run_id },
            Said::Changed { thread_id, item_id: None },
            Said::Changed { thread_id, item_id: Some(run_id) },
            Said::Cancel { run_id },
            Said::Access { subject_id: run_id },
            Said::Follow { run_id },
            Said::Grown { run_id, last_seq: 7, ended: false },
            Said::Grown { run_id, last_seq: 1_000_000_001, ended: true },
        ];
        let [text] = <[String; 1]>::try_from(pack(me, said, 8000)).unwrap();
        assert_eq!(unpack(other, &text).collect::<Vec<_>>(), said);
        assert_eq!(unpack(me, &text).next(), None);
        assert_eq!(unpack(me, "what is this").next(), None);
        let newer = format!("{} x:1 c:{run_id} c:nobody", other.simple());
        assert_eq!(unpack(me, &newer).collect::<Vec<_>>(), [Said::Cancel { run_id }]);
    }

    #[test]
    fn a_text_is_never_longer_than_allowed() {
        let said = (0..1_000).map(|last_seq| Said::Grown { run_id: Uuid::now_v7(), last_seq, ended: false });
        let texts = pack(Uuid::nil(), said, 7_900);
        assert!(texts.len() <= 6 && texts.iter().all(|text| text.len() <= 7_900), "{}", texts.len());
        let read: usize = texts.iter().map(|text| unpack(Uuid::max(), text).count()).sum();
        assert_eq!(read, 1_000);
    }

    #[test]
    fn rows_travel_whole_and_are_dropped_when_there_are_too_many() {
        let (me, run_id) = (Uuid::now_v7(), Uuid::now_v7());
        let row = |seq, event: &str| EventRow {
            run_id: RunId(run_id),
            first_seq: seq,
            last_seq: seq + 1,
            event: event.to_owned(),
            cuts: Some("1,2".to_owned()),
        };
        let mut grown = Grown { last_seq: 2, ended: false, rows: vec![row(1, r#"{"a":"\"ö\n"}"#)] };
        let text = write_grown(Uuid::nil(), &grown).unwrap();
        assert_eq!(read_grown(me, run_id, &text), Some(grown.clone()));
        assert_eq!(read_grown(Uuid::nil(), run_id, &text), None);

        grown.merge(Grown { last_seq: 4, ended: true, rows: vec![row(3, "{}")] });
        assert_eq!((grown.last_seq, grown.ended, grown.rows.len()), (4, true, 2));
        let shrunk = grown.merge(Grown { last_seq: 6, ended: false, rows: vec![row(5, &"x".repeat(300_000))] });
        assert!(shrunk < 0);
        assert_eq!((grown.last_seq, grown.ended, grown.rows.len()), (6, true, 0));
    }
}
