//! Decodes a response body into model events, with limits on the time between tokens.

use super::assembler::{Progress, ResponseAssembler};
use super::body_drains::BodyDrains;
use super::error;
use super::sse_input::{ResponseBody, SseInput, UnparsedBytes};
use crate::{ModelError, ModelEvent, WaitingFor};
use futures::{FutureExt, Stream, StreamExt};
use sse_stream::{Sse, SseByteStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use threadline_trace::Span;
use tokio::time::{Instant, Sleep, sleep_until};

/// Longest wait for usage and `[DONE]` after `finish_reason`. Both usually come in the same read. Some servers send
/// neither and leave the connection open. A server that sends tokens after `finish_reason` is not held to it.
const TRAILER_TIMEOUT: Duration = Duration::from_secs(2);

/// The events of one response. Ends after [`ModelEvent::Finished`] or an error. Dropping it closes the body.
///
/// Events that came in one read are ready at once.
pub(super) struct StreamDecoder {
    /// `None` after the body has ended or the rest of it does not matter.
    sse: Option<Pin<Box<SseByteStream<SseInput>>>>,
    unparsed: Arc<UnparsedBytes>,
    drains: BodyDrains,
    assembler: ResponseAssembler,
    /// What follows the text, after the body has ended well.
    trailing: std::vec::IntoIter<Result<ModelEvent, ModelError>>,
    first_token_at: Option<Instant>,
    token_timeout: Duration,
    deadline: Instant,
    /// Reset only when it fires: resetting it for each token would cost more than decoding the token.
    timer: Pin<Box<Sleep>>,
    /// Whether a token came since the deadline was set.
    deadline_is_stale: bool,
}

impl StreamDecoder {
    /// Decodes `body`. The first token must come before `first_token_deadline`, each later one within `token_timeout`.
    pub(super) fn new(
        body: ResponseBody,
        first_token_deadline: Instant,
        token_timeout: Duration,
        drains: BodyDrains,
    ) -> Self {
        let input = SseInput::new(body);
        Self {
            unparsed: input.unparsed_bytes(),
            drains,
            sse: Some(Box::pin(SseByteStream::new(input))),
            assembler: ResponseAssembler::default(),
            trailing: Vec::new().into_iter(),
            first_token_at: None,
            token_timeout,
            deadline: first_token_deadline,
            timer: Box::pin(sleep_until(first_token_deadline)),
            deadline_is_stale: false,
        }
    }

    /// Tells the span which model has answered.
    pub(super) fn describe_in(&mut self, span: Span) {
        self.assembler.span = span;
    }

    /// Returns when the first token came, visible or not. After it, the request must not be repeated.
    pub(super) fn first_token_at(&self) -> Option<Instant> {
        self.first_token_at
    }

    fn on_event(&mut self, event: Sse) -> Result<(), ModelError> {
        if event.event.as_deref() == Some("error") {
            return Err(error::from_error_event(event.data.as_deref().unwrap_or_default()));
        }
        let Some(data) = event.data else { return Ok(()) };
        let had_ended = self.assembler.has_ended();
        let progress = self.assembler.push(&data)?;
        if progress == Progress::Token {
            self.on_token();
        }
        if !had_ended && self.assembler.has_ended() {
            self.deadline = Instant::now() + TRAILER_TIMEOUT;
            self.timer.as_mut().reset(self.deadline);
        }
        if progress == Progress::Done {
            self.finish();
        }
        Ok(())
    }

    fn on_token(&mut self) {
        self.first_token_at.get_or_insert_with(Instant::now);
        self.deadline_is_stale = true;
    }

    /// Prepares the trailing events of a response that has ended well.
    fn finish(&mut self) {
        if let Some(mut sse) = self.sse.take() {
            // The end of the body has usually arrived. If not, the response does not wait for it.
            if sse.next().now_or_never().is_none() {
                self.drains.drain(async move { while let Some(Ok(_)) = sse.next().await {} });
            }
        }
        self.trailing = std::mem::take(&mut self.assembler).finish().into_iter();
    }

    /// Ends the response because its body ended, failed or timed out. After `finish_reason`, nothing is lost by that.
    fn interrupt(&mut self, error: ModelError) -> Result<(), ModelError> {
        self.sse = None;
        if !self.assembler.has_ended() {
            // Nothing follows an error.
            self.assembler = ResponseAssembler::default();
            return Err(error);
        }
        self.finish();
        Ok(())
    }

    /// Ends the response because its body ended.
    fn end_of_body(&mut self) -> Result<(), ModelError> {
        self.sse = None;
        if !self.assembler.can_end() {
            self.assembler = ResponseAssembler::default();
            return Err(ModelError::invalid_response("the body ended with neither finish_reason nor [DONE]"));
        }
        self.finish();
        Ok(())
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<ModelError> {
        if std::mem::take(&mut self.deadline_is_stale) && !self.assembler.has_ended() {
            self.deadline = Instant::now() + self.token_timeout;
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                let waiting_for =
                    if self.first_token_at.is_some() { WaitingFor::NextToken } else { WaitingFor::FirstToken };
                return Poll::Ready(ModelError::Timeout { waiting_for, limit: self.token_timeout });
            }
            self.timer.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

impl Stream for StreamDecoder {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.assembler.next_event() {
                // The caller has output now, so the request must not be repeated.
                this.on_token();
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(sse) = this.sse.as_mut() else { return Poll::Ready(this.trailing.next()) };
            let result = match sse.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(event))) => {
                    this.unparsed.reset();
                    this.on_event(event).or_else(|error| this.interrupt(error))
                }
                Poll::Ready(Some(Err(error))) => this.interrupt(error::from_sse_error(error)),
                Poll::Ready(None) => this.end_of_body(),
                Poll::Pending => match this.poll_timeout(cx) {
                    Poll::Ready(error) => this.interrupt(error),
                    Poll::Pending => return Poll::Pending,
                },
            };
            if let Err(error) = result {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
