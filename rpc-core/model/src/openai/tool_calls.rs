//! Assembles tool calls from their fragments.

use super::arguments::{Arguments, is_json};
use super::chunk::{FunctionDelta, ToolCallDelta};
use super::clean_text::TextJoiner;
use super::json::{count, elements, scalar, word};
use super::unrecognized::Unrecognized;
use crate::{ModelError, ToolCall};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// Maximum number of tool calls of one response. A user's request needs a handful; more means that the model is in a
/// loop.
const MAX_CALLS: usize = 64;
/// Maximum number of bytes of ids, names and arguments of the calls of one response.
const MAX_CALL_BYTES: usize = 1 << 20;

/// The tool calls of one response between its chunks.
#[derive(Default)]
pub(super) struct ToolCallAssembler {
    calls: Vec<PartialToolCall>,
    /// The call of the deprecated `function_call` field. A server that sends both fields sends the same call twice, so
    /// this one counts only if `calls` is empty.
    function_call: Option<PartialToolCall>,
}

#[derive(Default)]
struct PartialToolCall {
    index: Option<u64>,
    /// Position in the list of the chunk that began the call.
    position: usize,
    id: String,
    name: String,
    name_joiner: TextJoiner,
    arguments: Arguments,
    /// Members that only the server understands, as JSON: of the call, and of its function.
    unknown: BTreeMap<String, String>,
    unknown_of_function: BTreeMap<String, String>,
}

/// A fragment, read.
struct Fragment<'a> {
    index: Option<u64>,
    position: usize,
    id: String,
    name: String,
    function: &'a FunctionDelta<'a>,
    /// Arguments that are complete by themselves.
    whole_arguments: Option<&'a str>,
}

impl ToolCallAssembler {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.function_call.is_none()
    }

    /// Processes the `tool_calls` of a chunk. Returns whether they contain a fragment.
    pub(super) fn push(&mut self, raw: &RawValue) -> Result<bool, ModelError> {
        self.push_list(raw, false)
    }

    /// Processes the `tool_calls` of a whole message, which repeat those that came in pieces before it.
    pub(super) fn push_again(&mut self, raw: &RawValue) -> Result<bool, ModelError> {
        self.push_list(raw, true)
    }

    fn push_list(&mut self, raw: &RawValue, is_repetition: bool) -> Result<bool, ModelError> {
        let mut touched = Vec::new();
        for (position, raw) in elements(raw).into_iter().enumerate() {
            let Ok(delta) = serde_json::from_str::<ToolCallDelta<'_>>(raw.get()) else { continue };
            let ToolCallDelta { index, id, function, name, arguments, unknown } = delta;
            let is_call = id.is_some() || function.is_some() || name.is_some() || arguments.is_some();
            if !is_call {
                let index = index.and_then(count);
                // A signature can come by itself, behind the call.
                if let Some(call) = self.calls.iter_mut().rfind(|call| index.is_some() && call.index == index) {
                    keep(&mut call.unknown, &unknown);
                    continue;
                }
                if index.is_none() && raw.get() != "{}" {
                    Unrecognized::ToolCall.report();
                }
                continue;
            }
            let mut function = function.unwrap_or_default();
            function.name = function.name.or(name);
            function.arguments = function.arguments.or(arguments);
            let fragment = Fragment::new(index, position, id, &function);
            let at = match self.find_call(&fragment, &touched, is_repetition) {
                Some(at) => at,
                None if self.calls.len() == MAX_CALLS => {
                    return Err(ModelError::invalid_response(format!("more than {MAX_CALLS} tool calls")));
                }
                None => {
                    let (index, position) = (fragment.index, fragment.position);
                    self.calls.push(PartialToolCall { index, position, ..PartialToolCall::default() });
                    self.calls.len() - 1
                }
            };
            touched.push(at);
            if let Some(call) = self.calls.get_mut(at) {
                call.append(&fragment);
                keep(&mut call.unknown, &unknown);
            }
        }
        self.check_size()?;
        Ok(!touched.is_empty())
    }

    /// Processes the `function_call` of a chunk. Returns whether it contains anything.
    pub(super) fn push_function_call(&mut self, raw: &RawValue) -> Result<bool, ModelError> {
        let function: FunctionDelta<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
        if function.name.is_none() && function.arguments.is_none() {
            return Ok(false);
        }
        self.function_call.get_or_insert_default().append(&Fragment::new(None, 0, None, &function));
        self.check_size()?;
        Ok(true)
    }

    /// Returns the complete calls in the order in which they began, and what the server wants back with each.
    ///
    /// `truncated` means that the response reached a limit. Calls with incomplete arguments are then left out, because
    /// half of a request must not be executed.
    pub(super) fn finish(self, truncated: bool) -> (Vec<ToolCall>, Vec<Map<String, Value>>) {
        let partial_calls = if self.calls.is_empty() { self.function_call.into_iter().collect() } else { self.calls };
        let mut ids = HashSet::new();
        let (mut calls, mut extra) = (Vec::with_capacity(partial_calls.len()), Vec::new());
        for PartialToolCall { mut id, name, arguments, unknown, unknown_of_function, .. } in partial_calls {
            let arguments = arguments.finish();
            if truncated && !is_json(&arguments) {
                continue;
            }
            let name = name.trim();
            if name.is_empty() {
                Unrecognized::ToolName.report();
                continue;
            }
            // The id must be unique, because it links the result to the call.
            if id.is_empty() || !ids.insert(id.clone()) {
                id = format!("call_{}", Uuid::new_v4().simple());
            }
            calls.push(ToolCall { id, name: name.to_owned(), arguments, echo: None });
            let mut fields = parsed(unknown);
            let of_function = parsed(unknown_of_function);
            if !of_function.is_empty() {
                fields.insert("function".to_owned(), Value::Object(of_function));
            }
            extra.push(fields);
        }
        (calls, extra)
    }

    /// Returns the position of the call that a fragment continues, or `None` if the fragment begins a new call.
    /// `touched` are the calls that the same list has continued already.
    ///
    /// By the protocol, `index` decides. Some servers leave it out, and some send 0 for every parallel call. Then the
    /// id, the position in the list, and whether the arguments so far are complete decide.
    fn find_call(&self, fragment: &Fragment<'_>, touched: &[usize], is_repetition: bool) -> Option<usize> {
        let Fragment { index, position, id, name, .. } = fragment;
        let is_free = |call: &PartialToolCall| call.id.is_empty() || id.is_empty() || call.id == *id;
        if index.is_some() {
            let at = self.calls.iter().rposition(|call| call.index == *index)?;
            let call = self.calls.get(at)?;
            let is_other_call = !name.is_empty()
                && if is_free(call) {
                    // One call that is sent again as a whole, or that grows, and another one under the same index.
                    id.is_empty() && call.arguments.is_whole() && fragment.is_other(call, touched.contains(&at))
                } else {
                    call.name != *name || call.arguments.is_whole()
                };
            return (!is_other_call).then_some(at);
        }
        if !id.is_empty() {
            let known = self.calls.iter().rposition(|call| call.id == *id);
            // A new id without a name does not begin a call: some servers send a new id with each fragment.
            return known.or_else(|| self.calls.len().checked_sub(1).filter(|_| name.is_empty()));
        }
        let last = self.calls.last()?;
        let at = self.calls.len() - 1;
        if name.is_empty() {
            return Some(at);
        }
        let is_repeated = |call: &PartialToolCall| {
            call.position == *position
                && call.name == *name
                && fragment.whole_arguments.is_some_and(|arguments| call.arguments.is_same(arguments))
        };
        if is_repetition && let Some(at) = self.calls.iter().rposition(is_repeated) {
            return Some(at);
        }
        if !last.id.is_empty() && last.arguments.is_blank() && *position == 0 {
            // This server sends ids, so this is the next piece of the name.
            return Some(at);
        }
        // The arguments of a call can come before its name.
        let has_name = !last.name.is_empty();
        let begins_call = *position > 0 || has_name && (last.name != *name || last.arguments.is_whole());
        (!begins_call).then_some(at)
    }

    fn check_size(&self) -> Result<(), ModelError> {
        let bytes: usize = self.calls.iter().chain(&self.function_call).map(PartialToolCall::len).sum();
        if bytes > MAX_CALL_BYTES {
            return Err(ModelError::invalid_response(format!("more than {MAX_CALL_BYTES} bytes of tool calls")));
        }
        Ok(())
    }
}

