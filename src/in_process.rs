//! The gateway's upstream when the core is in the same process: the same pipeline as over a socket, without the socket.

use futures::FutureExt;
use futures::future::BoxFuture;
use threadline_core::RpcServer;
use threadline_gateway::{Answer, Call, Opened, Refusal, Upstream};

/// A core in this process.
pub(crate) struct InProcess(pub(crate) RpcServer);

impl Upstream for InProcess {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Refusal>> {
        async move {
            let answer = self.0.call(call.method, &call.params, call.caller).await;
            let facts = answer.facts;
            match answer.result {
                Ok(result) => Ok(Answer { result, facts }),
                Err(error) => Err(Refusal { error, facts }),
            }
        }
        .boxed()
    }

    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Opened, Refusal>> {
        async move {
            let answer = self.0.subscribe(call.method, &call.params, call.caller).await;
            let facts = answer.facts;
            match answer.result {
                Ok(feed) => {
                    let begins_after = feed.begins_after().map(|since| since.to_string());
                    Ok(Opened { frames: Box::pin(feed.into_stream()), facts, begins_after })
                }
                Err(error) => Err(Refusal { error, facts }),
            }
        }
        .boxed()
    }
}
