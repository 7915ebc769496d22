//! Messages in REST's form, and the views of items and tool calls that they are made from.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use threadline_schema::ids::ItemId;
use threadline_schema::runs::FinishReason;

/// One message of a session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionMessage")]
pub(crate) struct Message<'a> {
    /// Id of the message.
    #[schemars(with = "ItemId")]
    pub(crate) id: &'a RawValue,
    /// Who wrote it.
    pub(crate) role: Role,
    /// The text.
    pub(crate) content: Vec<Part<'a>>,
    /// The tool calls of its run before it; null if there were none.
    pub(crate) tool_calls: Option<Vec<ToolCall<'a>>>,
    /// When it was stored.
    #[schemars(with = "DateTime<Utc>")]
    pub(crate) created_at: &'a RawValue,
    /// How the answer ended, if the message is the last one of its run. The message is incomplete unless it is `stop`.
    /// Absent if the run ended without the model's last word, and for messages of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<FinishReason>")]
    pub(crate) finish_reason: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// Makes the message of an item; `None` for items that are not messages, such as workflows.
    pub(crate) fn from_item(
        item: &ItemView<'a>,
        tool_calls: Option<Vec<ToolCall<'a>>>,
    ) -> serde_json::Result<Option<Self>> {
        let (role, kind) = match item.kind.as_ref() {
            "user_message" => (Role::User, PartKind::InputText),
            "assistant_message" => (Role::Assistant, PartKind::Text),
            _ => return Ok(None),
        };
        let parts: Vec<PartView<'a>> = item.content.map_or(Ok(Vec::new()), |json| serde_json::from_str(json.get()))?;
        let content = parts.into_iter().map(|part| Part { kind, text: part.text }).collect();
        let ItemView { id, created_at, finish_reason, .. } = *item;
        Ok(Some(Self { id, role, content, tool_calls, created_at, finish_reason }))
    }

    /// Makes a message without text. It carries the tool calls of a run that ended before its first message.
    pub(crate) fn empty(id: &'a RawValue, created_at: &'a RawValue, tool_calls: Option<Vec<ToolCall<'a>>>) -> Self {
        Self { id, role: Role::Assistant, content: Vec::new(), tool_calls, created_at, finish_reason: None }
    }
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The user.
    User,
    /// The assistant.
    Assistant,
}

/// A part of a message.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionMessagePart")]
pub(crate) struct Part<'a> {
    /// `input_text` from the user, `text` from the assistant.
    #[serde(rename = "type")]
    kind: PartKind,
    /// The text.
    #[schemars(with = "String")]
    text: &'a RawValue,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PartKind {
    InputText,
    Text,
}

/// A call of a tool on the server.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionToolCall")]
pub(crate) struct ToolCall<'a> {
    /// The id the model gave the call.
    #[schemars(with = "String")]
    id: &'a RawValue,
    /// Always `function`.
    #[serde(rename = "type")]
    kind: ToolKind,
    /// The tool and its arguments.
    function: Function<'a>,
    /// The output: JSON text; null while the call runs. `{"status": "unknown", ...}` if the call started and the
    /// service never saw its end: it may have taken effect or not.
    #[schemars(with = "Option<String>")]
    result: Option<&'a RawValue>,
}

impl<'a> From<&ToolCallView<'a>> for ToolCall<'a> {
    fn from(record: &ToolCallView<'a>) -> Self {
        let function = Function { name: record.name, arguments: record.arguments };
        Self { id: record.id, kind: ToolKind::Function, function, result: record.result }
    }
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ToolKind {
    Function,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionToolFunction")]
struct Function<'a> {
    /// Name of the tool.
    #[schemars(with = "String")]
    name: &'a RawValue,
    /// The arguments: JSON text.
    #[schemars(with = "String")]
    arguments: &'a RawValue,
}

/// The members of a ChatKit item that a message needs. Strings stay JSON text.
#[derive(Debug, Deserialize)]
pub(crate) struct ItemView<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) id: &'a RawValue,
    #[serde(borrow)]
    pub(crate) created_at: &'a RawValue,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl ItemView<'_> {
    /// Returns whether the item is a message of the assistant.
    pub(crate) fn is_assistant_message(&self) -> bool {
        self.kind == "assistant_message"
    }
}

/// A [`threadline_schema::runs::ToolCallRecord`] whose strings stay JSON text.
#[derive(Debug, Deserialize)]
pub(crate) struct ToolCallView<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow)]
    arguments: &'a RawValue,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) run_id: &'a RawValue,
    #[serde(borrow, default)]
    pub(crate) message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) created_at: &'a RawValue,
}

#[derive(Deserialize)]
struct PartView<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}