impl<'a> Fragment<'a> {
    fn new(index: Option<&RawValue>, position: usize, id: Option<&RawValue>, function: &'a FunctionDelta<'a>) -> Self {
        let usable_index = index.and_then(count);
        if index.is_some() && usable_index.is_none() {
            Unrecognized::ToolIndex.report();
        }
        let whole_arguments = function.arguments.map(RawValue::get).filter(|json| json.starts_with(['{', '"']));
        Self {
            index: usable_index,
            position,
            id: id.and_then(word).unwrap_or_default(),
            name: function.name.and_then(word).unwrap_or_default(),
            function,
            whole_arguments,
        }
    }

    /// Returns whether a fragment with a name, for a call whose arguments are complete, is about another call. A call
    /// without a name waits for it.
    fn is_other(&self, call: &PartialToolCall, is_in_same_list: bool) -> bool {
        is_in_same_list
            || !call.name.is_empty() && call.name != self.name
            || self.whole_arguments.is_some_and(|arguments| call.arguments.is_contradicted_by(arguments))
    }
}

impl PartialToolCall {
    /// Appends a fragment. Only the first id counts, because some servers send another one with each fragment.
    fn append(&mut self, fragment: &Fragment<'_>) {
        if self.id.is_empty() {
            self.id.push_str(&fragment.id);
        }
        if let Some(piece) = fragment.function.name.and_then(scalar) {
            let piece = self.name_joiner.push(piece);
            self.append_name(&piece);
        }
        if let Some(raw) = fragment.function.arguments {
            self.arguments.push(raw);
        }
        keep(&mut self.unknown_of_function, &fragment.function.unknown);
    }

    /// Appends a piece of the name. Some servers repeat the name with each fragment, and some send it as far as it is.
    fn append_name(&mut self, piece: &str) {
        let is_complete = !self.name.is_empty() && !self.arguments.is_blank();
        if is_complete || self.name == piece {
            return;
        }
        if piece.starts_with(&self.name) {
            self.name.clear();
        }
        self.name.push_str(piece);
    }

    fn len(&self) -> usize {
        let unknown = self.unknown.iter().chain(&self.unknown_of_function);
        let unknown: usize = unknown.map(|(name, json)| name.len() + json.len()).sum();
        self.id.len() + self.name.len() + self.arguments.len() + unknown
    }
}

/// Keeps members of a fragment. The last value of a name counts.
fn keep(kept: &mut BTreeMap<String, String>, members: &[(String, &RawValue)]) {
    kept.extend(members.iter().map(|(name, json)| (name.clone(), json.get().to_owned())));
}

fn parsed(members: BTreeMap<String, String>) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, json)| Some((name, serde_json::from_str(&json).ok()?))).collect()
}
