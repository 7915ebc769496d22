//! Reads text and thoughts in the forms in which servers send them.

use super::json::{elements, fields, is_blank, scalar};
use super::unrecognized::Unrecognized;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Deepest nesting of parts that is read. Mistral's thinking parts have two levels.
const MAX_DEPTH: usize = 6;

/// What a content consists of.
#[derive(Default)]
pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, [u8]>,
    pub(super) thought: Cow<'a, [u8]>,
    pub(super) refusal: Cow<'a, [u8]>,
}

/// Which of them a value belongs to, if it does not say so itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    Thought,
    Refusal,
}

impl<'a> Content<'a> {
    /// Adds a value: a string, a number or a boolean as it is written, a part, or a list of these.
    pub(super) fn read(&mut self, value: &'a RawValue, role: Role) {
        self.read_at(value, role, 0);
    }

    fn read_at(&mut self, value: &'a RawValue, role: Role, depth: usize) {
        if let Some(text) = scalar(value) {
            let slot = match role {
                Role::Text => &mut self.text,
                Role::Thought => &mut self.thought,
                Role::Refusal => &mut self.refusal,
            };
            if slot.is_empty() {
                *slot = text
            } else {
                slot.to_mut().extend_from_slice(&text)
            }
            return;
        }
        if depth == MAX_DEPTH {
            return Unrecognized::Content.report();
        }
        match value.get().as_bytes().first() {
            Some(b'[') => elements(value).into_iter().for_each(|element| self.read_at(element, role, depth + 1)),
            Some(b'{') => self.read_part(value, role, depth + 1),
            _ => {}
        }
    }

    fn read_part(&mut self, part: &'a RawValue, role: Role, depth: usize) {
        let names =
            ["type", "text", "content", "value", "parts", "thinking", "reasoning", "summary", "refusal", "thought"];
        let Some([kind, text, content, value, parts, thinking, reasoning, summary, refusal, thought]) =
            fields(part, names)
        else {
            return;
        };
        let kind = kind.and_then(scalar).map(|kind| kind.to_ascii_lowercase()).unwrap_or_default();
        let kind = String::from_utf8_lossy(&kind);
        let is_flagged = thought.is_some_and(|thought| thought.get() == "true");
        let role = if is_flagged || ["think", "reason", "thought"].iter().any(|word| kind.contains(word)) {
            Role::Thought
        } else if kind == "refusal" {
            Role::Refusal
        } else {
            role
        };
        let thought = thought.filter(|thought| !matches!(thought.get(), "true" | "false"));
        let words = [text, content, value, parts].into_iter().flatten();
        let thoughts = [thinking, reasoning, summary, thought].into_iter().flatten();
        let mut has_any = false;
        // A part has its words in one field. A summary of the same thought can be beside them.
        if let Some(words) = words.into_iter().find(|words| !is_blank_text(words)) {
            self.read_at(words, role, depth);
            has_any = true;
        }
        if let Some(words) = thoughts.into_iter().find(|words| !is_blank_text(words)).filter(|_| !has_any) {
            self.read_at(words, Role::Thought, depth);
            has_any = true;
        }
        if let Some(words) = refusal {
            self.read_at(words, Role::Refusal, depth);
            has_any = true;
        }
        let has_field = [text, content, value, parts, thinking, reasoning, summary].iter().any(Option::is_some);
        if !has_any && !has_field && role == Role::Text && !kind.is_empty() {
            Unrecognized::Content.report_value(&kind);
        }
    }
}

/// Returns whether a value has no text at all. Blanks are text: they can stand between two words.
fn is_blank_text(value: &RawValue) -> bool {
    !value.get().starts_with('"') && is_blank(value) || value.get() == "\"\""
}
