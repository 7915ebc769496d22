//! Carries signals over Redis: one channel for all processes, and one for each followed run.
//!
//! It uses two connections, because one that subscribes can send nothing else. Each reconnects when it breaks.

use super::Shared;
use super::message::{decode_growth, encode_growth, encode_signals};
use super::outage::Outage;
use super::outbox::{Batch, Pace};
use crate::redis::Redis;
use futures::StreamExt;
use redis::RedisResult;
use redis::aio::{MultiplexedConnection, PubSubSink};
use std::convert::Infallible;
use std::time::Duration;
use threadline_schema::ids::RunId;

/// How long a connection is idle before it is checked with a ping.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Time limit of a reply. After it the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum size of one text on the channel for all processes, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Signals are sent at once. Those that arrive while a batch is being sent make the next batch.
const PACE: Pace = Pace { urgent: Duration::ZERO, urgent_gap: Duration::ZERO, growth: Duration::ZERO };

/// Connects, and reconnects until the process ends.
pub(super) async fn carry(shared: &Shared, redis: Redis) {
    let names = Names { commands: redis.name("commands"), run: redis.name("run:") };
    tokio::join!(publish(shared, &redis, &names), listen(shared, &redis, &names));
}

struct Names {
    commands: String,
    /// Prefix of the channels of runs. The id of the run follows.
    run: String,
}

impl Names {
    fn of_run(&self, run_id: RunId) -> String {
        format!("{}{}", self.run, run_id.as_uuid().simple())
    }

    fn of_runs(&self, run_ids: &[RunId]) -> Vec<String> {
        run_ids.iter().map(|run_id| self.of_run(*run_id)).collect()
    }
}

async fn publish(shared: &Shared, redis: &Redis, names: &Names) {
    let mut outage = Outage::new("Redis, to publish");
    loop {
        let ended = match redis.dedicated_connection().await {
            Ok(mut connection) => {
                outage.end();
                shared.outbox.open();
                shared.announce();
                loop {
                    if let Err(error) = publish_once(shared, &mut connection, names).await {
                        break error;
                    }
                }
            }
            Err(error) => error,
        };
        shared.outbox.close();
        outage.wait(ended).await;
    }
}

async fn publish_once(shared: &Shared, connection: &mut MultiplexedConnection, names: &Names) -> RedisResult<()> {
    let Ok(Batch { commands, grown }) = tokio::time::timeout(PING_EVERY, shared.outbox.next(PACE)).await else {
        return redis::cmd("PING").exec_async(connection).await;
    };
    let mut pipeline = redis::pipe();
    for text in encode_signals(shared.sender_id, commands, MAX_TEXT) {
        pipeline.publish(&names.commands, text).ignore();
    }
    for (run_id, grown) in grown {
        if let Some(text) = encode_growth(shared.sender_id, &grown) {
            pipeline.publish(names.of_run(run_id), text).ignore();
        }
    }
    pipeline.exec_async(connection).await
}

async fn listen(shared: &Shared, redis: &Redis, names: &Names) {
    let mut outage = Outage::new("Redis, to subscribe");
    loop {
        let ended = match redis.listener().await {
            Ok(connection) => {
                let (mut sink, mut messages) = connection.split();
                let receive_all = async {
                    while let Some(message) = messages.next().await {
                        receive(shared, names, message.get_channel_name(), message.get_payload_bytes());
                    }
                    "the connection was closed".to_owned()
                };
                tokio::select! {
                    biased;
                    ended = receive_all => ended,
                    Err(ended) = subscribe(shared, &mut sink, names, &mut outage) => ended,
                }
            }
            Err(error) => error.to_string(),
        };
        shared.followers.stop_recording();
        outage.wait(ended).await;
    }
}

fn receive(shared: &Shared, names: &Names, channel: &str, payload: &[u8]) {
    if let Some(run_id) = channel.strip_prefix(names.run.as_str()).and_then(|id| id.parse().ok()) {
        if let Some(grown) = decode_growth(shared.sender_id, run_id, payload) {
            shared.followers.deliver(run_id, grown);
        }
    } else if let Ok(text) = std::str::from_utf8(payload) {
        shared.receive(text);
    }
}

/// Keeps the subscriptions equal to the followed runs. Returns only with an error.
async fn subscribe(
    shared: &Shared,
    sink: &mut PubSubSink,
    names: &Names,
    outage: &mut Outage,
) -> Result<Infallible, String> {
    let mut channels = names.of_runs(&shared.followers.record_changes());
    channels.push(names.commands.clone());
    in_time(sink.subscribe(channels)).await?;
    outage.end();
    shared.followers.wake_all();
    loop {
        let Ok((new, removed)) = tokio::time::timeout(PING_EVERY, shared.followers.changes()).await else {
            in_time(sink.ping::<redis::Value>()).await?;
            continue;
        };
        if !new.is_empty() {
            in_time(sink.subscribe(names.of_runs(&new))).await?;
        }
        if !removed.is_empty() {
            in_time(sink.unsubscribe(names.of_runs(&removed))).await?;
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
