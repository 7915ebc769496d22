//! What a caller sends to a model.

use crate::ToolCall;
use crate::config::ModelParameters;
use crate::dialect::DialectOverrides;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::sync::Arc;
use threadline_schema::ids::AttachmentId;

/// One request to a model.
#[derive(Debug, Clone, Default)]
pub struct ModelRequest {
    /// Name of the model on the server. `None` means the configured one.
    pub model: Option<Arc<str>>,
    /// What the operator sets of the dialect of this model.
    pub dialect: Option<Arc<DialectOverrides>>,
    /// Sampling parameters and limits.
    pub parameters: Arc<ModelParameters>,
    /// The conversation. The system prompt comes first.
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    pub tools: Arc<[ToolSpec]>,
    /// Name of the tool that the model must call.
    pub tool_choice: Option<Arc<str>>,
    /// Sent to the server as `X-Request-Id`, and a field of log messages.
    pub request_id: Arc<str>,
}

/// The text beside the images of tools.
pub(crate) const TOOL_IMAGES: &str =
    "[These are the images in the results of the tools above. They are not a message of the user.]";

/// One message of the prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Instructions of the service.
    System(String),
    /// A message of the user.
    User(UserInput),
    /// An earlier response of the model.
    Assistant {
        /// Text. Can be empty if there are tool calls.
        text: String,
        /// Tool calls that the model asked for.
        tool_calls: Vec<ToolCall>,
    },
    /// The result of a tool call.
    Tool {
        /// [`ToolCall::id`] of the call.
        call_id: String,
        /// The result as JSON text.
        content: String,
    },
    /// Images in the results before it. Servers accept images from a user only, so it is sent as the user's; but the
    /// turn continues.
    ToolImages(Vec<AttachedFile>),
}

impl Message {
    /// Returns the size of the text in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::System(text) => text.len(),
            Self::User(input) => input.bytes(),
            Self::Assistant { text, tool_calls } => {
                text.len() + tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>()
            }
            Self::Tool { content, .. } => content.len(),
            Self::ToolImages(_) => TOOL_IMAGES.len(),
        }
    }
}

/// The text of a user message, with its attachments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserInput {
    /// Text.
    pub text: String,
    /// Attachments.
    pub attachments: Vec<AttachedFile>,
}

impl UserInput {
    /// Returns the size of the text and of the text files in bytes. Images do not count: how many tokens an image
    /// costs depends on the model.
    fn bytes(&self) -> usize {
        let files = self.attachments.iter().map(|file| match &file.content {
            FileContent::Text(text) => text.len(),
            FileContent::Omitted | FileContent::Image(_) => 0,
        });
        self.text.len() + files.sum::<usize>()
    }
}

impl From<String> for UserInput {
    fn from(text: String) -> Self {
        Self { text, attachments: Vec::new() }
    }
}

impl From<&str> for UserInput {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// An attachment as part of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttachedFile {
    /// Id of the attachment.
    pub id: AttachmentId,
    /// File name.
    pub name: String,
    /// Media type.
    pub mime_type: String,
    /// The part of the content that the model gets.
    pub content: FileContent,
}

/// The content of an attachment, as the model gets it.
#[derive(Debug, Clone, PartialEq)]
pub enum FileContent {
    /// Only name and type of the file are in the prompt.
    Omitted,
    /// The text of the file.
    Text(Arc<str>),
    /// An image as a `data:` URL.
    Image(Arc<str>),
}

/// Recorded speech to be transcribed.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The audio file.
    pub bytes: Bytes,
    /// Media type.
    pub mime_type: &'static str,
    /// File extension for this type, without the dot. Servers detect the format by the file name.
    pub extension: &'static str,
    /// Sent to the server as `X-Request-Id`.
    pub request_id: Arc<str>,
}

/// A tool that is offered to the model.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// Name.
    pub name: String,
    /// What the tool does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments. It is sent in the dialect of the model.
    pub parameters: Arc<RawValue>,
}
