//! What must survive, tried: processes killed, frozen and cut off from what they need, streams broken off, submissions sent
//! again and again. Real processes, real databases, a scripted model server.
//!
//! Each harness prints its seed, what it tried and what it found. `DURABILITY_SEED` repeats one as far as chance allows,
//! `DURABILITY_ROUNDS` says how often it tries: few by default, so that all of them take a minute or two.
//! One by one, at length: `DURABILITY_ROUNDS=200 cargo test --test durability kills -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
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
mod shop;
mod submissions;
#[path = "../it/support/mod.rs"]
mod support;
mod trial;
