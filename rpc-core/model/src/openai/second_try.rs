//! Asks once more if a model says nothing.

use crate::{ModelError, ModelEvent};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use std::sync::Arc;

/// Returns the events of the stream that `open` returns. If it ends with [`ModelError::NoAnswer`] and `has_second_try`,
/// those of another one follow in place of the error. Nothing but thoughts can have come before.
pub(super) fn with_second_try<S>(
    open: impl Fn() -> S + Send + 'static,
    has_second_try: bool,
    request_id: Arc<str>,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static
where
    S: Stream<Item = Result<ModelEvent, ModelError>> + Send + 'static,
{
    let state = State { stream: open().boxed(), open, has_second_try, request_id };
    stream::unfold(state, async |mut state| {
        let mut event = state.stream.next().await?;
        if let Err(error @ ModelError::NoAnswer { .. }) = &event
            && std::mem::take(&mut state.has_second_try)
        {
            metrics::counter!("threadline_upstream_retries_total").increment(1);
            tracing::warn!(request_id = %state.request_id, %error, "model said nothing, asking once more");
            state.stream = (state.open)().boxed();
            event = state.stream.next().await?;
        }
        Some((event, state))
    })
}

struct State<F> {
    stream: BoxStream<'static, Result<ModelEvent, ModelError>>,
    open: F,
    has_second_try: bool,
    request_id: Arc<str>,
}
