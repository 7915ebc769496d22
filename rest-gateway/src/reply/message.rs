//! Messages in REST's words, and the views of items and tool calls they are made of.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use uuid::Uuid;

/// One message of a session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionMessage")]
pub(crate) struct Message<'a> {
    /// Id of the message.
    #[schemars(with = "Uuid")]
    pub(crate) id: &'a RawValue,
    /// Who said it.
    pub(crate) role: Role,
    /// What was said.
    pub(crate) content: Vec<Part<'a>>,
    /// Tools that were called on the way to it; null when there were none.
    pub(crate) tool_calls: Option<Vec<ToolCall<'a>>>,
    /// When it was said.
    #[schemars(with = "DateTime<Utc>")]
    pub(crate) created_at: &'a RawValue,
}

impl<'a> Message<'a> {
    /// The message an item is; `None` for items that are none, such as workflows.
    pub(crate) fn of(item: &ItemView<'a>, tool_calls: Option<Vec<ToolCall<'a>>>) -> serde_json::Result<Option<Self>> {
        let (role, kind) = match item.kind.as_ref() {
            "user_message" => (Role::User, PartKind::InputText),
            "assistant_message" => (Role::Assistant, PartKind::Text),
            _ => return Ok(None),
        };
        let parts: Vec<PartView<'a>> = item.content.map_or(Ok(Vec::new()), |json| serde_json::from_str(json.get()))?;
        let content = parts.into_iter().map(|part| Part { kind, text: part.text }).collect();
        Ok(Some(Self { id: item.id, role, content, tool_calls, created_at: item.created_at }))
    }

    /// Words that were never said: what stands for a turn that ended before its message began.
    pub(crate) fn unsaid(id: &'a RawValue, created_at: &'a RawValue, tool_calls: Option<Vec<ToolCall<'a>>>) -> Self {
        Self { id, role: Role::Assistant, content: Vec::new(), tool_calls, created_at }
    }
}

/// Who says a message.
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

/// A call of a server-side tool.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionToolCall")]
pub(crate) struct ToolCall<'a> {
    /// The id the model gave the call.
    #[schemars(with = "String")]
    id: &'a RawValue,
    /// Always `function`.
    #[serde(rename = "type")]
    kind: ToolKind,
    /// What was called.
    function: Function<'a>,
    /// What it answered: JSON text; null while the call is in flight. `{"status": "unknown", ...}` when it began and was
    /// never seen to end, so that nobody can say whether it took effect.
    #[schemars(with = "Option<String>")]
    result: Option<&'a RawValue>,
}

impl<'a> From<&RecordView<'a>> for ToolCall<'a> {
    fn from(record: &RecordView<'a>) -> Self {
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
    /// What it was called with: JSON text.
    #[schemars(with = "String")]
    arguments: &'a RawValue,
}

/// What a message needs of a ChatKit item; texts stay the JSON they are.
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
}

impl ItemView<'_> {
    /// Whether the assistant said it.
    pub(crate) fn is_answer(&self) -> bool {
        self.kind == "assistant_message"
    }
}

/// A [`threadline_schema::runs::ToolCallRecord`] whose texts stay the JSON they are.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordView<'a> {
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
