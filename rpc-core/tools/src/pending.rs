//! Calls that the client or the user answers, not this service. They end the run; another run continues with the
//! answer.

use crate::approval::{ApprovalRequest, Permission};
use crate::arguments::parse_arguments;
use crate::ask_user;
use crate::config::ApprovalMode;
use crate::toolbox::Toolbox;
use serde_json::{Map, Value};
use threadline_model::ToolCall;
use threadline_schema::chatkit::StructuredInput;

/// A call that waits for an answer.
pub enum PendingCall {
    /// A call of a client tool, with its arguments.
    ClientTool(Map<String, Value>),
    /// Questions to the user.
    Questions(Vec<StructuredInput>),
    /// A call that is made if the user approves it.
    Approval(ApprovalRequest),
}

/// Tells the model why a second pending call was not made.
pub(crate) const ONE_AT_A_TIME: &str = "Another call has to be answered first. Make this one again when it has been.";

impl Toolbox {
    /// Returns the first of these calls that has to wait for an answer, and its index. A run can wait for one call
    /// only: the others that would have to wait are not made.
    pub fn first_pending(&self, calls: &[ToolCall], permission: Permission<'_>) -> Option<(usize, PendingCall)> {
        calls.iter().enumerate().find_map(|(index, call)| {
            let approval = || self.approval_request(call, permission).map(PendingCall::Approval);
            Some((index, self.pending(call).and_then(Result::ok).or_else(approval)?))
        })
    }

    /// Returns what a call waits for if it needs an approval. A call whose arguments do not fit the schema is not
    /// made in any case, so the user is not asked.
    fn approval_request(&self, call: &ToolCall, permission: Permission<'_>) -> Option<ApprovalRequest> {
        let tool = self.find(&call.name)?;
        let mode = self.approval_of(&call.name);
        if permission.allows(&call.name, mode) {
            return None;
        }
        let arguments = Value::Object(parse_arguments(call).ok()?);
        tool.check_arguments(&arguments).ok()?;
        let Value::Object(arguments) = arguments else { return None };
        let is_first = mode == ApprovalMode::First;
        Some(ApprovalRequest { arguments, is_first, expires_after: self.approval_expires_after() })
    }

    /// Returns why a call of a client tool or of `ask_user` was not made; `None` for other tools.
    pub(crate) fn reason_not_pending(&self, call: &ToolCall) -> Option<String> {
        self.pending(call).map(|pending| pending.err().unwrap_or_else(|| ONE_AT_A_TIME.to_owned()))
    }

    fn pending(&self, call: &ToolCall) -> Option<Result<PendingCall, String>> {
        let is_client_tool = self.is_client_tool(&call.name);
        if !is_client_tool && !self.is_ask_user(&call.name) {
            return None;
        }
        let arguments = match parse_arguments(call) {
            Ok(arguments) => arguments,
            Err(problem) => return Some(Err(problem)),
        };
        Some(if is_client_tool {
            Ok(PendingCall::ClientTool(arguments))
        } else {
            ask_user::parse_questions(Value::Object(arguments)).map(PendingCall::Questions)
        })
    }
}
