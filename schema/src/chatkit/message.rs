//! The parts of messages, and messages as clients send them.

use super::{Annotation, Extra};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A part of a message of the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum UserContent {
    /// Plain text.
    #[serde(rename = "input_text")]
    Text {
        /// The text.
        text: String,
        /// Members that this version does not know.
        #[serde(flatten)]
        extra: Extra,
    },
    /// A tag that the front end inserted, such as a mention.
    #[serde(rename = "input_tag")]
    Tag {
        /// Id of the tagged entity.
        id: String,
        /// Text of the tag.
        text: String,
        /// Data of the front end.
        #[serde(default)]
        data: Map<String, Value>,
        /// Group of the tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Whether the user can click it.
        #[serde(default)]
        interactive: bool,
        /// Members that this version does not know.
        #[serde(flatten)]
        extra: Extra,
    },
}

impl UserContent {
    /// Returns the text of the part.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } | Self::Tag { text, .. } => text,
        }
    }
}

/// A message, as a client sends it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserMessageInput {
    /// Parts of the message.
    pub content: Vec<UserContent>,
    /// Ids of attachments, at most 10.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub attachments: Vec<String>,
    /// Text that the message quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_text: Option<String>,
    /// Options for the model.
    #[serde(default)]
    pub inference_options: InferenceOptions,
}

impl UserMessageInput {
    /// Creates a message with one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![UserContent::Text { text: text.into(), extra: Extra::new() }], ..Self::default() }
    }
}

/// Options for the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InferenceOptions {
    /// Tool that the model must call in its first turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Selects a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolChoice {
    /// Name of the tool.
    pub id: String,
}

/// A part of a message of the assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum AssistantContent {
    /// Text.
    #[serde(rename = "output_text")]
    Text {
        /// The text.
        text: String,
        /// References to sources.
        #[serde(default)]
        annotations: Vec<Annotation>,
        /// Members that this version does not know.
        #[serde(flatten)]
        extra: Extra,
    },
}

impl AssistantContent {
    /// Creates a part with this text, without sources.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), annotations: Vec::new(), extra: Extra::new() }
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } => text,
        }
    }
}
