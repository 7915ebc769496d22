//! Reads the response of a service and turns it into a result for the model.

use crate::json_rpc::{Refusal, integer, take_error};
use crate::output::{ToolImage, ToolOutput};
use crate::text::truncate;
use crate::tool::ToolError;
use bytes::BytesMut;
use futures::StreamExt;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// Server errors that say that the service did not execute the request.
pub(super) const NOT_EXECUTED: [StatusCode; 2] = [StatusCode::NOT_IMPLEMENTED, StatusCode::SERVICE_UNAVAILABLE];
/// Codes of errors that JSON-RPC keeps for itself and for its implementations.
const RESERVED_CODES: std::ops::RangeInclusive<i64> = -32_768..=-32_000;
/// Maximum length of a service's error text for the model, in characters.
const ERROR_CHARS: usize = 500;
/// Room for the members of a JSON-RPC response other than its result.
const ENVELOPE_BYTES: usize = 256;

/// A body, up to a size limit.
pub(super) struct Body {
    bytes: BytesMut,
    /// Whether the body is longer than the limit.
    is_truncated: bool,
}

impl Body {
    /// Returns whether the body is JSON.
    pub(super) fn is_json(&self) -> bool {
        !self.is_truncated && serde_json::from_slice::<serde::de::IgnoredAny>(without_mark(&self.bytes)).is_ok()
    }
}

/// Reads a body of at most `max_bytes`, including a widget, plus the JSON-RPC envelope.
///
/// # Errors
/// If the connection breaks before the end.
pub(super) async fn read_body(response: Response, max_bytes: usize) -> Result<Body, reqwest::Error> {
    let limit = max_bytes + ENVELOPE_BYTES;
    let mut bytes = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > limit {
            bytes.truncate(limit);
            return Ok(Body { bytes, is_truncated: true });
        }
    }
    Ok(Body { bytes, is_truncated: false })
}

/// Returns the result of an HTTP endpoint: JSON as it is, images as images, everything else as text.
pub(super) fn http_result(body: &Body, media_type: &str, max_bytes: usize) -> ToolOutput {
    let bytes = without_mark(&body.bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) && !body.is_truncated {
        return json!({"ok": true}).into();
    }
    if let Ok(value) = serde_json::from_slice::<Value>(bytes)
        && !body.is_truncated
    {
        return value.into();
    }
    // Half a JSON document would mislead the model.
    if body.is_truncated && matches!(bytes.trim_ascii_start(), [b'{' | b'[', ..]) {
        return too_long(max_bytes).into();
    }
    let is_text = std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
    if is_text || media_type.starts_with("text/") {
        return json!(truncate(&String::from_utf8_lossy(bytes), max_bytes)).into();
    }
    match ToolImage::from_bytes(media_type, bytes).filter(|_| !body.is_truncated) {
        Some(image) => {
            let value = json!(format!("[an image, {media_type}, shown after this result]"));
            ToolOutput { value, images: vec![image] }
        }
        None => {
            let media_type = if media_type.is_empty() { "of an unknown type" } else { media_type };
            json!(format!("[a file, {media_type}, that cannot be shown here]")).into()
        }
    }
}

/// Returns the result of a JSON-RPC endpoint; `None` if the body is not a response to the call.
pub(super) fn json_rpc_result(body: &Body, max_bytes: usize) -> Option<Result<Value, ToolError>> {
    if body.is_truncated {
        return Some(Ok(too_long(max_bytes)));
    }
    let response = match serde_json::from_slice(without_mark(&body.bytes)).ok()? {
        Value::Array(batch) => <[Value; 1]>::try_from(batch).ok().map(|[response]| response)?,
        response => response,
    };
    let Value::Object(mut members) = response else { return None };
    if let Some(error) = take_error(&mut members) {
        let Refusal { code, message } = Refusal::read(error);
        let message: String = message.chars().take(ERROR_CHARS).collect();
        let text = format!("The service refused ({code}): {message}");
        // Codes of the service's own are written for the caller; the reserved ones come from a program that broke.
        let is_refusal = !RESERVED_CODES.contains(&code);
        return Some(Err(if is_refusal { ToolError::Failed(text) } else { ToolError::ServiceFailed(text) }));
    }
    // Without an id it can only be the response to the one call of this request.
    let is_ours = members.get("id").is_none_or(|id| id.is_null() || integer(id) == Some(1));
    members.remove("result").filter(|_| is_ours).map(Ok)
}

