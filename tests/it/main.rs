//! The service from outside: the real binary, real databases, a scripted model server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and clippy takes them for something else"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside, and `pub` reads better than `pub(crate)`")]

mod agents;
mod browser;
mod chatkit;
mod cli;
mod continuation;
mod contract;
mod databases;
mod deployment;
mod docs;
mod doctor_model;
mod faults;
mod generated;
mod lifecycle;
mod log_lines;
mod replicas;
mod rest;
mod rpc;
mod security;
mod support;
mod traces;
