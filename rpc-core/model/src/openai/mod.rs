//! A server that speaks OpenAI's chat completions: OpenRouter, vLLM, llama.cpp, Gemini's compatible endpoint, ...
//!
//! | file | does |
//! | --- | --- |
//! | `request.rs` | the prompt -> the body of the request |
//! | `attempt.rs` | sends it, and again where that may help |
//! | `body.rs`, `stream.rs` | bytes -> server-sent events -> model events, bounded in size and silence |
//! | `wire.rs`, `answer.rs`, `assemble.rs` | what a chunk says, and what all chunks so far add up to |
//! | `failure.rs` | errors: their words, their meaning, whether they may pass |
//! | `check.rs` | whether the server is there, knows the key and has the model |
//! | `transcribe.rs` | speech -> text |
//! | `watch.rs` | metrics |

mod answer;
mod assemble;
mod attempt;
mod body;
mod check;
mod cite;
mod endpoint;
mod failure;
mod request;
mod stream;
mod transcribe;
mod watch;
mod wire;

use super::{Model, ModelError, ModelEvent, ModelRequest, Recording};
use crate::config::OpenAiConfig;
use attempt::Session;
use bytes::Bytes;
use endpoint::Endpoint;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt};
use secrecy::ExposeSecret;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A model on a server that speaks OpenAI's chat completions.
pub struct OpenAiModel {
    endpoint: Arc<Endpoint>,
}

impl OpenAiModel {
    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the base URL is no URL, the key or a name cannot stand in a header, or the TLS library does not start.
    pub fn new(config: OpenAiConfig) -> Result<Self, reqwest::Error> {
        Endpoint::new(config).map(|endpoint| Self { endpoint: Arc::new(endpoint) })
    }
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers hold the key.
        f.debug_struct("OpenAiModel").field("model", &self.endpoint.config.model).finish_non_exhaustive()
    }
}

impl Model for OpenAiModel {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let session = Session::new(Arc::clone(&self.endpoint), request);
        watch::Watched::new(session.open().try_flatten_stream(), self.endpoint.config.api_key.clone()).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), ModelError>> {
        check::check(&self.endpoint)
            .map_err(|error| failure::for_log(error, self.endpoint.config.api_key.expose_secret()))
            .boxed()
    }

    fn transcribe(&self, recording: Recording) -> Option<BoxFuture<'_, Result<String, ModelError>>> {
        let model = self.endpoint.config.transcription_model.clone()?;
        let words = transcribe::transcribe(&self.endpoint, model, recording);
        Some(words.map_err(|error| failure::for_log(error, self.endpoint.config.api_key.expose_secret())).boxed())
    }

    fn kind(&self) -> &'static str {
        "openai-compatible"
    }

    fn name(&self) -> &str {
        &self.endpoint.config.model
    }
}

/// Reads the body of one answer: what [`OpenAiModel`] does behind the HTTP client, for bytes from anywhere.
///
/// The first token has to come within `token_timeout`, and so has each later one. Runs inside a tokio runtime.
pub fn decode<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    token_timeout: Duration,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + Unpin + 'static
where
    E: std::error::Error + 'static,
{
    let body = body.map_err(|error| failure::broken(&error)).boxed();
    stream::Events::new(body, Instant::now() + token_timeout, token_timeout)
        .map_err(|error| failure::for_log(error, ""))
}
