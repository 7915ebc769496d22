//! The port through which the gateway reaches a core, in this process or behind a WebSocket.

use futures::Stream;
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use std::pin::Pin;
use threadline_schema::RpcError;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::frame::Frame;

/// A core.
///
/// The gateway does not verify who a caller is. It passes the caller's token on, and the core decides.
pub trait Upstream: Send + Sync + 'static {
    /// Authenticates the caller and counts one request against its rate limit, without calling a method. For requests
    /// that the gateway rejects by itself: the status of a bad token comes before that of a bad request.
    fn admit(&self, caller: Caller) -> BoxFuture<'_, Result<ResponseMeta, CallError>>;

    /// Checks the caller's token, before the gateway makes room for a large body.
    fn check_token(&self, caller: Caller) -> BoxFuture<'_, Result<(), RpcError>>;

    /// Calls a method and waits for its result.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<CallResult, CallError>>;

    /// Starts a subscription. Its frames end when the subscription ends. If that is the end of the run, the last frame
    /// is a terminal event; if the thread was deleted, it is `thread.deleted`.
    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Subscription, CallError>>;
}

/// The frames of one subscription. Dropping the stream ends the subscription, not the run.
pub type FrameStream = Pin<Box<dyn Stream<Item = Frame> + Send>>;

/// One call of a method.
#[derive(Debug, Clone)]
pub struct Call {
    /// Name of the method.
    pub method: &'static str,
    /// By-name params: the text of a JSON object, without the reserved member `_meta`.
    pub params: Box<RawValue>,
    /// Who makes the call.
    pub caller: Caller,
}

/// A successful call.
#[derive(Debug)]
pub struct CallResult {
    /// The result, as JSON text.
    pub result: Box<RawValue>,
    /// What the core knows about the call.
    pub meta: ResponseMeta,
}

/// A failed call.
#[derive(Debug)]
pub struct CallError {
    /// The error that the caller may see.
    pub error: RpcError,
    /// What the core knows about the call.
    pub meta: ResponseMeta,
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self { error, meta: ResponseMeta::default() }
    }
}

/// A subscription that has started.
pub struct Subscription {
    /// Its frames.
    pub frames: FrameStream,
    /// What the core knows about the call.
    pub meta: ResponseMeta,
    /// The cursor before the first frame of a thread, to resume from before any frame has arrived. `None` where the
    /// caller has sent a cursor.
    pub start_cursor: Option<String>,
}
