//! The event of each token. It is the most frequent by far, so it is kept in parts, and written and read without serde.
//!
//! Its JSON is exactly what serde writes for `ThreadStreamEvent::ItemUpdated` with an `ItemUpdate::TextDelta`. A test
//! compares them.

use crate::ids::ItemId;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use uuid::Uuid;

const HEAD: &str = r#"{"type":"thread.item.updated","item_id":""#;
const MIDDLE: &str = r#"","update":{"type":"assistant_message.content_part.text_delta","content_index":"#;
const DELTA: &str = r#","delta":""#;
const TAIL: &str = r#""}}"#;

/// Text that is appended to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDelta {
    /// The item of the message.
    pub item_id: ItemId,
    /// Index of the content part.
    pub content_index: u32,
    /// The text to append.
    pub text: TextPiece,
}

/// A piece of text as it stands between the quotes of a JSON string. Pieces that were read together share one text.
#[derive(Debug, Clone)]
pub struct TextPiece {
    whole: Arc<str>,
    start: usize,
    end: usize,
}

impl TextDelta {
    /// Creates the delta of a text that is not escaped.
    pub fn new(item_id: ItemId, content_index: u32, text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        push_escaped(&mut escaped, text);
        Self { item_id, content_index, text: TextPiece::new(escaped) }
    }

    /// Reads the JSON of a text delta; `None` for any other event, and for JSON that this module would write in another
    /// way.
    pub fn parse(json: &str) -> Option<Self> {
        let rest = json.strip_prefix(HEAD)?;
        let (id, rest) = rest.split_at_checked(uuid::fmt::Hyphenated::LENGTH)?;
        let rest = rest.strip_prefix(MIDDLE)?;
        let (index, rest) = rest.split_once(DELTA)?;
        let text = rest.strip_suffix(TAIL)?;
        let item_id = ItemId::from_uuid(Uuid::try_parse(id).ok()?);
        let content_index: u32 = index.parse().ok()?;
        let mut buffer = Uuid::encode_buffer();
        let is_as_written = item_id.as_uuid().hyphenated().encode_lower(&mut buffer) == id
            && content_index.to_string() == index
            && !text.contains(['\n', '\r']);
        is_as_written.then(|| Self { item_id, content_index, text: TextPiece::new(text) })
    }

    /// Returns the JSON.
    pub fn json(&self) -> String {
        let text = self.text.as_str();
        let mut out =
            String::with_capacity(HEAD.len() + 36 + MIDDLE.len() + 10 + DELTA.len() + text.len() + TAIL.len());
        out.push_str(HEAD);
        let mut id = Uuid::encode_buffer();
        out.push_str(self.item_id.as_uuid().hyphenated().encode_lower(&mut id));
        out.push_str(MIDDLE);
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", self.content_index);
        out.push_str(DELTA);
        out.push_str(text);
        out.push_str(TAIL);
        out
    }
}

impl TextPiece {
    /// Creates a piece that shares its text with no other. `escaped` is what stands between the quotes.
    pub fn new(escaped: impl Into<Arc<str>>) -> Self {
        let whole = escaped.into();
        let end = whole.len();
        Self { whole, start: 0, end }
    }

    /// Returns a part of this piece, which shares its text; an empty one if there is no such part. `start` and `end`
    /// are in bytes.
    pub fn part(&self, start: usize, end: usize) -> Self {
        let (start, end) = (self.start.saturating_add(start), self.start.saturating_add(end));
        let is_part = end <= self.end && self.whole.get(start..end).is_some();
        let (start, end) = if is_part { (start, end) } else { (self.end, self.end) };
        Self { whole: self.whole.clone(), start, end }
    }

    /// Returns the text itself. What is not a JSON string, and so not from this service, is returned as it is.
    pub fn unescaped(&self) -> Cow<'_, str> {
        let escaped = self.as_str();
        if !escaped.contains('\\') {
            return Cow::Borrowed(escaped);
        }
        serde_json::from_str(&["\"", escaped, "\""].concat()).map_or(Cow::Borrowed(escaped), Cow::Owned)
    }

    /// Returns the text as it stands between the quotes. It has no line breaks.
    pub fn as_str(&self) -> &str {
        self.whole.get(self.start..self.end).unwrap_or_default()
    }
}

impl PartialEq for TextPiece {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TextPiece {}

/// Appends text as it stands between the quotes of a JSON string.
pub fn push_escaped(out: &mut String, text: &str) {
    if text.bytes().any(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\')) {
        // A string can always be serialised.
        let json = serde_json::to_string(text).unwrap_or_default();
        let inner = json.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
        out.push_str(inner.unwrap_or_default());
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::chatkit::ItemUpdate;
    use crate::event::{Event, ThreadStreamEvent};

    #[test]
    fn the_json_is_what_serde_writes() {
        let item_id = ItemId::random();
        for text in ["", "plain", "a \"quoted\"\nline\u{0}\u{7f}", "äöü — 日本語 🥛\\", r#"","delta":"}}"#] {
            for content_index in [0, 7, 12] {
                let delta = TextDelta::new(item_id, content_index, text);
                let update = ItemUpdate::TextDelta { content_index, delta: text.to_owned() };
                let event = ThreadStreamEvent::ItemUpdated { item_id, update };
                assert_eq!(delta.json(), serde_json::to_string(&event).unwrap());

                let parsed = TextDelta::parse(&delta.json()).unwrap();
                assert_eq!(parsed, delta);
                assert_eq!(parsed.text.unescaped(), text);
                assert_eq!(Event::new(&event).unwrap(), Event::from(delta));
            }
        }
    }

    #[test]
    fn json_that_would_be_written_in_another_way_is_kept_as_it_is() {
        let json = TextDelta::new(ItemId::from_uuid(Uuid::from_u128(0xA)), 1, "a").json();
        let other = [
            json.replace("0000000a", "0000000A"),
            json.replace(":1,", ":01,"),
            json.replace("\"a\"}}", "null}}"),
            json.replace("\"a\"}}", "\"\n\"}}"),
            format!("{json} "),
        ];
        for json in other {
            assert_eq!(TextDelta::parse(&json), None, "{json}");
            assert_eq!(Event::from_json(json.as_str()).json(), json);
        }
    }

    #[test]
    fn parts_share_the_text() {
        let piece = TextPiece::new("Hällo");
        let part = piece.part(1, 4);
        assert_eq!(part.as_str(), "äl");
        assert_eq!(part.part(2, 3).as_str(), "l");
        for (start, end) in [(2, 4), (0, 7), (4, 1), (7, 9)] {
            assert_eq!(piece.part(start, end).as_str(), "");
        }
        assert_eq!(part.part(0, 4).as_str(), "", "beyond its own end");
    }
}
