//! Shows other processes that this one lives, and finds those that do not: see `threadline_store::Presence`.

use super::reaper::close_runs_of;
use crate::shared::Shared;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_schema::ids::ProcessId;
use threadline_store::{HeldPresence, NotHeld};
use tokio::time::Instant;

/// Pause before the lock is asked for again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often it is looked whether a pooler is gone.
const POOLER_RETRY: Duration = Duration::from_secs(60);
/// How often the lock is told of.
const TELL_EVERY: Duration = Duration::from_secs(3600);
/// How long the lock of another process is free before that process counts as gone. One that lives takes its lock again
/// within a fraction of this.
const GONE_AFTER: Duration = Duration::from_secs(1);
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
    fn hold(&self) {
        self.state.lock().held_since = Some(Instant::now());
    }

    fn lose(&self) {
        let mut state = self.state.lock();
        state.held_since = None;
        state.was_lost = true;
        state.missing.clear();
    }

    /// Returns whether a free lock says something about its process.
    fn can_judge(&self) -> bool {
        let state = self.state.lock();
        state.held_since.is_some_and(|since| !state.was_lost || since.elapsed() >= GRACE)
    }

    /// Takes note of which locks are free now. Returns the processes whose locks have been free for long enough.
    fn gone(&self, free: &[ProcessId]) -> Vec<ProcessId> {
        let mut state = self.state.lock();
        state.missing.retain(|id, _| free.contains(id));
        let now = Instant::now();
        free.iter().copied().filter(|id| now - *state.missing.entry(*id).or_insert(now) >= GONE_AFTER).collect()
    }
}

/// Holds the lock of this process for as long as it lives.
pub(crate) async fn hold_presence(shared: &Shared) {
    let Some(presence) = shared.store.presence(shared.process_id) else { return std::future::pending().await };
    let mut pooler_was_told = false;
    let mut error_was_told = false;
    let mut was_lost = false;
    loop {
        let acquired = if std::mem::take(&mut was_lost) {
            tokio::join!(presence.acquire(), tell_loss(shared)).0
        } else {
            presence.acquire().await
        };
        match acquired {
            Ok(Ok(held)) => {
                error_was_told = false;
                hold(shared, held).await;
                was_lost = true;
            }
            Ok(Err(NotHeld::Taken)) => tokio::time::sleep(RETRY_AFTER).await,
            Ok(Err(NotHeld::Pooler)) => {
                if !std::mem::replace(&mut pooler_was_told, true) {
                    tracing::warn!(
                        "PostgreSQL is behind a pooler: after a crash of this process its conversations are free when its \
                         leases expire, within 15 s. With DATABASE_DIRECT_URL they are free within 3 s"
                    );
                }
                tokio::time::sleep(POOLER_RETRY).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut error_was_told, true) {
                    tracing::warn!(error = %Chain(&error), "the lock of this process cannot be taken");
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Tells the others of the lock, and waits until it is lost.
async fn hold(shared: &Shared, held: HeldPresence) {
    shared.presences.hold();
    let tell = async {
        loop {
            // Again and again, as a row that is old is removed.
            let told = shared.store.process_seen(shared.process_id, true, shared.clock.now()).await;
            if let Err(error) = &told {
                tracing::debug!(error = %Chain(error), "the lock of this process could not be told");
            }
            tokio::time::sleep(if told.is_ok() { TELL_EVERY } else { RETRY_AFTER }).await;
        }
    };
    tokio::select! {
        () = held.lost() => {}
        () = tell => {}
    }
    shared.presences.lose();
    tracing::warn!("the lock of this process was lost; taking it again");
}

/// Tells the others that a free lock is no death, until it is held again. If this cannot be told, this process can write
/// nothing else either.
async fn tell_loss(shared: &Shared) {
    let told = shared.store.process_seen(shared.process_id, false, shared.clock.now());
    if !matches!(tokio::time::timeout(GONE_AFTER / 2, told).await, Ok(Ok(()))) {
        tracing::debug!("the loss of the lock could not be told");
    }
}

/// Closes the runs of processes that are gone.
pub(crate) async fn close_runs_of_gone_processes(shared: &Shared) {
    if !shared.presences.can_judge() {
        return;
    }
    match shared.store.processes_without_lock(shared.process_id).await {
        Ok(free) => {
            let gone = shared.presences.gone(&free);
            if !gone.is_empty() {
                close_runs_of(shared, gone).await;
            }
        }
        Err(error) => tracing::debug!(error = %Chain(&error), "locks of other processes could not be looked up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_free_for_a_moment_is_no_death() {
        let presences = Presences::default();
        let other: ProcessId = uuid::Uuid::from_u128(1).into();
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
