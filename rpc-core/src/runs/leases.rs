//! Leases: how a process says that it lives, and when it may judge that another does not.

use crate::core::Core;
use crate::store::StoreError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a process is believed to live after it last said so.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// How often it says so: twice may fail before somebody takes over.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);
/// After what failed; and how often until the next regular time.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const TRIES: u32 = 4;
/// A pause between two renewals that tells of an outage.
const OUTAGE: Duration = Duration::from_millis(7_500);

/// How well this process can say that it lives. If it could not for a while, others cannot have either: the database was
/// away. Their leases have expired then, and they need the time to renew them before somebody takes them for dead.
#[derive(Debug)]
pub(crate) struct Leases {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    renewed: Instant,
    /// The end of the last outage.
    outage_ended: Option<Instant>,
}

impl Leases {
    /// Of a process that has just reached the database.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { renewed: Instant::now(), outage_ended: None }) }
    }

    /// Notes that the leases of this process were renewed.
    fn renewed(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now - state.renewed > OUTAGE {
            state.outage_ended = Some(now);
        }
        state.renewed = now;
    }

    /// Whether a lease that has expired means that its owner is dead.
    pub(super) fn may_judge(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.renewed.elapsed() <= OUTAGE && state.outage_ended.is_none_or(|ended| ended.elapsed() >= LEASE)
    }
}

/// Says that this process lives, and tries again soon if nobody could hear it.
pub(super) async fn renew(core: &Core) {
    for _ in 0..TRIES {
        match renew_once(core).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "leases could not be renewed"),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn renew_once(core: &Core) -> Result<(), StoreError> {
    core.clock.adjust(&core.store).await?;
    core.store.leases_renew(core.id, core.lease_until()).await?;
    core.leases.renewed();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_was_cut_off_itself_judges_nobody_for_a_lease() {
        let leases = Leases::new();
        for _ in 0..5 {
            leases.renewed();
            assert!(leases.may_judge());
            tokio::time::advance(RENEW_EVERY).await;
        }
        tokio::time::advance(RENEW_EVERY).await;
        assert!(!leases.may_judge(), "it has not been heard for a while");
        for _ in 0..3 {
            leases.renewed();
            assert!(!leases.may_judge(), "others need their time");
            tokio::time::advance(RENEW_EVERY).await;
        }
        leases.renewed();
        assert!(leases.may_judge());
    }
}
