//! Sends a request, repeats it if that can help, and waits for the first token.

use super::decoder::StreamDecoder;
use super::endpoint::Endpoint;
use super::error;
use super::healing::HealingRequest;
use super::retry::RetryPolicy;
use crate::{ModelError, ModelEvent, ModelRequest, WaitingFor};
use backon::Retryable;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use secrecy::ExposeSecret;
use std::sync::Arc;
use threadline_trace::Span;
use tokio::time::{Instant, timeout_at};

/// A response after its first event, with the decoder that yields the rest.
type OpenResponse = (Option<Result<ModelEvent, ModelError>>, StreamDecoder);

/// Returns the stream of one response, after its first token. Makes as many attempts as the configuration allows.
///
/// # Errors
///
/// The error of the last attempt.
pub(super) async fn open_stream(
    endpoint: Arc<Endpoint>,
    request: ModelRequest,
    span: Span,
) -> Result<impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static, ModelError> {
    let config = &endpoint.config;
    let started = Instant::now();
    // One deadline for all attempts: the caller waits for a token, and it does not matter which attempt brings it.
    let deadline = started + config.token_timeout;
    let healing = HealingRequest::new(&endpoint, &request)
        .map_err(|error| ModelError::invalid_response(format!("the request cannot be serialized: {error}")))?;
    let policy = RetryPolicy::new(config.max_attempts, deadline);
    let (first, rest) = (|| attempt(&endpoint, &healing, &request.request_id, deadline, &span))
        .retry(policy.backoff())
        .sleep(tokio::time::sleep)
        .when(|error| policy.is_retryable(error))
        .adjust(|error, pause| policy.pause(error, pause))
        .notify(|error, pause| {
            metrics::counter!("threadline_upstream_retries_total").increment(1);
            tracing::warn!(
                request_id = %request.request_id,
                error = %error::redact(error.clone(), config.api_key.expose_secret()),
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "model request failed before the first token, retrying"
            );
        })
        .await?;
    if let Some(at) = rest.first_token_at() {
        metrics::histogram!("threadline_upstream_first_token_seconds").record(at - started);
    }
    let (calls, model) = (healing.outgoing().calls.clone(), healing.model().to_owned());
    Ok(stream::iter(first).chain(rest).map_ok(move |event| calls.understand(&model, event)))
}

/// Sends the request, and again for each part of it that the server refuses in words. That is not an attempt of its
/// own: the server is well.
async fn attempt(
    endpoint: &Endpoint,
    healing: &HealingRequest<'_>,
    request_id: &str,
    deadline: Instant,
    span: &Span,
) -> Result<OpenResponse, ModelError> {
    loop {
        match send(endpoint, healing.outgoing().body.clone(), request_id, deadline, span).await {
            Ok(response) => {
                healing.accepted();
                return Ok(response);
            }
            Err(error) if healing.adjust(&error) => {}
            Err(error) => return Err(error::about_chat_completion(error)),
        }
    }
}

/// Sends the request once. A failure before the first token is this attempt's error; later failures are in the stream.
async fn send(
    endpoint: &Endpoint,
    body: Bytes,
    request_id: &str,
    deadline: Instant,
    span: &Span,
) -> Result<OpenResponse, ModelError> {
    let config = &endpoint.config;
    let mut request = endpoint.chat_completion_request(body, request_id);
    {
        let _entered = span.enter();
        threadline_trace::add_headers(request.headers_mut());
    }
    let response = match timeout_at(deadline, endpoint.client.execute(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(error::from_send_error(error, config.connect_timeout)),
        Err(_) => {
            return Err(ModelError::Timeout { waiting_for: WaitingFor::FirstToken, limit: config.token_timeout });
        }
    };
    if !response.status().is_success() {
        return Err(error::from_response(response).await);
    }
    // The URL can contain a key.
    let body = response.bytes_stream().map_err(|error| error::from_body_error(error.without_url())).boxed();
    let mut decoder = StreamDecoder::new(body, deadline, config.token_timeout, endpoint.drains.clone());
    decoder.describe_in(span.clone());
    match decoder.next().await {
        Some(Err(error)) if decoder.first_token_at().is_none() => Err(error),
        first => Ok((first, decoder)),
    }
}
