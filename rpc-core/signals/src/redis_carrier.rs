//! Redis' publish and subscribe: one channel that all hear, and one for each run that somebody follows.
//!
//! Two connections, since one that listens can do nothing else. Each is made anew when it breaks.

use super::Shared;
use super::message::{pack, read_grown, write_grown};
use super::outage::Outage;
use super::outbox::{Batch, Pace};
use crate::redis::Redis;
use futures::StreamExt;
use redis::RedisResult;
use redis::aio::{MultiplexedConnection, PubSubSink};
use std::convert::Infallible;
use std::time::Duration;
use threadline_schema::ids::RunId;

/// How often a connection that has nothing to do is asked whether it still works.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long an answer may take before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of one text on the channel that all hear.
const MAX_TEXT: usize = 64 * 1024;

/// At once: what comes while the last is under way keeps itself company.
const PACE: Pace = Pace { urgent: Duration::ZERO, urgent_gap: Duration::ZERO, growth: Duration::ZERO };

/// Connects, and connects again, for as long as the process lives.
pub(super) async fn carry(shared: &Shared, redis: Redis) {
    let names = Names { commands: redis.name("commands"), run: redis.name("run:") };
    tokio::join!(speak(shared, &redis, &names), listen(shared, &redis, &names));
}

struct Names {
    commands: String,
    /// What a run's id is appended to.
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

async fn speak(shared: &Shared, redis: &Redis, names: &Names) {
    let mut outage = Outage::new("Redis, to publish");
    loop {
        let ended = match redis.apart().await {
            Ok(mut connection) => {
                outage.over();
                shared.outbox.open();
                shared.announce();
                loop {
                    if let Err(error) = speak_once(shared, &mut connection, names).await {
                        break error;
                    }
                }
            }
            Err(error) => error,
        };
        shared.outbox.close();
        outage.goes_on(ended).await;
    }
}

async fn speak_once(shared: &Shared, connection: &mut MultiplexedConnection, names: &Names) -> RedisResult<()> {
    let Ok(Batch { commands, grown }) = tokio::time::timeout(PING_EVERY, shared.outbox.next(PACE)).await else {
        return redis::cmd("PING").exec_async(connection).await;
    };
    let mut pipeline = redis::pipe();
    for text in pack(shared.me, commands, MAX_TEXT) {
        pipeline.publish(&names.commands, text).ignore();
    }
    for (run_id, grown) in grown {
        if let Some(text) = write_grown(shared.me, &grown) {
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
                let hear = async {
                    while let Some(message) = messages.next().await {
                        hear(shared, names, message.get_channel_name(), message.get_payload_bytes());
                    }
                    "the connection was closed".to_owned()
                };
                tokio::select! {
                    biased;
                    ended = hear => ended,
                    Err(ended) = subscribe(shared, &mut sink, names, &mut outage) => ended,
                }
            }
            Err(error) => error.to_string(),
        };
        shared.followers.forget_changes();
        outage.goes_on(ended).await;
    }
}

fn hear(shared: &Shared, names: &Names, channel: &str, payload: &[u8]) {
    if let Some(run_id) = channel.strip_prefix(names.run.as_str()).and_then(|id| id.parse().ok()) {
        if let Some(grown) = read_grown(shared.me, run_id, payload) {
            shared.followers.tell(run_id, grown);
        }
    } else if let Ok(text) = std::str::from_utf8(payload) {
        shared.hear(text);
    }
}

/// Keeps the subscriptions in step with who follows what. Ends with an error only.
async fn subscribe(
    shared: &Shared,
    sink: &mut PubSubSink,
    names: &Names,
    outage: &mut Outage,
) -> Result<Infallible, String> {
    let mut channels = names.of_runs(&shared.followers.note_changes());
    channels.push(names.commands.clone());
    in_time(sink.subscribe(channels)).await?;
    outage.over();
    shared.followers.alert();
    loop {
        let Ok((come, gone)) = tokio::time::timeout(PING_EVERY, shared.followers.changes()).await else {
            in_time(sink.ping::<redis::Value>()).await?;
            continue;
        };
        if !come.is_empty() {
            in_time(sink.subscribe(names.of_runs(&come))).await?;
        }
        if !gone.is_empty() {
            in_time(sink.unsubscribe(names.of_runs(&gone))).await?;
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
