//! Chunks that repeat an earlier one, but for their text.
//!
//! Nearly all chunks of a response are the same JSON around another text. If the bytes before and after the text are
//! those of a chunk that was parsed, and the text has nothing that JSON escapes, then parsing it would find the same as
//! before.

use super::chunk::{ChatCompletionChunk, Choice, Delta};
use serde_json::value::RawValue;

/// How many frames are learned from one response. Some servers put a number or noise into each chunk.
const MAX_LEARNED: u8 = 8;

/// The JSON around the text of the last chunk that had nothing but text.
#[derive(Default)]
pub(super) struct ChunkFrame {
    before: String,
    after: String,
    learned: u8,
}

impl ChunkFrame {
    /// Learns from a chunk that has nothing but this text. `text` must be a part of `json`.
    pub(super) fn learn(&mut self, json: &str, text: &RawValue) {
        if self.learned == MAX_LEARNED {
            return;
        }
        let start = (text.get().as_ptr() as usize).checked_sub(json.as_ptr() as usize);
        let ends = start.and_then(|start| Some((start.checked_add(1)?, (start + text.get().len()).checked_sub(1)?)));
        let parts = ends.and_then(|(start, end)| Some((json.get(..start)?, json.get(start..end)?, json.get(end..)?)));
        let Some((before, _, after)) = parts.filter(|(_, inner, _)| inner.len() + 2 == text.get().len()) else {
            return;
        };
        self.learned += 1;
        before.clone_into(&mut self.before);
        after.clone_into(&mut self.after);
    }

    /// Returns the text of a chunk that repeats the one that was learned from. `None` if it must be parsed.
    pub(super) fn text_of<'a>(&self, json: &'a str) -> Option<&'a str> {
        if self.before.is_empty() {
            return None;
        }
        let text = json.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        let is_plain = !text.is_empty() && !text.bytes().any(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\'));
        is_plain.then_some(text)
    }
}

/// Returns the text of a chunk that has nothing else that counts, if it is a string.
pub(super) fn only_text<'a>(chunk: &ChatCompletionChunk<'a>) -> Option<&'a RawValue> {
    let ChatCompletionChunk {
        choices,
        usage: None,
        error: None,
        citations: None,
        x_groq: None,
        usage_metadata: None,
        message: None,
        done: None,
        done_reason: None,
        // The same in each chunk.
        model: _,
    } = chunk
    else {
        return None;
    };
    let Choice {
        index: _,
        delta: Some(delta),
        message: None,
        text: None,
        finish_reason: None,
        error: None,
        usage: None,
    } = choices.first.as_ref().filter(|_| !choices.has_other)?
    else {
        return None;
    };
    let Delta {
        content: Some(content),
        refusal: None,
        tool_calls: None,
        function_call: None,
        annotations: None,
        reasoning_content: None,
        reasoning: None,
        thinking: None,
        reasoning_text: None,
        reasoning_details: None,
        thinking_blocks: None,
        reasoning_opaque: None,
    } = delta
    else {
        return None;
    };
    content.get().starts_with('"').then_some(*content)
}

#[cfg(test)]
mod tests {
    use super::super::assembler::ResponseAssembler;
    use crate::{ModelError, ModelEvent};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// A chunk; `number` makes it another one than all others.
    fn chunk(delta: &Value, end: Option<&str>, number: Option<usize>) -> String {
        let mut chunk =
            json!({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": end}], "usage": null});
        if let Some(number) = number {
            chunk["number"] = number.into();
        }
        chunk.to_string()
    }

    fn events(chunks: impl Iterator<Item = String>) -> Vec<Result<ModelEvent, ModelError>> {
        let mut assembler = ResponseAssembler::default();
        let mut events = Vec::new();
        for chunk in chunks {
            if let Err(error) = assembler.push(&chunk) {
                events.push(Err(error));
                return events;
            }
            events.extend(std::iter::from_fn(|| assembler.next_event()).map(Ok));
        }
        events.extend(assembler.finish());
        events
    }

    fn delta() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            4 => "[ a-z.]{0,6}".prop_map(Value::from),
            2 => any::<String>().prop_map(Value::from),
            1 => prop_oneof![Just("<think>"), Just("</think>"), Just("\"},{\"")].prop_map(Value::from),
            1 => prop_oneof![Just(Value::Null), Just(json!(7)), Just(json!([{"type": "text", "text": "part"}]))],
        ];
        let other = prop_oneof![
            8 => Just(None),
            1 => Just(Some(("reasoning", json!("hm")))),
            1 => Just(Some(("refusal", json!("no")))),
            1 => Just(Some(("role", json!("assistant")))),
        ];
        (text, other).prop_map(|(text, other)| {
            let mut delta = json!({"content": text});
            if let Some((name, value)) = other {
                delta[name] = value;
            }
            delta
        })
    }

    proptest! {
        #[test]
        fn a_chunk_that_repeats_another_means_what_it_says(
            deltas in vec((delta(), prop_oneof![9 => Just(None), 1 => Just(Some("stop"))]), 0..20)
        ) {
            let repeating = events(deltas.iter().map(|(delta, end)| chunk(delta, *end, None)));
            let parsed = (0..).zip(&deltas).map(|(number, (delta, end))| chunk(delta, *end, Some(number)));
            prop_assert_eq!(format!("{:?}", repeating), format!("{:?}", events(parsed)));
        }
    }
}
