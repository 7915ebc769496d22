//! Structured input: questions to the user, and the answers.

use super::Extra;
use crate::ids::{ItemId, ThreadId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// Questions to the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputItem {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When the questions were asked.
    pub created_at: DateTime<Utc>,
    /// Whether the user has answered.
    #[serde(default)]
    pub status: StructuredInputStatus,
    /// The questions.
    pub inputs: Vec<StructuredInput>,
    /// The tool call that the questions are about; absent for questions that the model asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ToolApproval>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A tool call that is made only if the user approves it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolApproval {
    /// Id of the call.
    pub call_id: String,
    /// Name of the tool.
    pub tool: String,
    /// The arguments, exactly as the call is made with them if it is approved.
    pub arguments: Map<String, Value>,
    /// From then on, an answer refuses the call.
    pub expires_at: DateTime<Utc>,
    /// What was decided; absent until then.
    pub outcome: Option<ApprovalOutcome>,
    /// The arguments that the user has put in place of `arguments`.
    pub edited_arguments: Option<Map<String, Value>>,
}

/// What was decided about a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalOutcome {
    /// The user has approved the call.
    Approved,
    /// The user has approved the call, and the calls of the tool in the rest of the thread.
    ApprovedAlways,
    /// The user has approved the call with other arguments.
    Edited,
    /// The user has refused the call.
    Refused,
    /// The answer came too late. The call is refused.
    Expired,
    /// The user continued without an answer. The call is refused.
    Abandoned,
}

impl ApprovalOutcome {
    /// Returns whether the call is made.
    pub fn is_approval(self) -> bool {
        matches!(self, Self::Approved | Self::ApprovedAlways | Self::Edited)
    }

    /// Returns the name, for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::ApprovedAlways => "approved_always",
            Self::Edited => "edited",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Whether the user has answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StructuredInputStatus {
    /// The user has not answered yet.
    #[default]
    Pending,
    /// The user has answered.
    Answered,
    /// The user has skipped the questions.
    Skipped,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StructuredInput {
    /// A question with options.
    MultipleChoice(StructuredInputMultipleChoice),
    /// A question with a text as the answer.
    Freeform(StructuredInputFreeform),
}

/// A question with options.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputMultipleChoice {
    /// Id of the question, unique in the item.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answer; absent until there is one.
    pub answer: Option<StructuredInputAnswer>,
    /// The options. The user may also write another answer.
    pub options: Vec<StructuredInputOption>,
    /// Whether the user may choose more than one option.
    #[serde(default)]
    pub multiple: bool,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A question with a text as the answer.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputFreeform {
    /// Id of the question, unique in the item.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answer; absent until there is one.
    pub answer: Option<StructuredInputAnswer>,
    /// Text below the question.
    pub description: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputOption {
    /// Label of the option, which is also the submitted value.
    pub value: String,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The answer to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputAnswer {
    /// The chosen or written values.
    #[serde(default)]
    pub values: Vec<String>,
    /// Whether the user has skipped the question.
    #[serde(default)]
    pub skipped: bool,
}

/// Answers, as a client sends them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputSubmission {
    /// Whether the user has answered or skipped the questions.
    #[serde(default)]
    pub status: SubmissionStatus,
    /// The answers by question id.
    #[serde(default)]
    pub answers: BTreeMap<String, StructuredInputAnswer>,
}

/// Whether the user has answered or skipped the questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionStatus {
    /// The user has answered.
    #[default]
    Answered,
    /// The user has skipped the questions.
    Skipped,
}
