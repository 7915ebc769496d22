//! Reads the errors of servers, in all their forms.

use super::retry_delay::delay_in_field;
use serde_json::{Map, Value};
use std::time::Duration;

/// Deepest nesting of errors inside errors that is read.
const MAX_DEPTH: usize = 4;

/// What a server says about a failure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    /// HTTP status, if the error names one.
    pub(super) status: Option<u16>,
    /// All its codes and types.
    pub(super) codes: Vec<String>,
    /// For people.
    pub(super) message: String,
    /// Tokens that the model can read, if a field says so.
    pub(super) context_limit: Option<u64>,
    /// How long to wait, if a field says so.
    pub(super) retry_after: Option<Duration>,
}

const MESSAGE_FIELDS: &[&str] = &[
    "message",
    "error_message",
    "error_msg",
    "msg",
    "detail",
    "details",
    "error_description",
    "description",
    "reason",
    "status_msg",
    "title",
];
const CODE_FIELDS: &[&str] =
    &["code", "type", "status", "error_type", "error_code", "status_code", "reason", "errorType"];
const INNER_FIELDS: &[&str] = &["error", "errors", "detail", "base_resp", "fault", "cause"];

impl ServerError {
    /// Reads the body of an error response: JSON in any form, the title of an HTML page, or text.
    pub(super) fn from_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                Self { message: html_title(&text).unwrap_or_else(|| text.trim().to_owned()), ..Self::default() }
            }
        }
    }

    /// Reads an error value. If it has no message, all of it is the message.
    pub(super) fn from_value(value: &Value) -> Self {
        let mut error = Self::default();
        error.read(value, 0);
        if error.message.is_empty() {
            error.message = value.to_string();
        }
        error
    }

    /// Reads a chunk without choices. `None` unless it says that something failed.
    pub(super) fn from_chunk(chunk: &Map<String, Value>) -> Option<Self> {
        let has = |name: &str| chunk.get(name).is_some_and(|value| !is_nothing(value));
        let is_text =
            |name: &str| chunk.get(name).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()));
        let is_error = ["object", "type", "status"].iter().any(|name| {
            chunk.get(*name).and_then(Value::as_str).is_some_and(|word| word.to_ascii_lowercase().contains("error"))
        });
        let is_refused = chunk.get("success") == Some(&Value::Bool(false))
            || chunk.get("base_resp").and_then(|inner| inner.get("status_code")).is_some_and(|code| !is_nothing(code));
        let names_error =
            ["error", "errors", "error_type", "error_message", "error_msg", "error_code", "detail", "fault"]
                .iter()
                .any(|name| has(name));
        let has_message = ["message", "msg"].iter().any(|name| is_text(name))
            && ["code", "status", "type"].iter().any(|name| has(name));
        (is_error || is_refused || names_error || has_message).then(|| Self::from_value(&Value::Object(chunk.clone())))
    }

    fn read(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::String(text) => self.read_text(text, depth),
            // FastAPI lists what is wrong, and Gemini wraps its error in a list.
            Value::Array(list) => list.iter().for_each(|value| self.read(value, depth + 1)),
            Value::Object(fields) => self.read_fields(fields, depth),
            _ => {}
        }
    }

    fn read_fields(&mut self, fields: &Map<String, Value>, depth: usize) {
        for name in INNER_FIELDS {
            if let Some(inner) = fields.get(*name).filter(|inner| inner.is_object() || inner.is_array()) {
                self.read(inner, depth + 1);
            }
        }
        for value in CODE_FIELDS.iter().filter_map(|name| fields.get(*name)) {
            let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
            if let Some(status) =
                number.and_then(|number| u16::try_from(number).ok()).filter(|s| (400..600).contains(s))
            {
                self.status = self.status.or(Some(status));
            } else if let Some(code) = value.as_str().filter(|code| !code.is_empty()) {
                self.codes.push(code.to_owned());
            } else if let Some(number) = number {
                self.codes.push(number.to_string());
            }
        }
        if let Some(limit) =
            ["n_ctx", "context_length", "max_context_length"].iter().find_map(|name| fields.get(*name)?.as_u64())
        {
            self.context_limit = self.context_limit.or(Some(limit));
        }
        self.retry_after = self.retry_after.or_else(|| {
            let names = ["retry_after", "retryAfter", "retry_after_seconds", "retryDelay"];
            // Google lists it among the details.
            let details = fields.get("details").and_then(Value::as_array).into_iter().flatten();
            let objects = std::iter::once(fields).chain(details.filter_map(Value::as_object)).collect::<Vec<_>>();
            let found = |name: &&str| objects.iter().find_map(|object| delay_in_field(object.get(*name)?));
            names.iter().find_map(found)
        });
        // FastAPI says where.
        if let (Some(Value::Array(place)), Some(Value::String(text))) = (fields.get("loc"), fields.get("msg")) {
            let place: Vec<String> =
                place.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
            return self.add_message(&format!("{}: {text}", place.join(".")));
        }
        // The innermost message is the cause.
        if self.message.is_empty() {
            let names = ["error"].iter().chain(MESSAGE_FIELDS);
            if let Some(text) =
                names.filter_map(|name| fields.get(*name)?.as_str()).find(|text| !text.trim().is_empty())
            {
                self.read_text(text, depth);
            }
        }
        // OpenAI names what is wrong beside the message, which need not repeat it.
        if let Some(param) = fields.get("param").and_then(Value::as_str).filter(|param| !param.trim().is_empty())
            && !self.message.contains(param)
        {
            self.message.push_str(&format!(" ({param})"));
        }
        // OpenRouter has the provider's own words here, which say more than "Provider returned error".
        if let Some(raw) = fields.get("metadata").and_then(|metadata| metadata.get("raw")) {
            self.read(raw, depth + 1);
        }
    }

    /// Gateways put the JSON of the server behind them into a string.
    fn read_text(&mut self, text: &str, depth: usize) {
        let inner = text.trim();
        if inner.starts_with(['{', '['])
            && let Ok(value) = serde_json::from_str::<Value>(inner)
        {
            let before = self.message.len();
            self.read(&value, depth + 1);
            if self.message.len() > before {
                return;
            }
        }
        self.add_message(&html_title(inner).unwrap_or_else(|| inner.to_owned()));
    }

    fn add_message(&mut self, text: &str) {
        if !self.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(text);
    }
}

