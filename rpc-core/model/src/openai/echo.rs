//! Collects the fields of a response that its server wants back with the tool calls.

use crate::{Echo, ToolCall};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Maximum number of bytes of reasoning that are kept. More than that is not a part of a conversation that a model can
/// read.
const MAX_BYTES: usize = 256 << 10;

/// The reasoning of one response between its chunks.
#[derive(Default)]
pub(super) struct EchoCollector {
    /// `reasoning_content`.
    reasoning: String,
    /// `reasoning_details`, as OpenRouter sends them.
    details: Vec<Map<String, Value>>,
    /// `thinking_blocks`, as LiteLLM sends them for Claude.
    blocks: Vec<Map<String, Value>>,
    /// `reasoning_opaque`, as GitHub Copilot sends it.
    opaque: Option<String>,
    bytes: usize,
}

impl EchoCollector {
    /// Adds the `reasoning_content` of a chunk.
    pub(super) fn push_reasoning(&mut self, raw: &RawValue) {
        // Other forms are shown, but servers that want their reasoning back send a text.
        if let Ok(text) = serde_json::from_str::<String>(raw.get())
            && self.has_room(text.len())
        {
            self.reasoning.push_str(&text);
        }
    }

    /// Adds the `reasoning_details` of a chunk. Pieces of one detail follow each other.
    pub(super) fn push_details(&mut self, raw: &RawValue) {
        if !self.has_room(raw.get().len()) {
            return;
        }
        for detail in serde_json::from_str::<Vec<Map<String, Value>>>(raw.get()).unwrap_or_default() {
            let is_same = |last: &Map<String, Value>| {
                ["type", "index", "id"].iter().all(|key| match (last.get(*key), detail.get(*key)) {
                    (Some(last), Some(new)) => last == new,
                    _ => true,
                })
            };
            match self.details.last_mut() {
                Some(last) if detail.contains_key("index") && is_same(last) => merge(last, detail),
                _ => self.details.push(detail),
            }
        }
    }

    /// Adds the `thinking_blocks` of a chunk. Pieces of one block follow each other, and its signature ends it.
    pub(super) fn push_blocks(&mut self, raw: &RawValue) {
        if !self.has_room(raw.get().len()) {
            return;
        }
        for block in serde_json::from_str::<Vec<Map<String, Value>>>(raw.get()).unwrap_or_default() {
            let is_open = |last: &Map<String, Value>| {
                let signature = last.get("signature").and_then(Value::as_str).unwrap_or_default();
                last.get("type") == block.get("type") && last.contains_key("thinking") && signature.is_empty()
            };
            match self.blocks.last_mut() {
                Some(last) if is_open(last) => merge(last, block),
                _ => self.blocks.push(block),
            }
        }
    }

    /// Keeps the `reasoning_opaque` of a chunk.
    pub(super) fn push_opaque(&mut self, raw: &RawValue) {
        if let Ok(text) = serde_json::from_str::<String>(raw.get())
            && !text.is_empty()
            && self.has_room(text.len())
        {
            self.opaque = Some(text);
        }
    }

    /// Gives the calls of the response what goes back with them. `extra` has the unknown fields of each call.
    pub(super) fn attach(self, calls: &mut [ToolCall], extra: impl IntoIterator<Item = Map<String, Value>>) {
        let mut message = Map::new();
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), Value::String(self.reasoning));
        }
        if !self.details.is_empty() {
            let details = self.details.into_iter().map(Value::Object).collect();
            message.insert("reasoning_details".to_owned(), Value::Array(details));
        }
        if !self.blocks.is_empty() {
            let blocks = self.blocks.into_iter().map(Value::Object).collect();
            message.insert("thinking_blocks".to_owned(), Value::Array(blocks));
        }
        if let Some(opaque) = self.opaque {
            message.insert("reasoning_opaque".to_owned(), Value::String(opaque));
        }
        for (call, fields) in calls.iter_mut().zip(extra) {
            let echo = Echo { model: String::new(), call: fields, message: std::mem::take(&mut message) };
            call.echo = (!echo.is_empty()).then(|| Box::new(echo));
        }
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_BYTES
    }
}

