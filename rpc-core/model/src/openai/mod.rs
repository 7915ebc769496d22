//! Client for servers that speak OpenAI's chat completions: OpenRouter, vLLM, llama.cpp, Gemini's compatible endpoint, ...
//!
//! | file | purpose |
//! | --- | --- |
//! | `endpoint.rs` | HTTP client, URLs and headers of one server |
//! | `outgoing/` | builds the body of a request in the dialect of the model |
//! | `healing.rs`, `refusal.rs` | sends a request again without what the server refuses |
//! | `open_stream.rs` | sends the request and waits for the first token |
//! | `retry.rs` | decides whether and when a failed attempt is repeated |
//! | `sse_input.rs` | prepares the response body for the SSE parser |
//! | `decoder.rs` | decodes the body into model events, with timeouts |
//! | `body_drains.rs` | reads the rest of bodies whose response is complete |
//! | `chunk.rs` | wire types of one chunk |
//! | `assembler.rs`, `tool_calls.rs`, `citations.rs` | assemble a response from its chunks |
//! | `error.rs` | maps failures to `ModelError`, and redacts them |
//! | `health.rs` | checks server, key and model |
//! | `transcription.rs` | converts speech into text |
//! | `metered_stream.rs` | records metrics |

mod assembler;
mod body_drains;
mod chunk;
mod citations;
mod decoder;
mod endpoint;
mod error;
mod healing;
mod health;
mod metered_stream;
mod open_stream;
mod outgoing;
mod refusal;
mod retry;
mod sse_input;
mod tool_calls;
mod transcription;

use super::{Model, ModelError, ModelEvent, ModelRequest, Recording};
use crate::config::OpenAiConfig;
use crate::dialect::{DialectOverrides, ModelDialect};
use body_drains::BodyDrains;
use bytes::Bytes;
use decoder::StreamDecoder;
use endpoint::Endpoint;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt};
use metered_stream::MeteredStream;
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
    /// Creates the client. It sends nothing yet.
    ///
    /// # Errors
    ///
    /// If the base URL is invalid, if the key or a name is no valid header value, or if TLS cannot be set up.
    pub fn new(config: OpenAiConfig) -> Result<Self, reqwest::Error> {
        Endpoint::new(config).map(|endpoint| Self { endpoint: Arc::new(endpoint) })
    }

    fn redact(&self, error: ModelError) -> ModelError {
        error::redact(error, self.endpoint.config.api_key.expose_secret())
    }
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers contain the key.
        f.debug_struct("OpenAiModel").field("model", &self.endpoint.config.model).finish_non_exhaustive()
    }
}

impl Model for OpenAiModel {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let stream = open_stream::open_stream(Arc::clone(&self.endpoint), request).try_flatten_stream();
        MeteredStream::new(stream, self.endpoint.config.api_key.clone()).boxed()
    }

    fn check_health(&self) -> BoxFuture<'_, Result<(), ModelError>> {
        health::check(&self.endpoint).map_err(|error| self.redact(error)).boxed()
    }

    fn transcribe(&self, recording: Recording) -> Option<BoxFuture<'_, Result<String, ModelError>>> {
        let model = self.endpoint.config.transcription_model.clone()?;
        let text = transcription::transcribe(&self.endpoint, model, recording);
        Some(text.map_err(|error| self.redact(error)).boxed())
    }

    fn dialect(&self, model: Option<&str>, overrides: Option<&DialectOverrides>) -> Option<ModelDialect> {
        Some(self.endpoint.model_dialect(model.unwrap_or(&self.endpoint.config.model), overrides))
    }

    fn kind(&self) -> &'static str {
        "openai-compatible"
    }

    fn name(&self) -> &str {
        &self.endpoint.config.model
    }
}

/// Decodes the body of one response, as [`OpenAiModel`] does, for bytes from any source.
///
/// `token_timeout` limits the time to the first token and the time between two tokens. Must be called inside a Tokio
/// runtime.
pub fn decode<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    token_timeout: Duration,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + Unpin + 'static
where
    E: std::error::Error + Send + Sync + 'static,
{
    let body = body.map_err(error::from_body_error).boxed();
    let first_token_deadline = Instant::now() + token_timeout;
    StreamDecoder::new(body, first_token_deadline, token_timeout, BodyDrains::default())
        .map_err(|error| error::redact(error, ""))
}
