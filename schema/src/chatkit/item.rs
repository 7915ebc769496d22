//! Items: the entries of a thread.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// One entry of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThreadItem {
    /// Something the user said.
    UserMessage(UserMessage),
    /// Something the assistant said.
    AssistantMessage(AssistantMessage),
    /// Tools at work, one task per call.
    Workflow(WorkflowItem),
    /// A note for the model; never sent to a client.
    #[serde(rename = "sdk_hidden_context")]
    HiddenContext(HiddenContext),
}

/// Something the user said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserMessage {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// What was said.
    pub content: Vec<UserContent>,
    /// Files with it.
    #[serde(default)]
    pub attachments: Vec<Value>,
    /// The passage it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_text: Option<String>,
    /// What the client asked of the model.
    #[serde(default)]
    pub inference_options: InferenceOptions,
}

/// A part of a user's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum UserContent {
    /// Plain text.
    #[serde(rename = "input_text")]
    Text {
        /// The text.
        text: String,
    },
    /// A tag the front end made, such as a mention.
    #[serde(rename = "input_tag")]
    Tag {
        /// Id of what is tagged.
        id: String,
        /// How it reads.
        text: String,
        /// What the front end keeps with it.
        #[serde(default)]
        data: Map<String, Value>,
        /// Group it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Whether it reacts to the pointer.
        #[serde(default)]
        interactive: bool,
    },
}

impl UserContent {
    /// The words of the part.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text } | Self::Tag { text, .. } => text,
        }
    }
}

/// A message on its way in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserMessageInput {
    /// What is said.
    pub content: Vec<UserContent>,
    /// Ids of files that go with it.
    #[serde(default)]
    pub attachments: Vec<String>,
    /// The passage it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_text: Option<String>,
    /// What the client asks of the model.
    #[serde(default)]
    pub inference_options: InferenceOptions,
}

impl UserMessageInput {
    /// A message of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![UserContent::Text { text: text.into() }], ..Self::default() }
    }
}

/// What a client asks of the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InferenceOptions {
    /// A tool the assistant is to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// A model by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A tool by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolChoice {
    /// Name of the tool.
    pub id: String,
}

/// Something the assistant said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssistantMessage {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// What was said.
    pub content: Vec<AssistantContent>,
}

/// A part of an assistant's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum AssistantContent {
    /// Text.
    #[serde(rename = "output_text")]
    Text {
        /// The text.
        text: String,
        /// Sources it points to.
        #[serde(default)]
        annotations: Vec<Value>,
    },
}

impl AssistantContent {
    /// A part with this text and no sources.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), annotations: Vec::new() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } => text,
        }
    }
}

/// Tools at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowItem {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When the first tool was called.
    pub created_at: DateTime<Utc>,
    /// The calls.
    pub workflow: Workflow,
}

/// The calls of a workflow item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workflow {
    /// What kind of work it is.
    #[serde(rename = "type")]
    pub kind: WorkflowKind,
    /// One entry per call.
    pub tasks: Vec<WorkflowTask>,
    /// Whether the front end opens it.
    #[serde(default)]
    pub expanded: bool,
}

/// What kind of work a workflow shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowKind {
    /// Tools.
    Custom,
    /// Thoughts of the model.
    Reasoning,
}

/// An entry of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WorkflowTask {
    /// A tool call.
    Custom(CustomTask),
}

/// A tool call as a workflow shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CustomTask {
    /// How far it is.
    pub status_indicator: StatusIndicator,
    /// What is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// How far an entry of a workflow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusIndicator {
    /// Not shown.
    None,
    /// At work.
    Loading,
    /// Done.
    Complete,
}

/// A note for the model, kept where it belongs in the thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenContext {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// The note.
    pub content: String,
}
