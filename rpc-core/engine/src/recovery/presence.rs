//! Shows other processes that this one lives, and finds those that do not: see `threadline_store::Presence`.

use super::reaper::recover_runs_of;
use crate::presences::GONE_AFTER;
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_store::{HeldPresence, NotHeld};

/// Pause before the lock is asked for again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often it is looked whether a pooler is gone.
const POOLER_RETRY: Duration = Duration::from_secs(60);
/// How often the lock is told of.
const TELL_EVERY: Duration = Duration::from_secs(3600);

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

/// Recovers the runs of processes that are gone.
pub(crate) async fn recover_runs_of_gone_processes(shared: &Arc<Shared>) {
    if !shared.presences.can_judge() {
        return;
    }
    match shared.store.processes_without_lock(shared.process_id).await {
        Ok(free) => {
            let gone = shared.presences.gone(&free);
            if !gone.is_empty() {
                recover_runs_of(shared, gone).await;
            }
        }
        Err(error) => tracing::debug!(error = %Chain(&error), "locks of other processes could not be looked up"),
    }
}
