//! Assembles tool calls from their fragments.

use super::chunk::{FunctionDelta, TextField, ToolCallDelta};
use crate::{ModelError, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::HashSet;
use uuid::Uuid;

/// Most tool calls of one response. A user's request needs a handful; more means that the model is in a loop.
const MAX_CALLS: usize = 64;
/// Most bytes of ids, names and arguments of the calls of one response.
const MAX_CALL_BYTES: usize = 1 << 20;

/// The tool calls of one response between its chunks.
#[derive(Default)]
pub(super) struct ToolCallAssembler {
    calls: Vec<PartialToolCall>,
    /// The call of the deprecated `function_call` field. A server that sends both fields sends the same call twice, so
    /// this one counts only if `calls` is empty.
    function_call: Option<PartialToolCall>,
    /// Bytes of all calls.
    bytes: usize,
}

#[derive(Default)]
struct PartialToolCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl ToolCallAssembler {
    /// Processes the `tool_calls` of a chunk. Returns whether they contain a fragment.
    pub(super) fn push(&mut self, raw: &RawValue) -> Result<bool, ModelError> {
        let deltas: Vec<ToolCallDelta<'_>> = parse(raw)?;
        for (position, delta) in deltas.iter().enumerate() {
            let function = delta.function.as_ref();
            let id = text_or_empty(delta.id.as_ref());
            let name = text_or_empty(function.and_then(|function| function.name.as_ref()));
            let at = match self.find_call(delta.index, position, id, name) {
                Some(at) => at,
                None if self.calls.len() == MAX_CALLS => {
                    return Err(ModelError::invalid_response(format!("more than {MAX_CALLS} tool calls")));
                }
                None => {
                    self.calls.push(PartialToolCall { index: delta.index, ..PartialToolCall::default() });
                    self.calls.len() - 1
                }
            };
            if let Some(call) = self.calls.get_mut(at) {
                self.bytes += call.append(id, name, function)?;
            }
        }
        self.check_size()?;
        Ok(!deltas.is_empty())
    }

    /// Processes the `function_call` of a chunk.
    pub(super) fn push_function_call(&mut self, raw: &RawValue) -> Result<(), ModelError> {
        let function: FunctionDelta<'_> = parse(raw)?;
        let name = text_or_empty(function.name.as_ref());
        self.bytes += self.function_call.get_or_insert_default().append("", name, Some(&function))?;
        self.check_size()
    }

    /// Returns the complete calls in the order in which they began.
    ///
    /// `truncated` means that the response reached a limit. Calls with incomplete arguments are then left out, because
    /// half of a request must not be executed.
    pub(super) fn finish(self, truncated: bool) -> Result<Vec<ToolCall>, ModelError> {
        let partial_calls = if self.calls.is_empty() { self.function_call.into_iter().collect() } else { self.calls };
        let mut ids = HashSet::new();
        let mut calls = Vec::with_capacity(partial_calls.len());
        for PartialToolCall { mut id, name, mut arguments, .. } in partial_calls {
            if truncated && !is_json(&arguments) {
                continue;
            }
            if name.is_empty() {
                return Err(ModelError::invalid_response("a tool call has no name"));
            }
            // The id must be unique, because it links the result to the call.
            if id.is_empty() || !ids.insert(id.clone()) {
                id = format!("call_{}", Uuid::new_v4().simple());
            }
            if arguments.is_empty() {
                // A tool without parameters. Several servers reject "" when it comes back with the next request.
                arguments.push_str("{}");
            }
            calls.push(ToolCall { id, name, arguments, echo: None });
        }
        Ok(calls)
    }

    /// Returns the position of the call that a fragment continues, or `None` if the fragment begins a new call.
    ///
    /// By the protocol, `index` decides. Some servers leave it out, and some send 0 for every parallel call. Then the
    /// id, the position in the list, and whether the arguments so far are complete decide.
    fn find_call(&self, index: Option<u64>, position: usize, id: &str, name: &str) -> Option<usize> {
        if let Some(index) = index {
            let at = self.calls.iter().rposition(|call| call.index == Some(index))?;
            let is_other_call = self.calls.get(at).is_some_and(|call| {
                !id.is_empty() && !name.is_empty() && !call.id.is_empty() && call.id != id && is_json(&call.arguments)
            });
            return (!is_other_call).then_some(at);
        }
        if !id.is_empty() {
            let known = self.calls.iter().rposition(|call| call.id == id);
            // A new id without a name does not begin a call: some servers send a new id with each fragment.
            return known.or_else(|| self.calls.len().checked_sub(1).filter(|_| name.is_empty()));
        }
        let last = self.calls.last()?;
        let begins_call = !name.is_empty()
            && (position > 0 || last.name != name && !last.name.is_empty() || is_json(&last.arguments));
        (!begins_call).then(|| self.calls.len() - 1)
    }

    fn check_size(&self) -> Result<(), ModelError> {
        if self.bytes > MAX_CALL_BYTES {
            return Err(ModelError::invalid_response(format!("more than {MAX_CALL_BYTES} bytes of tool calls")));
        }
        Ok(())
    }
}

impl PartialToolCall {
    /// Appends a fragment and returns the number of bytes added. Only the first id and the first name count, because
    /// some servers repeat them with each fragment.
    fn append(&mut self, id: &str, name: &str, function: Option<&FunctionDelta<'_>>) -> Result<usize, ModelError> {
        let before = self.len();
        if self.id.is_empty() {
            self.id.push_str(id);
        }
        if self.name.is_empty() {
            self.name.push_str(name);
        }
        if let Some(raw) = function.and_then(|function| function.arguments) {
            if raw.get().starts_with('"') {
                let text: TextField<'_> = parse(raw)?;
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

fn text_or_empty<'a>(text: Option<&'a TextField<'_>>) -> &'a str {
    text.map_or("", |text| &text.0)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, ModelError> {
    // serde's message can quote the value, which can contain text of a user.
    serde_json::from_str(raw.get()).map_err(|_| ModelError::invalid_response("a tool call is invalid"))
}
