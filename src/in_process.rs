//! The gateway's upstream when the core is in the same process: the same pipeline as over a socket, without the socket.

use futures::FutureExt;
use futures::future::BoxFuture;
use threadline_core::RpcServer;
use threadline_gateway::{Call, CallError, CallResult, Subscription, Upstream};
use threadline_schema::call::{Caller, ResponseMeta};

/// A core in this process.
pub(crate) struct InProcess(pub(crate) RpcServer);

impl Upstream for InProcess {
    fn admit(&self, caller: Caller) -> BoxFuture<'_, Result<ResponseMeta, CallError>> {
        async move {
            match self.0.admit(caller).await {
                (Ok(()), meta) => Ok(meta),
                (Err(error), meta) => Err(CallError { error, meta }),
            }
        }
        .boxed()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<CallResult, CallError>> {
        async move {
            let answer = self.0.call(call.method, &call.params, call.caller).await;
            let meta = answer.facts;
            match answer.result {
                Ok(result) => Ok(CallResult { result, meta }),
                Err(error) => Err(CallError { error, meta }),
            }
        }
        .boxed()
    }

    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Subscription, CallError>> {
        async move {
            let answer = self.0.subscribe(call.method, &call.params, call.caller).await;
            let meta = answer.facts;
            match answer.result {
                Ok(feed) => {
                    let start_cursor = feed.begins_after().map(|since| since.to_string());
                    Ok(Subscription { frames: Box::pin(feed.into_stream()), meta, start_cursor })
                }
                Err(error) => Err(CallError { error, meta }),
            }
        }
        .boxed()
    }
}
