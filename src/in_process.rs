//! The gateway's upstream in the same process: the pipeline of the core, without a socket.

use futures::FutureExt;
use futures::future::BoxFuture;
use threadline_core::{CallError, RpcServer};
use threadline_gateway::{Answer, Call, Opened, Refusal, Upstream};

/// A core in this process.
pub(crate) struct InProcess(pub(crate) RpcServer);

impl Upstream for InProcess {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Refusal>> {
        async move {
            let response = self.0.call(call.method, &call.params, call.caller).await.map_err(refusal)?;
            Ok(Answer { result: response.result, facts: response.meta })
        }
        .boxed()
    }

    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Opened, Refusal>> {
        async move {
            let response = self.0.subscribe(call.method, &call.params, call.caller).await.map_err(refusal)?;
            let begins_after = response.result.begins_after().map(|since| since.to_string());
            Ok(Opened { frames: Box::pin(response.result.into_stream()), facts: response.meta, begins_after })
        }
        .boxed()
    }
}

fn refusal(error: CallError) -> Refusal {
    Refusal { error: error.error, facts: error.meta }
}
