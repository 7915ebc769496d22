//! Spans, and the current one.

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Array, Context, ContextGuard, KeyValue, StringValue, Value};
use pin_project_lite::pin_project;
use std::borrow::Cow;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::OnceLock;
use std::task::Poll;
use threadline_schema::call::TraceHeaders;

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

/// Makes spans from now on. Later calls change nothing.
pub fn install(tracer: BoxedTracer) {
    let _ = TRACER.set(tracer);
}

/// Returns whether this process exports traces.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Returns the ids of the trace and the span that are current, for a log line.
pub fn current_ids() -> Option<(TraceId, SpanId)> {
    if !is_on() {
        return None;
    }
    Context::map_current(|context| {
        let span = context.span();
        let position = span.span_context();
        position.is_valid().then(|| (position.trace_id(), position.span_id()))
    })
}

/// A span, or nothing if the process exports no traces. Clones are the same span. It ends with [`end`](Self::end), or
/// when the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Span {
    context: Option<Context>,
}

/// While it lives, its span is the current one of the thread.
#[must_use = "the span is current until this is dropped"]
#[derive(Debug)]
pub struct Entered(#[expect(dead_code, reason = "held, and dropped")] Option<ContextGuard>);

impl Span {
    /// Starts a span: below the current one if there is one, else below `parent`, else as the first of a new trace.
    pub fn root<N: Into<Cow<'static, str>>>(
        kind: SpanKind,
        parent: Option<&TraceHeaders>,
        name: impl FnOnce() -> N,
    ) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let current = Context::current();
        let parent = match (current.span().span_context().is_valid(), parent.and_then(position)) {
            (true, _) | (false, None) => current,
            (false, Some(parent)) => current.with_remote_span_context(parent),
        };
        Self::start(tracer, kind, name(), &parent)
    }

    /// Starts a span below the current one. Nothing if there is none, or if its trace is not sampled.
    pub fn child<N: Into<Cow<'static, str>>>(kind: SpanKind, name: impl FnOnce() -> N) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        if !Context::map_current(|context| context.span().span_context().is_sampled()) {
            return Self::default();
        }
        Self::start(tracer, kind, name(), &Context::current())
    }

    fn start(tracer: &BoxedTracer, kind: SpanKind, name: impl Into<Cow<'static, str>>, parent: &Context) -> Self {
        let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), parent);
        Self { context: Some(parent.with_span(span)) }
    }

    /// Returns the current span, for work in another task.
    pub fn current() -> Self {
        if !is_on() {
            return Self::default();
        }
        let context = Context::current();
        let is_span = context.has_active_span();
        Self { context: is_span.then_some(context) }
    }

    /// Whether attributes of it are kept. Ask it before something costly is made for an attribute.
    pub fn is_recording(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.span().is_recording())
    }

    /// Sets an attribute.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.context {
            context.span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// Replaces the name.
    pub fn rename(&self, name: impl Into<Cow<'static, str>>) {
        if let Some(context) = &self.context {
            context.span().update_name(name);
        }
    }

    /// Sets an attribute that is a list with one text.
    pub fn set_list(&self, name: &'static str, value: &'static str) {
        self.set(name, Value::Array(Array::String(vec![StringValue::from(value)])));
    }

    /// Records an event that happened now.
    pub fn event(&self, name: &'static str) {
        if let Some(context) = &self.context {
            context.span().add_event(name, Vec::new());
        }
    }

    /// Marks the span as failed. `kind` is one of few names, and no text of an error.
    pub fn fail(&self, kind: &'static str) {
        self.set("error.type", kind);
        if let Some(context) = &self.context {
            context.span().set_status(Status::error(""));
        }
    }

    /// Ends the span.
    pub fn end(&self) {
        if let Some(context) = &self.context {
            context.span().end();
        }
    }

    /// Makes the span the current one of this thread. Not across an `await`: see [`InSpan`].
    pub fn enter(&self) -> Entered {
        Entered(self.context.clone().map(Context::attach))
    }

    /// Returns the position of the span, for a request to another process.
    pub fn headers(&self) -> Option<TraceHeaders> {
        let context = self.context.as_ref()?;
        let span = context.span();
        let position = span.span_context();
        if !position.is_valid() {
            return None;
        }
        let (trace_id, span_id) = (position.trace_id(), position.span_id());
        let parent = format!("00-{trace_id}-{span_id}-{:02x}", position.trace_flags().to_u8());
        let state = position.trace_state().header();
        TraceHeaders::new(&parent, Some(&*state).filter(|state| !state.is_empty()))
    }
}

/// Returns the position that headers name.
fn position(headers: &TraceHeaders) -> Option<SpanContext> {
    let mut parts = headers.traceparent().split('-').skip(1);
    let trace_id = TraceId::from_hex(parts.next()?).ok()?;
    let span_id = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    // An invalid state leaves the rest valid.
    let state = headers.tracestate().and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    // This process knows of one flag.
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

pin_project! {
    /// A future with its span.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TracedFuture<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F: Future> Future for TracedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        this.future.poll(cx)
    }
}

/// Makes a span the current one while a future is polled.
pub trait InSpan: Future + Sized {
    /// Polls this future in `span`. If that is nothing, the current span stays.
    fn in_span(self, span: Span) -> TracedFuture<Self> {
        TracedFuture { future: self, span }
    }
}

impl<F: Future> InSpan for F {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exporter_there_are_no_spans() {
        let span = Span::root(SpanKind::Server, None, || -> String { unreachable!("no name is made") });
        assert!(!span.is_recording() && span.headers().is_none() && current_ids().is_none());
        span.set("a", 1);
        span.fail("b");
        let _entered = span.enter();
        assert!(Span::current().headers().is_none());
    }

    #[test]
    fn headers_name_a_position_and_an_invalid_state_is_left_out() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let read = position(&TraceHeaders::new(text, Some("a=1")).unwrap()).unwrap();
        assert!(read.is_remote() && read.is_sampled() && read.is_valid());
        assert_eq!(read.trace_flags(), TraceFlags::SAMPLED);
        assert_eq!(read.trace_state().header(), "a=1");
        let read = position(&TraceHeaders::new(text, Some("A b,c")).unwrap()).unwrap();
        assert_eq!(read.trace_state(), &TraceState::NONE);
    }
}
