//! Sends a request, and again where that may help.

use super::endpoint::Endpoint;
use super::stream::Events;
use super::{failure, request};
use crate::{ModelError, ModelEvent, ModelRequest};
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures::stream;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::Response;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Pause before the second try; each later one is twice as long, and each has up to its own length of chance added,
/// so that runs that failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause. A server that wants more is not asked again: the caller hears of it sooner than it would answer.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Bytes read of an answer that is an error.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Time for reading them.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(2);

/// One request and all its attempts.
pub(super) struct Session {
    endpoint: Arc<Endpoint>,
    request: ModelRequest,
}

impl Session {
    pub(super) fn new(endpoint: Arc<Endpoint>, request: ModelRequest) -> Self {
        Self { endpoint, request }
    }

    /// Waits for the first token, over as many attempts as it takes and is allowed, and gives the answer from there.
    ///
    /// # Errors
    ///
    /// The last attempt's.
    pub(super) async fn open(
        self,
    ) -> Result<impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static, ModelError> {
        let config = &self.endpoint.config;
        let started = Instant::now();
        // One deadline over all attempts: the caller waits for a token, whichever attempt brings it.
        let deadline = started + config.token_timeout;
        let body = request::body(&config.model, &self.request)
            .map_err(|error| ModelError::Broken(format!("the request cannot be written as JSON: {error}")))?;
        let pauses = ExponentialBuilder::default()
            .with_factor(2.0)
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(config.max_attempts.saturating_sub(1) as usize)
            .with_jitter();
        let (first, events) = (|| self.attempt(body.clone(), deadline))
            .retry(pauses)
            .sleep(tokio::time::sleep)
            .when(failure::may_pass)
            .adjust(|error, pause| {
                let pause = match error {
                    ModelError::Overloaded { retry_after: Some(wanted), .. } => pause?.max(*wanted),
                    _ => pause?.min(MAX_PAUSE),
                };
                (pause <= MAX_PAUSE && Instant::now() + pause < deadline).then_some(pause)
            })
            .notify(|error, pause| {
                metrics::counter!("threadline_upstream_retries_total").increment(1);
                tracing::warn!(
                    request_id = %self.request.request_id,
                    error = %failure::for_log(error.clone(), config.api_key.expose_secret()),
                    pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "the model's server failed before its first token; asking again"
                );
            })
            .await?;
        if let Some(begun) = events.begun() {
            metrics::histogram!("threadline_upstream_first_token_seconds").record(begun - started);
        }
        Ok(stream::iter(first).chain(events))
    }

    async fn attempt(
        &self,
        body: Bytes,
        deadline: Instant,
    ) -> Result<(Option<Result<ModelEvent, ModelError>>, Events), ModelError> {
        let config = &self.endpoint.config;
        let request = self.endpoint.chat(body, &self.request.request_id);
        let response = match timeout_at(deadline, self.endpoint.client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failure::unreachable(error, config.connect_timeout)),
            Err(_) => {
                return Err(ModelError::Timeout { waiting_for: "the first token", limit: config.token_timeout });
            }
        };
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        // The URL may carry a key.
        let body = response.bytes_stream().map_err(|error| failure::broken(&error.without_url())).boxed();
        let mut events = Events::new(body, deadline, config.token_timeout);
        match events.next().await {
            Some(Err(error)) if events.begun().is_none() => Err(error),
            first => Ok((first, events)),
        }
    }
}

/// The error an answer with another status than 2xx is. Its body is only for the log, so not all of it is waited for.
pub(super) async fn refusal(response: Response) -> ModelError {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    let deadline = Instant::now() + ERROR_BODY_WAIT;
    while let Ok(Some(Ok(part))) = timeout_at(deadline, bytes.next()).await {
        body.extend_from_slice(&part);
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    failure::refused(status, &headers, &body)
}
