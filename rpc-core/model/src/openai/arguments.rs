//! Assembles the arguments of one tool call.
//!
//! By the protocol, they come in pieces. Some servers repeat the whole, send it as far as it is with each fragment, or
//! begin with `{}`. What was meant is decided at the end, by what makes complete JSON: a guess on the way would be
//! wrong for arguments that contain themselves.

use super::clean_text::TextJoiner;
use super::json::{RawText, repair, scalar};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Map, Value};
use std::borrow::Cow;

/// From this length on, a third fragment that begins with the one before it is not a coincidence.
const MIN_GROWTH_BYTES: usize = 16;

/// The arguments so far.
#[derive(Default)]
pub(super) struct Arguments {
    joiner: TextJoiner,
    /// All fragments.
    text: String,
    /// Start of the last fragment.
    last: usize,
    fragments: usize,
    /// Whether a fragment did not begin with the one before it.
    is_sequence: bool,
}

impl Arguments {
    /// Adds a fragment: a string, or the JSON itself.
    pub(super) fn push(&mut self, raw: &RawValue) {
        let piece = if raw.get().starts_with('"') { scalar(raw) } else { Some(Cow::Borrowed(raw.get().as_bytes())) };
        let Some(piece) = piece else { return };
        let piece = self.joiner.push(piece).into_owned();
        if piece.is_empty() {
            return;
        }
        let is_empty_object = matches!(self.text.trim(), "" | "{}" | "null");
        if is_empty_object && piece.trim_start().starts_with(['{', '"']) {
            *self = Self { joiner: std::mem::take(&mut self.joiner), ..Self::default() };
        }
        if self.fragments > 0 && !piece.starts_with(self.last_fragment()) {
            self.is_sequence = true;
        }
        if !self.is_sequence && self.fragments >= 2 && piece.len() >= MIN_GROWTH_BYTES && piece.starts_with('{') {
            // It grows, so the earlier states need no memory.
            self.text.clear();
        }
        self.last = self.text.len();
        self.text.push_str(&piece);
        self.fragments += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns whether there are none so far.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Returns whether they are complete.
    pub(super) fn is_whole(&self) -> bool {
        self.whole().is_some()
    }

    /// Returns whether these arguments say the same.
    pub(super) fn is_same(&self, arguments: &str) -> bool {
        match (self.whole().and_then(object), unwrap_string(arguments).as_deref().and_then(object)) {
            (Some(own), Some(other)) => own == other,
            _ => false,
        }
    }

    /// Returns whether these arguments are complete, and neither the same nor a later state of the same.
    pub(super) fn is_contradicted_by(&self, arguments: &str) -> bool {
        match (self.whole().and_then(object), unwrap_string(arguments).as_deref().and_then(object)) {
            (Some(own), Some(other)) => !is_later_state(&own, &other),
            _ => false,
        }
    }

    /// Returns the arguments as JSON text, which is invalid if what the model wrote is. Never blank.
    pub(super) fn finish(mut self) -> String {
        self.text.extend(self.joiner.finish());
        let text = match self.whole() {
            Some(whole) => whole.trim(),
            None if !self.is_sequence && self.fragments > 1 => self.last_fragment(),
            None => self.text.trim(),
        };
        if is_none(text) {
            return "{}".to_owned();
        }
        // JSON in a JSON string. Once: a string inside that one is what the model means.
        let unwrapped = if text.starts_with('"') { unwrap_string(text) } else { None };
        let text = match unwrapped.as_deref().map(str::trim) {
            Some(inner) if is_none(inner) => return "{}".to_owned(),
            Some(inner) if inner.starts_with('{') && is_json(inner) => inner,
            _ => text,
        };
        // Halves of surrogate pairs pass as JSON, but not as text.
        let is_text = is_json(text) && !text.contains("\\ud") && !text.contains("\\uD");
        match if is_text { None } else { repair(text) } {
            Some(repaired) if is_json(&repaired) => repaired,
            _ => text.to_owned(),
        }
    }

    /// Returns the complete arguments.
    fn whole(&self) -> Option<&str> {
        if is_json(&self.text) {
            return Some(&self.text);
        }
        if !self.is_sequence && self.fragments > 1 && is_json(self.last_fragment()) {
            return Some(self.last_fragment());
        }
        self.last_of_same()
    }

    /// Returns the last of several complete objects, if each is the same as the one before it, or a later state of it.
    fn last_of_same(&self) -> Option<&str> {
        let mut values = Deserializer::from_str(&self.text).into_iter::<&RawValue>();
        let mut last: Option<(&str, Map<String, Value>)> = None;
        for value in values.by_ref() {
            let text = value.ok()?.get();
            let object = object(text)?;
            if object.is_empty() {
                continue;
            }
            if last.as_ref().is_some_and(|(_, earlier)| !is_later_state(earlier, &object)) {
                return None;
            }
            last = Some((text, object));
        }
        last.map(|(text, _)| text)
    }

    fn last_fragment(&self) -> &str {
        self.text.get(self.last..).unwrap_or_default()
    }
}

/// Returns whether `later` has everything that `earlier` has, with strings and lists that may have grown.
fn is_later_state(earlier: &Map<String, Value>, later: &Map<String, Value>) -> bool {
    earlier.iter().all(|(name, earlier)| later.get(name).is_some_and(|later| has_grown(earlier, later)))
}

fn has_grown(earlier: &Value, later: &Value) -> bool {
    match (earlier, later) {
        (Value::String(earlier), Value::String(later)) => later.starts_with(earlier.as_str()),
        (Value::Object(earlier), Value::Object(later)) => is_later_state(earlier, later),
        (Value::Array(earlier), Value::Array(later)) => {
            earlier.len() <= later.len() && earlier.iter().zip(later).all(|(earlier, later)| has_grown(earlier, later))
        }
        _ => earlier == later,
    }
}

/// Returns whether arguments say that there are none. PHP writes an empty object as a list.
fn is_none(text: &str) -> bool {
    matches!(text, "" | "null" | "\"\"" | "[]")
}

fn object(json: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(json).ok()
}

/// Returns the text of a JSON string, and any other JSON as it is.
fn unwrap_string(json: &str) -> Option<String> {
    if !json.starts_with('"') {
        return Some(json.to_owned());
    }
    let bytes = serde_json::from_str::<RawText<'_>>(json).ok()?.0;
    let mut joiner = TextJoiner::default();
    let mut text = joiner.push(bytes).into_owned();
    text.extend(joiner.finish());
    Some(text)
}

pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(pieces: &[&str]) -> String {
        let mut arguments = Arguments::default();
        for piece in pieces {
            let json = serde_json::to_string(piece).unwrap();
            arguments.push(&RawValue::from_string(json).unwrap());
        }
        arguments.finish()
    }

