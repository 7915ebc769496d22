//! Leases: how long a process is believed to be alive, and when it may judge that another is not.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long a process is believed to be alive after it renewed its leases.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// How often leases are renewed: two renewals may fail before another process takes over.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A gap between two renewals that is long enough to be an outage of the database: one renewal and a half.
const OUTAGE: Duration = Duration::from_millis(7_500);

/// How well this process can renew its leases.
///
/// If it could not for a while, the database was not reachable, and other processes could not renew theirs either.
/// Their leases have then expired although they are alive. So they get the time of one lease to renew them before this
/// process takes over their runs.
#[derive(Debug)]
pub(crate) struct Leases {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    renewed_at: Instant,
    /// When the last outage ended.
    outage_ended_at: Option<Instant>,
}

impl Leases {
    /// Leases of a process that has just reached the database.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { renewed_at: Instant::now(), outage_ended_at: None }) }
    }

    /// Records that the leases of this process were renewed.
    pub(crate) fn record_renewal(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        if now - state.renewed_at > OUTAGE {
            state.outage_ended_at = Some(now);
        }
        state.renewed_at = now;
    }

    /// Returns whether an expired lease means that its owner is dead.
    pub(crate) fn can_judge_others(&self) -> bool {
        let state = self.state.lock();
        let is_connected = state.renewed_at.elapsed() <= OUTAGE;
        is_connected && state.outage_ended_at.is_none_or(|ended| ended.elapsed() >= LEASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_cut_off_gives_others_time_to_renew() {
        let leases = Leases::new();
        for _ in 0..5 {
            leases.record_renewal();
            assert!(leases.can_judge_others());
            tokio::time::advance(RENEW_EVERY).await;
        }
        tokio::time::advance(RENEW_EVERY).await;
        assert!(!leases.can_judge_others(), "it was not heard for a while");
        for _ in 0..3 {
            leases.record_renewal();
            assert!(!leases.can_judge_others(), "others need their time");
            tokio::time::advance(RENEW_EVERY).await;
        }
        leases.record_renewal();
        assert!(leases.can_judge_others());
    }
}
