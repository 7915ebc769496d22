//! The events of a run or a thread over sockets that can break: no event is lost, and none comes twice.

use super::connection::Connection;
use super::error::unavailable;
use super::meta::WireMeta;
use super::subscription_request::SubscriptionRequest;
use crate::upstream::{Call, CallError, FrameStream, Subscription};
use futures::{StreamExt, stream};
use jsonrpsee::core::client::Subscription as SocketSubscription;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::call::Caller;
use threadline_schema::event::{Event, EventKind};
use threadline_schema::frame::Frame;
use threadline_schema::ids::RunId;
use threadline_schema::rpc;
use tokio::time::Instant;

/// Pause between two tries to resume. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The position of one subscriber in a run or a thread.
///
/// jsonrpsee reads the socket into one bounded buffer per subscription. If a subscriber is slower than its buffer,
/// jsonrpsee ends the subscription. The feed then reads the rest of the buffer, and resumes after its last event:
/// memory stays bounded, and no event is lost.
pub(super) struct RemoteFeed {
    connection: Arc<Connection>,
    caller: Caller,
    request: SubscriptionRequest,
    /// Run and number of the last event that was delivered.
    last: Option<(RunId, u64)>,
    subscription: SocketSubscription<Notification>,
    /// When the subscription was lost, if no event has arrived since.
    lost_at: Option<Instant>,
    pause: Duration,
    ended: bool,
}

/// A notification of a subscription. The event stays JSON text.
#[derive(Debug, Deserialize)]
struct Notification {
    /// The run of the event, in subscriptions to threads.
    #[serde(default)]
    run_id: Option<RunId>,
    seq: u64,
    event: Box<RawValue>,
    /// The response metadata. Only the first notification has it, and that one is not an event.
    #[serde(default, rename = "_meta")]
    meta: Option<WireMeta>,
    /// In the first notification: the cursor where the events of a thread start.
    #[serde(default, rename = "begins_after")]
    start_cursor: Option<String>,
}

impl RemoteFeed {
    /// Starts a subscription, and waits for its first notification.
    pub(super) async fn subscribe(connection: Arc<Connection>, call: Call) -> Result<Subscription, CallError> {
        let Some(method) = rpc::find(call.method) else { return Err(unavailable()) };
        // The core checks the token before the params, so the params are parsed after the subscription has started.
        let mut subscription = connection.subscribe(method, &call.caller, &call.params).await?;
        let first = tokio::time::timeout(connection.config.call_timeout, subscription.next()).await;
        let Ok(Some(Ok(Notification { meta: Some(meta), start_cursor, .. }))) = first else {
            return Err(unavailable());
        };
        let feed = Self {
            connection,
            caller: call.caller,
            request: SubscriptionRequest::parse(method, &call.params, start_cursor.clone())?,
            last: None,
            subscription,
            lost_at: None,
            pause: FIRST_PAUSE,
            ended: false,
        };
        Ok(Subscription { frames: feed.into_frames(), meta: meta.into(), start_cursor })
    }

    fn into_frames(self) -> FrameStream {
        stream::unfold(self, |mut feed| async move { feed.next().await.map(|frame| (frame, feed)) }).boxed()
    }

    /// Returns the next frame; `None` at the end, and if the subscription cannot be resumed.
    async fn next(&mut self) -> Option<Frame> {
        while !self.ended {
            let next = tokio::time::timeout(self.request.idle_timeout(), self.subscription.next());
            match next.await {
                Ok(Some(Ok(notification))) => {
                    if let Some(frame) = self.accept(notification) {
                        return Some(frame);
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::error!(request_id = %self.caller.request_id, %error, "event could not be parsed");
                    return None;
                }
                Ok(None) => {
                    self.lost_at.get_or_insert_with(Instant::now);
                    self.resume().await?;
                }
                Err(_) => self.resume().await?,
            }
        }
        None
    }

    /// Returns the frame of a notification, unless it was delivered before.
    fn accept(&mut self, notification: Notification) -> Option<Frame> {
        if notification.meta.is_some() {
            return None;
        }
        (self.lost_at, self.pause) = (None, FIRST_PAUSE);
        let event = Event::from_json(Box::<str>::from(notification.event));
        let kind = event.kind();
        let frame = Frame::from_wire(notification.run_id.or(self.request.run_id()), notification.seq, event);
        if let Frame::Run { run_id, seq, .. } = frame {
            // The error for an expired token is not an event of the run: it has the number of the event before it.
            let known = self.last.filter(|(run, _)| *run == run_id).map(|(_, seq)| seq);
            if known.is_some_and(|last| seq < last || (seq == last && kind != EventKind::Error)) {
                return None;
            }
            self.last = Some((run_id, seq));
        }
        self.ended = self.request.ends_with(kind);
        self.request.delivered(kind);
        Some(frame)
    }

    /// Subscribes again after the last event; `None` if that is not possible within the timeout.
    async fn resume(&mut self) -> Option<()> {
        let deadline = self.lost_at.unwrap_or_else(Instant::now) + self.connection.config.resume_timeout;
        loop {
            let params = self.request.params_after(self.last).ok()?;
            let error = match self.connection.subscribe(self.request.method(), &self.caller, &params).await {
                Ok(subscription) => {
                    self.subscription = subscription;
                    // A subscription that is lost again and again must not become a busy loop.
                    if self.lost_at.is_some() {
                        self.wait().await;
                    }
                    return (Instant::now() < deadline).then_some(());
                }
                Err(error) => error.error,
            };
            let is_temporary = matches!(error.code, ErrorCode::ServiceUnavailable | ErrorCode::RateLimited);
            if !is_temporary || Instant::now() >= deadline {
                let request_id = &self.caller.request_id;
                let method = self.request.method().name;
                tracing::warn!(%request_id, method, code = %error.code, "subscription could not be resumed");
                return None;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
