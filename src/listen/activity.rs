//! The phase of a connection, which its HTTP service reports to its socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The current phase of a connection, shared between its socket and its HTTP service.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    start: Instant,
    /// The phase in the lowest two bits, and above them the nanoseconds from `start` to its begin. No two phases of one
    /// connection have the same mark.
    mark: Arc<AtomicU64>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handler, or the rest of a request's body. The handler limits both.
    Busy,
    /// The first head.
    Fresh,
    /// The next head.
    Idle,
    /// Nothing that HTTP knows: another protocol has taken over the socket.
    Upgraded,
}

impl Activity {
    /// Creates the activity of a connection that does not wait for a request yet.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), mark: Arc::new(AtomicU64::new(Phase::Busy as u64)) }
    }

    /// Begins a phase. A connection never leaves [`Phase::Upgraded`].
    pub(super) fn enter(&self, phase: Phase) {
        // Only tasks of this connection write it, one after the other: no ordering is needed.
        let mark = self.mark();
        if Phase::of(mark) != Phase::Upgraded {
            let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX >> 2);
            let nanos = nanos.max((mark >> 2) + 1);
            self.mark.store(nanos << 2 | phase as u64, Ordering::Relaxed);
        }
    }

    /// Returns the current phase with its begin, as one number.
    pub(super) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// Returns when the phase of `mark` began.
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
