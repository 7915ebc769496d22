//! What a call returns.

use super::feed::Feed;
use serde_json::value::RawValue;
use threadline_schema::RpcError;
use threadline_schema::call::ResponseMeta;

/// The successful reply of a method.
pub(crate) enum Reply {
    /// The result of a command, as JSON.
    Result(Box<RawValue>),
    /// The events of a subscription.
    Feed(Feed),
}

/// What a method returns: a result, and whether it is that of an earlier request with the same idempotency key.
pub(crate) struct Success<T> {
    pub(crate) result: T,
    pub(crate) replayed: bool,
}

impl<T> From<T> for Success<T> {
    fn from(result: T) -> Self {
        Self { result, replayed: false }
    }
}

/// A successful call.
#[derive(Debug)]
pub struct Response<T> {
    /// What the method returned.
    pub result: T,
    /// What the core knows about the call.
    pub meta: ResponseMeta,
    /// Whether the caller asked for the metadata. The wire transports then send it.
    pub(crate) wants_meta: bool,
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// The error as the caller may see it.
    pub error: RpcError,
    /// What the core knows about the call.
    pub meta: ResponseMeta,
    /// Whether the caller asked for the metadata. The wire transports then send it.
    pub(crate) wants_meta: bool,
}
