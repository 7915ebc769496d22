//! `runs.*`

use crate::core::Core;
use crate::error::Error;
use crate::rpc::Feed;
use crate::rpc::OpenStreams;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
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
        let run = self.core.engine.run(call.user_id()?.into(), params.run_id.into()).await;
        run.map_err(Error::from)
    }

    async fn cancel(self: Arc<Self>, call: CallContext, params: RunRef) -> Result<Run, Error> {
        let run = self.core.engine.cancel(call.user_id()?.into(), params.run_id.into()).await;
        run.map_err(Error::from)
    }

    async fn subscribe(self: Arc<Self>, call: CallContext, params: RunsSubscribeParams) -> Result<Feed, Error> {
        let identity = call.identity()?;
        let RunsSubscribeParams { run_id, after, cancel_when_left } = params;
        let permit = self.streams.acquire(identity.user_id)?;
        let (engine, user_id) = (&self.core.engine, identity.user_id.into());
        let feed = engine.subscribe_run(user_id, run_id.into(), after, identity.remaining()).await;
        let mut feed = feed?;
        if cancel_when_left {
            engine.cancel_on_disconnect(user_id, &mut feed);
        }
        Ok(Feed::of_run(feed, permit))
    }
}
