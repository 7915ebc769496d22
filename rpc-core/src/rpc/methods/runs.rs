//! `runs.*`

use crate::core::Core;
use crate::error::Error;
use crate::rpc::Feed;
use crate::rpc::OpenStreams;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::runs;
use std::sync::Arc;
use threadline_schema::runs::{Run, RunRef, RunsCancel, RunsGet, RunsSubscribe, RunsSubscribeParams};

/// Handlers of `runs.*`.
pub(super) struct RunMethods {
    pub(super) core: Arc<Core>,
    pub(super) streams: Arc<OpenStreams>,
}

impl RunMethods {
    pub(super) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(RunsGet, Self::get)
            .command(RunsCancel, Self::cancel)
            .subscription(RunsSubscribe, Self::subscribe);
    }

    async fn get(self: Arc<Self>, call: CallContext, params: RunRef) -> Result<Run, Error> {
        runs::get(&self.core, call.user_id()?, params.run_id).await
    }

    async fn cancel(self: Arc<Self>, call: CallContext, params: RunRef) -> Result<Run, Error> {
        runs::cancel(&self.core, call.user_id()?, params.run_id).await
    }

    async fn subscribe(self: Arc<Self>, call: CallContext, params: RunsSubscribeParams) -> Result<Feed, Error> {
        let identity = call.identity()?;
        let RunsSubscribeParams { run_id, after, cancel_when_left } = params;
        let permit = self.streams.acquire(identity.user_id)?;
        let mut feed = runs::subscribe(&self.core, identity.user_id, run_id, after, identity.remaining()).await?;
        if cancel_when_left {
            runs::cancel_when_left(&self.core, identity.user_id, &mut feed);
        }
        Ok(Feed::of_run(feed, permit))
    }
}
