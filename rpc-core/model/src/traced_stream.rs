//! The span of one response of a model.

use crate::{FinishReason, ModelError, ModelEvent};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use threadline_schema::runs;
use threadline_trace::{Span, SpanKind};

/// Starts the span of a response, with the semantic conventions of GenAI. It has neither prompt nor answer.
pub(crate) fn start_span(provider: &'static str, model: &str) -> Span {
    let span = Span::child(SpanKind::Client, || format!("chat {model}"));
    if span.is_recording() {
        span.set("gen_ai.operation.name", "chat");
        span.set("gen_ai.provider.name", provider);
        span.set("gen_ai.request.model", model.to_owned());
    }
    span
}

/// Records the events of a response in its span. Without a span, the stream is returned as it is.
pub(crate) fn traced(
    events: BoxStream<'static, Result<ModelEvent, ModelError>>,
    span: Span,
) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
    if span.is_recording() { TracedStream { events, span, has_token: false }.boxed() } else { events }
}

struct TracedStream {
    events: BoxStream<'static, Result<ModelEvent, ModelError>>,
    /// Ends when the stream is dropped.
    span: Span,
    has_token: bool,
}

impl TracedStream {
    fn record(&mut self, event: &Result<ModelEvent, ModelError>) {
        match event {
            Ok(ModelEvent::Text(_) | ModelEvent::Thought(_) | ModelEvent::ToolCall(_)) => {
                if !self.has_token {
                    self.has_token = true;
                    self.span.event("gen_ai.first_token");
                }
            }
            Ok(ModelEvent::TextWasThought | ModelEvent::Citation(_)) => {}
            Ok(ModelEvent::Usage(usage)) => {
                self.span.set("gen_ai.usage.input_tokens", count(usage.prompt_tokens));
                self.span.set("gen_ai.usage.output_tokens", count(usage.completion_tokens));
            }
            Ok(ModelEvent::Finished(reason)) => {
                self.span.set_list("gen_ai.response.finish_reasons", name_of(*reason));
                self.span.end();
            }
            Err(error) => {
                self.span.fail(error.label());
                self.span.end();
            }
        }
    }
}

impl Stream for TracedStream {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.events.poll_next_unpin(cx);
        if let Poll::Ready(Some(event)) = &polled {
            self.record(event);
        }
        polled
    }
}

fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn name_of(reason: FinishReason) -> &'static str {
    match reason {
        // Of a turn, and never of a run.
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Stop => runs::FinishReason::Stop.name(),
        FinishReason::Length => runs::FinishReason::Length.name(),
        FinishReason::ContentFilter => runs::FinishReason::ContentFilter.name(),
        FinishReason::Refusal => runs::FinishReason::Refusal.name(),
    }
}