    #[test]
    fn repeated_and_growing_arguments_are_one() {
        for (pieces, expected) in [
            (&[r#"{"a"#, r#"":1}"#][..], r#"{"a":1}"#),
            (&[r#"{"a":1}"#, r#"{"a":1}"#][..], r#"{"a":1}"#),
            (&[r#"{"a":1}"#, r#"{"a": 1}"#][..], r#"{"a": 1}"#),
            (&[r#"{"a"#, r#"{"a":1"#, r#"{"a":1}"#][..], r#"{"a":1}"#),
            (&[r#"{"a":"x"}"#, r#"{"a":"xy"}"#, r#"{"a":"xy","b":2}"#][..], r#"{"a":"xy","b":2}"#),
            (&["{}", r#"{"a"#, r#"":1}"#][..], r#"{"a":1}"#),
            (&[r#"{"a":1}"#, "{}"][..], r#"{"a":1}"#),
            (&[r#"{"a"#, r#"":1}"#, r#"{"a":1}"#][..], r#"{"a":1}"#),
            (&[r#"{"a"#, r#"":1}"#, r#"{"a"#, r#"":1}"#][..], r#"{"a":1}"#),
            // What contains itself.
            (&[r#"{"a":"#, r#"{"a":1}}"#][..], r#"{"a":{"a":1}}"#),
            (&[r#"{"a":"#, r#"{"a":1}"#, "}"][..], r#"{"a":{"a":1}}"#),
            // What the model must be told.
            (&[r#"{"a":1}"#, r#"{"b":2}"#][..], r#"{"a":1}{"b":2}"#),
            (&[r#"{"a": oops"#, "{}"][..], r#"{"a": oops{}"#),
            // No arguments.
            (&[][..], "{}"),
            (&["", " "][..], "{}"),
            (&["null"][..], "{}"),
            (&["[]"][..], "{}"),
            (&["\"\""][..], "{}"),
            // JSON in JSON.
            (&[r#""{\"a\":1}""#][..], r#"{"a":1}"#),
            (&[r#""{\"a\""#, r#":1}""#][..], r#"{"a":1}"#),
            (&[r#""null""#][..], "{}"),
            (&[r#""words""#][..], r#""words""#),
            // Text that is none.
            (&[r#"{"a":"\ud83d"}"#][..], r#"{"a":"\ufffd"}"#),
            (&[r#"{"a":"\ud83d\ude00"}"#][..], r#"{"a":"\ud83d\ude00"}"#),
            (&["{\"a\":\"x\ny\"}"][..], "{\"a\":\"x\\u000ay\"}"),
        ] {
            assert_eq!(assemble(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn growing_arguments_need_no_more_memory_than_the_last() {
        let whole = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000));
        let mut arguments = Arguments::default();
        for end in 1..=whole.len() {
            let json = serde_json::to_string(whole.get(..end).unwrap()).unwrap();
            arguments.push(&RawValue::from_string(json).unwrap());
        }
        assert!(arguments.len() < 2 * whole.len(), "{}", arguments.len());
        assert_eq!(arguments.finish(), whole);
    }
}
