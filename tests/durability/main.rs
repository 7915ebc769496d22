//! Tests of durability: processes are killed, frozen and cut off, streams broken, and requests repeated.
//! Real processes, real databases, a scripted model server.
//!
//! Each harness prints its seed, what it did and what it found. `DURABILITY_SEED` repeats a run as far as possible, and
//! `DURABILITY_ROUNDS` sets the number of rounds: few by default, so that all of them take a minute or two.
//! A long run of one: `DURABILITY_ROUNDS=200 cargo test --test durability kills -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and clippy takes them for something else"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside, and `pub` reads better than `pub(crate)`")]

mod cancel;
mod clock;
mod disconnects;
mod frozen;
mod kills;
mod model;
mod outages;
mod reader;
mod service;
mod submissions;
#[path = "../it/support/mod.rs"]
mod support;
mod trial;
