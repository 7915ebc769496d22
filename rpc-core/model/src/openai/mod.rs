//! Client for servers that speak OpenAI's chat completions: OpenRouter, vLLM, llama.cpp, Gemini's compatible endpoint,
//! ...
//!
//! | file | purpose |
//! | --- | --- |
//! | `endpoint.rs` | HTTP client, URLs and headers of one server |
//! | `outgoing/` | builds the body of a request in the dialect of the model |
//! | `healing.rs`, `refusal.rs` | sends a request again without what the server refuses |
//! | `open_stream.rs` | sends the request and waits for the first token |
//! | `retry.rs` | decides whether and when a failed attempt is repeated |
//! | `second_try.rs` | asks once more if the answer is empty |
//! | `sse_input.rs`, `utf8_input.rs` | prepare the response body for the SSE parser |
//! | `decoder.rs` | decodes the body into model events, with timeouts |
//! | `body_drains.rs` | reads the rest of bodies whose response is complete |
//! | `json.rs` | tolerant readers of JSON values |
//! | `chunk_frame.rs` | knows chunks that repeat an earlier one, but for their text |
//! | `chunk.rs`, `content.rs`, `finish_reason.rs`, `usage.rs` | the values of one chunk, in the forms of all servers |
//! | `assembler.rs`, `tool_calls.rs`, `arguments.rs`, `citations.rs` | assemble a response from its chunks |
//! | `echo.rs` | collects what the server wants back with its tool calls |
//! | `clean_text.rs`, `leading_thought.rs` | make valid text, and separate thoughts from it |
//! | `unrecognized.rs` | counts what is not understood |
//! | `error.rs`, `error_body.rs`, `error_kind.rs` | map failures to `ModelError`, by words where there is no status |
//! | `health.rs` | checks server, key and model |
//! | `model_list.rs` | reads the server's list of models |
//! | `transcription.rs` | converts speech into text |
//! | `metered_stream.rs` | records metrics |

mod arguments;
mod assembler;
mod body_drains;
mod chunk;
mod chunk_frame;
mod citations;
mod clean_text;
mod content;
mod decoder;
mod echo;
mod endpoint;
mod error;
mod error_body;
mod error_kind;
mod finish_reason;
mod healing;
mod health;
mod json;
mod leading_thought;
mod metered_stream;
mod model_list;
mod open_stream;
mod outgoing;
mod refusal;
mod retry;
mod retry_delay;
mod second_try;
mod sse_input;
mod tool_calls;
mod transcription;
mod unrecognized;
mod usage;
mod utf8_input;

pub use json::repair as repair_json;

use super::{Model, ModelError, ModelEvent, ModelRequest, Recording};
use crate::config::OpenAiConfig;
use crate::dialect::{DialectOverrides, ModelDialect};
use crate::traced_stream::{start_span, traced};
use body_drains::BodyDrains;
use bytes::Bytes;
use decoder::StreamDecoder;
use endpoint::Endpoint;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt};
use metered_stream::MeteredStream;
use second_try::WithSecondTry;
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
    /// If the base URL is invalid, if the key or a name is not a valid header value, or if TLS cannot be set up.
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
        let endpoint = Arc::clone(&self.endpoint);
        let key = self.endpoint.config.api_key.clone();
        let request_id = Arc::clone(&request.request_id);
        let has_second_try = endpoint.config.max_attempts > 1;
        let span = start_span("openai", request.model.as_deref().unwrap_or(&endpoint.config.model));
        endpoint.describe_server(&span);
        let of_response = span.clone();
        let open = move || {
            let (endpoint, span) = (Arc::clone(&endpoint), of_response.clone());
            open_stream::open_stream(endpoint, request.clone(), span).try_flatten_stream()
        };
        traced(MeteredStream::new(WithSecondTry::new(open, has_second_try, request_id), key).boxed(), span)
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

    fn context_windows(&self) -> BoxFuture<'_, Result<Vec<(String, u64)>, ModelError>> {
        model_list::context_windows(&self.endpoint).map_err(|error| self.redact(error)).boxed()
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
