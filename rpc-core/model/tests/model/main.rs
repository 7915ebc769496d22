//! Tests of the models: recorded responses of servers, a scripted server, and sentences for the demo.

// Clippy allows these in `#[test]` functions, but not in their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods)]

mod cases;
mod demo;
mod failures;
mod health;
mod properties;
mod quirks;
mod recordings;
mod requests;
mod response;
mod retries;
mod server;
mod stream_end;
