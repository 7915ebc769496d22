//! What a connection is waiting for, as its HTTP service tells its socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What a connection is waiting for, shared between its socket and its HTTP service.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    start: Instant,
    /// The phase in the lowest two bits, above them the nanoseconds from `start` to its begin. No two phases of a
    /// connection have the same mark.
    mark: Arc<AtomicU64>,
}

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Us, or the rest of a request's body: the handler bounds both.
    Busy,
    /// Its first head.
    Fresh,
    /// The next head.
    Idle,
    /// Nothing that HTTP knows of: it was handed over.
    Upgraded,
}

impl Activity {
    /// A connection that is not waiting for a request yet.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), mark: Arc::new(AtomicU64::new(Phase::Busy as u64)) }
    }

    /// Says what is waited for from now on. What was handed over stays so.
    pub(super) fn enter(&self, phase: Phase) {
        // Only tasks of this connection meet here, one after the other: no ordering is needed.
        let mark = self.mark();
        if Phase::of(mark) != Phase::Upgraded {
            let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX >> 2);
            let nanos = nanos.max((mark >> 2) + 1);
            self.mark.store(nanos << 2 | phase as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// When the phase of `mark` began.
    pub(super) fn since(&self, mark: u64) -> Instant {
        self.start + Duration::from_nanos(mark >> 2)
    }
}

impl Phase {
    pub(super) fn of(mark: u64) -> Self {
        match mark & 3 {
            0 => Self::Busy,
            1 => Self::Fresh,
            2 => Self::Idle,
            _ => Self::Upgraded,
        }
    }
}
