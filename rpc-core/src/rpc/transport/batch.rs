//! The entries of a batch. No more of them are taken apart than a batch may have.

use super::response::{invalid_request, not_a_request};
use jsonrpsee::types::ErrorObject;
use serde::de::{DeserializeSeed, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;

/// The entries of a batch, as JSON text.
#[derive(Debug)]
pub(super) struct BatchEntries<'a>(pub(super) Vec<&'a RawValue>);

/// Reads at most `max` entries, and counts the others.
struct Read<'c> {
    max: usize,
    count: &'c Cell<usize>,
}

impl<'a> BatchEntries<'a> {
    /// Reads a JSON array.
    ///
    /// # Errors
    /// The error for the caller if it has more than `max` entries.
    pub(super) fn read(json: &'a str, max: usize) -> Result<Self, ErrorObject<'static>> {
        let count = Cell::new(0);
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = Read { max, count: &count }.deserialize(&mut deserializer);
        read.map_err(|_| match count.get() {
            count if count > max => {
                invalid_request(format!("A batch has at most {max} calls; this one has {count}. Send it in parts."))
            }
            _ => not_a_request(),
        })
    }
}

impl<'a> DeserializeSeed<'a> for Read<'_> {
    type Value = BatchEntries<'a>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Read<'_> {
    type Value = BatchEntries<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} entries", self.max)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < self.max {
            match array.next_element()? {
                Some(entry) => entries.push(entry),
                None => return Ok(BatchEntries(entries)),
            }
        }
        let mut count = entries.len();
        // The others are counted, which needs no memory.
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        self.count.set(count);
        if count > self.max { Err(A::Error::custom("too many entries")) } else { Ok(BatchEntries(entries)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_up_to_the_limit() {
        let read = |json, max| BatchEntries::read(json, max);
        let entries = read(r#"[1, {"a": [2]},"x"]"#, 3).unwrap().0;
        let texts: Vec<_> = entries.iter().map(|entry| entry.get()).collect();
        assert_eq!(texts, ["1", r#"{"a": [2]}"#, r#""x""#]);
        assert!(read("[]", 3).unwrap().0.is_empty());
        let error = read("[1,1,1,1]", 3).unwrap_err();
        assert!(error.message().contains("at most 3") && error.message().contains("has 4"), "{error:?}");
        let many = format!("[{}1]", "1,".repeat(500_000));
        assert!(read(&many, 50).unwrap_err().message().contains("500001"));
    }
}
