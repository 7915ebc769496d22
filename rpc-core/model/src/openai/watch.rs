//! How long answers take and how they end, and the last look at their errors.

use super::failure;
use crate::{ModelError, ModelEvent};
use futures::Stream;
use secrecy::{ExposeSecret, SecretString};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// An answer that is timed.
pub(super) struct Watched<S> {
    inner: Pin<Box<S>>,
    key: SecretString,
    /// From the first poll, which is when the request is sent.
    started: Option<Instant>,
    outcome: &'static str,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, key: SecretString) -> Self {
        Self { inner: Box::pin(inner), key, started: None, outcome: "dropped" }
    }
}

impl<S: Stream<Item = Result<ModelEvent, ModelError>>> Stream for Watched<S> {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.started.get_or_insert_with(Instant::now);
        let event = this.inner.as_mut().poll_next(cx);
        match event {
            Poll::Ready(Some(Err(error))) => {
                this.outcome = match &error {
                    ModelError::Connect(_) => "connect",
                    ModelError::Timeout { .. } => "timeout",
                    ModelError::Overloaded { .. } => "overloaded",
                    ModelError::Refused { .. } => "refused",
                    ModelError::Broken(_) => "broken",
                };
                Poll::Ready(Some(Err(failure::for_log(error, this.key.expose_secret()))))
            }
            Poll::Ready(Some(Ok(ModelEvent::Finished(_)))) => {
                this.outcome = "completed";
                event
            }
            event => event,
        }
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        if let Some(started) = self.started {
            metrics::histogram!("threadline_upstream_seconds", "outcome" => self.outcome).record(started.elapsed());
        }
    }
}
