//! Calls from the same process: the same pipeline, without a socket or an envelope.

use super::RpcServer;
use crate::error::Error;
use crate::rpc::call::{CallKind, Connection, Transport};
use crate::rpc::feed::Feed;
use crate::rpc::reply::{CallError, Reply, Response};
use async_recursion::async_recursion as boxed;
use serde_json::value::RawValue;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::{ErrorCode, RpcError};
use tower::Service;

impl RpcServer {
    /// Calls a command.
    ///
    /// # Errors
    /// Those of the method, and `INVALID_REQUEST` if the method is a subscription.
    #[boxed]
    pub async fn call(
        &self,
        method: &str,
        params: &RawValue,
        caller: Caller,
    ) -> Result<Response<Box<RawValue>>, CallError> {
        let Response { result, meta, wants_meta } = self.pass(method, params, caller).await?;
        match result {
            Reply::Result(result) => Ok(Response { result, meta, wants_meta }),
            Reply::Feed(_) => Err(wrong_kind("This method starts a stream.", meta)),
        }
    }

    /// Calls a subscription.
    ///
    /// # Errors
    /// Those of the method, and `INVALID_REQUEST` if the method is a command.
    #[boxed]
    pub async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        caller: Caller,
    ) -> Result<Response<Feed>, CallError> {
        let Response { result, meta, wants_meta } = self.pass(method, params, caller).await?;
        match result {
            Reply::Feed(result) => Ok(Response { result, meta, wants_meta }),
            Reply::Result(_) => Err(wrong_kind("This method starts no stream.", meta)),
        }
    }

    /// Authenticates a caller and counts one request against its rate limit, as a call of a user's method does, without
    /// calling a method. For a request that a gateway refuses before it knows the call.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, `RATE_LIMITED`, or `SERVICE_UNAVAILABLE` if the database cannot be reached.
    #[boxed]
    pub async fn admit(&self, caller: Caller) -> Result<ResponseMeta, CallError> {
        self.inner.parts.pipeline.admit(in_process(caller).call("", None::<&str>, CallKind::Single)).await
    }

    /// Checks the caller's token, without counting a request.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, `SERVICE_UNAVAILABLE` if the database or the identity provider is needed and does not answer,
    /// `RATE_LIMITED` if the client has tried many keys that are not known.
    #[boxed]
    pub async fn check_token(&self, caller: &Caller) -> Result<(), RpcError> {
        let is_token = match caller.token.as_deref() {
            Some(token) => self.inner.parts.pipeline.is_token(token, caller.ip).await,
            None => Ok(false),
        };
        match is_token {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::unauthorized().public().clone()),
            Err(error) => Err(error.public().clone()),
        }
    }

    async fn pass(&self, method: &str, params: &RawValue, caller: Caller) -> Result<Response<Reply>, CallError> {
        let call = in_process(caller).call(method, Some(params.get()), CallKind::Single);
        self.inner.parts.pipeline.clone().call(call).await
    }
}

fn in_process(caller: Caller) -> Connection {
    Connection::of(caller, Transport::InProcess)
}

fn wrong_kind(message: &str, meta: ResponseMeta) -> CallError {
    CallError { error: RpcError::new(ErrorCode::InvalidRequest, message), meta, wants_meta: false }
}
