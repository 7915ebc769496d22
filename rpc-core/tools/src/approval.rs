//! Approval: tools whose calls are made only if the user allows them.

use crate::arguments::inexact_number;
use crate::config::ApprovalMode;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use threadline_schema::chatkit::{
    Extra, StructuredInput, StructuredInputFreeform, StructuredInputMultipleChoice, StructuredInputOption,
    StructuredInputSubmission, SubmissionStatus,
};

/// Id of the question whose answer decides.
const DECISION: &str = "decision";
/// Id of the question for other arguments.
const ARGUMENTS: &str = "arguments";
/// Id of the question for the reason of a refusal.
const REASON: &str = "reason";

const APPROVE: &str = "approve";
const APPROVE_ALWAYS: &str = "approve_always";
const EDIT: &str = "edit";
const REFUSE: &str = "refuse";

/// Maximum size of edited arguments, in bytes.
const MAX_ARGUMENTS_BYTES: usize = 32 * 1024;
/// Maximum length of the reason of a refusal, in characters.
const MAX_REASON_CHARS: usize = 2_000;

/// The result of a call that waited for the approval of a user who continued without an answer. JSON text.
pub const ABANDONED_RESULT: &str =
    r#"{"status":"refused","error":"The user went on without approving this call. It was not made."}"#;
/// The result of a call that was approved too late. JSON text.
pub const EXPIRED_RESULT: &str =
    r#"{"status":"expired","error":"The user did not approve this call in time. It was not made."}"#;

/// What allows a call to be made.
#[derive(Debug, Clone, Copy)]
pub enum Permission<'a> {
    /// The user has approved this very call, or makes it.
    OfUser,
    /// The model asks for the call. Of the tools that need approval, the user has approved these for the conversation.
    OfModel(&'a BTreeSet<String>),
}

/// A call that waits for the user's approval.
#[derive(Debug, Clone)]
pub struct ApprovalRequest {
    /// The arguments of the call.
    pub arguments: Map<String, Value>,
    /// Whether the approval of this call is one of all later calls of the tool in the conversation.
    pub is_first: bool,
    /// How long the call waits.
    pub expires_after: Duration,
}

/// What the user has decided about a call.
#[derive(Debug, Clone, PartialEq)]
pub enum ApprovalDecision {
    /// Make it.
    Approve,
    /// Make it, and later calls of the tool in the conversation without asking.
    ApproveAlways,
    /// Make it with these arguments.
    Edit(Map<String, Value>),
    /// Do not make it, with a reason for the model.
    Refuse(Option<String>),
}

impl Permission<'_> {
    /// Returns whether a call of the tool may be made.
    pub(crate) fn allows(self, tool: &str, mode: ApprovalMode) -> bool {
        match self {
            Self::OfUser => true,
            Self::OfModel(approved) => mode == ApprovalMode::Never || approved.contains(tool),
        }
    }
}

impl ApprovalDecision {
    /// Reads the answers to the questions of [`approval_questions`]. Whatever is not clearly an approval refuses the
    /// call.
    ///
    /// # Errors
    /// If the call is approved with arguments that are not a JSON object or have a number that would be rounded, or a
    /// text is too long. The text is for the client.
    pub fn read(submission: &StructuredInputSubmission) -> Result<Self, String> {
        let value = |id: &str| {
            let answer = submission.answers.get(id).filter(|answer| !answer.skipped)?;
            match answer.values.as_slice() {
                [value] => Some(value.trim()),
                _ => None,
            }
        };
        if submission.status == SubmissionStatus::Skipped {
            return Ok(Self::Refuse(None));
        }
        match value(DECISION) {
            Some(APPROVE) => Ok(Self::Approve),
            Some(APPROVE_ALWAYS) => Ok(Self::ApproveAlways),
            Some(EDIT) => {
                let text = value(ARGUMENTS).unwrap_or_default();
                if text.len() > MAX_ARGUMENTS_BYTES {
                    return Err(format!("The arguments have more than {MAX_ARGUMENTS_BYTES} bytes."));
                }
                let arguments = serde_json::from_str(text)
                    .map_err(|error| format!("The answer `{ARGUMENTS}` must be a JSON object: {error}."))?;
                match inexact_number(text) {
                    Some(problem) => Err(format!("The answer `{ARGUMENTS}` cannot be used: {problem}.")),
                    None => Ok(Self::Edit(arguments)),
                }
            }
            _ => match value(REASON) {
                Some(reason) if reason.chars().count() > MAX_REASON_CHARS => {
                    Err(format!("The answer `{REASON}` has more than {MAX_REASON_CHARS} characters."))
                }
                reason => Ok(Self::Refuse(reason.filter(|reason| !reason.is_empty()).map(ToOwned::to_owned))),
            },
        }
    }
}

