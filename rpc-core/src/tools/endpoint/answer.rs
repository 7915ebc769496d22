//! The answer of a service -> a result for the model.

use crate::tools::ToolError;
use bytes::BytesMut;
use futures::StreamExt;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Failures of a service that say that nothing was done.
pub(super) const REFUSALS: [StatusCode; 2] = [StatusCode::NOT_IMPLEMENTED, StatusCode::SERVICE_UNAVAILABLE];
/// Characters of a refusal that the model is shown.
const REFUSAL_CHARS: usize = 500;
/// What a JSON-RPC answer has beside its result.
const ENVELOPE_BYTES: usize = 256;

/// A body, as far as it is read.
pub(super) struct Body {
    bytes: BytesMut,
    /// Whether there was more.
    is_cut: bool,
}

/// Reads a body, up to what a result may have, with the widget in it, and the envelope around it.
///
/// # Errors
/// When the connection breaks before the end.
pub(super) async fn body(response: Response, result_bytes: usize) -> Result<Body, reqwest::Error> {
    let limit = result_bytes + ENVELOPE_BYTES;
    let mut bytes = BytesMut::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        bytes.extend_from_slice(&part?);
        if bytes.len() > limit {
            bytes.truncate(limit);
            return Ok(Body { bytes, is_cut: true });
        }
    }
    Ok(Body { bytes, is_cut: false })
}

/// What an HTTP endpoint answered: JSON as it is, anything else as text.
pub(super) fn plain(body: &Body, limit: usize) -> Value {
    if body.bytes.iter().all(u8::is_ascii_whitespace) && !body.is_cut {
        return json!({"ok": true});
    }
    match serde_json::from_slice(&body.bytes) {
        Ok(value) if !body.is_cut => value,
        // Half a document would only mislead.
        _ if body.is_cut && body.bytes.first().is_some_and(|first| matches!(first, b'{' | b'[')) => too_long(limit),
        _ => {
            let text = String::from_utf8_lossy(&body.bytes);
            // Quotes and escapes of the JSON that it becomes have to fit as well.
            let most = if text.len() > limit { limit.saturating_sub(limit / 4) } else { limit };
            let shown: String = text
                .chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= most).then_some(c)
                })
                .collect();
            if shown.len() < text.len() { json!(format!("{shown} [cut off here]")) } else { json!(shown) }
        }
    }
}

/// What a JSON-RPC endpoint answered; `None` when that is no answer to the call.
pub(super) fn json_rpc(body: &Body, limit: usize) -> Option<Result<Value, ToolError>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        id: Value,
        #[serde(default, deserialize_with = "present")]
        result: Option<Value>,
        error: Option<Refusal>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        code: i64,
        message: String,
    }
    if body.is_cut {
        return Some(Ok(too_long(limit)));
    }
    let answer: Answer = serde_json::from_slice(&body.bytes).ok()?;
    match answer {
        Answer { error: Some(Refusal { code, message }), .. } => {
            let message: String = message.chars().take(REFUSAL_CHARS).collect();
            Some(Err(ToolError::Failed(format!("The service refused ({code}): {message}"))))
        }
        Answer { id, result: Some(result), error: None } if id == json!(1) => Some(Ok(result)),
        _ => None,
    }
}

/// What a status that is no success says, for the model.
pub(super) fn refusal(status: StatusCode, body: &Body) -> String {
    let text = String::from_utf8_lossy(&body.bytes);
    let text: String = text.trim().chars().take(REFUSAL_CHARS).collect();
    format!("The service answered with status {}: {text}", status.as_u16())
}

fn too_long(limit: usize) -> Value {
    json!({"error": format!("The result has more than {limit} bytes, more than can be shown. Ask for less.")})
}

/// `null` is a result like any other.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, is_cut: bool) -> Body {
        Body { bytes: text.as_bytes().into(), is_cut }
    }

    #[test]
    fn json_is_kept_and_text_is_text() {
        assert_eq!(plain(&body(r#"{"a": [1]}"#, false), 100), json!({"a": [1]}));
        assert_eq!(plain(&body("", false), 100), json!({"ok": true}));
        assert_eq!(plain(&body("all fine", false), 100), json!("all fine"));
        assert!(plain(&body(r#"{"a": "#, true), 100)["error"].as_str().unwrap().contains("100 bytes"));
        let long = plain(&body(&"ü".repeat(100), true), 100);
        assert!(long.as_str().unwrap().ends_with("ü [cut off here]") && long.to_string().len() <= 100, "{long}");
    }

    #[test]
    fn a_json_rpc_answer_is_one_to_the_call() {
        let read = |text: &str| json_rpc(&body(text, false), 100);
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
