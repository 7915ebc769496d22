//! The metric and the log line of each call.

use crate::error::Error;
use crate::rpc::call::{Call, Transport};
use std::time::Duration;
use threadline_schema::RpcError;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_trace::{Span, SpanKind};

/// Value of the label `code` of a successful call.
const SUCCESS: &str = "0";

/// Starts the span of a call, with the semantic conventions of JSON-RPC. Probes make no trace of their own.
pub(super) fn start_span(call: &Call<'_>, method: &'static str, is_probe: bool) -> Span {
    let Caller { trace, request_id, .. } = &call.connection.caller;
    let span = match call.connection.transport {
        Transport::InProcess => Span::child(SpanKind::Internal, || method),
        Transport::Http | Transport::WebSocket if is_probe && trace.is_none() => Span::default(),
        Transport::Http | Transport::WebSocket => Span::root(SpanKind::Server, trace.as_deref(), || method),
    };
    if span.is_recording() {
        span.set("rpc.system", "jsonrpc");
        span.set("rpc.method", method);
        span.set("rpc.jsonrpc.version", "2.0");
        span.set("threadline.request_id", request_id.to_string());
    }
    span
}

/// Ends the span of a call.
pub(super) fn end_span(span: &Span, error: Option<&RpcError>) {
    if let Some(error) = error {
        span.set("rpc.jsonrpc.error_code", i64::from(error.code.rpc_code()));
        // What the caller did wrong is not a failure of the server.
        match error.code.http_status() {
            500.. => span.fail(error.code.name()),
            _ => span.set("error.type", error.code.name()),
        }
    }
    span.end();
}

/// Records a finished call.
pub(super) fn record(
    call: &Call<'_>,
    method: &'static str,
    error: Option<&RpcError>,
    meta: &ResponseMeta,
    elapsed: Duration,
) {
    let code = error.map_or(SUCCESS, |error| error.code.name());
    metrics::histogram!("threadline_rpc_request_seconds", "method" => method, "code" => code)
        .record(elapsed.as_secs_f64());
    let request_id = &call.connection.caller.request_id;
    let ip = tracing::field::display(call.connection.caller.ip);
    let user_id = meta.user_id.map(tracing::field::display);
    let (ms, db_ms) = (elapsed.as_secs_f64() * 1e3, meta.db_time.as_secs_f64() * 1e3);
    if call.connection.transport == Transport::InProcess {
        // The gateway writes a line for the same request at level `info`.
        tracing::debug!(target: "threadline::rpc", %request_id, ip, user_id, method, code, ms, db_ms, "call");
    } else {
        tracing::info!(target: "threadline::rpc", %request_id, ip, user_id, method, code, ms, db_ms, "call");
    }
}

/// Logs the internal text of an error and returns the public part. Every error of a call ends here.
pub(super) fn log_failure(call: &Call<'_>, method: &str, error: Error) -> RpcError {
    let (public, internal) = error.into_parts();
    if let Some(internal) = internal {
        let request_id = &call.connection.caller.request_id;
        tracing::error!(%request_id, method, code = %public.code, error = %internal, "call failed");
    }
    public
}
