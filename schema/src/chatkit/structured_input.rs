//! Structured input: questions the assistant asks, and what the user answers.

use super::Extra;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Questions to the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputItem {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When they were asked.
    pub created_at: DateTime<Utc>,
    /// Whether they have been answered.
    #[serde(default)]
    pub status: StructuredInputStatus,
    /// The questions.
    pub inputs: Vec<StructuredInput>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether questions have been answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StructuredInputStatus {
    /// Not yet.
    #[default]
    Pending,
    /// They have.
    Answered,
    /// The user would not.
    Skipped,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StructuredInput {
    /// With options to choose from.
    MultipleChoice(StructuredInputMultipleChoice),
    /// Answered in words.
    Freeform(StructuredInputFreeform),
}

/// A question with options to choose from.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputMultipleChoice {
    /// Id of the question, within its item.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answer, once there is one.
    pub answer: Option<StructuredInputAnswer>,
    /// What is proposed; the user may also write something else.
    pub options: Vec<StructuredInputOption>,
    /// Whether the user may choose more than one.
    #[serde(default)]
    pub multiple: bool,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A question answered in words.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputFreeform {
    /// Id of the question, within its item.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answer, once there is one.
    pub answer: Option<StructuredInputAnswer>,
    /// What stands below the question.
    pub description: Option<String>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputOption {
    /// What it says, and what is submitted.
    pub value: String,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The answer to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputAnswer {
    /// What was chosen or written.
    #[serde(default)]
    pub values: Vec<String>,
    /// Whether the user passed over the question.
    #[serde(default)]
    pub skipped: bool,
}

/// Answers on their way in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StructuredInputSubmission {
    /// Whether there are answers at all.
    #[serde(default)]
    pub status: SubmissionStatus,
    /// The answers, by the ids of the questions.
    #[serde(default)]
    pub answers: BTreeMap<String, StructuredInputAnswer>,
}

/// Whether there are answers at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionStatus {
    /// There are.
    #[default]
    Answered,
    /// The user would not.
    Skipped,
}
