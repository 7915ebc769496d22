//! The trait through which the gateway reaches a core, wherever that core runs.

use futures::Stream;
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use std::pin::Pin;
use threadline_schema::RpcError;
use threadline_schema::call::{Caller, Frame, ResponseMeta};

/// A core: in this process, or behind a socket.
///
/// The gateway holds no opinion on who a caller is. It hands the caller's token on, and the core decides.
pub trait Upstream: Send + Sync + 'static {
    /// Makes one call and waits for its answer.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Refusal>>;

    /// Starts a subscription. The frames end when the subscription does; whether that was the end of the run shows
    /// in the last frame, which is then a terminal event, or for a thread `thread.deleted`.
    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Opened, Refusal>>;
}

/// Events of a run on their way to one reader. Dropping them ends the subscription, never the run.
pub type Frames = Pin<Box<dyn Stream<Item = Frame> + Send>>;

/// A subscription that has begun.
pub struct Opened {
    /// Its events.
    pub frames: Frames,
    /// What the core found out on the way.
    pub facts: ResponseMeta,
    /// The cursor behind which a thread's events begin: to come back with before the first of them has arrived.
    /// `None` where the caller has one already.
    pub begins_after: Option<String>,
}

/// One JSON-RPC call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Wire name of the method.
    pub method: &'static str,
    /// By-name params: the text of a JSON object without the reserved `_meta`.
    pub params: Box<RawValue>,
    /// Who calls.
    pub caller: Caller,
}

/// What a call answered.
#[derive(Debug)]
pub struct Answer {
    /// The result, unparsed.
    pub result: Box<RawValue>,
    /// What the core found out on the way.
    pub facts: ResponseMeta,
}

/// Why a call was refused.
#[derive(Debug)]
pub struct Refusal {
    /// The error as the caller may see it.
    pub error: RpcError,
    /// What the core found out on the way.
    pub facts: ResponseMeta,
}
