//! A message to the assistant, as clients of the REST API send it.

use super::text::invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::RpcError;

/// Longest part of the parser's message that an error repeats, in characters.
const MAX_ECHOED_CHARS: usize = 200;

/// What a message looks like, for errors.
const EXAMPLE: &str = r#"{"message":{"role":"user","content":[{"type":"input_text","text":"..."}]}}"#;

/// Body of a message to the assistant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    /// The message.
    message: SentMessage,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SentMessage {
    /// Always `user`: only the server writes messages of the assistant.
    #[serde(rename = "role")]
    _role: SentRole,
    /// The text.
    content: Vec<SentPart>,
    /// Ids of the attachments of the message.
    #[serde(default)]
    attachments: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SentRole {
    User,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SentPart {
    /// Always `input_text`.
    #[serde(rename = "type")]
    kind: SentPartType,
    /// The text.
    text: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SentPartType {
    InputText,
}

/// Returns the input of the method, as JSON.
pub(super) fn message_to_input(body: &RawValue) -> Result<String, RpcError> {
    #[derive(Serialize)]
    struct Input {
        content: Vec<SentPart>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
    }
    let sent: SendMessage = serde_json::from_str(body.get()).map_err(|error| {
        let reason: String = error.to_string().chars().take(MAX_ECHOED_CHARS).collect();
        invalid(format!("The body must look like {EXAMPLE}: {reason}."))
    })?;
    let SentMessage { content, attachments, .. } = sent.message;
    serde_json::to_string(&Input { content, attachments }).map_err(|_| invalid("The message cannot be read."))
}
