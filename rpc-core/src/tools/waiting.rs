//! Calls that somebody outside of the service answers: the client, or the user.

use super::{Toolbox, arguments_of, ask};
use crate::model::ToolCall;
use serde_json::{Map, Value};
use threadline_schema::chatkit::StructuredInput;

/// What a call waits for.
pub(crate) enum Pending {
    /// A tool of the client's, with its arguments.
    ClientTool(Map<String, Value>),
    /// The user's answers to questions.
    Questions(Vec<StructuredInput>),
}

/// Why a call that would wait was not made, for the model.
const ONE_AT_A_TIME: &str = "Another call has to be answered first. Make this one again when it has been.";

impl Toolbox {
    /// The one of these calls that is left for somebody else to answer, and its place: the first that can be.
    pub(crate) fn pending_among(&self, calls: &[ToolCall]) -> Option<(usize, Pending)> {
        calls.iter().enumerate().find_map(|(index, call)| Some((index, self.pending(call)?.ok()?)))
    }

    /// Why a call that would wait was not made; `None` when it is no such call.
    pub(super) fn not_waited_for(&self, call: &ToolCall) -> Option<String> {
        self.pending(call).map(|pending| pending.err().unwrap_or_else(|| ONE_AT_A_TIME.to_owned()))
    }

    fn pending(&self, call: &ToolCall) -> Option<Result<Pending, String>> {
        let is_clients = self.clients.iter().any(|name| **name == *call.name);
        let is_question = self.asks && call.name == ask::NAME;
        if !is_clients && !is_question {
            return None;
        }
        let Some(Value::Object(arguments)) = arguments_of(call) else {
            return Some(Err("The arguments are not a JSON object.".to_owned()));
        };
        Some(if is_clients {
            Ok(Pending::ClientTool(arguments))
        } else {
            ask::questions(Value::Object(arguments)).map(Pending::Questions)
        })
    }
}
