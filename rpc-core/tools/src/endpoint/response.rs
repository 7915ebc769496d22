//! Reads the response of a service and turns it into a result for the model.

use crate::text::truncate;
use crate::tool::ToolError;
use bytes::BytesMut;
use futures::StreamExt;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Server errors that say that the service did not execute the request.
pub(super) const NOT_EXECUTED: [StatusCode; 2] = [StatusCode::NOT_IMPLEMENTED, StatusCode::SERVICE_UNAVAILABLE];
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

/// Returns the result of an HTTP endpoint: JSON as it is, everything else as text.
pub(super) fn http_result(body: &Body, max_bytes: usize) -> Value {
    if body.bytes.iter().all(u8::is_ascii_whitespace) && !body.is_truncated {
        return json!({"ok": true});
    }
    match serde_json::from_slice(&body.bytes) {
        Ok(value) if !body.is_truncated => value,
        // Half a JSON document would mislead the model.
        _ if body.is_truncated && body.bytes.first().is_some_and(|first| matches!(first, b'{' | b'[')) => {
            too_long(max_bytes)
        }
        _ => json!(truncate(&String::from_utf8_lossy(&body.bytes), max_bytes)),
    }
}

/// Returns the result of a JSON-RPC endpoint; `None` if the body is not a response to the call.
pub(super) fn json_rpc_result(body: &Body, max_bytes: usize) -> Option<Result<Value, ToolError>> {
    #[derive(Deserialize)]
    struct RpcResponse {
        #[serde(default)]
        id: Value,
        #[serde(default, deserialize_with = "present")]
        result: Option<Value>,
        error: Option<RpcError>,
    }
    #[derive(Deserialize)]
    struct RpcError {
        code: i64,
        message: String,
    }
    if body.is_truncated {
        return Some(Ok(too_long(max_bytes)));
    }
    match serde_json::from_slice(&body.bytes).ok()? {
        RpcResponse { error: Some(RpcError { code, message }), .. } => {
            let message: String = message.chars().take(ERROR_CHARS).collect();
            Some(Err(ToolError::Failed(format!("The service refused ({code}): {message}"))))
        }
        RpcResponse { id, result: Some(result), error: None } if id == json!(1) => Some(Ok(result)),
        _ => None,
    }
}

/// Returns the error for a status that is not a success, for the model.
pub(super) fn status_error(status: StatusCode, body: &Body) -> String {
    let text = String::from_utf8_lossy(&body.bytes);
    let text: String = text.trim().chars().take(ERROR_CHARS).collect();
    format!("The service answered with status {}: {text}", status.as_u16())
}

fn too_long(max_bytes: usize) -> Value {
    json!({"error": format!("The result has more than {max_bytes} bytes, more than can be shown. Ask for less.")})
}

/// Distinguishes a result that is `null` from a missing one.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, is_truncated: bool) -> Body {
        Body { bytes: text.as_bytes().into(), is_truncated }
    }

    #[test]
    fn json_is_kept_and_text_is_text() {
        assert_eq!(http_result(&body(r#"{"a": [1]}"#, false), 100), json!({"a": [1]}));
        assert_eq!(http_result(&body("", false), 100), json!({"ok": true}));
        assert_eq!(http_result(&body("all fine", false), 100), json!("all fine"));
        assert!(http_result(&body(r#"{"a": "#, true), 100)["error"].as_str().unwrap().contains("100 bytes"));
        let long = http_result(&body(&"ü".repeat(100), true), 100);
        assert!(long.as_str().unwrap().ends_with("ü [cut off here]") && long.to_string().len() <= 100, "{long}");
    }

    #[test]
    fn a_json_rpc_response_must_answer_the_call() {
        let read = |text: &str| json_rpc_result(&body(text, false), 100);
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap().unwrap(), Value::Null);
        let refused = read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such order"}}"#);
        assert!(
            matches!(refused.unwrap(), Err(ToolError::Failed(why)) if why.contains("-32602") && why.contains("no such order"))
        );
        for none in ["", "[]", "{}", r#"{"id":2,"result":1}"#, r#"{"id":1}"#, r#"{"id":1,"error":7}"#, "<html>"] {
            assert!(read(none).is_none(), "{none}");
        }
    }
}
