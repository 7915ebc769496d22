//! Calls from the same process: no socket, no envelope, the same pipeline.

use super::RpcServer;
use crate::error::Error;
use crate::rpc::Feed;
use crate::rpc::context::{Call, Cx, Outcome, Transport};
use crate::rpc::pipeline::Shared;
use jsonrpsee::core::middleware::{Batch, Notification, Request, RpcServiceT};
use jsonrpsee::server::{ConnectionId, MethodCallback, MethodResponse};
use jsonrpsee::types::{ErrorCode as RpcErrorCode, ErrorObject, Id, Params, ResponsePayload};
use serde_json::value::RawValue;
use std::sync::Arc;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::{ErrorCode, RpcError};

/// What a call answered, and what was found out on the way.
pub struct Answer<T> {
    /// The answer.
    pub result: Result<T, RpcError>,
    /// The facts beside it, known in both cases.
    pub facts: ResponseMeta,
}

impl RpcServer {
    /// Calls a method that answers once.
    pub async fn call(&self, method: &str, params: &RawValue, caller: Caller) -> Answer<Box<RawValue>> {
        self.ask(method, params, caller, |outcome| match outcome {
            Outcome::Result(result) => Ok(result),
            Outcome::Feed(_) => Err(RpcError::new(ErrorCode::InvalidRequest, "This method starts a stream.")),
            Outcome::Error(error) => Err(error),
        })
        .await
    }

    /// Calls a method that starts a stream.
    pub async fn subscribe(&self, method: &str, params: &RawValue, caller: Caller) -> Answer<Feed> {
        self.ask(method, params, caller, |outcome| match outcome {
            Outcome::Feed(feed) => Ok(feed),
            Outcome::Result(_) => Err(RpcError::new(ErrorCode::InvalidRequest, "This method starts no stream.")),
            Outcome::Error(error) => Err(error),
        })
        .await
    }

    /// Authenticates a request and counts it against the caller's rate limit, as a call of a user's method does, without
    /// calling a method. For a request that a gateway refuses before it knows the call.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, `RATE_LIMITED`, or `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub async fn admit(&self, caller: Caller) -> (Result<(), RpcError>, ResponseMeta) {
        let call = Call::new(caller, Transport::Local, false);
        let admitted = self.inner.local.admit(&call).await;
        let admitted = admitted.map_err(|error| call.log_failure("admit", error));
        let meta = call.facts().clone();
        (admitted, meta)
    }

    async fn ask<T>(
        &self,
        method: &str,
        params: &RawValue,
        caller: Caller,
        read: impl FnOnce(Outcome) -> Result<T, RpcError>,
    ) -> Answer<T> {
        let call = Arc::new(Call::new(caller, Transport::Local, false));
        let mut request = Request::borrowed(method, Some(params), Id::Null);
        request.extensions.insert(call.clone());
        self.inner.local.call(request).await;
        let result = match call.take_outcome() {
            Some(outcome) => read(outcome),
            None => Err(Error::internal("a call left no outcome").into_parts().0),
        };
        let facts = call.facts().clone();
        Answer { result, facts }
    }
}

/// Dispatches what comes on a WebSocket: subscriptions to jsonrpsee, which knows the socket, and the rest as everywhere.
///
/// jsonrpsee has one size for what a socket may receive and for what a method may answer; here a request is bounded by
/// what this server reads, and an answer by [`super::MAX_RESPONSE_BYTES`].
#[derive(Clone)]
pub(super) struct SocketService<S> {
    pub(super) subscriptions: S,
    pub(super) methods: LocalService,
}

impl<S> RpcServiceT for SocketService<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            match this.methods.shared.registered.methods.method(&request.method) {
                Some(MethodCallback::Async(_)) => this.methods.call(request).await,
                _ => this.subscriptions.call(request).await,
            }
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.methods.batch(batch)
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.methods.notification(notification)
    }
}

/// Dispatches to the registered methods, as jsonrpsee's own service does for a socket.
#[derive(Clone)]
pub(super) struct LocalService {
    shared: Arc<Shared>,
}

impl LocalService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn subscribe(&self, request: Request<'_>) -> MethodResponse {
        let Request { id, method, params, mut extensions, .. } = request;
        let Some(call) = extensions.remove::<Arc<Call>>() else {
            return MethodResponse::error(id, ErrorObject::from(RpcErrorCode::InternalError));
        };
        let opened = match self.shared.registered.openers.get(&*method) {
            Some(open) if call.transport == Transport::Local => {
                let params = Params::new(params.as_ref().map(|params| RawValue::get(params))).into_owned();
                open(Cx { core: self.shared.core.clone(), call: call.clone() }, params).await
            }
            _ => Err(Error::invalid("Subscriptions need a WebSocket; an HTTP request has nowhere to send events to.")),
        };
        match opened {
            Ok(feed) => {
                call.give_feed(feed);
                MethodResponse::response(id, ResponsePayload::success(()).into(), super::MAX_RESPONSE_BYTES)
            }
            Err(error) => MethodResponse::error(id, call.refuse(&method, error)),
        }
    }
}

impl RpcServiceT for LocalService {
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            // A connection id only tells subscriptions apart, and those made here are not registered with jsonrpsee.
            let connection = ConnectionId(usize::MAX);
            match this.shared.registered.methods.method(&request.method) {
                Some(MethodCallback::Async(method)) => {
                    let params = Params::new(request.params.as_ref().map(|params| RawValue::get(params))).into_owned();
                    let id = request.id.into_owned();
                    method(id, params, connection, super::MAX_RESPONSE_BYTES, request.extensions).await
                }
                Some(MethodCallback::Subscription(_)) => this.subscribe(request).await,
                Some(MethodCallback::Sync(_) | MethodCallback::Unsubscription(_)) | None => {
                    MethodResponse::error(request.id, ErrorObject::from(RpcErrorCode::MethodNotFound))
                }
            }
        }
    }

    /// The pipeline takes batches apart before they get here.
    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(MethodResponse::error(Id::Null, ErrorObject::from(RpcErrorCode::InvalidRequest)))
    }

    /// The pipeline makes calls of notifications before they get here.
    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(MethodResponse::notification())
    }
}
