//! Whether the server is there, knows the key and has the model.

use super::attempt::refusal;
use super::endpoint::Endpoint;
use super::failure;
use crate::ModelError;
use futures::StreamExt;
use reqwest::{Method, Url};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Time for the whole check: `/health/openrouter` answers in less than 5 s.
const LIMIT: Duration = Duration::from_millis(4_500);
/// Bytes of a list of models. OpenRouter's, the longest there is, has about one million.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Asks for the list of models, and OpenRouter for the key as well.
///
/// # Errors
///
/// When the server cannot be reached, refuses, or lists other models only.
pub(super) async fn check(endpoint: &Endpoint) -> Result<(), ModelError> {
    let asked = async {
        if let Some(url) = &endpoint.key {
            get(endpoint, url).await?;
        }
        let model = &endpoint.config.model;
        match get(endpoint, &endpoint.models).await? {
            Some(list) if !offers(&list, model) => {
                Err(ModelError::Refused { status: 200, text: format!("model {model} is not offered") })
            }
            _ => Ok(()),
        }
    };
    match timeout(LIMIT, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ModelError::Timeout { waiting_for: "the list of models", limit: LIMIT }),
    }
}

/// The body at `url`; `None` where the server has nothing there, which not all of them do.
async fn get(endpoint: &Endpoint, url: &Url) -> Result<Option<Vec<u8>>, ModelError> {
    let request = endpoint.request(Method::GET, url);
    let unreachable = |error| failure::unreachable(error, endpoint.config.connect_timeout);
    let response = endpoint.client.execute(request).await.map_err(unreachable)?;
    match response.status().as_u16() {
        200..300 => {}
        404 | 405 => return Ok(None),
        _ => return Err(refusal(response).await),
    }
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(part) = bytes.next().await {
        body.extend_from_slice(&part.map_err(unreachable)?);
        if body.len() > MAX_LIST_BYTES {
            return Err(ModelError::Broken(format!("the list of models has more than {MAX_LIST_BYTES} bytes")));
        }
    }
    Ok(Some(body))
}

/// Whether a list names the model. One that names none, or cannot be read, speaks against no model.
fn offers(list: &[u8], model: &str) -> bool {
    let list: Value = serde_json::from_slice(list).unwrap_or_default();
    let entries = ["data", "models"].iter().find_map(|name| list.get(*name)).unwrap_or(&list);
    let mut names = entries
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|entry| ["id", "name", "model"].iter().filter_map(|field| entry.get(*field)?.as_str()))
        .peekable();
    names.peek().is_none() || names.any(|name| is_same(name, model))
}

/// Gemini lists `models/NAME`; Ollama lists `NAME:latest`; OpenRouter takes `NAME:online` without listing it.
fn is_same(listed: &str, model: &str) -> bool {
    let [listed, model] = [listed, model].map(|name| name.strip_prefix("models/").unwrap_or(name));
    listed == model
        || listed.strip_suffix(":latest") == Some(model)
        || model.rsplit_once(':').is_some_and(|(plain, _)| plain == listed)
}
