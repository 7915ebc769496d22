//! The models, against real bytes: recordings of servers, a server that plays scripts, and plain sentences.

// Clippy knows `#[test]` functions as tests, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod answers;
mod check;
mod demo;
mod ends;
mod faults;
mod quirks;
mod recordings;
mod requests;
mod retries;
mod server;
