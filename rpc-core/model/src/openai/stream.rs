//! The body of an answer -> events, under the two limits on silence.

use super::answer::{Answer, Step};
use super::body::{Body, Pending, Reads};
use crate::{ModelError, ModelEvent};
use futures::{FutureExt, Stream, StreamExt};
use sse_stream::SseByteStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// How long an answer that said why it ended may take over `usage` and `[DONE]`. Both usually come in the same read;
/// some servers send neither and leave the connection open.
pub(super) const AFTER_FINISH: Duration = Duration::from_secs(2);
/// How long an answer that is whole may take to end its body, so that the connection can serve the next request.
const DRAIN: Duration = Duration::from_millis(500);

/// The events of one answer. Ends after [`ModelEvent::Finished`] or an error; closes the body when dropped.
///
/// Events that came in one read are all ready at once: nothing between them waits.
pub(super) struct Events {
    sse: Option<Pin<Box<SseByteStream<Body>>>>,
    pending: Arc<Pending>,
    answer: Answer,
    /// What follows the text, once the body has ended.
    tail: std::vec::IntoIter<ModelEvent>,
    begun: Option<Instant>,
    limit: Duration,
    deadline: Instant,
    /// Moved only when it fires: setting a timer for every token would cost more than reading it.
    timer: Pin<Box<Sleep>>,
    /// A token came since the deadline was last set.
    moved: bool,
}

impl Events {
    /// Reads `body`; the first token has to come before `first_token_by`, each later one within `limit`.
    pub(super) fn new(body: Reads, first_token_by: Instant, limit: Duration) -> Self {
        let body = Body::new(body);
        Self {
            pending: body.pending(),
            sse: Some(Box::pin(SseByteStream::new(body))),
            answer: Answer::default(),
            tail: Vec::new().into_iter(),
            begun: None,
            limit,
            deadline: first_token_by,
            timer: Box::pin(sleep_until(first_token_by)),
            moved: false,
        }
    }

    /// When the first token came, be it one that is not shown. From then on the answer must not be asked for again.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    fn take(&mut self, event: sse_stream::Sse) -> Result<Option<ModelEvent>, ModelError> {
        let Some(data) = event.data else { return Ok(None) };
        if event.event.as_deref() == Some("error") {
            let error = super::failure::in_stream(&data);
            return Err(error.unwrap_or(ModelError::Refused { status: 200, text: data }));
        }
        let whole_before = self.answer.is_whole();
        let step = self.answer.accept(&data)?;
        if matches!(step, Step::Text(_) | Step::Thought(_) | Step::Hidden) {
            self.begun.get_or_insert_with(Instant::now);
            self.moved = true;
        }
        if !whole_before && self.answer.is_whole() {
            self.deadline = Instant::now() + AFTER_FINISH;
            self.timer.as_mut().reset(self.deadline);
        }
        match step {
            Step::Text(text) => Ok(Some(ModelEvent::Text(text))),
            Step::Thought(thought) => Ok(Some(ModelEvent::Thought(thought))),
            Step::Hidden | Step::Nothing => Ok(None),
            Step::Done => self.finish().map(|()| None),
        }
    }

    /// The answer is whole.
    fn finish(&mut self) -> Result<(), ModelError> {
        if let Some(mut sse) = self.sse.take() {
            // Usually the end of the body came along. Where it is still on its way the answer does not wait for it.
            if sse.next().now_or_never().is_none() {
                tokio::spawn(timeout(DRAIN, async move { while let Some(Ok(_)) = sse.next().await {} }));
            }
        }
        self.tail = std::mem::take(&mut self.answer).finish()?.into_iter();
        Ok(())
    }

    /// The body ended, broke or fell silent. An answer that had said why it ended has lost nothing by that.
    fn stop(&mut self, error: ModelError) -> Result<(), ModelError> {
        self.sse = None;
        if !self.answer.is_whole() {
            return Err(error);
        }
        self.finish()
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<ModelError> {
        if std::mem::take(&mut self.moved) && !self.answer.is_whole() {
            self.deadline = Instant::now() + self.limit;
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                let waiting_for = if self.begun.is_some() { "the next token" } else { "the first token" };
                return Poll::Ready(ModelError::Timeout { waiting_for, limit: self.limit });
            }
            self.timer.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

impl Stream for Events {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(citation) = this.answer.citation() {
                // What is passed on cannot be asked for again.
                this.begun.get_or_insert_with(Instant::now);
                this.moved = true;
                return Poll::Ready(Some(Ok(ModelEvent::Citation(citation))));
            }
            let Some(sse) = this.sse.as_mut() else { return Poll::Ready(this.tail.next().map(Ok)) };
            let outcome = match sse.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(event))) => {
                    this.pending.clear();
                    match this.take(event) {
                        Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                        Ok(None) => Ok(()),
                        Err(error) => this.stop(error),
                    }
                }
                Poll::Ready(Some(Err(error))) => this.stop(unreadable(error)),
                Poll::Ready(None) => {
                    this.stop(ModelError::Broken("the body ended with neither finish_reason nor [DONE]".to_owned()))
                }
                Poll::Pending => match this.poll_silence(cx) {
                    Poll::Ready(error) => this.stop(error),
                    Poll::Pending => return Poll::Pending,
                },
            };
            if let Err(error) = outcome {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

fn unreadable(error: sse_stream::Error) -> ModelError {
    match error {
        sse_stream::Error::Body(error) => match error.downcast::<ModelError>() {
            Ok(error) => *error,
            Err(error) => ModelError::Broken(error.to_string()),
        },
        sse_stream::Error::Utf8Parse(_) => ModelError::Broken("the body is not UTF-8".to_owned()),
        error => ModelError::Broken(error.to_string()),
    }
}
