//! Spans of OpenTelemetry. They are made only if the process exports traces, and cost a look at a flag otherwise.
//!
//! [`install`] is called once, with the tracer of the exporter. A span is either the [root](Span::root) of what this
//! process does for somebody, or a [child](Span::child) of the span in which it is made. [`InSpan::in_span`] makes a
//! span the current one while a future is polled.
//!
//! Attributes never hold what users or models write, nor tokens or keys.

mod headers;
mod slow;
mod span;

pub use headers::{add_headers, headers_of};
pub use opentelemetry::trace::SpanKind;
pub use slow::{SlowLimits, log_slow_query, log_slow_tool, set_slow_limits};
pub use span::{Entered, InSpan, Span, TracedFuture, current_ids, install, is_on};
