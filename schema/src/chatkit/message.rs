//! Messages: what is in them, and how one comes in.

use super::{Annotation, Extra};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A part of a user's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum UserContent {
    /// Plain text.
    #[serde(rename = "input_text")]
    Text {
        /// The text.
        text: String,
        /// Members not known here.
        #[serde(flatten)]
        extra: Extra,
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
        /// Members not known here.
        #[serde(flatten)]
        extra: Extra,
    },
}

impl UserContent {
    /// The words of the part.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } | Self::Tag { text, .. } => text,
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
        Self { content: vec![UserContent::Text { text: text.into(), extra: Extra::new() }], ..Self::default() }
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
        annotations: Vec<Annotation>,
        /// Members not known here.
        #[serde(flatten)]
        extra: Extra,
    },
}

impl AssistantContent {
    /// A part with this text and no sources.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), annotations: Vec::new(), extra: Extra::new() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } => text,
        }
    }
}
