//! Checks that the server responds, accepts the key and offers the model.

use super::endpoint::Endpoint;
use super::model_list::{self, get};
use crate::{ModelError, WaitingFor};
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for the whole check. `/health/openrouter` promises a response within 5 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(4_500);

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

/// Returns whether a list contains the model. An empty or invalid list is not evidence, so it contains every model.
fn offers_model(list: &[u8], model: &str) -> bool {
    let entries = model_list::entries(list);
    let mut names = entries.iter().flat_map(model_list::names).peekable();
    names.peek().is_none() || names.any(|name| is_same_model(name, model))
}

/// Gemini lists `models/NAME`, Ollama lists `NAME:latest`, and OpenRouter accepts `NAME:online` without listing it.
fn is_same_model(listed: &str, model: &str) -> bool {
    let [listed, model] = [listed, model].map(|name| name.strip_prefix("models/").unwrap_or(name));
    listed == model
        || listed.strip_suffix(":latest") == Some(model)
        || model.rsplit_once(':').is_some_and(|(base, _)| base == listed)
}
