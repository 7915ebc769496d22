//! The subscriptions of one socket: their ids, their events, their ends.

use crate::error::Error;
use crate::rpc::call::Call;
use crate::rpc::feed::Feed;
use crate::rpc::pipeline::Pipeline;
use crate::rpc::reply::{Reply, Response};
use crate::rpc::transport::envelope::Id;
use crate::rpc::transport::response;
use crate::rpc::whole_numbers::whole_numbers;
use jsonrpsee::types::{ErrorObject, SubscriptionId};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use threadline_runtime::GaugeGuard;
use threadline_schema::call::{META, ResponseMeta};
use threadline_schema::{Kind, MethodInfo};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Maximum number of subscriptions of one socket. A gateway puts those of many users on one.
const MAX_SUBSCRIPTIONS_PER_SOCKET: usize = 16_384;

/// The open subscriptions of one socket.
#[derive(Default)]
pub(super) struct Subscriptions {
    open: Arc<Mutex<HashMap<u64, Open>>>,
}

/// How an open subscription is ended.
struct Open {
    /// The method that ends it.
    unsubscribe: &'static str,
    end: CancellationToken,
}

/// A subscription that was accepted.
pub(super) struct Subscription {
    entry: Entry,
    notification: &'static str,
    feed: Feed,
    /// The metadata of the call, if the caller asked for it.
    meta: Option<ResponseMeta>,
}

/// The place of a subscription among the open ones. Dropping it frees the place.
struct Entry {
    id: u64,
    end: CancellationToken,
    open: Arc<Mutex<HashMap<u64, Open>>>,
}

/// The socket is closed.
struct Closed;

impl Subscriptions {
    /// Makes the call that subscribes.
    ///
    /// # Errors
    /// Those of the method, and `SERVICE_UNAVAILABLE` if the socket has as many subscriptions as it may have.
    pub(super) async fn subscribe(
        &self,
        pipeline: &Pipeline,
        method: MethodInfo,
        call: Call<'_>,
    ) -> Result<Subscription, ErrorObject<'static>> {
        let Kind::Subscription { notification, unsubscribe } = method.kind else {
            return Err(response::internal_error());
        };
        let Some(entry) = self.enter(unsubscribe) else {
            // Counted like any other call, before it is refused.
            pipeline.admit(call).await.map_err(|error| response::call_error_object(&error))?;
            let message = format!("A socket has at most {MAX_SUBSCRIPTIONS_PER_SOCKET} subscriptions. End one first.");
            return Err(response::error_object(Error::unavailable(message).public()));
        };
        match pipeline.clone().call(call).await {
            Ok(Response { result: Reply::Feed(feed), meta, wants_meta }) => {
                Ok(Subscription { entry, notification, feed, meta: wants_meta.then_some(meta) })
            }
            Ok(Response { result: Reply::Result(_), .. }) => {
                tracing::error!(method = method.name, "a command was dispatched as a subscription");
                Err(response::internal_error())
            }
            Err(error) => Err(response::call_error_object(&error)),
        }
    }

    /// Answers a call that ends a subscription: with `true` if there was one with this id, which this method ends.
    pub(super) fn unsubscribe(&self, pipeline: &Pipeline, method: &str, id: Id<'_>, call: Call<'_>) -> String {
        match pipeline.unsubscribe(call, parse_subscription) {
            Ok(subscription) => {
                let mut open = self.open.lock();
                let found = subscription.filter(|id| open.get(id).is_some_and(|open| open.unsubscribe == method));
                let ended = found.and_then(|id| open.remove(&id));
                if let Some(open) = &ended {
                    open.end.cancel();
                }
                format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, id.json(), ended.is_some())
            }
            Err(error) => response::failure(id, &response::call_error_object(&error)),
        }
    }

    /// Takes a place; `None` if all are taken.
    fn enter(&self, unsubscribe: &'static str) -> Option<Entry> {
        /// Ids of this process, so that no two of them are mixed up in a log. JavaScript reads each of them exactly.
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let mut open = self.open.lock();
        if open.len() >= MAX_SUBSCRIPTIONS_PER_SOCKET {
            return None;
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let end = CancellationToken::new();
        open.insert(id, Open { unsubscribe, end: end.clone() });
        Some(Entry { id, end, open: self.open.clone() })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
    }
}

impl Subscription {
    /// Returns the response to the call that subscribed: the id of the subscription.
    pub(super) fn answer(&self, id: Id<'_>) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, id.json(), self.entry.id)
    }

    /// Sends the events, each when the socket has room for it, until one side ends the subscription.
    pub(super) async fn send_events(mut self, outgoing: &mpsc::Sender<String>) {
        // Fails only if the socket is closed.
        let _ = self.try_send_events(outgoing).await;
    }

    async fn try_send_events(&mut self, outgoing: &mpsc::Sender<String>) -> Result<(), Closed> {
        if let Some(meta) = &self.meta {
            // A gateway needs the metadata for its response headers, and the first event may be long in coming.
            let begins_after = self.feed.begins_after();
            let begins_after = begins_after.map_or_else(String::new, |cursor| format!(r#","begins_after":"{cursor}""#));
            let meta = response::meta_json(meta);
            let first = format!(r#"{{"{META}":{meta},"seq":0,"event":null{begins_after}}}"#);
            self.notify(outgoing, "result", &first).await?;
        }
        let _open = GaugeGuard::new(metrics::gauge!("threadline_streams", "transport" => "websocket"));
        loop {
            let frame = tokio::select! {
                frame = self.feed.next() => frame,
                () = self.entry.end.cancelled() => return Ok(()),
                () = outgoing.closed() => return Err(Closed),
            };
            let Some(frame) = frame else { break };
            self.notify(outgoing, "result", &self.feed.notification(&frame)).await?;
        }
        // The terminal event says that nothing more comes. If the feed ends without it, the end of the subscription is
        // announced; a gateway would otherwise wait for more.
        match self.feed.early_end() {
            Some(error) => {
                let message = Value::from(error.public().message.as_str());
                self.notify(outgoing, "error", &message.to_string()).await
            }
            None => Ok(()),
        }
    }

    async fn notify(&self, outgoing: &mpsc::Sender<String>, kind: &str, json: &str) -> Result<(), Closed> {
        let (method, id) = (self.notification, self.entry.id);
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"subscription":{id},"{kind}":{json}}}}}"#);
        outgoing.send(text).await.map_err(|_| Closed)
    }
}

/// Reads the params of a call that ends a subscription: `{"subscription": id}`, or `[id]` as clients of jsonrpsee send
/// it. `None` if no subscription can have this id.
///
/// # Errors
/// `INVALID_REQUEST`.
fn parse_subscription(params: Option<&str>) -> Result<Option<u64>, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ByName<'a> {
        #[serde(borrow)]
        subscription: SubscriptionId<'a>,
    }
    let read = |params: &str| {
        let by_position = serde_json::from_str(params).map(|(subscription,): (SubscriptionId<'_>,)| subscription);
        let id = by_position.or_else(|_| serde_json::from_str(params).map(|ByName { subscription }| subscription));
        match id.ok()? {
            SubscriptionId::Num(id) => Some(Some(id)),
            SubscriptionId::Str(_) => Some(None),
        }
    };
    let params = params.unwrap_or_default();
    // As in any params, an integer can be written as `37.0`.
    let id = read(params).or_else(|| read(&whole_numbers(params)?));
    id.ok_or_else(|| Error::invalid("`subscription` must be the id that the subscription was answered with."))
}
