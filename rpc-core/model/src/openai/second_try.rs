//! Asks once more if a model says nothing.

use crate::{ModelError, ModelEvent};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The events of the stream that `open` returns. If it ends with [`ModelError::NoAnswer`], those of another one follow
/// in place of the error. Nothing but thoughts can have come before.
pub(super) struct WithSecondTry<F> {
    stream: BoxStream<'static, Result<ModelEvent, ModelError>>,
    /// `None` when there is no further try.
    open: Option<F>,
    request_id: Arc<str>,
}

impl<F, S> WithSecondTry<F>
where
    F: Fn() -> S,
    S: Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static,
{
    pub(super) fn new(open: F, has_second_try: bool, request_id: Arc<str>) -> Self {
        Self { stream: open().boxed(), open: has_second_try.then_some(open), request_id }
    }
}

impl<F, S> Stream for WithSecondTry<F>
where
    F: Fn() -> S + Unpin,
    S: Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static,
{
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = self.stream.poll_next_unpin(cx);
        if let Poll::Ready(Some(Err(error @ ModelError::NoAnswer { .. }))) = &event
            && let Some(open) = self.open.take()
        {
            metrics::counter!("threadline_upstream_retries_total").increment(1);
            tracing::warn!(request_id = %self.request_id, %error, "model said nothing, asking once more");
            self.stream = open().boxed();
            return self.stream.poll_next_unpin(cx);
        }
        event
    }
}