/// Returns the questions that ask the user to approve a call.
pub fn approval_questions(tool: &str, arguments: &Map<String, Value>) -> Vec<StructuredInput> {
    let shown = serde_json::to_string_pretty(arguments).unwrap_or_default();
    let option = |value: &str| StructuredInputOption { value: value.to_owned(), extra: Extra::default() };
    let freeform = |id: &str, question: &str, description: Option<String>| {
        let (id, question, answer, extra) = (id.to_owned(), question.to_owned(), None, Extra::default());
        StructuredInput::Freeform(StructuredInputFreeform { id, question, answer, description, extra })
    };
    vec![
        StructuredInput::MultipleChoice(StructuredInputMultipleChoice {
            id: DECISION.to_owned(),
            question: format!("May the assistant call {tool} with these arguments?\n{shown}"),
            answer: None,
            options: [APPROVE, APPROVE_ALWAYS, EDIT, REFUSE].map(option).into(),
            multiple: false,
            extra: Extra::default(),
        }),
        freeform(ARGUMENTS, "For edit: the arguments to call it with", Some("A JSON object.".to_owned())),
        freeform(REASON, "For refuse: why", Some("The assistant reads it.".to_owned())),
    ]
}

/// Returns the result of a call that the user has refused, as JSON text.
pub fn refused_result(reason: Option<&str>) -> String {
    let error = "The user refused this call. It was not made. Do not make it again unless the user asks for it.";
    let mut result = json!({"status": "refused", "error": error});
    if let (Some(reason), Some(members)) = (reason, result.as_object_mut()) {
        members.insert("reason".to_owned(), reason.into());
    }
    result.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(submission: Value) -> Result<ApprovalDecision, String> {
        ApprovalDecision::read(&serde_json::from_value(submission).unwrap())
    }

    #[test]
    fn only_a_clear_approval_approves() {
        let decide = |value: &str| read(json!({"answers": {"decision": {"values": [value]}}}));
        assert_eq!(decide("approve"), Ok(ApprovalDecision::Approve));
        assert_eq!(decide("approve_always"), Ok(ApprovalDecision::ApproveAlways));
        for unclear in [
            json!({}),
            json!({"status": "skipped", "answers": {"decision": {"values": ["approve"]}}}),
            json!({"answers": {"decision": {"values": ["approve"], "skipped": true}}}),
            json!({"answers": {"decision": {"values": []}}}),
            json!({"answers": {"decision": {"values": ["approve", "refuse"]}}}),
            json!({"answers": {"decision": {"values": ["yes"]}}}),
            json!({"answers": {"decision": {"values": ["Approve"]}}}),
            json!({"answers": {"decision": {"values": ["refuse"]}}}),
            json!({"answers": {"arguments": {"values": ["{}"]}}}),
        ] {
            assert_eq!(read(unclear.clone()), Ok(ApprovalDecision::Refuse(None)), "{unclear}");
        }
        let reason = json!({"answers": {"decision": {"values": ["refuse"]}, "reason": {"values": [" No. "]}}});
        assert_eq!(read(reason), Ok(ApprovalDecision::Refuse(Some("No.".to_owned()))));
    }

    #[test]
    fn edited_arguments_are_an_object() {
        let edit =
            |text: &str| read(json!({"answers": {"decision": {"values": ["edit"]}, "arguments": {"values": [text]}}}));
        let Ok(ApprovalDecision::Edit(arguments)) = edit(r#"{"a": 1}"#) else { panic!("an edit") };
        assert_eq!(Value::Object(arguments), json!({"a": 1}));
        for bad in ["", "[]", "{", "null", r#""{}""#, "{} {}", r#"{"a": 12345678901234567890123}"#] {
            assert!(edit(bad).is_err(), "{bad}");
        }
        assert!(edit(&json!({"a": "x".repeat(MAX_ARGUMENTS_BYTES)}).to_string()).is_err());
        assert!(read(json!({"answers": {"decision": {"values": ["edit"]}}})).is_err());
    }

    #[test]
    fn a_tool_that_asks_is_not_called_by_a_model_alone() {
        let approved = BTreeSet::from(["known".to_owned()]);
        for mode in [ApprovalMode::First, ApprovalMode::Always] {
            assert!(!Permission::OfModel(&approved).allows("other", mode));
            assert!(Permission::OfModel(&approved).allows("known", mode));
            assert!(Permission::OfUser.allows("other", mode));
        }
        assert!(Permission::OfModel(&approved).allows("other", ApprovalMode::Never));
    }
}
