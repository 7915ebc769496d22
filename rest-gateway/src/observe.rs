//! One log line and one measurement per request, however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::ErrorCode;
use threadline_schema::call::ResponseMeta;
use uuid::Uuid;

/// Status in logs and metrics of a request whose client went away before it was answered; nginx's number for it.
const CLIENT_GONE: u16 = 499;

/// What is known about a request. Dropping it writes the line; for a stream that is when the stream ends.
#[derive(Debug)]
pub(crate) struct Observation {
    request_id: Arc<str>,
    method: &'static str,
    route: &'static str,
    started: Instant,
    status: u16,
    code: Option<ErrorCode>,
    user_id: Option<Uuid>,
    db: Duration,
    events: Option<u64>,
}

impl Observation {
    /// Begins to observe a request.
    pub(crate) fn begin(request_id: Arc<str>, method: &http::Method) -> Self {
        Self {
            request_id,
            method: verb(method),
            route: "(none)",
            started: Instant::now(),
            status: CLIENT_GONE,
            code: None,
            user_id: None,
            db: Duration::ZERO,
            events: None,
        }
    }

    /// Notes the path of the row: never the path of the request, which would make a label per id.
    pub(crate) fn route(&mut self, path: &'static str) {
        self.route = path;
    }

    /// Notes how the request was answered.
    pub(crate) fn answered(&mut self, status: u16, code: Option<ErrorCode>, facts: &ResponseMeta) {
        self.status = status;
        self.code = code;
        self.user_id = facts.user_id;
        self.db = facts.db_time;
    }

    /// Notes that a stream begins.
    pub(crate) fn stream_begins(&mut self) {
        self.events = Some(0);
        metrics::gauge!("threadline_sse_streams").increment(1);
    }

    /// Notes one event of the stream.
    pub(crate) fn event(&mut self) {
        if let Some(events) = &mut self.events {
            *events += 1;
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let status = http::StatusCode::from_u16(self.status).map_or_else(|_| String::new(), |s| s.as_str().to_owned());
        metrics::histogram!(
            "threadline_http_request_seconds", "method" => self.method, "route" => self.route, "status" => status
        )
        .record(elapsed);
        if let Some(events) = self.events {
            metrics::gauge!("threadline_sse_streams").decrement(1);
            metrics::histogram!("threadline_sse_events_per_stream").record(events as f64);
        }
        tracing::info!(
            target: "threadline::http",
            request_id = &*self.request_id,
            user_id = self.user_id.map(tracing::field::display),
            method = self.method,
            route = self.route,
            status = self.status,
            code = self.code.map(ErrorCode::name),
            ms = millis(elapsed),
            db_ms = millis(self.db),
            events = self.events,
            "request"
        );
    }
}

/// The verb as a label: what a client makes up must not become one.
fn verb(method: &http::Method) -> &'static str {
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

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
