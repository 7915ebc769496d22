//! Where conversations are kept: every query, written once for PostgreSQL and SQLite.
//!
//! [`Store`] takes and gives rows ([`rows`]), never wire types. Each operation is one unit of work that ends whatever
//! happens to its caller (`unit.rs`), and takes owned values for that reason.
//!
//! # Locks
//!
//! Transactions take row locks in one order, so that no two wait for each other: request, then thread, then run, then
//! items, then attachments, then user, then a day of usage. Creating a thread takes the user first; nobody else can hold a
//! thread that does not exist yet.

mod advisory_lock;
mod attachments;
mod clock;
pub mod config;
mod db;
pub mod error;
mod feedback;
mod idempotency;
mod items;
pub mod lenient_tls;
mod log;
pub mod migrate;
mod postgres;
mod retries;
pub mod rows;
mod run_start;
mod run_start_resume;
mod runs;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sqlite;
mod tasks;
mod thread_runs;
mod threads;
pub mod timing;
mod tls;
mod unit;
mod usage;
mod users;

pub use clock::Clock;
pub use db::{PoolStatus, Store};
pub use error::{Cause, Conflict, Entity, Limit, StoreError, StoreResult};
pub use idempotency::IdempotencyKey;
pub use items::ItemPage;
pub use postgres::Listener;
pub use run_start::{NewMessageRun, NewRun, NewThread, RunStarted, ThreadCreated};
pub use run_start_resume::{ItemRewrite, RunInput};
pub use runs::RunEnd;
pub use tasks::{TaskChanges, TaskPage};
pub use thread_runs::NextRun;
pub use threads::{ThreadCursor, ThreadPage};
pub use usage::{Charge, Reservation, day_of};

/// A database that no other server may use while this lives.
#[derive(Debug)]
pub struct FileLock {
    _lock: std::fs::File,
}

impl FileLock {
    /// Takes the place of an SQLite file's one server: a second would take the runs of the first for those of a dead
    /// one. `None` for PostgreSQL, which has room for several.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the place is taken, [`StoreError::Unavailable`] when that cannot be found out.
    pub fn of(config: &crate::config::DatabaseConfig) -> StoreResult<Option<Self>> {
        if db::is_postgres(config.url.expose_secret()) {
            return Ok(None);
        }
        sqlite::token(config.url.expose_secret()).map(|lock| Some(Self { _lock: lock }))
    }
}

/// A name for the database that does not depend on how it is reached.
///
/// # Errors
/// [`StoreError::Config`] when the URL cannot be used.
pub fn database_name(config: &crate::config::DatabaseConfig) -> StoreResult<String> {
    if db::is_postgres(config.url.expose_secret()) {
        postgres::database_name(config)
    } else {
        sqlite::path(config.url.expose_secret())
    }
}

/// Why a row was not changed that should have been: it is missing, another user's, or (`None`) neither.
///
/// Costs a query, and only where an operation has failed.
macro_rules! refusal {
    ($c:ident, $table:ident, $entity:ident, $id:expr, $user_id:expr) => {{
        let owner: Option<threadline_schema::ids::UserId> =
            $table::table.find($id).select($table::user_id).first($c).await.optional()?;
        match owner {
            None => Some($crate::StoreError::NotFound($crate::Entity::$entity)),
            Some(owner) if owner != $user_id => Some($crate::StoreError::Forbidden($crate::Entity::$entity)),
            Some(_) => None,
        }
    }};
}
use refusal;
use secrecy::ExposeSecret;

/// Why a thread takes no message: it is missing, another user's, or not active.
///
/// Costs a query, and only where one was refused.
macro_rules! not_taken {
    ($c:ident, $thread_id:expr, $user_id:expr) => {{
        use threadline_schema::db::tables::threads;
        let thread: Option<$crate::rows::ThreadRow> =
            threads::table.find($thread_id).select($crate::rows::ThreadRow::as_select()).first($c).await.optional()?;
        match $crate::threads::owned(thread, $user_id) {
            Err(error) => error,
            Ok(thread) => $crate::StoreError::Closed {
                locked: thread.status == threadline_schema::threads::ThreadState::Locked,
                reason: thread.status_reason,
            },
        }
    }};
}
use not_taken;

/// Cuts a page that was read one row too far, and says whether there was such a row.
fn cut<T>(mut rows: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}
