//! Checks that the server responds, accepts the key and offers the model.

use super::endpoint::Endpoint;
use super::error;
use crate::{ModelError, WaitingFor};
use futures::StreamExt;
use reqwest::{Method, Url};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for the whole check. `/health/openrouter` promises a response within 5 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(4_500);
/// Largest list of models. OpenRouter's list, the longest known, has about 1 MB.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Requests the list of models, and from OpenRouter also the description of the key.
///
/// # Errors
///
/// If the server cannot be reached, refuses, or does not list the model.
pub(super) async fn check(endpoint: &Endpoint) -> Result<(), ModelError> {
    let check = async {
        if let Some(url) = &endpoint.key_url {
            get(endpoint, url).await?;
        }
        let model = &endpoint.config.model;
        match get(endpoint, &endpoint.models_url).await? {
            Some(list) if !offers_model(&list, model) => {
                Err(ModelError::Refused { status: 200, message: format!("model {model} is not offered") })
            }
            _ => Ok(()),
        }
    };
    let timed_out = ModelError::Timeout { waiting_for: WaitingFor::ModelList, limit: CHECK_TIMEOUT };
    timeout(CHECK_TIMEOUT, check).await.unwrap_or(Err(timed_out))
}

/// Returns the body at `url`, or `None` if the server does not know the path. Not all servers list their models.
async fn get(endpoint: &Endpoint, url: &Url) -> Result<Option<Vec<u8>>, ModelError> {
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

/// Returns whether a list contains the model. An empty or invalid list is no evidence, so it contains every model.
fn offers_model(list: &[u8], model: &str) -> bool {
    let list: Value = serde_json::from_slice(list).unwrap_or_default();
    let entries = ["data", "models"].iter().find_map(|name| list.get(*name)).unwrap_or(&list);
    let mut names = entries
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|entry| ["id", "name", "model"].iter().filter_map(|field| entry.get(*field)?.as_str()))
        .peekable();
    names.peek().is_none() || names.any(|name| is_same_model(name, model))
}

/// Gemini lists `models/NAME`, Ollama lists `NAME:latest`, and OpenRouter accepts `NAME:online` without listing it.
fn is_same_model(listed: &str, model: &str) -> bool {
    let [listed, model] = [listed, model].map(|name| name.strip_prefix("models/").unwrap_or(name));
    listed == model
        || listed.strip_suffix(":latest") == Some(model)
        || model.rsplit_once(':').is_some_and(|(base, _)| base == listed)
}
