//! The engine on a real SQLite database, with drivers that do what the tests say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods)]

mod failures;
mod side_events;
mod support;
