//! What went wrong, in the words of the log, and whether another try may help.

use crate::ModelError;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// Characters kept of what a server says about its own error.
const MAX_ERROR_CHARS: usize = 500;

/// The error of an answer with a status that is no success.
pub(super) fn refused(status: u16, headers: &HeaderMap, body: &[u8]) -> ModelError {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(body) => words(&body),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    of_status(status, retry_after(headers), text)
}

/// The error that came as an event inside a 200 stream. `None` for a value that says there is none.
pub(super) fn in_stream(raw: &str) -> Option<ModelError> {
    let error: Value = serde_json::from_str(raw).unwrap_or_default();
    if matches!(error, Value::Null | Value::Bool(false)) {
        return None;
    }
    // OpenRouter and llama.cpp put what would have been the status here, as a number.
    let inner = error.get("error").filter(|inner| inner.is_object()).unwrap_or(&error);
    let code = inner.get("code").and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    Some(of_status(status.unwrap_or(200), None, words(&error)))
}

/// The error as the log may have it: the server's words cut short, and the key masked where a server, or a library,
/// repeats it. Every error leaves through here.
pub(super) fn for_log(mut error: ModelError, key: &str) -> ModelError {
    match &mut error {
        ModelError::Connect(text)
        | ModelError::Broken(text)
        | ModelError::Refused { text, .. }
        | ModelError::Overloaded { text, .. } => {
            // Masked before it is cut: half a key is still much of a key.
            let masked = if key.is_empty() { std::mem::take(text) } else { text.replace(key, "***") };
            *text = masked.chars().take(MAX_ERROR_CHARS).collect();
        }
        ModelError::Timeout { .. } => {}
    }
    error
}

/// The error of a request that got no answer at all.
pub(super) fn unreachable(error: reqwest::Error, connect_timeout: Duration) -> ModelError {
    if error.is_connect() && error.is_timeout() {
        return ModelError::Timeout { waiting_for: "a connection", limit: connect_timeout };
    }
    // The URL may carry a key.
    ModelError::Connect(causes(&error.without_url()))
}

/// The error of a body whose connection broke before its end.
pub(super) fn broken(error: &dyn Error) -> ModelError {
    ModelError::Broken(format!("the connection broke: {}", causes(error)))
}

/// An error with everything behind it: reqwest's own words never name the cause.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Whether the same request may succeed a moment later. The statuses are those OpenAI's own clients repeat, without
/// the 5xx that say the request itself is at fault.
pub(super) fn may_pass(error: &ModelError) -> bool {
    match error {
        ModelError::Connect(_) | ModelError::Broken(_) => true,
        ModelError::Timeout { waiting_for, .. } => *waiting_for == "a connection",
        ModelError::Overloaded { .. } => true,
        ModelError::Refused { status, .. } => matches!(status, 408 | 409 | 500 | 502 | 504),
    }
}

fn of_status(status: u16, retry_after: Option<Duration>, text: String) -> ModelError {
    match status {
        429 | 503 => ModelError::Overloaded { status, retry_after, text },
        _ => ModelError::Refused { status, text },
    }
}

/// The sentence in an error object, whose shape no two servers share; the whole of it where there is no sentence.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Gemini wraps its error object in a list.
        Value::Array(list) if list.len() == 1 => list.first().map(words).unwrap_or_default(),
        Value::Object(fields) => match ["error", "message", "detail"].iter().find_map(|name| fields.get(*name)) {
            Some(inner) => words(inner),
            None => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// `Retry-After`, as seconds or as a date, and the finer `Retry-After-Ms` that Azure began.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    Some((at.to_utc() - chrono::Utc::now()).to_std().unwrap_or_default())
}
