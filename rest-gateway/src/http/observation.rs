//! One log line and one measurement per request, however the request ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::ErrorCode;
use threadline_schema::call::ResponseMeta;
use threadline_schema::ids::UserId;
use threadline_trace::Span;

/// Status in logs and metrics when the client disconnected before the response. nginx uses the same number.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What is known about a request. Dropping it writes the log line and the metrics; a stream drops it at its end.
#[derive(Debug)]
pub(crate) struct Observation {
    request_id: Arc<str>,
    /// The address of the client.
    ip: IpAddr,
    verb: &'static str,
    route: &'static str,
    started: Instant,
    status: u16,
    code: Option<ErrorCode>,
    user_id: Option<UserId>,
    db_time: Duration,
    /// Events sent so far; `None` if the response is not an event stream.
    events: Option<u64>,
    span: Span,
}

impl Observation {
    /// Starts to observe a request.
    pub(crate) fn start(request_id: Arc<str>, ip: IpAddr, method: &http::Method, span: Span) -> Self {
        Self {
            request_id,
            ip,
            verb: verb_label(method),
            route: "(none)",
            started: Instant::now(),
            status: CLIENT_CLOSED_REQUEST,
            code: None,
            user_id: None,
            db_time: Duration::ZERO,
            events: None,
            span,
        }
    }

    /// Sets the path template of the route. The path of the request would make one label per id.
    pub(crate) fn set_route(&mut self, path: &'static str) {
        self.route = path;
    }

    /// Sets the response.
    pub(crate) fn set_response(&mut self, status: u16, code: Option<ErrorCode>, meta: &ResponseMeta) {
        self.status = status;
        self.code = code;
        self.user_id = meta.user_id;
        self.db_time = meta.db_time;
    }

    /// Counts the response as an open event stream, until it is dropped.
    pub(crate) fn start_event_stream(&mut self) {
        self.events = Some(0);
        metrics::gauge!("threadline_sse_streams").increment(1);
    }

    /// Counts one event of the stream.
    pub(crate) fn count_event(&mut self) {
        if let Some(events) = &mut self.events {
            *events += 1;
        }
    }
}

impl Observation {
    /// Sets what HTTP's semantic conventions ask for, and no address, query or name of a user.
    fn end_span(&self) {
        if self.span.is_recording() {
            let (verb, route) = (self.verb, self.route);
            self.span.rename(format!("{verb} {route}"));
            self.span.set("http.request.method", verb);
            self.span.set("http.route", route);
            self.span.set("http.response.status_code", i64::from(self.status));
            self.span.set("threadline.request_id", self.request_id.to_string());
            if let Some(events) = self.events {
                self.span.set("threadline.sse.events", i64::try_from(events).unwrap_or(i64::MAX));
            }
            match self.code {
                Some(code) if self.status >= 500 => self.span.fail(code.name()),
                Some(code) => self.span.set("error.type", code.name()),
                None => {}
            }
        }
        self.span.end();
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        self.end_span();
        let _entered = self.span.enter();
        let status = http::StatusCode::from_u16(self.status).map_or_else(|_| String::new(), |s| s.as_str().to_owned());
        metrics::histogram!(
            "threadline_http_request_seconds", "method" => self.verb, "route" => self.route, "status" => status
        )
        .record(elapsed);
        if let Some(events) = self.events {
            metrics::gauge!("threadline_sse_streams").decrement(1);
            metrics::histogram!("threadline_sse_events_per_stream").record(events as f64);
        }
        tracing::info!(
            target: "threadline::http",
            request_id = &*self.request_id,
            ip = %self.ip,
            user_id = self.user_id.map(tracing::field::display),
            method = self.verb,
            route = self.route,
            status = self.status,
            code = self.code.map(ErrorCode::name),
            ms = milliseconds(elapsed),
            db_ms = milliseconds(self.db_time),
            events = self.events,
            "request"
        );
    }
}

/// Returns the HTTP method as a metric label. A client can send any word; only known ones become a label.
pub(crate) fn verb_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
