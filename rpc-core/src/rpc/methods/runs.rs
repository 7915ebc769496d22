//! `runs.*`

use crate::error::Error;
use crate::rpc::Feed;
use crate::rpc::context::Cx;
use crate::rpc::registry::Registry;
use threadline_schema::runs::{Run, RunRef, RunsCancel, RunsGet, RunsSubscribe, RunsSubscribeParams};

pub(super) fn register(registry: &mut Registry) {
    registry
        .method::<RunsGet, _, _>(get)
        .method::<RunsCancel, _, _>(cancel)
        .subscription::<RunsSubscribe, _, _>(subscribe);
}

async fn get(cx: Cx, params: RunRef) -> Result<Run, Error> {
    cx.core.engine.run(cx.user_id()?.into(), params.run_id.into()).await.map_err(Error::of_engine_run)
}

async fn cancel(cx: Cx, params: RunRef) -> Result<Run, Error> {
    cx.core.engine.cancel(cx.user_id()?.into(), params.run_id.into()).await.map_err(Error::of_engine_run)
}

async fn subscribe(cx: Cx, params: RunsSubscribeParams) -> Result<Feed, Error> {
    let identity = cx.identity()?;
    let RunsSubscribeParams { run_id, after, cancel_when_left } = params;
    let place = cx.core.streams.take(identity.user_id)?;
    let user_id = identity.user_id.into();
    let feed = cx.core.engine.subscribe_run(user_id, run_id.into(), after, identity.remaining()).await;
    let mut feed = feed.map_err(Error::of_engine_run)?;
    if cancel_when_left {
        cx.core.engine.cancel_on_disconnect(user_id, &mut feed);
    }
    Ok(Feed::of_run(feed, place))
}
