//! Shows other processes that this one is alive, and finds dead processes: see `threadline_store::Presence`.

use super::takeover::recover_runs_of;
use crate::presences::GONE_AFTER;
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_store::{HeldPresence, NotHeld};

/// Pause between two attempts to take the lock, or to record it.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often to check whether the connection still leads to a pooler.
const POOLER_RETRY: Duration = Duration::from_secs(60);
/// How often the row of this process is renewed while it holds the lock. Old rows are deleted.
const RECORD_EVERY: Duration = Duration::from_secs(3600);

/// Holds the lock of this process until the process ends.
pub(crate) async fn hold_presence(shared: &Shared) {
    let Some(presence) = shared.store.presence(shared.process_id) else { return std::future::pending().await };
    let mut pooler_was_logged = false;
    let mut error_was_logged = false;
    let mut was_lost = false;
    loop {
        let acquired = if std::mem::take(&mut was_lost) {
            tokio::join!(presence.acquire(), record_loss(shared)).0
        } else {
            presence.acquire().await
        };
        match acquired {
            Ok(Ok(held)) => {
                error_was_logged = false;
                hold(shared, held).await;
                was_lost = true;
            }
            Ok(Err(NotHeld::Taken)) => tokio::time::sleep(RETRY_AFTER).await,
            Ok(Err(NotHeld::Pooler)) => {
                if !std::mem::replace(&mut pooler_was_logged, true) {
                    tracing::warn!(
                        "PostgreSQL is behind a pooler: after a crash of this process its conversations are free when its \
                         leases expire, within 20 s. With DATABASE_DIRECT_URL they are free within 3 s"
                    );
                }
                tokio::time::sleep(POOLER_RETRY).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut error_was_logged, true) {
                    tracing::warn!(error = %Chain(&error), "the lock of this process cannot be taken");
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Records in the row of this process that it holds its lock, and waits until the lock is lost.
async fn hold(shared: &Shared, held: HeldPresence) {
    shared.presences.hold();
    let record = async {
        loop {
            let recorded = shared.store.process_seen(shared.process_id, true, shared.clock.now()).await;
            if let Err(error) = &recorded {
                tracing::debug!(error = %Chain(error), "the lock of this process could not be recorded");
            }
            tokio::time::sleep(if recorded.is_ok() { RECORD_EVERY } else { RETRY_AFTER }).await;
        }
    };
    tokio::select! {
        () = held.lost() => {}
        () = record => {}
    }
    shared.presences.lose();
    tracing::warn!("the lock of this process is lost; taking it again");
}

/// Records that this process does not hold its lock, so that others do not consider it dead. If it cannot write that,
/// it cannot write anything else either.
async fn record_loss(shared: &Shared) {
    let recorded = shared.store.process_seen(shared.process_id, false, shared.clock.now());
    if !matches!(tokio::time::timeout(GONE_AFTER / 2, recorded).await, Ok(Ok(()))) {
        tracing::debug!("the loss of the lock could not be recorded");
    }
}

/// Recovers the runs of processes that are dead.
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
        Err(error) => tracing::debug!(error = %Chain(&error), "the locks of other processes could not be read"),
    }
}
