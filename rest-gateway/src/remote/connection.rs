//! Calls and subscriptions over the sockets of the pool.

use super::address::Socket;
use super::error::{call_error, unavailable};
use super::meta::{add_caller, take_meta};
use super::pool::Pool;
use super::{RemoteConfig, RemoteError};
use crate::upstream::{Call, CallError, CallResult};
use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::core::traits::ToRpcParams;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;
use threadline_runtime::Supervisor;
use threadline_schema::call::Caller;
use threadline_schema::rpc::{Kind, MethodInfo};
use threadline_schema::{ErrorCode, RpcError};

/// Bytes of a request in addition to its params: version, id and method.
const ENVELOPE_BYTES: usize = 256;

/// The connection to the core, over several sockets.
#[derive(Debug)]
pub(super) struct Connection {
    pool: Pool,
    pub(super) config: RemoteConfig,
}

impl Connection {
    pub(super) fn open(config: RemoteConfig, supervisor: &Supervisor) -> Result<Self, RemoteError> {
        Ok(Self { pool: Pool::open(&config, supervisor)?, config })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.pool.pick().is_some()
    }

    /// Calls a method.
    pub(super) async fn call(&self, call: &Call) -> Result<CallResult, CallError> {
        let (socket, params) = self.socket_for(&call.params, &call.caller)?;
        let result: Result<Box<RawValue>, _> = socket.client.request(call.method, params).await;
        let result = result.map_err(|error| call_error(error, call.method, &call.caller))?;
        take_meta(result).map_err(|error| {
            let (request_id, method) = (&call.caller.request_id, call.method);
            tracing::error!(%request_id, method, %error, "result could not be parsed");
            RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be read.").into()
        })
    }

    /// Starts a subscription.
    pub(super) async fn subscribe<N: DeserializeOwned>(
        &self,
        method: &MethodInfo,
        caller: &Caller,
        params: &RawValue,
    ) -> Result<Subscription<N>, CallError> {
        let Kind::Subscription { unsubscribe, .. } = method.kind else { return Err(unavailable()) };
        let (socket, params) = self.socket_for(params, caller)?;
        let subscribed = socket.client.subscribe(method.name, params, unsubscribe).await;
        subscribed.map_err(|error| call_error(error, method.name, caller))
    }

    /// Adds the caller to params. Returns the socket on which they can be sent.
    ///
    /// # Errors
    /// PAYLOAD_TOO_LARGE if the core would not accept them: it would close the socket, which many users share.
    /// SERVICE_UNAVAILABLE if no socket is open.
    fn socket_for(&self, params: &RawValue, caller: &Caller) -> Result<(Arc<Socket>, RawParams), CallError> {
        let params = add_caller(params, caller)
            .map_err(|_| RpcError::new(ErrorCode::InvalidRequest, "The params must be a JSON object."))?;
        let bytes = params.get().len() + ENVELOPE_BYTES;
        if bytes > self.config.request_bytes {
            let message = format!("A request to the service may have {} bytes at most.", self.config.request_bytes);
            return Err(RpcError::new(ErrorCode::PayloadTooLarge, message).into());
        }
        let socket = self.pool.pick().ok_or_else(unavailable)?;
        if socket.message_bytes.is_some_and(|limit| bytes > limit) {
            let message = "The request is larger than the service takes.";
            return Err(RpcError::new(ErrorCode::PayloadTooLarge, message).into());
        }
        Ok((socket, RawParams(params)))
    }
}

/// Params that are JSON text already.
struct RawParams(Box<RawValue>);

impl ToRpcParams for RawParams {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}
