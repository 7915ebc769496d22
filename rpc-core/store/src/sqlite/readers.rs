//! Reads on SQLite.
//!
//! A read by key takes 2 to 20 us if its pages are in memory. A switch to another thread and back costs as much again. So
//! a read runs on the calling thread while reads of its kind are fast. After a slow one (a page from a slow disk, a long
//! list), the next [`DETOURS`] reads of this kind run on threads for blocking work, so at most one in [`DETOURS`] delays
//! the other tasks of a thread.

use super::LiteManager;
use crate::connections::Connections;
use crate::error::{StoreError, StoreResult};
use crate::unit::{LiteConn, outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest time of a fast read.
const FAST: Duration = Duration::from_micros(500);
/// Number of reads of a kind that run on another thread after a slow one.
const DETOURS: u32 = 64;

/// A kind of read: one place in the store. Remembers whether such a read was slow lately.
#[derive(Debug)]
pub(crate) struct ReadKind {
    /// Number of the next reads that run on another thread.
    detours: AtomicU32,
}

impl ReadKind {
    pub(crate) const fn new() -> Self {
        Self { detours: AtomicU32::new(0) }
    }

    /// Returns whether the next read runs on the calling thread.
    fn is_fast(&self) -> bool {
        let one_less = |detours: u32| detours.checked_sub(1);
        self.detours.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }

    fn took(&self, time: Duration) {
        if time > FAST {
            self.detours.store(DETOURS, Ordering::Relaxed);
        }
    }
}

/// Runs a unit of work that reads.
///
/// # Errors
/// Those of the unit, and [`StoreError::Unavailable`] if no connection is free in time or the unit panics.
pub(crate) async fn read<T: Send + 'static>(
    pool: &Connections<LiteManager>,
    kind: &'static ReadKind,
    unit: impl FnOnce(&mut LiteConn) -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    let mut connection = pool.get().await?;
    let work = move || {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| unit(&mut connection)));
        kind.took(began.elapsed());
        result.unwrap_or_else(|_| Err(StoreError::unavailable("a query panicked")))
    };
    if pool.pool.manager().stays_on_this_thread() || kind.is_fast() {
        work()
    } else {
        // Boxed, so that the code of tokio's tasks is not compiled for each read.
        let work: Box<dyn FnOnce() -> StoreResult<T> + Send> = Box::new(work);
        outcome(tokio::task::spawn_blocking(work).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_read_sends_the_next_ones_to_another_thread() {
        let kind = ReadKind::new();
        kind.took(FAST);
        assert!(kind.is_fast());
        kind.took(FAST * 2);
        for _ in 0..DETOURS {
            assert!(!kind.is_fast());
        }
        assert!(kind.is_fast(), "then the calling thread is tried again");
    }
}
