//! Access for benchmarks and fuzz checks to what is private. Not part of the API.

use crate::bind::{BindInput, bind};
use crate::operation::operations;
use crate::router::Router;
use crate::rule::{StreamScope, Verb};
use http::{HeaderMap, Uri};
use serde_json::value::RawValue;
use threadline_schema::frame::Frame;

/// The operations, routed as the gateway routes them.
pub struct Table(Router);

impl Table {
    /// Routes all operations of the API.
    pub fn of_the_api() -> Self {
        Self(Router::new(operations()))
    }

    /// Finds the operation of a request and binds its parameters; `None` if one of both fails.
    pub fn bind(&self, verb: Verb, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Box<RawValue>> {
        let (path, variables) = self.0.find(uri.path())?;
        let input = BindInput { variables: variables.iter().collect(), query: uri.query(), headers, body };
        bind(path.operation(verb)?, &input).ok().map(|bound| bound.params)
    }
}

/// Appends an event as SSE. Returns whether it is the last of the run.
pub fn write_event(out: &mut Vec<u8>, frame: &Frame) -> bool {
    crate::sse::rest_event::write(out, frame, StreamScope::Run)
}
