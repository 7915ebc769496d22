//! Language models behind one trait: a server that speaks OpenAI's chat completions, and the built-in demo.

pub mod config;
pub mod demo;
pub mod openai;

use crate::config::{ModelConfig, ModelParameters};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::runs::Usage;
use uuid::Uuid;

/// Makes the model that is configured.
///
/// # Errors
/// When the client of the model's server cannot be made, which takes a broken TLS setup.
pub fn open(config: &ModelConfig) -> Result<Arc<dyn Model>, reqwest::Error> {
    Ok(match config {
        ModelConfig::Demo(demo) => Arc::new(demo::DemoModel::new(demo.clone())),
        ModelConfig::OpenAi(server) => Arc::new(openai::OpenAiModel::new(server.clone())?),
    })
}

/// A language model.
///
/// # The stream
///
/// [`Model::stream`] begins at once and yields, in this order: any number of [`ModelEvent::Thought`],
/// [`ModelEvent::Text`] and [`ModelEvent::Citation`]; then, when the body has ended well, each [`ModelEvent::ToolCall`] whole, at most one [`ModelEvent::Usage`], and [`ModelEvent::Finished`]
/// as the last. An `Err` is the last thing a stream yields. Nothing follows either.
///
/// Waiting for the connection, for the first token and between tokens is bounded inside; the time of a whole run is the
/// caller's to bound. Retries happen inside too, and only before the first token. Dropping the stream closes the socket
/// to the model's server.
pub trait Model: Send + Sync + 'static {
    /// Streams one answer.
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>>;

    /// Whether the server answers, knows the key and has the model.
    fn check(&self) -> BoxFuture<'_, Result<(), ModelError>>;

    /// Turns speech into text. `None` where there is nobody who could.
    fn transcribe(&self, _recording: Recording) -> Option<BoxFuture<'_, Result<String, ModelError>>> {
        None
    }

    /// Whether it can be asked to put something into few words.
    fn gives_titles(&self) -> bool {
        true
    }

    /// `demo` or `openai-compatible`.
    fn kind(&self) -> &'static str;

    /// Name of the model.
    fn name(&self) -> &str;
}

/// What the model is asked.
#[derive(Debug, Clone, Default)]
pub struct ModelRequest {
    /// Which of the server's models; `None` is the configured one.
    pub model: Option<Arc<str>>,
    /// What goes with the request.
    pub parameters: Arc<ModelParameters>,
    /// The conversation, the system prompt first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Arc<[ToolSpec]>,
    /// The one among them that it has to call.
    pub tool_choice: Option<Arc<str>>,
    /// Sent upstream as `X-Request-Id`, and named in log lines.
    pub request_id: Arc<str>,
}

/// One message of the prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Instructions of the server.
    System(String),
    /// What the user said.
    User(UserInput),
    /// Words and calls of the model.
    Assistant {
        /// Words; may be empty when there are calls.
        text: String,
        /// Calls.
        tool_calls: Vec<ToolCall>,
    },
    /// What a call answered.
    Tool {
        /// [`ToolCall::id`] of the call.
        call_id: String,
        /// The answer: JSON text.
        content: String,
    },
}

impl Message {
    /// Bytes of its text.
    pub fn bytes(&self) -> usize {
        match self {
            Self::System(text) => text.len(),
            Self::User(input) => input.bytes(),
            Self::Assistant { text, tool_calls } => {
                text.len() + tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>()
            }
            Self::Tool { content, .. } => content.len(),
        }
    }
}

/// What a user said: words, as a rule, and files with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserInput {
    /// Words.
    pub text: String,
    /// Files.
    pub attachments: Vec<AttachedFile>,
}

impl UserInput {
    /// Bytes of its text, that of its files included. What an image is worth in tokens only its model knows.
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

/// A file that goes with words.
#[derive(Debug, Clone, PartialEq)]
pub struct AttachedFile {
    /// Id of the attachment.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime_type: String,
    /// What is shown of it.
    pub content: FileContent,
}

/// What a model is shown of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum FileContent {
    /// That it is there.
    Omitted,
    /// Its text.
    Text(Arc<str>),
    /// The image, as a `data:` URL.
    Image(Arc<str>),
}

/// Speech to be turned into text.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The recording.
    pub bytes: Bytes,
    /// Its media type.
    pub mime_type: &'static str,
    /// What a file of this type is called, without the dot: servers go by the name.
    pub extension: &'static str,
    /// Sent upstream as `X-Request-Id`.
    pub request_id: Arc<str>,
}

/// A call the model wants made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Id that ties call and answer together. Never empty: made here where the server sent none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON as the model wrote it; not checked. `{}` where it wrote nothing.
    pub arguments: String,
}

/// A tool as the model is told of it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// Name.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments, as it goes into every request.
    pub parameters: Arc<RawValue>,
}

/// What a model's stream yields.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More of what the model thinks before it speaks; never empty.
    Thought(String),
    /// More words; never empty.
    Text(String),
    /// Something that the words are based on.
    Citation(Citation),
    /// A whole call.
    ToolCall(ToolCall),
    /// What the server says it used.
    Usage(Usage),
    /// The answer is whole.
    Finished(FinishReason),
}

/// A page of the web that words are based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Its address: `http` or `https`.
    pub url: String,
    /// Its title; never empty.
    pub title: String,
    /// Where in the text of the whole answer the passage ends that is based on it, in characters, as the server counts.
    /// It may be ahead of the text that has come.
    pub end: Option<u64>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model had nothing more to say.
    Stop,
    /// It wants tools called.
    ToolCalls,
    /// It ran into its length limit.
    Length,
    /// The server's filter cut it off.
    ContentFilter,
}

/// Why an answer failed. `Display` is for the log; callers get [`ModelError::public`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// No connection, or it broke.
    #[error("connection to the model's server failed: {0}")]
    Connect(String),
    /// Nothing came for too long.
    #[error("the model's server was silent for {} s while waiting for {waiting_for}", .limit.as_secs_f32())]
    Timeout {
        /// `a connection`, `the first token`, `the next token`, `the list of models` or `a transcription`.
        waiting_for: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The server says it has too much to do (429, 503).
    #[error("the model's server is overloaded (status {status}): {text}")]
    Overloaded {
        /// HTTP status, or the one an error inside a stream names.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// Its own words.
        text: String,
    },
    /// The server refused (any other 4xx or 5xx, or an error inside the stream).
    #[error("the model's server refused (status {status}): {text}")]
    Refused {
        /// HTTP status; for an error inside a stream the one it names, or 200.
        status: u16,
        /// Its own words.
        text: String,
    },
    /// The body was no answer: cut off, empty, or not what the protocol says.
    #[error("the model's server sent no whole answer: {0}")]
    Broken(String),
}

impl ModelError {
    /// The row of the error table.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Timeout { .. } => ErrorCode::UpstreamTimeout,
            Self::Overloaded { .. } => ErrorCode::ServiceUnavailable,
            Self::Connect(_) | Self::Refused { .. } | Self::Broken(_) => ErrorCode::UpstreamError,
        }
    }

    /// The sentence for the caller: nothing of what the server said.
    pub fn public(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "The language model did not answer in time. Please try again.",
            Self::Overloaded { .. } => "The language model is busy. Please try again in a moment.",
            Self::Connect(_) => "The language model cannot be reached. Please try again.",
            Self::Refused { .. } | Self::Broken(_) => "The language model failed to answer. Please try again.",
        }
    }
}
