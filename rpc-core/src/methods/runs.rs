//! `runs.*`

use crate::error::Error;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::rpc::{Feed, OpenStreams};
use std::sync::Arc;
use threadline_engine::Engine;
use threadline_schema::runs::{Run, RunRef, RunsCancel, RunsGet, RunsSubscribe, RunsSubscribeParams};

/// Handlers of `runs.*`.
pub(crate) struct RunMethods {
    pub(crate) engine: Engine,
    pub(crate) streams: Arc<OpenStreams>,
}

impl RunMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(RunsGet, Self::get)
            .command(RunsCancel, Self::cancel)
            .subscription(RunsSubscribe, Self::subscribe);
    }

    async fn get(self: Arc<Self>, call: CallContext, params: RunRef) -> Result<Run, Error> {
        Ok(self.engine.run(call.user_id()?, params.run_id).await?)
    }

    async fn cancel(self: Arc<Self>, call: CallContext, params: RunRef) -> Result<Run, Error> {
        Ok(self.engine.cancel(call.user_id()?, params.run_id).await?)
    }

    async fn subscribe(self: Arc<Self>, call: CallContext, params: RunsSubscribeParams) -> Result<Feed, Error> {
        let identity = call.identity()?;
        let RunsSubscribeParams { run_id, after, cancel_when_left } = params;
        let permit = self.streams.acquire(identity.clone()).await?;
        let (engine, user_id) = (&self.engine, identity.user_id);
        let mut feed = engine.subscribe_run(user_id, run_id, after, identity.remaining()).await?;
        if cancel_when_left {
            engine.cancel_on_disconnect(user_id, &mut feed);
        }
        Ok(Feed::of_run(feed, permit))
    }
}
