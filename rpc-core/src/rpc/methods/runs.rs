//! `runs.*`

use crate::error::Error;
use crate::rpc::Feed;
use crate::rpc::context::Cx;
use crate::rpc::registry::Registry;
use crate::runs;
use threadline_schema::runs::{Run, RunRef, RunsCancel, RunsGet, RunsSubscribe, RunsSubscribeParams};

pub(super) fn register(registry: &mut Registry) {
    registry
        .method::<RunsGet, _, _>(get)
        .method::<RunsCancel, _, _>(cancel)
        .subscription::<RunsSubscribe, _, _>(subscribe);
}

async fn get(cx: Cx, params: RunRef) -> Result<Run, Error> {
    runs::get(&cx.core, cx.user_id()?, params.run_id).await
}

async fn cancel(cx: Cx, params: RunRef) -> Result<Run, Error> {
    runs::cancel(&cx.core, cx.user_id()?, params.run_id).await
}

async fn subscribe(cx: Cx, params: RunsSubscribeParams) -> Result<Feed, Error> {
    let identity = cx.identity()?;
    let RunsSubscribeParams { run_id, after, cancel_when_left } = params;
    let place = cx.core.streams.take(identity.user_id)?;
    let mut feed = runs::subscribe(&cx.core, identity.user_id, run_id, after, identity.remaining()).await?;
    if cancel_when_left {
        runs::cancel_when_left(&cx.core, identity.user_id, &mut feed);
    }
    Ok(Feed::of_run(feed, place))
}
