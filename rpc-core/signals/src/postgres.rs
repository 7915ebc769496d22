//! LISTEN and NOTIFY, over a connection of their own.
//!
//! NOTIFY takes a lock that all of the server's transactions with one share, and holds it while they commit. So what is
//! to be said goes out together: at most ten such transactions a second, and four when nothing is urgent.

use super::Shared;
use super::message::{Said, pack};
use super::outage::Outage;
use super::outbox::{Batch, Pace};
use futures::StreamExt;
use std::time::Duration;
use threadline_store::Listener;
use tokio_postgres::{AsyncMessage, Client};

const LISTEN: &str = "LISTEN threadline";
const NOTIFY: &str = "SELECT pg_notify('threadline', payload) FROM unnest($1::text[]) AS payload";
/// The server takes less than 8000 bytes.
const MAX_PAYLOAD: usize = 7_900;
/// How long a statement may take before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether the pooler is gone.
const POOLER_RETRY: Duration = Duration::from_secs(60);

const PACE: Pace = Pace {
    urgent: Duration::from_millis(20),
    urgent_gap: Duration::from_millis(100),
    growth: Duration::from_millis(250),
};

/// Connects, and connects again, for as long as the process lives.
pub(super) async fn carry(shared: &Shared, listener: Listener) {
    let mut outage = Outage::new("LISTEN/NOTIFY");
    let mut pooler_was_told = false;
    loop {
        let ended = match listener.connect().await {
            Ok(None) => {
                if !std::mem::replace(&mut pooler_was_told, true) {
                    tracing::warn!(
                        "PostgreSQL is behind a pooler, where LISTEN does not work: replicas poll each other's runs once a \
                         second. Set DATABASE_DIRECT_URL or REDIS_URL for signals at once"
                    );
                }
                shared.outbox.close();
                tokio::time::sleep(POOLER_RETRY).await;
                continue;
            }
            Ok(Some((client, messages))) => {
                // Either ends with an error; which one is all the same.
                let mut messages = std::pin::pin!(messages);
                let hear = async {
                    while let Some(message) = messages.next().await {
                        match message {
                            Ok(AsyncMessage::Notification(said)) => shared.hear(said.payload()),
                            Ok(_) => {}
                            Err(error) => return error.to_string(),
                        }
                    }
                    "the connection was closed".to_owned()
                };
                tokio::select! {
                    biased;
                    error = hear => error,
                    error = speak(shared, &client, &mut outage) => error,
                }
            }
            Err(error) => error.to_string(),
        };
        shared.outbox.close();
        outage.goes_on(ended).await;
    }
}

async fn speak(shared: &Shared, client: &Client, outage: &mut Outage) -> String {
    if let Err(error) = in_time(client.batch_execute(LISTEN)).await {
        return error;
    }
    outage.over();
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
    let grown = grown.map(|(run_id, grown)| Said::Grown { run_id, last_seq: grown.last_seq, ended: grown.ended });
    let payloads = pack(shared.me, batch.commands.into_iter().chain(grown), MAX_PAYLOAD);
    in_time(client.execute(NOTIFY, &[&payloads])).await.map(drop)
}

async fn in_time<T>(statement: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
