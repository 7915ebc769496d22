//! What the connections to both databases have in common.

use super::error::{StoreError, StoreResult};
use deadpool::managed::{Manager, Object, Pool, PoolError, Status};
use diesel::ConnectionError;
use parking_lot::Mutex;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pause before the next attempt when the database grants not even one connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// After this time without a refusal, one more connection is tried.
const GROW_AFTER: Duration = Duration::from_secs(2);
/// A database that grants few connections is one line in the log in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Why a connection was not opened.
pub(super) trait OpenFailure: std::error::Error + Send + Sync + 'static {
    /// Returns whether the database works and grants no more connections.
    fn is_full(&self) -> bool {
        false
    }
}

impl OpenFailure for ConnectionError {}

/// A pool, and how long to wait for one of its connections.
///
/// The database may grant fewer connections than the pool has room for. The pool learns from each refusal how many
/// there are: callers beyond that number wait for an open connection instead of opening another one.
pub(super) struct Connections<M: Manager> {
    pub(super) pool: Pool<M>,
    pub(super) wait: Duration,
    /// A caller holds one while it opens or uses a connection.
    turns: Arc<Semaphore>,
    /// Callers that wait for one.
    waiting: AtomicUsize,
    withheld: Mutex<Withheld>,
}

/// The turns that are not given out, because the database has refused as many connections.
#[derive(Default)]
struct Withheld {
    turns: usize,
    /// Time of the last refusal, or of the last turn that was given out again.
    changed: Option<Instant>,
    reason: String,
    last_warning: Option<Instant>,
}

/// A connection in use. Dropping it gives it back to the pool.
pub(super) struct InUse<M: Manager> {
    // Before the turn: who gets the turn finds the connection in the pool.
    connection: Object<M>,
    _turn: OwnedSemaphorePermit,
}

impl<M: Manager> Deref for InUse<M> {
    type Target = M::Type;

    fn deref(&self) -> &M::Type {
        &self.connection
    }
}

impl<M: Manager> DerefMut for InUse<M> {
    fn deref_mut(&mut self) -> &mut M::Type {
        &mut self.connection
    }
}

impl<M> Connections<M>
where
    M: Manager<Error: OpenFailure + Into<StoreError>> + 'static,
{
    pub(super) fn new(pool: Pool<M>, wait: Duration) -> Self {
        let turns = Arc::new(Semaphore::new(pool.status().max_size));
        Self { pool, wait, turns, waiting: AtomicUsize::new(0), withheld: Mutex::default() }
    }

    /// A connection that works as far as anybody knows, made if need be.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection is free in time: all are in use, or the server does not answer.
    pub(super) async fn get(&self) -> StoreResult<InUse<M>> {
        tokio::time::timeout(self.wait, self.take()).await.unwrap_or_else(|_| {
            metrics::counter!("threadline_db_pool_timeouts_total").increment(1);
            let Status { max_size, size, available, waiting } = self.status();
            let withheld = self.withheld.lock();
            let reason = if withheld.turns > 0 { format!("; {}", withheld.reason) } else { String::new() };
            Err(StoreError::unavailable(format!(
                "no connection within {:?} ({} of {max_size} in use, {waiting} requests waiting{reason})",
                self.wait,
                size.saturating_sub(available),
            )))
        })
    }

    async fn take(&self) -> StoreResult<InUse<M>> {
        loop {
            let turn = self.turn().await?;
            let error = match self.pool.get().await {
                Ok(connection) => return Ok(InUse { connection, _turn: turn }),
                Err(PoolError::Backend(error)) => error,
                Err(error) => return Err(StoreError::unavailable(error.to_string())),
            };
            if !error.is_full() {
                return Err(error.into());
            }
            if !self.withhold(turn, &error) {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }

    async fn turn(&self) -> StoreResult<OwnedSemaphorePermit> {
        self.grow();
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        let _waits = Waits::new(&self.waiting);
        self.turns.clone().acquire_owned().await.map_err(StoreError::unavailable)
    }

    /// Withholds a turn after a refusal. Returns `false` for the last one, which is never withheld.
    fn withhold(&self, turn: OwnedSemaphorePermit, error: &M::Error) -> bool {
        let Status { size, max_size, .. } = self.pool.status();
        let mut withheld = self.withheld.lock();
        withheld.changed = Some(Instant::now());
        withheld.reason = error.to_string();
        if withheld.last_warning.is_none_or(|time| time.elapsed() > WARN_EVERY) {
            withheld.last_warning = Some(Instant::now());
            tracing::warn!(
                open = size,
                wanted = max_size,
                error = withheld.reason,
                "the database grants fewer connections than DATABASE_POOL_SIZE: calls wait for the open ones"
            );
        }
        if withheld.turns + 1 >= max_size {
            return false;
        }
        withheld.turns += 1;
        turn.forget();
        true
    }

    /// Gives out one more turn if there was no refusal for a while.
    fn grow(&self) {
        let mut withheld = self.withheld.lock();
        if withheld.turns > 0 && withheld.changed.is_none_or(|time| time.elapsed() >= GROW_AFTER) {
            withheld.turns -= 1;
            withheld.changed = Some(Instant::now());
            self.turns.add_permits(1);
        }
    }

    /// Returns how many connections are open, in use and waited for.
    pub(super) fn status(&self) -> Status {
        let mut status = self.pool.status();
        status.waiting += self.waiting.load(Ordering::Relaxed);
        status
    }
}

/// Counts a caller while it waits for a turn.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
