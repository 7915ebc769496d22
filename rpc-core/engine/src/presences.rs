//! Presences: when the free lock of another process means that the process is gone.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use threadline_schema::ids::ProcessId;
use tokio::time::Instant;

/// How long the lock of another process is free before that process counts as gone. One that lives takes its lock again
/// within a fraction of this.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(1);
/// How long this process judges no other after it has lost its own lock: the server may have lost all of them.
const GRACE: Duration = Duration::from_secs(10);

/// What this process knows about locks.
#[derive(Debug, Default)]
pub(crate) struct Presences {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when this process holds its own lock.
    held_since: Option<Instant>,
    was_lost: bool,
    /// Processes whose locks are free, and since when.
    missing: HashMap<ProcessId, Instant>,
}

impl Presences {
    /// Records that this process holds its own lock.
    pub(crate) fn hold(&self) {
        self.state.lock().held_since = Some(Instant::now());
    }

    /// Records that this process has lost its own lock.
    pub(crate) fn lose(&self) {
        let mut state = self.state.lock();
        state.held_since = None;
        state.was_lost = true;
        state.missing.clear();
    }

    /// Returns whether a free lock says something about its process.
    pub(crate) fn can_judge(&self) -> bool {
        let state = self.state.lock();
        state.held_since.is_some_and(|since| !state.was_lost || since.elapsed() >= GRACE)
    }

    /// Records which locks are free now. Returns the processes whose locks have been free for long enough.
    pub(crate) fn gone(&self, free: &[ProcessId]) -> Vec<ProcessId> {
        let mut state = self.state.lock();
        state.missing.retain(|id, _| free.contains(id));
        let now = Instant::now();
        free.iter().copied().filter(|id| now - *state.missing.entry(*id).or_insert(now) >= GONE_AFTER).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_free_for_a_moment_is_no_death() {
        let presences = Presences::default();
        let other = ProcessId::random();
        assert!(!presences.can_judge(), "it has no lock of its own");
        presences.hold();
        assert!(presences.can_judge());
        assert!(presences.gone(&[other]).is_empty());
        tokio::time::advance(GONE_AFTER / 2).await;
        // It has its lock again.
        assert!(presences.gone(&[]).is_empty());
        assert!(presences.gone(&[other]).is_empty());
        tokio::time::advance(GONE_AFTER / 2).await;
        assert!(presences.gone(&[other]).is_empty());
        tokio::time::advance(GONE_AFTER / 2).await;
        assert_eq!(presences.gone(&[other]), [other]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_lost_its_own_lock_gives_others_time() {
        let presences = Presences::default();
        presences.hold();
        presences.lose();
        assert!(!presences.can_judge());
        presences.hold();
        assert!(!presences.can_judge(), "the server may have lost all locks");
        tokio::time::advance(GRACE).await;
        assert!(presences.can_judge());
    }
}