/// Returns whether a value says that nothing failed.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Returns the title of an HTML page. The rest of it is for a browser.
pub(super) fn html_title(text: &str) -> Option<String> {
    let text = text.trim_start();
    let lower = text.get(..text.len().min(512)).unwrap_or(text).to_ascii_lowercase();
    if !lower.starts_with("<!doctype html") && !lower.starts_with("<html") && !lower.starts_with("<head") {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let element = |open: &str, close: &str| {
        let start = lower.find(open)?;
        let start = start + lower.get(start..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find(close)?;
        let title = text.get(start..end)?.split_whitespace().collect::<Vec<_>>().join(" ");
        (!title.is_empty()).then_some(title)
    };
    Some(element("<title", "</title>").or_else(|| element("<h1", "</h1>")).unwrap_or_else(|| "an HTML page".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_every_form_have_a_message() {
        for (body, status, codes, message) in [
            (r#"{"error":{"message":"no","type":"t","code":"c"}}"#, None, &["c", "t"][..], "no"),
            (r#"{"error":"no"}"#, None, &[][..], "no"),
            (
                r#"[{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED"}}]"#,
                Some(429),
                &["RESOURCE_EXHAUSTED"][..],
                "no",
            ),
            (r#"{"detail":"no"}"#, None, &[][..], "no"),
            (
                r#"{"detail":[{"loc":["body","tools",0],"msg":"Field required","type":"missing"}]}"#,
                None,
                &["missing"][..],
                "body.tools.0: Field required",
            ),
            (r#"{"object":"error","message":"no","code":400}"#, Some(400), &[][..], "no"),
            (r#"{"error_type":"BadRequestError","error_message":"no"}"#, None, &["BadRequestError"][..], "no"),
            (r#"{"success":false,"errors":[{"code":7003,"message":"no"}]}"#, None, &["7003"][..], "no"),
            (r#"{"error":{"message":"{\"error\":{\"message\":\"inner\"}}"}}"#, None, &[][..], "inner"),
            ("<!DOCTYPE html><html><head><title>502\n Bad Gateway</title></head>...", None, &[][..], "502 Bad Gateway"),
            ("<html><body>no title</body></html>", None, &[][..], "an HTML page"),
            (" oops ", None, &[][..], "oops"),
            (r#"{"x":1}"#, None, &[][..], r#"{"x":1}"#),
        ] {
            let error = ServerError::from_body(body.as_bytes());
            assert_eq!(error.status, status, "{body}");
            assert_eq!(error.codes, codes, "{body}");
            assert_eq!(error.message, message, "{body}");
        }
    }
}
