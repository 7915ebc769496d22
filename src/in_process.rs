//! The gateway's upstream when the core is in the same process: the same pipeline as over a socket, without the socket.

use futures::FutureExt;
use futures::future::BoxFuture;
use threadline_core::RpcServer;
use threadline_gateway::{Call, CallError, CallResult, Subscription, Upstream};
use threadline_schema::RpcError;
use threadline_schema::call::{Caller, ResponseMeta};

/// A core in this process.
pub(crate) struct InProcess(pub(crate) RpcServer);

impl Upstream for InProcess {
    fn admit(&self, caller: Caller) -> BoxFuture<'_, Result<ResponseMeta, CallError>> {
        async move { self.0.admit(caller).await.map_err(call_error) }.boxed()
    }

    fn check_token(&self, caller: Caller) -> BoxFuture<'_, Result<(), RpcError>> {
        async move { self.0.check_token(&caller).await }.boxed()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<CallResult, CallError>> {
        async move {
            let response = self.0.call(call.method, &call.params, call.caller).await.map_err(call_error)?;
            Ok(CallResult { result: response.result, meta: response.meta })
        }
        .boxed()
    }

    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Subscription, CallError>> {
        async move {
            let response = self.0.subscribe(call.method, &call.params, call.caller).await.map_err(call_error)?;
            let start_cursor = response.result.begins_after().map(|since| since.to_string());
            Ok(Subscription { frames: Box::pin(response.result.into_stream()), meta: response.meta, start_cursor })
        }
        .boxed()
    }
}

fn call_error(error: threadline_core::CallError) -> CallError {
    CallError { error: error.error, meta: error.meta }
}
