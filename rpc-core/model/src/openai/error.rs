//! Maps failures of the server and of the connection to [`ModelError`], and redacts them.

use super::error_body::ServerError;
use super::error_kind::{ErrorKind, classify, context_limit, is_about_max_tokens};
use super::retry_delay::delay_in_words;
use crate::{ErrorSource, ModelError, WaitingFor};
use futures::StreamExt;
use reqwest::Response;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};

/// Longest error message of a server in characters. The rest is cut.
const MAX_MESSAGE_CHARS: usize = 500;
/// Minimum number of bytes of a key that is masked. Servers without keys get one like `x` or `none`, which are parts of
/// other words.
const MIN_KEY_BYTES: usize = 6;
/// Bytes of an error response that are read.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Time limit for reading them.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Creates the error of a response with a status outside 2xx. Only the log needs its body, so a slow or long body is
/// not read to its end.
pub(super) async fn from_response(response: Response) -> ModelError {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    let deadline = Instant::now() + BODY_TIMEOUT;
    while let Ok(Some(Ok(part))) = timeout_at(deadline, bytes.next()).await {
        body.extend_from_slice(&part);
        if body.len() >= MAX_BODY_BYTES {
            break;
        }
    }
    from_kind(Some(status), retry_after, ServerError::from_body(&body))
}

/// Returns the error of a chat completion whose request cannot be changed any more.
///
/// Nothing of such a request is large but its prompt, so status 413 is about its length, whatever the words are. The
/// same is true if the answer does not fit behind the prompt, and the request asks for no certain length.
pub(super) fn about_chat_completion(error: ModelError) -> ModelError {
    match error {
        ModelError::Refused { status, message } if status == 413 || is_about_max_tokens(&message.to_lowercase()) => {
            ModelError::ContextLength { status, limit: context_limit(&message.to_lowercase()), message }
        }
        error => error,
    }
}

/// Creates the error of an event named `error`, whatever it contains.
pub(super) fn from_error_event(data: &str) -> ModelError {
    let error = match serde_json::from_str::<Value>(data) {
        Ok(value) => ServerError::from_value(&value),
        Err(_) => ServerError { message: data.to_owned(), ..ServerError::default() },
    };
    from_server_error(error)
}

/// Creates the error of an error inside a response with status 200.
pub(super) fn from_server_error(error: ServerError) -> ModelError {
    from_kind(error.status, None, error)
}

/// Creates the error of a response whose `finish_reason` says that the server failed.
pub(super) fn failed_in_the_middle(reason: &str) -> ModelError {
    ModelError::Refused { status: 500, message: format!("finish_reason is {reason:?}") }
}

/// Creates the error of a body that is an HTML page.
pub(super) fn from_html(title: &str) -> ModelError {
    ModelError::invalid_response(format!("the server sent an HTML page: {title}"))
}

/// Creates the error of a request that got no response.
pub(super) fn from_send_error(error: reqwest::Error, connect_timeout: Duration) -> ModelError {
    if error.is_connect() && error.is_timeout() {
        return ModelError::Timeout { waiting_for: WaitingFor::Connection, limit: connect_timeout };
    }
    // The URL can contain a key.
    let error = error.without_url();
    ModelError::Connect { message: with_causes(&error), source: Some(Arc::new(error)) }
}

/// Creates the error of a body that was interrupted.
pub(super) fn from_body_error(error: impl Error + Send + Sync + 'static) -> ModelError {
    let message = format!("the connection broke: {}", with_causes(&error));
    ModelError::InvalidResponse { message, source: Some(Arc::new(error)) }
}

/// Creates the error of a body that the SSE parser cannot read. Returns an error of the body itself unchanged.
pub(super) fn from_sse_error(error: sse_stream::Error) -> ModelError {
    match error {
        sse_stream::Error::Body(error) => match error.downcast::<ModelError>() {
            Ok(error) => *error,
            Err(error) => {
                ModelError::InvalidResponse { message: error.to_string(), source: Some(ErrorSource::from(error)) }
            }
        },
        sse_stream::Error::Utf8Parse(_) => ModelError::invalid_response("the body is not UTF-8"),
        error => ModelError::invalid_response(error.to_string()),
    }
}

/// Masks the key and cuts the message, for the case that a server or a library repeats them. Every error that leaves
/// this module passes through here.
pub(super) fn redact(mut error: ModelError, key: &str) -> ModelError {
    match &mut error {
        ModelError::Connect { message, .. }
        | ModelError::InvalidResponse { message, .. }
        | ModelError::Refused { message, .. }
        | ModelError::Overloaded { message, .. }
        | ModelError::ContextLength { message, .. }
        | ModelError::InvalidCall { message, .. } => {
            // Masked before it is cut, because half of a key is still too much of it.
            let is_secret = key.len() >= MIN_KEY_BYTES;
            let masked = if is_secret { message.replace(key, "***") } else { std::mem::take(message) };
            *message = masked.chars().take(MAX_MESSAGE_CHARS).collect();
        }
        ModelError::Timeout { .. } | ModelError::NoAnswer { .. } => {}
    }
    error
}

fn from_kind(status: Option<u16>, retry_after: Option<Duration>, error: ServerError) -> ModelError {
    let ServerError { codes, message, context_limit, retry_after: in_body, .. } = error;
    match classify(status, &codes, &message) {
        ErrorKind::ContextLength(limit) => {
            ModelError::ContextLength { status: status.unwrap_or(200), limit: context_limit.or(limit), message }
        }
        ErrorKind::InvalidCall => ModelError::InvalidCall { status: status.unwrap_or(200), message },
        ErrorKind::Status(status @ (429 | 503 | 529)) => {
            let retry_after = retry_after.or(in_body).or_else(|| delay_in_words(&message));
            ModelError::Overloaded { status, retry_after, message }
        }
        // The server says that it is well a moment later. Others than these blame the request, whatever they say.
        ErrorKind::Status(status @ (408 | 498 | 502 | 504 | 520..=525 | 530)) if retry_after.is_some() => {
            ModelError::Overloaded { status, retry_after, message }
        }
        ErrorKind::Status(status) => ModelError::Refused { status, message },
    }
}

/// Returns `Retry-After` in seconds or as a date. Azure's `Retry-After-Ms` is more precise and takes precedence.
///
/// A date counts from the `Date` of the same response: both come from the clock of the server, which need not agree
/// with the clock of this machine. `None` for a date without it. A number that no duration holds is the longest one:
/// the server does not want to be asked again.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str, per_second: f64| {
        let amount = text.parse::<f64>().ok().filter(|amount| *amount >= 0.0)?;
        Some(Duration::try_from_secs_f64(amount / per_second).unwrap_or(Duration::MAX))
    };
    if let Some(pause) = text("retry-after-ms").and_then(|text| number(text, 1000.0)) {
        return Some(pause);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Some(pause) = number(value, 1.0) {
        return Some(pause);
    }
    let date = |text: &str| -> Option<SystemTime> {
        // The three forms of HTTP, then what some servers send instead.
        let other =
            || chrono::DateTime::parse_from_rfc2822(text).or_else(|_| chrono::DateTime::parse_from_rfc3339(text));
        httpdate::parse_http_date(text).ok().or_else(|| other().ok().map(SystemTime::from))
    };
    Some(date(value)?.duration_since(date(text(DATE.as_str())?)?).unwrap_or_default())
}

/// Returns the message of an error with those of its sources. reqwest's own message does not name the cause.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