/// Appends the texts of a piece. Its other fields replace those of the pieces before.
fn merge(last: &mut Map<String, Value>, piece: Map<String, Value>) {
    for (key, value) in piece {
        match (last.get_mut(&key), value) {
            (Some(Value::String(text)), Value::String(more))
                if matches!(key.as_str(), "text" | "summary" | "data" | "thinking") =>
            {
                text.push_str(&more);
            }
            (Some(_), Value::Null) => {}
            (Some(Value::String(text)), Value::String(blank)) if blank.is_empty() && !text.is_empty() => {}
            (_, value) => {
                last.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    #[test]
    fn pieces_are_put_together() {
        let mut echo = EchoCollector::default();
        for piece in [json!("h"), json!("m"), json!({"text": "no text"}), json!(null)] {
            echo.push_reasoning(&to_raw_value(&piece).unwrap());
        }
        for piece in [
            json!([{"type": "reasoning.text", "text": "a", "index": 0, "signature": null}]),
            json!([{"type": "reasoning.text", "text": "b", "index": 0}, {"type": "reasoning.encrypted", "data": "x", "index": 1}]),
            json!("nonsense"),
            json!([{"type": "reasoning.encrypted", "data": "y", "index": 2, "signature": "s"}]),
        ] {
            echo.push_details(&to_raw_value(&piece).unwrap());
        }
        let mut calls = [ToolCall::default(), ToolCall::default()];
        let extra = [Map::new(), Map::from_iter([("extra_content".to_owned(), json!({"google": {}}))])];
        echo.attach(&mut calls, extra);
        let [first, second] = calls.map(|call| call.echo.unwrap());
        let details = json!([
            {"type": "reasoning.text", "text": "ab", "index": 0, "signature": null},
            {"type": "reasoning.encrypted", "data": "x", "index": 1},
            {"type": "reasoning.encrypted", "data": "y", "index": 2, "signature": "s"},
        ]);
        assert_eq!(Value::Object(first.message), json!({"reasoning_content": "hm", "reasoning_details": details}));
        assert!(first.call.is_empty() && second.message.is_empty());
        assert_eq!(second.call["extra_content"], json!({"google": {}}));
    }

    #[test]
    fn thinking_blocks_end_with_their_signature() {
        let mut echo = EchoCollector::default();
        for piece in [
            json!([{"type": "thinking", "thinking": "a", "signature": ""}]),
            json!([{"type": "thinking", "thinking": "b"}]),
            json!([{"type": "thinking", "thinking": "", "signature": "s"}]),
            json!([{"type": "thinking", "thinking": "c", "signature": "t"}]),
            json!([{"type": "redacted_thinking", "data": "x"}, {"type": "redacted_thinking", "data": "y"}]),
        ] {
            echo.push_blocks(&to_raw_value(&piece).unwrap());
        }
        echo.push_opaque(&to_raw_value("zzz").unwrap());
        let mut calls = [ToolCall::default()];
        echo.attach(&mut calls, [Map::new()]);
        let [call] = calls;
        let expected = json!({"thinking_blocks": [
            {"type": "thinking", "thinking": "ab", "signature": "s"},
            {"type": "thinking", "thinking": "c", "signature": "t"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "redacted_thinking", "data": "y"},
        ], "reasoning_opaque": "zzz"});
        assert_eq!(Value::Object(call.echo.unwrap().message), expected);
    }

    #[test]
    fn what_is_kept_is_limited() {
        let mut echo = EchoCollector::default();
        let piece = to_raw_value(&"x".repeat(1 << 16)).unwrap();
        (0..100).for_each(|_| echo.push_reasoning(&piece));
        let mut calls = [ToolCall::default()];
        echo.attach(&mut calls, [Map::new()]);
        let [call] = calls;
        assert!(call.echo.unwrap().message["reasoning_content"].as_str().unwrap().len() <= MAX_BYTES);
    }
}
