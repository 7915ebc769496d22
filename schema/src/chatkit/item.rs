//! Items: the entries of a thread.

use super::widget::WidgetRoot;
use super::{
    AssistantContent, Attachment, Extra, InferenceOptions, StructuredInputItem, UserContent, Workflow, WorkflowTask,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use uuid::Uuid;

/// One entry of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThreadItem {
    /// Something the user said.
    UserMessage(UserMessage),
    /// Something the assistant said.
    AssistantMessage(AssistantMessage),
    /// A call of a tool that the front end has.
    ClientToolCall(ClientToolCall),
    /// A widget.
    Widget(WidgetItem),
    /// An image the assistant made.
    GeneratedImage(GeneratedImageItem),
    /// Questions to the user.
    StructuredInput(StructuredInputItem),
    /// Work on the way to an answer, one task per step.
    Workflow(WorkflowItem),
    /// One step of work by itself.
    Task(TaskItem),
    /// A note of an integration's; never sent to a client.
    #[serde(rename = "hidden_context_item")]
    HiddenContext(HiddenContext),
    /// A note of the service's for the model; never sent to a client.
    SdkHiddenContext(SdkHiddenContext),
    /// The assistant has nothing to add.
    EndOfTurn(EndOfTurn),
}

/// Something the user said.
#[skip_serializing_none]
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
    pub attachments: Vec<Attachment>,
    /// The passage it refers to.
    pub quoted_text: Option<String>,
    /// What the client asked of the model.
    #[serde(default)]
    pub inference_options: InferenceOptions,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
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
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A call of a tool that the front end has.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientToolCall {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether its output is there.
    #[serde(default)]
    pub status: ClientToolCallStatus,
    /// The id the model gave the call.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// What it is called with.
    pub arguments: Map<String, Value>,
    /// What it answered.
    pub output: Option<Value>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether the output of a client's tool is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientToolCallStatus {
    /// Not yet.
    #[default]
    Pending,
    /// It is.
    Completed,
}

/// A widget in a thread.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WidgetItem {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The widget.
    pub widget: WidgetRoot,
    /// What copying it gives.
    pub copy_text: Option<String>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image the assistant made.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratedImageItem {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// The image, once there is one to see.
    pub image: Option<GeneratedImage>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratedImage {
    /// Its id where it was made.
    pub id: String,
    /// Where it is.
    pub url: String,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Work on the way to an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowItem {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When its first step began.
    pub created_at: DateTime<Utc>,
    /// The steps.
    pub workflow: Workflow,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One step of work by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskItem {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// The step.
    pub task: WorkflowTask,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A note of an integration's, kept where it belongs in the thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenContext {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// The note: any JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub content: Value,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A note for the model, kept where it belongs in the thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SdkHiddenContext {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// The note.
    pub content: String,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The assistant has nothing to add.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndOfTurn {
    /// Id of the item.
    pub id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// When that was.
    pub created_at: DateTime<Utc>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a user thinks of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum FeedbackKind {
    /// It helped.
    Positive,
    /// It did not.
    Negative,
}

impl FeedbackKind {
    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Positive, Self::Negative].into_iter().find(|kind| kind.name() == name)
    }
}
