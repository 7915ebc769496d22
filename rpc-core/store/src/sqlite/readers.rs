//! Reads on SQLite.
//!
//! A read by key takes 2 to 20 us if its pages are in memory. A switch to another thread and back costs as much again.
//! So a read runs on the calling thread while reads of its kind are fast. After two slow ones (pages from a slow disk,
//! long lists), the next [`DETOURS`] reads of this kind run on threads for blocking work, so few of them delay the
//! other tasks of a thread.

use super::LiteManager;
use crate::connections::Connections;
use crate::error::{StoreError, StoreResult};
use crate::unit::{LiteConn, outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest time of a fast read.
const FAST: Duration = Duration::from_micros(500);
/// Number of fast reads after which a slow one is forgotten. One alone may be an effect of the scheduler: the thread
/// was interrupted.
const MEMORY: u32 = 16;
/// Number of reads of a kind that run on another thread after two slow ones.
const DETOURS: u32 = 64;

/// A kind of read: one place in the store. Remembers whether such reads were slow lately.
#[derive(Debug)]
pub(crate) struct ReadKind {
    /// Number of the next reads that run on another thread.
    detours: AtomicU32,
    /// Number of fast reads until the last slow one is forgotten.
    slow: AtomicU32,
}

impl ReadKind {
    pub(crate) const fn new() -> Self {
        Self { detours: AtomicU32::new(0), slow: AtomicU32::new(0) }
    }

    /// Returns whether the next read runs on the calling thread.
    fn is_fast(&self) -> bool {
        !count_down(&self.detours)
    }

    fn took(&self, time: Duration) {
        if time <= FAST {
            count_down(&self.slow);
        } else if self.slow.swap(MEMORY, Ordering::Relaxed) > 0 {
            self.detours.store(DETOURS, Ordering::Relaxed);
        }
    }
}

/// Subtracts one. Returns `false` if the counter is 0.
fn count_down(counter: &AtomicU32) -> bool {
    let one_less = |count: u32| count.checked_sub(1);
    // Nearly always 0, which a load finds without writing to memory that threads share.
    counter.load(Ordering::Relaxed) > 0 && counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
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
    fn two_slow_reads_send_the_next_ones_to_another_thread() {
        let kind = ReadKind::new();
        for _ in 0..2 {
            // One alone is forgotten.
            kind.took(FAST * 2);
            assert!(kind.is_fast());
            (0..MEMORY).for_each(|_| kind.took(FAST));
        }
        kind.took(FAST * 2);
        kind.took(FAST);
        kind.took(FAST * 2);
        for _ in 0..DETOURS {
            assert!(!kind.is_fast());
        }
        assert!(kind.is_fast(), "then the calling thread is tried again");
    }
}
