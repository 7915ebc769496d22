//! Fragments of tool calls -> whole calls.

use super::wire::{Fragment, Function, Text};
use crate::{ModelError, ToolCall};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::HashSet;
use uuid::Uuid;

/// Calls one answer may make. A person's request needs a handful; more is a model caught in a loop.
pub(super) const MAX_CALLS: usize = 64;
/// Bytes of ids, names and arguments of one answer's calls.
pub(super) const MAX_CALL_BYTES: usize = 1 << 20;

/// The calls of one answer while it streams.
#[derive(Default)]
pub(super) struct Calls {
    calls: Vec<Partial>,
    /// The one call of the old `function_call` field. Servers that send both mean the same call twice, so it counts
    /// only where `tool_calls` stayed empty.
    legacy: Option<Partial>,
    bytes: usize,
}

#[derive(Default)]
struct Partial {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Takes the `tool_calls` of a chunk. Answers whether there was a fragment in it.
    pub(super) fn push(&mut self, raw: &RawValue) -> Result<bool, ModelError> {
        let fragments: Vec<Fragment<'_>> = read(raw)?;
        for (position, fragment) in fragments.iter().enumerate() {
            let function = fragment.function.as_ref();
            let id = text_of(fragment.id.as_ref());
            let name = text_of(function.and_then(|function| function.name.as_ref()));
            let at = match self.find(fragment.index, position, id, name) {
                Some(at) => at,
                None if self.calls.len() == MAX_CALLS => {
                    return Err(ModelError::Broken(format!("more than {MAX_CALLS} tool calls")));
                }
                None => {
                    self.calls.push(Partial { index: fragment.index, ..Partial::default() });
                    self.calls.len() - 1
                }
            };
            if let Some(call) = self.calls.get_mut(at) {
                self.bytes += call.extend(id, name, function)?;
            }
        }
        self.check_size()?;
        Ok(!fragments.is_empty())
    }

    /// Takes the `function_call` of a chunk.
    pub(super) fn push_legacy(&mut self, raw: &RawValue) -> Result<(), ModelError> {
        let function: Function<'_> = read(raw)?;
        let name = text_of(function.name.as_ref());
        self.bytes += self.legacy.get_or_insert_default().extend("", name, Some(&function))?;
        self.check_size()
    }

    /// The whole calls, in the order in which they began.
    ///
    /// `cut` says that the answer ran into a limit: calls whose arguments are no whole JSON are then left out, since
    /// half of an order must not be carried out.
    pub(super) fn finish(self, cut: bool) -> Result<Vec<ToolCall>, ModelError> {
        let partials = if self.calls.is_empty() { self.legacy.into_iter().collect() } else { self.calls };
        let mut seen = HashSet::new();
        let mut calls = Vec::with_capacity(partials.len());
        for mut partial in partials {
            if cut && !is_json(&partial.arguments) {
                continue;
            }
            if partial.name.is_empty() {
                return Err(ModelError::Broken("a tool call names no tool".to_owned()));
            }
            if partial.id.is_empty() || !seen.insert(partial.id.clone()) {
                // Without an id of its own an answer could not be tied to its call.
                partial.id = format!("call_{}", Uuid::new_v4().simple());
            }
            if partial.arguments.is_empty() {
                // A tool without parameters; sent back as "", several servers refuse the next request.
                partial.arguments.push_str("{}");
            }
            calls.push(ToolCall { id: partial.id, name: partial.name, arguments: partial.arguments });
        }
        Ok(calls)
    }

    /// Which call a fragment goes on with; `None` begins a new one.
    ///
    /// The protocol has `index` decide. Some servers leave it out, and some number every parallel call 0, so the id,
    /// the place in the list and whether the arguments so far are whole have to help.
    fn find(&self, index: Option<u64>, position: usize, id: &str, name: &str) -> Option<usize> {
        if let Some(index) = index {
            let at = self.calls.iter().rposition(|call| call.index == Some(index))?;
            let other = self.calls.get(at).is_some_and(|call| {
                !id.is_empty() && !name.is_empty() && !call.id.is_empty() && call.id != id && is_json(&call.arguments)
            });
            return (!other).then_some(at);
        }
        if !id.is_empty() {
            let known = self.calls.iter().rposition(|call| call.id == id);
            // An id that is new, on a fragment that names no tool, cannot begin a call.
            return known.or_else(|| self.calls.len().checked_sub(1).filter(|_| name.is_empty()));
        }
        let last = self.calls.last()?;
        let begins = !name.is_empty()
            && (position > 0 || last.name != name && !last.name.is_empty() || is_json(&last.arguments));
        (!begins).then(|| self.calls.len() - 1)
    }

    fn check_size(&self) -> Result<(), ModelError> {
        if self.bytes > MAX_CALL_BYTES {
            return Err(ModelError::Broken(format!("more than {MAX_CALL_BYTES} bytes of tool calls")));
        }
        Ok(())
    }
}

impl Partial {
    /// Adds a fragment and answers how many bytes that took. Servers that repeat id and name on every fragment, and
    /// those that send them once, end in the same call.
    fn extend(&mut self, id: &str, name: &str, function: Option<&Function<'_>>) -> Result<usize, ModelError> {
        let before = self.len();
        if self.id.is_empty() {
            self.id.push_str(id);
        }
        if self.name.is_empty() {
            self.name.push_str(name);
        }
        if let Some(raw) = function.and_then(|function| function.arguments) {
            if raw.get().starts_with('"') {
                let text: Text<'_> = read(raw)?;
                self.arguments.push_str(&text.0);
            } else {
                self.arguments.push_str(raw.get());
            }
        }
        Ok(self.len() - before)
    }

    fn len(&self) -> usize {
        self.id.len() + self.name.len() + self.arguments.len()
    }
}

fn text_of<'a>(text: Option<&'a Text<'_>>) -> &'a str {
    text.map_or("", |text| &text.0)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn read<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue) -> Result<T, ModelError> {
    // serde's message can quote the value, and the value is a user's words.
    serde_json::from_str(raw.get())
        .map_err(|_| ModelError::Broken("a tool call is not what the protocol says".to_owned()))
}
