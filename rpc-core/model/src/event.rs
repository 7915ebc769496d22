//! What a model returns.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use threadline_schema::runs::Usage;

/// One element of a model's stream.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More of the model's reasoning. Never empty.
    Thought(String),
    /// More text. Never empty, and the first one is never blank.
    Text(String),
    /// All text so far was a thought, which only its end has shown. More text can follow.
    TextWasThought,
    /// A source of the text.
    Citation(Citation),
    /// A complete tool call.
    ToolCall(ToolCall),
    /// The number of tokens that the server reports.
    Usage(Usage),
    /// The response is complete.
    Finished(FinishReason),
}

/// A tool call that the model asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Id that links the call and its result. Never empty: if the server sends none, this crate generates one.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// The arguments as the model wrote them, put together. Not validated, so they can be invalid JSON. `{}` if the
    /// model wrote none.
    pub arguments: String,
    /// What the server wants back with the call. Stored with it, and never shown to clients.
    pub echo: Option<Box<Echo>>,
}

/// Fields of a response that mean something to its server only, and that it wants back in the next request: Gemini's
/// thought signature, DeepSeek's reasoning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Name of the model. Other models do not get the fields.
    pub model: String,
    /// Fields of the tool call, such as `extra_content`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub call: Map<String, Value>,
    /// Fields of the message, such as `reasoning_content`: in the first tool call of a message only.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub message: Map<String, Value>,
}

impl Echo {
    /// Returns whether there is nothing to send back.
    pub fn is_empty(&self) -> bool {
        self.call.is_empty() && self.message.is_empty()
    }
}

/// A web page that the text is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// `http` or `https` URL.
    pub url: String,
    /// Title. Never empty.
    pub title: String,
    /// End of the passage that is based on the page: an index into the text of the whole response, in characters, as
    /// the server counts them. It can be ahead of the text received so far.
    pub end: Option<u64>,
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// The model asks for tool calls.
    ToolCalls,
    /// The response reached a length limit.
    Length,
    /// The server's content filter stopped the response.
    ContentFilter,
    /// The model refused to answer. The text says so.
    Refusal,
}
