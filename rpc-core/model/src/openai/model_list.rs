//! Reads the server's list of models.

use super::endpoint::Endpoint;
use super::error;
use crate::{ModelError, WaitingFor};
use futures::StreamExt;
use reqwest::{Method, Url};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for reading the list.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest list of models. OpenRouter's list, the longest known, has about 1 MB.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Where servers say how many tokens a model can read: OpenRouter and Together, vLLM, Groq, Mistral and LM Studio, LM
/// Studio for a loaded model, Gemini, llama.cpp (as it runs, and as the model was trained).
const CONTEXT_FIELDS: [&str; 8] = [
    "/context_length",
    "/max_model_len",
    "/context_window",
    "/max_context_length",
    "/loaded_context_length",
    "/inputTokenLimit",
    "/meta/n_ctx",
    "/meta/n_ctx_train",
];

/// Returns the context windows of the models on the list.
pub(super) async fn context_windows(endpoint: &Endpoint) -> Result<Vec<(String, u64)>, ModelError> {
    let timed_out = ModelError::Timeout { waiting_for: WaitingFor::ModelList, limit: LIST_TIMEOUT };
    let list = timeout(LIST_TIMEOUT, get(endpoint, &endpoint.models_url)).await.unwrap_or(Err(timed_out))?;
    Ok(windows_in(&list.unwrap_or_default()))
}

fn windows_in(list: &[u8]) -> Vec<(String, u64)> {
    let window = |entry: &Value| {
        // The smallest: a server can run a model with less than it was trained for.
        let tokens = CONTEXT_FIELDS.iter().filter_map(|field| tokens_of(entry.pointer(field)?)).min()?;
        let name = names(entry).next()?;
        Some((name.strip_prefix("models/").unwrap_or(name).to_owned(), tokens))
    };
    entries(list).iter().filter_map(window).collect()
}

/// Reads a number of tokens, also as a float or as text. Zero says nothing.
fn tokens_of(value: &Value) -> Option<u64> {
    let tokens = match value {
        Value::String(text) => text.trim().parse().ok()?,
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        value => value.as_u64().or_else(|| value.as_f64().map(|tokens| tokens as u64))?,
    };
    (tokens > 0).then_some(tokens)
}

/// Returns the entries of a list of models; empty for any other JSON.
pub(super) fn entries(list: &[u8]) -> Vec<Value> {
    let mut list: Value = serde_json::from_slice(list).unwrap_or_default();
    let entries = ["data", "models"].iter().find_map(|name| list.get_mut(*name).map(Value::take));
    match entries.unwrap_or(list) {
        Value::Array(entries) => entries,
        _ => Vec::new(),
    }
}

/// Returns the names of an entry.
pub(super) fn names(entry: &Value) -> impl Iterator<Item = &str> {
    ["id", "name", "model"].iter().filter_map(|field| entry.get(*field)?.as_str())
}

/// Returns the body at `url`, or `None` if the server does not know the path. Not all servers list their models.
pub(super) async fn get(endpoint: &Endpoint, url: &Url) -> Result<Option<Vec<u8>>, ModelError> {
    let request = endpoint.request(Method::GET, url);
    let send_error = |error| error::from_send_error(error, endpoint.config.connect_timeout);
    let response = endpoint.client.execute(request).await.map_err(send_error)?;
    match response.status().as_u16() {
        200..300 => {}
        404 | 405 => return Ok(None),
        _ => return Err(error::from_response(response).await),
    }
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(part) = bytes.next().await {
        body.extend_from_slice(&part.map_err(send_error)?);
        if body.len() > MAX_LIST_BYTES {
            let message = format!("the list of models has more than {MAX_LIST_BYTES} bytes");
            return Err(ModelError::invalid_response(message));
        }
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_windows_are_read_from_every_known_list() {
        let list = r#"{"data": [
            {"id": "a/openrouter", "context_length": 128000, "top_provider": {"context_length": 64000}},
            {"id": "vllm", "max_model_len": 8192.0},
            {"id": "lmstudio", "max_context_length": "32768", "loaded_context_length": 4096},
            {"id": "llama", "meta": {"n_ctx_train": 131072, "n_ctx": 2048}},
            {"id": "models/gemini", "inputTokenLimit": 1048576},
            {"id": "silent"}, {"id": "zero", "context_window": 0}, {"context_window": 5}, 7
        ]}"#;
        let expected =
            [("a/openrouter", 128_000), ("vllm", 8_192), ("lmstudio", 4_096), ("llama", 2_048), ("gemini", 1_048_576)];
        let windows = windows_in(list.as_bytes());
        assert_eq!(windows, expected.map(|(name, tokens)| (name.to_owned(), tokens)));
        assert_eq!(windows_in(b"[{\"id\": \"m\", \"context_window\": 9}]"), [("m".to_owned(), 9)]);
        assert!(windows_in(b"<html>").is_empty() && windows_in(b"").is_empty());
    }
}
