//! The store on real databases. Each scenario runs on SQLite, and on PostgreSQL if `TEST_DATABASE_URL` names a server
//! where the tests may create databases.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)]

#[macro_use]
mod support;
mod accounts;
mod attachments;
mod console;
mod deadlocks;
mod failover;
mod faults;
mod faults_postgres;
mod groups;
mod items;
mod log;
mod login_failures;
mod migrations;
mod ownership;
mod pages;
mod plans;
mod poolers;
mod races;
mod round_trip;
mod runs;
mod segments;
mod server_settings;
mod tasks;
mod thread_runs;
mod thread_summaries;
mod threads;
mod usage;
