//! Doors for the benchmarks to what is private; no part of the API.

use crate::bind::{self, bind};
use crate::fields::table;
use crate::router::Router;
use crate::rule::Verb;
use http::{HeaderMap, Uri};
use serde_json::value::RawValue;
use threadline_schema::call::Frame;

/// The table as the gateway routes by it.
pub struct Table(Router);

impl Table {
    /// The table of the API.
    pub fn of_the_api() -> Self {
        Self(Router::of(table()))
    }

    /// Finds the row of a request and makes the params of its call; `None` when either cannot be done.
    pub fn bind(&self, verb: Verb, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Box<RawValue>> {
        let (path, variables) = self.0.at(uri.path())?;
        let request = bind::Request { variables: variables.iter().collect(), query: uri.query(), headers, body };
        bind(path.row(verb)?, &request).ok().map(|bound| bound.params)
    }
}

/// Appends an event in the form of SSE. Answers whether it is the run's last.
pub fn write_event(out: &mut Vec<u8>, frame: &Frame) -> bool {
    crate::sse::write::event(out, frame, crate::rule::Scope::Run)
}
