//! W3C Trace Context in HTTP headers.

use crate::Span;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use threadline_schema::call::TraceHeaders;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Reads the position in a trace from the headers of a request. `None` if there is none, or if it is invalid.
pub fn headers_of(headers: &HeaderMap) -> Option<Arc<TraceHeaders>> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    if parents.next().is_some() {
        return None;
    }
    // Several headers are one list.
    let states: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    TraceHeaders::new(parent, state.as_deref()).map(Arc::new)
}

/// Adds the position of the current span to the headers of a request that this process sends.
pub fn add_headers(headers: &mut HeaderMap) {
    if let Some(trace) = Span::current().headers() {
        insert(headers, &trace);
    }
}

fn insert(headers: &mut HeaderMap, trace: &TraceHeaders) {
    if let Ok(parent) = HeaderValue::from_str(trace.traceparent()) {
        headers.insert(TRACEPARENT, parent);
    }
    if let Some(state) = trace.tracestate().and_then(|state| HeaderValue::from_str(state).ok()) {
        headers.insert(TRACESTATE, state);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_valid_parent_counts_and_states_are_one_list() {
        let read = headers_of(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")])).unwrap();
        assert_eq!((read.traceparent(), read.tracestate()), (PARENT, Some("a=1,b=2")));
        assert!(headers_of(&headers(&[])).is_none());
        assert!(headers_of(&headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)])).is_none());
        assert!(headers_of(&headers(&[(TRACEPARENT, "00-0af7-b7ad-01")])).is_none());
    }

    #[test]
    fn nothing_is_added_outside_of_a_span() {
        let mut sent = HeaderMap::new();
        add_headers(&mut sent);
        assert!(sent.is_empty());
    }
}
