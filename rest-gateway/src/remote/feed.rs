//! Events of runs and threads over sockets that may be lost: no gap, no event twice.

use super::followed::Followed;
use super::meta::Found;
use super::{Link, refusal, unreachable};
use crate::upstream::{Call, Frames, Refusal};
use futures::{StreamExt, stream};
use jsonrpsee::core::client::{Subscription, SubscriptionClientT};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::call::{Caller, Frame, ResponseMeta};
use threadline_schema::event::type_of;
use threadline_schema::rpc::{self, Kind, MethodInfo};
use tokio::time::Instant;
use uuid::Uuid;

/// Pause between two tries to go on; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One reader's place in a run or a thread.
///
/// The client library reads the socket eagerly into a buffer per subscription. A reader slower than its buffer loses
/// the subscription, empties the buffer, and goes on after the last event in it: memory stays bounded and nothing is
/// missed.
pub(super) struct Feed {
    link: Arc<Link>,
    caller: Caller,
    followed: Followed,
    /// The last event handed on.
    last: Option<(Uuid, u64)>,
    subscription: Subscription<Note>,
    /// When the subscription was lost, if no event has come since.
    lost: Option<Instant>,
    pause: Duration,
    ended: bool,
}

/// A notification; the event stays the text it is.
#[derive(Debug, Deserialize)]
struct Note {
    /// The run, where it is not the one that is followed.
    #[serde(default)]
    run_id: Option<Uuid>,
    seq: u64,
    event: Box<RawValue>,
    /// What the core found out about the caller, in a first notification that is no event.
    #[serde(default, rename = "_meta")]
    facts: Option<Found>,
    /// In the same: the cursor behind which a thread's events begin.
    #[serde(default)]
    begins_after: Option<String>,
}

impl Feed {
    /// Subscribes.
    pub(super) async fn open(link: Arc<Link>, call: Call) -> Result<(Self, ResponseMeta, Option<String>), Refusal> {
        let Some(method) = rpc::find(call.method) else { return Err(unreachable()) };
        // The core judges the params, and before them who asks; here they are only read.
        let mut subscription = subscribe(&link, method, &call.caller, &call.params).await?;
        let greeting = tokio::time::timeout(link.config.call_timeout, subscription.next()).await;
        let Ok(Some(Ok(Note { facts: Some(facts), begins_after, .. }))) = greeting else { return Err(unreachable()) };
        let feed = Self {
            link,
            caller: call.caller,
            followed: Followed::read(method, &call.params, begins_after.clone())?,
            last: None,
            subscription,
            lost: None,
            pause: FIRST_PAUSE,
            ended: false,
        };
        Ok((feed, facts.into(), begins_after))
    }

    /// The events as a stream.
    pub(super) fn into_frames(self) -> Frames {
        stream::unfold(self, |mut feed| async move { feed.next().await.map(|frame| (frame, feed)) }).boxed()
    }

    async fn next(&mut self) -> Option<Frame> {
        while !self.ended {
            let next = tokio::time::timeout(self.followed.silence(), self.subscription.next());
            match next.await {
                Ok(Some(Ok(note))) => {
                    if let Some(frame) = self.accept(note) {
                        return Some(frame);
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::error!(request_id = %self.caller.request_id, %error, "an event cannot be read");
                    return None;
                }
                Ok(None) => {
                    self.lost.get_or_insert_with(Instant::now);
                    self.resume().await?;
                }
                Err(_) => self.resume().await?,
            }
        }
        None
    }

    /// An event on its way to the reader, unless the reader has it.
    fn accept(&mut self, note: Note) -> Option<Frame> {
        if note.facts.is_some() {
            return None;
        }
        (self.lost, self.pause) = (None, FIRST_PAUSE);
        let event: Arc<str> = Box::<str>::from(note.event).into();
        let kind = type_of(&event).unwrap_or_default();
        let run_id = note.run_id.or(self.followed.run_id());
        if let (Some(run_id), true) = (run_id, note.seq > 0) {
            // That the token has expired is no event of the run, and so has the number of the one before it.
            let known = self.last.filter(|(run, _)| *run == run_id).map(|(_, seq)| seq);
            if known.is_some_and(|last| note.seq < last || (note.seq == last && kind != "error")) {
                return None;
            }
            self.last = Some((run_id, note.seq));
        }
        self.ended = self.followed.ends_with(kind);
        self.followed.has_given(kind);
        Some(Frame { run_id: run_id.unwrap_or_default(), seq: note.seq, event })
    }

    /// Subscribes again after the last event; `None` when that cannot be done any more.
    async fn resume(&mut self) -> Option<()> {
        let deadline = self.lost.unwrap_or_else(Instant::now) + self.link.config.resume_timeout;
        loop {
            let params = self.followed.params(self.last).ok()?;
            let refusal = match subscribe(&self.link, self.followed.method(), &self.caller, &params).await {
                Ok(subscription) => {
                    self.subscription = subscription;
                    // A subscription that is lost at once, again and again, must not spin.
                    if self.lost.is_some() {
                        self.rest().await;
                    }
                    return (Instant::now() < deadline).then_some(());
                }
                Err(refusal) => refusal.error,
            };
            let may_pass = matches!(refusal.code, ErrorCode::ServiceUnavailable | ErrorCode::RateLimited);
            if !may_pass || Instant::now() >= deadline {
                let request_id = &self.caller.request_id;
                tracing::warn!(%request_id, method = self.followed.method().name, code = %refusal.code, "a stream cannot go on");
                return None;
            }
            self.rest().await;
        }
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

async fn subscribe(
    link: &Link,
    method: &MethodInfo,
    caller: &Caller,
    params: &RawValue,
) -> Result<Subscription<Note>, Refusal> {
    let Kind::Subscription { unsubscribe, .. } = method.kind else { return Err(unreachable()) };
    let params = link.params(params, caller)?;
    let socket = link.pool.pick().ok_or_else(unreachable)?;
    let subscribed = socket.subscribe(method.name, params, unsubscribe).await;
    subscribed.map_err(|error| refusal(error, method.name, caller))
}
