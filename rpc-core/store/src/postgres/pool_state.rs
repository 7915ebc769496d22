//! What the connections of one pool learn from each other.

use crate::config::PreparedStatements;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An outage is one line in the log, not one for each generation of connections.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// Shared by the connections of a pool.
#[derive(Debug)]
pub(super) struct PoolState {
    setting: PreparedStatements,
    /// Whether a statement that was prepared by name was not there: a pooler that was not recognised.
    names_lost: AtomicBool,
    /// Connections of an earlier generation are not used again: one of them was lost, or led to a server that is not a
    /// primary any more.
    generation: AtomicU64,
    /// How many connections are open.
    open: AtomicUsize,
    /// Time of the last warning about lost connections in the log.
    last_warning: Mutex<Option<Instant>>,
}

impl PoolState {
    pub(super) fn new(setting: PreparedStatements) -> Self {
        Self {
            setting,
            names_lost: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            last_warning: Mutex::new(None),
        }
    }

    /// Returns whether statements are prepared by name.
    pub(super) fn prepares(&self, is_pooler: bool) -> bool {
        match self.setting {
            PreparedStatements::On => true,
            PreparedStatements::Off => false,
            PreparedStatements::Auto => !is_pooler && !self.names_lost.load(Ordering::Relaxed),
        }
    }

    /// Records that a statement that was prepared by name was not there.
    pub(super) fn found_names_lost(&self) {
        let is_new = !self.names_lost.swap(true, Ordering::Relaxed);
        match self.setting {
            PreparedStatements::On if is_new => tracing::error!(
                "a pooler loses the names of prepared statements: remove DATABASE_PREPARED=on, or let the pooler keep \
                 track of them (PgBouncer: max_prepared_statements)"
            ),
            PreparedStatements::Auto if is_new => {
                tracing::warn!(
                    "a pooler loses the names of prepared statements: statements are sent without names now"
                );
            }
            _ => {}
        }
    }

    /// Returns whether the pool has an open connection.
    pub(super) fn has_open_connections(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Retires the connections of this generation.
    pub(super) fn doubt(&self, generation: u64) {
        let next = generation.wrapping_add(1);
        let changed = self.generation.compare_exchange(generation, next, Ordering::Relaxed, Ordering::Relaxed);
        if changed.is_err() {
            return;
        }
        let mut last_warning = self.last_warning.lock();
        if last_warning.is_none_or(|time| time.elapsed() > WARN_EVERY) {
            *last_warning = Some(Instant::now());
            tracing::warn!("connections to PostgreSQL are replaced: one led to no primary, or was lost");
        }
    }
}

/// Counts a connection of a pool while it is open.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<PoolState>);

impl OpenConnection {
    pub(super) fn new(pool: Arc<PoolState>) -> Self {
        pool.open.fetch_add(1, Ordering::Relaxed);
        Self(pool)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
