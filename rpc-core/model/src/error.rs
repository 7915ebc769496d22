//! Errors of a model.

use crate::FinishReason;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;

/// The error that caused a [`ModelError`]. Shared, because a [`ModelError`] can be cloned.
pub type ErrorSource = Arc<dyn Error + Send + Sync>;

/// Why a response failed.
///
/// `Display` is for the log: it contains the causes and the text of the server, shortened and without the key. Callers
/// get [`ModelError::public_message`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// The connection could not be opened, or it broke before the response began.
    #[error("connection to the model's server failed: {message}")]
    Connect {
        /// The error with all its causes.
        message: String,
        /// The error itself.
        source: Option<ErrorSource>,
    },
    /// The server sent nothing for too long.
    #[error("the model's server was silent for {} s while waiting for {waiting_for}", .limit.as_secs_f32())]
    Timeout {
        /// What the client waited for.
        waiting_for: WaitingFor,
        /// The limit.
        limit: Duration,
    },
    /// The server is overloaded: status 429, 503 or 529, or another one for which it asks to come again.
    #[error("the model's server is overloaded (status {status}): {message}")]
    Overloaded {
        /// HTTP status, or the status that an error inside a stream names.
        status: u16,
        /// Pause before the next attempt, as the server asks for it.
        retry_after: Option<Duration>,
        /// The server's own message.
        message: String,
    },
    /// The server refused the request: any other 4xx or 5xx, or an error inside the stream.
    #[error("the model's server refused (status {status}): {message}")]
    Refused {
        /// HTTP status. For an error inside a stream: the status that it names, or 200.
        status: u16,
        /// The server's own message.
        message: String,
    },
    /// The prompt has more tokens than the model can read.
    #[error("the prompt is too long for the model (status {status}): {message}")]
    ContextLength {
        /// HTTP status, or 200 for an error inside a stream.
        status: u16,
        /// Maximum number of tokens that the model can read, if the server says so.
        limit: Option<u64>,
        /// The server's own message.
        message: String,
    },
    /// The model wrote a tool call that the server could not read.
    #[error("the model wrote a tool call that its server could not read (status {status}): {message}")]
    InvalidCall {
        /// HTTP status, or 200 for an error inside a stream.
        status: u16,
        /// The server's own message.
        message: String,
    },
    /// The response has neither text nor a tool call: nothing at all, or thoughts only.
    #[error("the model gave no answer ({reason:?})")]
    NoAnswer {
        /// Why the response ended.
        reason: FinishReason,
    },
    /// The body is incomplete, empty, too large, or does not follow the protocol.
    #[error("the model's server sent an invalid response: {message}")]
    InvalidResponse {
        /// What is wrong. Never quotes the response, which can contain text of a user.
        message: String,
        /// The error that interrupted the body, if one did.
        source: Option<ErrorSource>,
    },
}

/// What the client waited for when a timeout fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// The TCP or TLS connection.
    Connection,
    /// The first token of a response.
    FirstToken,
    /// Any later token.
    NextToken,
    /// The list of models, for the health check.
    ModelList,
    /// A transcription.
    Transcription,
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "a connection",
            Self::FirstToken => "the first token",
            Self::NextToken => "the next token",
            Self::ModelList => "the list of models",
            Self::Transcription => "a transcription",
        })
    }
}

impl ModelError {
    /// Creates an [`ModelError::InvalidResponse`] without a source.
    pub fn invalid_response(message: impl Into<String>) -> Self {
        Self::InvalidResponse { message: message.into(), source: None }
    }

    /// Returns the name in metrics and traces.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Overloaded { .. } => "overloaded",
            Self::Refused { .. } => "refused",
            Self::InvalidResponse { .. } => "broken",
            Self::ContextLength { .. } => "context_length",
            Self::InvalidCall { .. } => "invalid_call",
            Self::NoAnswer { .. } => "no_answer",
        }
    }

    /// Returns the code for the caller.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Timeout { .. } => ErrorCode::UpstreamTimeout,
            Self::Overloaded { .. } => ErrorCode::ServiceUnavailable,
            Self::Connect { .. }
            | Self::Refused { .. }
            | Self::ContextLength { .. }
            | Self::InvalidCall { .. }
            | Self::NoAnswer { .. }
            | Self::InvalidResponse { .. } => ErrorCode::UpstreamError,
        }
    }

    /// Returns the message for the caller. It contains no text of the server.
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "The language model did not answer in time. Please try again.",
            Self::Overloaded { .. } => "The language model is busy. Please try again in a moment.",
            Self::Connect { .. } => "The language model cannot be reached. Please try again.",
            Self::ContextLength { .. } => "The conversation is too long for the language model.",
            Self::NoAnswer { reason: FinishReason::Length } => {
                "The language model reached its limit before it came to an answer."
            }
            Self::NoAnswer { reason: FinishReason::ContentFilter } => {
                "The content filter of the language model's provider stopped the answer."
            }
            Self::NoAnswer { .. } => "The language model gave no answer. Please try again.",
            Self::Refused { .. } | Self::InvalidCall { .. } | Self::InvalidResponse { .. } => {
                "The language model failed to answer. Please try again."
            }
        }
    }
}
