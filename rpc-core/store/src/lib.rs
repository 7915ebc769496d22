//! Rows and queries, written once for PostgreSQL and SQLite.
//!
//! [`Store`] takes and returns rows ([`rows`]), never wire types. Each operation is one unit of work that ends whatever
//! happens to its caller (`unit.rs`), so it takes owned values.
//!
//! # Lock order
//!
//! Transactions of requests lock rows in this order, so that no two of them wait for each other: idempotency key,
//! thread, run, items, summary, attachments, user, day of usage, month of usage, sums of usage, days of shared budgets.
//! Several rows of one table are locked in the order of their ids. No other transaction can lock a thread that is being
//! created, so its row may come late.
//!
//! Jobs that change many rows lock them with `row_locks.rs`, which waits for no row.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod account_access;
mod account_erasure;
mod account_export;
mod advisory_lock;
mod attachments;
mod audit_log;
mod budget_holds;
mod clock;
pub mod config;
mod connections;
mod console;
mod db;
pub mod error;
mod error_hours;
mod feedback;
mod file_system;
mod foreign_identities;
mod idempotency;
mod invitations;
mod items;
pub mod lenient_tls;
mod log;
mod logged_events;
mod login_failures;
pub mod migrate;
mod number;
mod postgres;
mod postgres_facts;
mod processes;
mod query;
mod retries;
mod roles;
mod row_locks;
pub mod rows;
mod run_start;
mod runs;
mod segment;
mod segments;
mod service_keys;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sqlite;
mod tasks;
mod thread_create;
mod thread_retention;
mod thread_runs;
mod thread_summaries;
mod thread_writes;
mod threads;
pub mod timing;
mod tls;
mod tool_approvals;
mod unit;
mod usage;
mod usage_sums;
mod users;

pub use account_access::{AccessChange, UserAccess};
pub use account_erasure::ErasedHashes;
pub use audit_log::user_actor;
pub use budget_holds::{NewHold, Unbooked};
pub use clock::Clock;
pub use console::{ListedRun, ListedUser};
pub use db::{PoolStatus, Store};
pub use error::{Cause, Conflict, Entity, Limit, StoreError, StoreResult};
pub use error_hours::{ErrorCount, hour_of};
pub use foreign_identities::ForeignIdentity;
pub use idempotency::IdempotencyKey;
pub use items::ItemPage;
pub use number::{to_signed, to_unsigned};
pub use postgres::Listener;
pub use postgres_facts::PostgresFacts;
pub use processes::{HeldPresence, ListedProcess, NotHeld, Presence, ProcessDetails};
pub use run_start::{ItemRewrite, NewMessage, NewRun, RunInput, RunStarted};
pub use runs::{RunContinuation, RunEnd};
pub use segment::SegmentWriter;
pub use segments::{JournalTerms, LiveEvents, Segment, last_seq_before_epoch};
pub use tasks::{TaskChanges, TaskPage};
pub use thread_create::{NewThread, ThreadCreated};
pub use thread_retention::{Expiry, UnusedDeletion, UnusedThread};
pub use thread_runs::NextRun;
pub use threads::{ThreadCursor, ThreadPage};
pub use usage::{Charge, Held, Reservation, SharedBudget, day_of};
pub use usage_sums::{ModelUse, UsageSum, month_of};

use secrecy::ExposeSecret;

/// The lock that keeps a second process from serving the same SQLite file. Dropping it releases the file.
#[derive(Debug)]
pub struct FileLock {
    _lock: std::fs::File,
}

impl FileLock {
    /// Locks the file of an SQLite database: a second process would close the runs of the first as lost. Returns `None`
    /// for PostgreSQL, which several processes share.
    ///
    /// # Errors
    /// [`StoreError::Config`] if another process has the lock or the file has several names (hard links),
    /// [`StoreError::Unavailable`] if the file system fails.
    pub fn acquire(config: &crate::config::DatabaseConfig) -> StoreResult<Option<Self>> {
        if config.is_postgres() {
            return Ok(None);
        }
        sqlite::lock_file(config).map(|lock| Some(Self { _lock: lock }))
    }
}

/// Returns the name of the database, which is the same for all URLs that lead to it.
///
/// # Errors
/// [`StoreError::Config`] if the URL cannot be used.
pub fn database_name(config: &crate::config::DatabaseConfig) -> StoreResult<String> {
    if config.is_postgres() { postgres::database_name(config) } else { sqlite::path(config.url.expose_secret()) }
}

/// Removes the row that was read beyond the limit, and returns whether there was one.
fn truncate_page<T>(mut rows: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}
