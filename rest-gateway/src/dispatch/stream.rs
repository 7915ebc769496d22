//! Operations that respond with events, of a run or of a thread.

use super::errors::{invalid_result, translate};
use crate::http::{last_event_id, prefers_json};
use crate::response::{ErrorResponse, Response, ResponseResult};
use crate::rule::{Rule, StartsRun};
use crate::sse::{NoAnswer, SseSource, await_first_output, buffered_response};
use crate::upstream::{Call, CallError, FrameStream, Subscription, Upstream};
use http::{HeaderMap, HeaderValue};
use serde_json::value::{RawValue, to_raw_value};
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::ids::RunId;
use threadline_schema::rpc::MethodInfo;
use threadline_schema::runs::{After, Run, RunsSubscribeParams};
use threadline_schema::threads::EventCursor;
use threadline_schema::{ErrorCode, RpcError};

/// How a client wants the answer of a run.
pub(super) enum AnswerAs<'a> {
    /// The whole message, when the run has ended.
    Json,
    /// Its events, after the one with this cursor if the client has events of the run already.
    Events(Option<&'a str>),
}

impl<'a> AnswerAs<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        if prefers_json(headers) { Self::Json } else { Self::Events(last_event_id(headers)) }
    }
}

/// Starts a run, and streams it from its first output on, or responds with the whole message.
pub(super) async fn started_run(
    rule: &Rule,
    subscribe: &MethodInfo,
    upstream: &dyn Upstream,
    call: Call,
    answer: AnswerAs<'_>,
) -> ResponseResult {
    let last_event_id = if let AnswerAs::Events(last_event_id) = answer { last_event_id } else { None };
    let caller = call.caller.clone();
    let run = start_run(rule, subscribe, Run::run_id, false, upstream, call, last_event_id).await?;
    let StartedRun { id_header, goes_on, mut frames, meta } = run;
    let answered = match answer {
        AnswerAs::Json => buffered_response(&mut frames).await.map(|body| Response::json(200, body)),
        // The client has the beginning, and so the status.
        AnswerAs::Events(_) if goes_on => Ok(Response::events(SseSource::run(Vec::new(), frames))),
        AnswerAs::Events(_) => {
            await_first_output(&mut frames).await.map(|buffered| Response::events(SseSource::run(buffered, frames)))
        }
    };
    let response = match answered {
        Ok(response) => response,
        Err(reason) => Response::error(&error_of(reason, upstream, caller).await),
    };
    Ok(response.with_meta(meta).with_header("x-run-id", id_header))
}

/// Returns the error for a run without an answer. The events stop also when the caller's token expires or is withdrawn:
/// that is no fault of the service.
async fn error_of(reason: NoAnswer, upstream: &dyn Upstream, caller: Caller) -> RpcError {
    if let NoAnswer::EventsLost = reason
        && let Err(CallError { error, .. }) = upstream.admit(caller).await
        && error.code == ErrorCode::Unauthorized
    {
        return error;
    }
    reason.into()
}

/// Starts a run, and streams it from its first event on, as ChatKit's own server does: later errors are events. The run
/// is cancelled when the client disconnects.
pub(super) async fn chatkit_run(
    rule: &Rule,
    subscribe: &MethodInfo,
    run_id: ReadRunId,
    upstream: &dyn Upstream,
    call: Call,
    last_event_id: Option<&str>,
) -> ResponseResult {
    let run = start_run(rule, subscribe, run_id, true, upstream, call, last_event_id).await?;
    let StartedRun { id_header, frames, meta, .. } = run;
    Ok(Response::events(SseSource::chatkit(frames)).with_meta(meta).with_header("x-run-id", id_header))
}

/// Streams the run that the path names.
pub(super) async fn run(rule: &Rule, path_id: &str, upstream: &dyn Upstream, call: Call) -> ResponseResult {
    let invalid_id = |_| RpcError::new(ErrorCode::InvalidRequest, "run_id must be a UUID.");
    let run_id: RunId = path_id.parse().map_err(invalid_id)?;
    let subscribed = upstream.subscribe(call).await;
    let Subscription { frames, meta, .. } = subscribed.map_err(|error| translate(rule, error))?;
    let response = Response::events(SseSource::run(Vec::new(), frames));
    Ok(response.with_meta(meta).with_header("x-run-id", id_header(run_id)))
}

/// Streams the thread that the path names.
pub(super) async fn thread(rule: &Rule, upstream: &dyn Upstream, call: Call) -> ResponseResult {
    let subscribed = upstream.subscribe(call).await;
    let Subscription { frames, meta, start_cursor } = subscribed.map_err(|error| translate(rule, error))?;
    Ok(Response::events(SseSource::thread(start_cursor.as_deref(), frames)).with_meta(meta))
}

/// Reads the id of a run from the result of the method that has started it.
type ReadRunId = fn(&RawValue) -> serde_json::Result<RunId>;

/// A run that was started, and the subscription to it.
struct StartedRun {
    id_header: HeaderValue,
    /// Whether the events begin after one that the client has.
    goes_on: bool,
    frames: FrameStream,
    meta: ResponseMeta,
}

/// Starts a run and subscribes to it. A client that sends its request again, and gets the run that it has started
/// before, gets the events after the last one that it has.
async fn start_run(
    rule: &Rule,
    subscribe: &MethodInfo,
    run_id: ReadRunId,
    cancel_when_left: bool,
    upstream: &dyn Upstream,
    call: Call,
    last_event_id: Option<&str>,
) -> Result<StartedRun, ErrorResponse> {
    let (method, caller) = (call.method, call.caller.clone());
    let started = upstream.call(call).await.map_err(|error| translate(rule, error))?;
    let invalid_result = |error| invalid_result(&caller.request_id, method, error);
    let run_id = run_id(&started.result).map_err(invalid_result)?;
    let cursor = last_event_id.filter(|_| started.meta.replayed);
    let after = cursor.map(|cursor| (EventCursor::run_of(cursor), After::Cursor(cursor.to_owned())));
    // A cursor of another run says nothing about this one. One of this run is refused if it has no such event.
    let after = after.filter(|(run, after)| *run == Some(run_id) || after.seq_of(run_id).is_some());
    let after = after.map(|(_, after)| after);
    let goes_on = after.is_some();
    let params = RunsSubscribeParams { run_id, after, cancel_when_left };
    let params = to_raw_value(&params).map_err(invalid_result)?;
    let id_header = id_header(run_id);
    match upstream.subscribe(Call { method: subscribe.name, params, caller }).await {
        Ok(Subscription { frames, meta, .. }) => {
            Ok(StartedRun { id_header, goes_on, frames, meta: merge_meta(started.meta, meta) })
        }
        Err(CallError { error, meta }) => {
            // The run exists, so the client gets its id to follow it later.
            let response = Response::error(&error).with_meta(merge_meta(started.meta, meta));
            Err(response.with_header("x-run-id", id_header).into())
        }
    }
}

fn id_header(run_id: RunId) -> HeaderValue {
    HeaderValue::from_str(&run_id.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// Returns the response metadata of a request that took two calls.
fn merge_meta(first: ResponseMeta, second: ResponseMeta) -> ResponseMeta {
    ResponseMeta {
        rate_limit: second.rate_limit.or(first.rate_limit),
        user_id: first.user_id.or(second.user_id),
        db_time: first.db_time + second.db_time,
        replayed: first.replayed || second.replayed,
    }
}
