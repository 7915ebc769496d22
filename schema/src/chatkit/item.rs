//! Items: the entries of a thread.

use super::by_value::by_value;
use super::widget::WidgetRoot;
use super::{
    AssistantContent, Attachment, Extra, InferenceOptions, StructuredInputItem, UserContent, Workflow, WorkflowTask,
};
use crate::finish_reason::FinishReason;
use crate::ids::{ItemId, ThreadId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

/// One entry of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", tag = "type", rename_all = "snake_case")]
#[schemars(rename = "ThreadItem")]
pub enum ThreadItem {
    /// A message of the user.
    UserMessage(UserMessage),
    /// A message of the assistant.
    AssistantMessage(AssistantMessage),
    /// A call of a client tool.
    ClientToolCall(ClientToolCall),
    /// A widget.
    Widget(WidgetItem),
    /// An image that the assistant generated.
    GeneratedImage(GeneratedImageItem),
    /// Questions to the user.
    StructuredInput(StructuredInputItem),
    /// Steps of the assistant, one task per step.
    Workflow(WorkflowItem),
    /// One step of the assistant.
    Task(TaskItem),
    /// A note of an integration; never sent to a client.
    #[serde(rename = "hidden_context_item")]
    HiddenContext(HiddenContext),
    /// A note of the service to the model; never sent to a client.
    SdkHiddenContext(SdkHiddenContext),
    /// The end of the assistant's turn.
    EndOfTurn(EndOfTurn),
}

by_value!(ThreadItem);

/// A message of the user.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserMessage {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When the message was stored.
    pub created_at: DateTime<Utc>,
    /// Parts of the message.
    pub content: Vec<UserContent>,
    /// Attachments.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Text that the message quotes.
    pub quoted_text: Option<String>,
    /// The client's options for the model.
    #[serde(default)]
    pub inference_options: InferenceOptions,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A message of the assistant.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssistantMessage {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When it started.
    pub created_at: DateTime<Utc>,
    /// Parts of the message.
    pub content: Vec<AssistantContent>,
    /// How the answer ended, if the message is the last one of its run. The message is incomplete unless it is `stop`.
    pub finish_reason: Option<FinishReason>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A call of a client tool.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientToolCall {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Whether the output has arrived.
    #[serde(default)]
    pub status: ClientToolCallStatus,
    /// Id that the model gave to the call.
    pub call_id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments.
    pub arguments: Map<String, Value>,
    /// Output of the tool.
    pub output: Option<Value>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether the output of a client tool has arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientToolCallStatus {
    /// It has not.
    #[default]
    Pending,
    /// It has.
    Completed,
}

/// A widget in a thread.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WidgetItem {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The widget.
    pub widget: WidgetRoot,
    /// Text that copying the widget gives.
    pub copy_text: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image that the assistant generated.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratedImageItem {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When the generation started.
    pub created_at: DateTime<Utc>,
    /// The image, when there is something to show.
    pub image: Option<GeneratedImage>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratedImage {
    /// Id at the provider.
    pub id: String,
    /// URL.
    pub url: String,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Steps of the assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowItem {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When the first step started.
    pub created_at: DateTime<Utc>,
    /// The steps.
    pub workflow: Workflow,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One step of the assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskItem {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When it started.
    pub created_at: DateTime<Utc>,
    /// The step.
    pub task: WorkflowTask,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A note of an integration, at its position in the thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenContext {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// The note, as any JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub content: Value,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A note to the model, at its position in the thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SdkHiddenContext {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// The note.
    pub content: String,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The end of the assistant's turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndOfTurn {
    /// Id of the item.
    pub id: ItemId,
    /// Id of the thread.
    pub thread_id: ThreadId,
    /// When the turn ended.
    pub created_at: DateTime<Utc>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A user's rating of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum FeedbackKind {
    /// The answer is good.
    Positive,
    /// The answer is bad.
    Negative,
}

impl FeedbackKind {
    /// Returns the name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Positive, Self::Negative].into_iter().find(|kind| kind.name() == name)
    }
}
