//! Carries signals over LISTEN and NOTIFY, on a separate connection.
//!
//! All transactions with NOTIFY on a server take the same lock, and hold it while they commit. So signals are sent in
//! batches: at most ten such transactions per second, and four if nothing is urgent.

use super::Shared;
use super::message::{Signal, encode_signals};
use super::outage::Outage;
use super::outbox::{Batch, Pace};
use futures::StreamExt;
use std::time::Duration;
use threadline_store::Listener;
use tokio_postgres::{AsyncMessage, Client};

const LISTEN: &str = "LISTEN threadline";
const NOTIFY: &str = "SELECT pg_notify('threadline', payload) FROM unnest($1::text[]) AS payload";
/// Maximum size of a payload, in bytes. The limit of the server is 8000.
const MAX_PAYLOAD: usize = 7_900;
/// Time limit of a statement. After it the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to check whether the connection still leads to a pooler.
const POOLER_RETRY: Duration = Duration::from_secs(60);

const PACE: Pace = Pace {
    urgent: Duration::from_millis(20),
    urgent_gap: Duration::from_millis(100),
    growth: Duration::from_millis(250),
};

/// Connects, and reconnects until the process ends.
pub(super) async fn carry(shared: &Shared, listener: Listener) {
    let mut outage = Outage::new("LISTEN/NOTIFY");
    let mut pooler_was_logged = false;
    loop {
        let ended = match listener.connect().await {
            Ok(None) => {
                if !std::mem::replace(&mut pooler_was_logged, true) {
                    tracing::warn!(
                        "PostgreSQL is behind a pooler, where LISTEN does not work: replicas poll each other's runs once a \
                         second. Set DATABASE_DIRECT_URL or REDIS_URL for immediate signals"
                    );
                }
                shared.outbox.close();
                tokio::time::sleep(POOLER_RETRY).await;
                continue;
            }
            Ok(Some((client, messages))) => {
                // Both futures end only with an error. The first ends the connection.
                let mut messages = std::pin::pin!(messages);
                let receive_all = async {
                    while let Some(message) = messages.next().await {
                        match message {
                            Ok(AsyncMessage::Notification(notification)) => shared.receive(notification.payload()),
                            Ok(_) => {}
                            Err(error) => return error.to_string(),
                        }
                    }
                    "the connection was closed".to_owned()
                };
                tokio::select! {
                    biased;
                    error = receive_all => error,
                    error = notify(shared, &client, &mut outage) => error,
                }
            }
            Err(error) => error.to_string(),
        };
        shared.outbox.close();
        outage.wait(ended).await;
    }
}

async fn notify(shared: &Shared, client: &Client, outage: &mut Outage) -> String {
    if let Err(error) = in_time(client.batch_execute(LISTEN)).await {
        return error;
    }
    outage.end();
    shared.connected();
    loop {
        let batch = shared.outbox.next(PACE).await;
        if let Err(error) = send(shared, client, batch).await {
            return error;
        }
    }
}

async fn send(shared: &Shared, client: &Client, batch: Batch) -> Result<(), String> {
    let grown = batch.grown.into_iter();
    let grown = grown.map(|(run_id, grown)| Signal::Grown { run_id, last_seq: grown.last_seq, ended: grown.ended });
    let payloads = encode_signals(shared.sender_id, batch.commands.into_iter().chain(grown), MAX_PAYLOAD);
    in_time(client.execute(NOTIFY, &[&payloads])).await.map(drop)
}

async fn in_time<T>(statement: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