/// Returns the error for a status that is not a success, for the model.
pub(super) fn status_error(status: StatusCode, body: &Body) -> String {
    let text = String::from_utf8_lossy(without_mark(&body.bytes));
    let text = match text.trim() {
        // An error page says nothing to a model.
        page if page.starts_with('<') => "an HTML page".to_owned(),
        "" if status.is_redirection() => "a redirect, which is not followed".to_owned(),
        text => text.chars().take(ERROR_CHARS).collect(),
    };
    format!("The service answered with status {}: {text}", status.as_u16())
}

/// Removes a byte order mark, which is not a part of the JSON or text behind it.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

fn too_long(max_bytes: usize) -> Value {
    json!({"error": format!("The result has more than {max_bytes} bytes, more than can be shown. Ask for less.")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, is_truncated: bool) -> Body {
        Body { bytes: text.as_bytes().into(), is_truncated }
    }

    #[test]
    fn json_is_kept_and_text_is_text() {
        let read = |text: &str, is_truncated| http_result(&body(text, is_truncated), "text/html", 100).value;
        assert_eq!(read(r#"{"a": [1]}"#, false), json!({"a": [1]}));
        assert_eq!(read("\u{feff}[1]", false), json!([1]));
        assert_eq!(read("", false), json!({"ok": true}));
        assert_eq!(read("all fine", false), json!("all fine"));
        assert!(read(r#" {"a": "#, true)["error"].as_str().unwrap().contains("100 bytes"));
        let long = read(&"ü".repeat(100), true);
        assert!(long.as_str().unwrap().ends_with("ü [cut off here]") && long.to_string().len() <= 100, "{long}");
    }

    #[test]
    fn binary_data_is_an_image_or_named() {
        let binary = || Body { bytes: [0xff, 0xd8, 0x00, 0x80][..].into(), is_truncated: false };
        let image = http_result(&binary(), "image/jpeg", 100);
        assert_eq!((image.images.len(), &*image.images[0].data_url), (1, "data:image/jpeg;base64,/9gAgA=="));
        for (media_type, is_truncated) in [("application/pdf", false), ("", false), ("image/jpeg", true)] {
            let read = http_result(&Body { is_truncated, ..binary() }, media_type, 100);
            assert!(read.images.is_empty() && read.value.to_string().contains("cannot be shown"), "{media_type}");
        }
    }

    #[test]
    fn a_json_rpc_response_must_answer_the_call() {
        let read = |text: &str| json_rpc_result(&body(text, false), 100);
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            r#"{"id":"1","result":null,"error":null}"#,
            r#"{"id":1.0,"result":null}"#,
            r#"{"id":1,"result":null,"error":{}}"#,
            r#"{"id":1,"result":null,"error":""}"#,
            r#"{"id":1,"result":null,"error":false}"#,
            r#"{"id":1,"result":null,"error":{"code":0,"message":""}}"#,
            r#"[{"result":null}]"#,
            "\u{feff}{\"id\":null,\"result\":null}",
        ] {
            assert_eq!(read(text).unwrap().unwrap(), Value::Null, "{text}");
        }
        for (error, words) in [
            (r#"{"code":-32602,"message":"no such order"}"#, "(-32602): no such order"),
            (r#"{"code":"7","message":{"a":1}}"#, "(7): {\"a\":1}"),
            (r#""no""#, "(-32603): no"),
            (
                r#"{"code":-32602,"message":"Invalid params","data":{"q":"must be a date"}}"#,
                r#"params ({"q":"must be a date"})"#,
            ),
        ] {
            let refused = read(&format!(r#"{{"id":null,"result":null,"error":{error}}}"#)).unwrap();
            let Err(ToolError::Failed(why) | ToolError::ServiceFailed(why)) = &refused else { panic!("{error}") };
            assert!(why.ends_with(words), "{error}");
            let is_for_users = matches!(refused, Err(ToolError::Failed(_)));
            assert_eq!(is_for_users, words.starts_with("(7)"), "{error}");
        }
        for none in ["", "[]", "{}", r#"{"id":2,"result":1}"#, r#"{"id":1}"#, r#"{"id":1,"error":null}"#, "<html>"] {
            assert!(read(none).is_none(), "{none}");
        }
    }

    #[test]
    fn error_pages_are_not_quoted() {
        let error = |status: u16, text: &str| status_error(StatusCode::from_u16(status).unwrap(), &body(text, false));
        assert_eq!(error(404, " <!doctype html><p>No"), "The service answered with status 404: an HTML page");
        assert_eq!(error(422, "no such order"), "The service answered with status 422: no such order");
        assert!(error(302, "").contains("redirect"));
    }
}
