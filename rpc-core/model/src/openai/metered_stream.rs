//! Records how long responses take and how they end, and redacts their errors.

use super::error;
use crate::{ModelError, ModelEvent};
use futures::Stream;
use secrecy::{ExposeSecret, SecretString};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// A stream that records `threadline_upstream_seconds` when it is dropped.
pub(super) struct MeteredStream<S> {
    inner: Pin<Box<S>>,
    key: SecretString,
    /// Set by the first poll, which sends the request.
    started: Option<Instant>,
    /// The label of the metric.
    outcome: &'static str,
}

impl<S> MeteredStream<S> {
    pub(super) fn new(inner: S, key: SecretString) -> Self {
        Self { inner: Box::pin(inner), key, started: None, outcome: "dropped" }
    }
}

impl<S: Stream<Item = Result<ModelEvent, ModelError>>> Stream for MeteredStream<S> {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.started.get_or_insert_with(Instant::now);
        let event = this.inner.as_mut().poll_next(cx);
        match event {
            Poll::Ready(Some(Err(error))) => {
                this.outcome = error.label();
                Poll::Ready(Some(Err(error::redact(error, this.key.expose_secret()))))
            }
            Poll::Ready(Some(Ok(ModelEvent::Finished(_)))) => {
                this.outcome = "completed";
                event
            }
            event => event,
        }
    }
}

impl<S> Drop for MeteredStream<S> {
    fn drop(&mut self) {
        if let Some(started) = self.started {
            metrics::histogram!("threadline_upstream_seconds", "outcome" => self.outcome).record(started.elapsed());
        }
    }
}
