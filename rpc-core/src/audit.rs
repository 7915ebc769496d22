//! Writes the audit log. An entry is stored before its call is made: a call that cannot be recorded is not made.
//!
//! Entries of concurrent calls are stored together, so that a busy service costs one transaction for many calls.

use crate::error::Error;
use crate::store::rows::AuditRow;
use crate::store::{Clock, Store};
use std::net::IpAddr;
use std::sync::Arc;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::error::Chain;
use threadline_schema::ids::{ServiceKeyId, UserId};
use tokio::sync::{mpsc, oneshot};

/// Entries that wait to be stored, at most; then calls wait.
const WAITING: usize = 1_024;
/// Entries of one transaction, at most.
const BATCH: usize = 256;

/// An entry to record.
pub(crate) struct AuditEntry<'a> {
    /// Who acts.
    pub(crate) actor: &'a str,
    pub(crate) key_id: Option<ServiceKeyId>,
    /// The user for whom the call is made.
    pub(crate) user_id: Option<UserId>,
    /// The method.
    pub(crate) action: &'a str,
    /// `allowed`, or the code of the error with which it was refused.
    pub(crate) outcome: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) address: IpAddr,
}

/// Writes the audit log. Clones share it.
#[derive(Clone)]
pub(crate) struct AuditLog {
    clock: Arc<Clock>,
    sender: mpsc::Sender<Waiting>,
}

struct Waiting {
    row: AuditRow,
    stored: oneshot::Sender<bool>,
}

impl AuditLog {
    /// Starts the task that stores the entries.
    pub(crate) fn start(store: Store, clock: Arc<Clock>, supervisor: &Supervisor) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        supervisor.spawn(TaskKind::AuditLog, store_entries(store, receiver));
        Self { clock, sender }
    }

    /// Records an entry; waits until it is stored.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if it cannot be stored.
    pub(crate) async fn record(&self, entry: AuditEntry<'_>) -> Result<(), Error> {
        let AuditEntry { actor, key_id, user_id, action, outcome, request_id, address } = entry;
        let row = AuditRow {
            id: self.clock.new_id(),
            at: self.clock.now(),
            actor: actor.to_owned(),
            key_id,
            user_id,
            action: action.to_owned(),
            outcome: outcome.to_owned(),
            request_id: Some(request_id.to_owned()),
            address: Some(address.to_string()),
        };
        let (stored, is_stored) = oneshot::channel();
        let sent = self.sender.send(Waiting { row, stored }).await;
        if sent.is_ok() && is_stored.await == Ok(true) {
            return Ok(());
        }
        Err(Error::unavailable("The audit log cannot be written right now, so nothing was done. Please try again."))
    }
}

async fn store_entries(store: Store, mut receiver: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    loop {
        if receiver.recv_many(&mut batch, BATCH).await == 0 {
            // Every sender is gone: the service stops.
            return std::future::pending().await;
        }
        let (rows, waiting): (Vec<_>, Vec<_>) = batch.drain(..).map(|Waiting { row, stored }| (row, stored)).unzip();
        let outcome = store.audit_append(rows).await;
        if let Err(error) = &outcome {
            tracing::error!(error = %Chain(error), "the audit log cannot be written");
        }
        for stored in waiting {
            // Fails if the caller has left.
            let _ = stored.send(outcome.is_ok());
        }
    }
}
