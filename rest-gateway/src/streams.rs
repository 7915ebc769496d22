//! Rows that reply with events, of a run or of a thread.

use crate::answer::{Answer, Outcome};
use crate::calls::tell;
use crate::rule::{Rule, StartsRun};
use crate::sse::{Begun, begin, finished};
use crate::upstream::{Call, Frames, Opened, Refusal, Upstream};
use http::HeaderValue;
use serde_json::value::{RawValue, to_raw_value};
use threadline_schema::call::ResponseMeta;
use threadline_schema::rpc::MethodInfo;
use threadline_schema::runs::{Run, RunsSubscribeParams};
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// Starts a run, and streams it once it is known to say anything; with `json`, waits for the finished answer instead.
pub(crate) async fn start(
    rule: &Rule,
    follow: &MethodInfo,
    upstream: &dyn Upstream,
    call: Call,
    json: bool,
) -> Outcome {
    let Started { run_header, mut frames, facts } = begin_run(rule, follow, Run::run_id, false, upstream, call).await?;
    let answer = if json {
        match finished(&mut frames).await {
            Ok(body) => Answer::json(200, body),
            Err(error) => Answer::error(&error),
        }
    } else {
        match begin(&mut frames).await {
            Begun::Well(held) => Answer::events(held, frames),
            Begun::Failed(error) => Answer::error(&error),
        }
    };
    Ok(answer.with_facts(facts).with("x-run-id", run_header))
}

/// Starts a run, and streams it from its first event as ChatKit's own server does: what goes wrong later is an event.
/// Leaving the stream cancels the run.
pub(crate) async fn start_chatkit(
    rule: &Rule,
    follow: &MethodInfo,
    run_id: FindRun,
    upstream: &dyn Upstream,
    call: Call,
) -> Outcome {
    let Started { run_header, frames, facts } = begin_run(rule, follow, run_id, true, upstream, call).await?;
    Ok(Answer::chatkit_events(frames).with_facts(facts).with("x-run-id", run_header))
}

/// Finds the run that a result tells of.
type FindRun = fn(&RawValue) -> serde_json::Result<Uuid>;

/// A run that has begun, and its events.
struct Started {
    run_header: HeaderValue,
    frames: Frames,
    facts: ResponseMeta,
}

async fn begin_run(
    rule: &Rule,
    follow: &MethodInfo,
    run_id: FindRun,
    cancel_when_left: bool,
    upstream: &dyn Upstream,
    call: Call,
) -> Result<Started, Box<Answer>> {
    let (method, caller) = (call.method, call.caller.clone());
    let started = upstream.call(call).await;
    let started = started.map_err(|refusal| tell(rule, refusal))?;
    let internal = |error: serde_json::Error| {
        tracing::error!(request_id = %caller.request_id, method, %error, "a run cannot be read");
        RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be shown.")
    };
    let run_id = run_id(&started.result).map_err(internal)?;
    let params = RunsSubscribeParams { run_id, after: None, cancel_when_left };
    let params = to_raw_value(&params).map_err(internal)?;
    let run_header = run_header(run_id);
    let subscribed = upstream.subscribe(Call { method: follow.name, params, caller }).await;
    match subscribed {
        Ok(Opened { frames, facts, .. }) => Ok(Started { run_header, frames, facts: joined(started.facts, facts) }),
        Err(Refusal { error, facts }) => {
            let facts = joined(started.facts, facts);
            Err(Box::new(Answer::error(&error).with_facts(facts).with("x-run-id", run_header)))
        }
    }
}

/// Streams the events of a run that the path names.
pub(crate) async fn follow(rule: &Rule, named: &str, upstream: &dyn Upstream, call: Call) -> Outcome {
    let run_id: Uuid = named.parse().map_err(|_| RpcError::new(ErrorCode::InvalidRequest, "run_id must be a UUID."))?;
    let subscribed = upstream.subscribe(call).await;
    let Opened { frames, facts, .. } = subscribed.map_err(|refusal| tell(rule, refusal))?;
    Ok(Answer::events(Vec::new(), frames).with_facts(facts).with("x-run-id", run_header(run_id)))
}

/// Streams the events of a thread that the path names.
pub(crate) async fn follow_thread(rule: &Rule, upstream: &dyn Upstream, call: Call) -> Outcome {
    let subscribed = upstream.subscribe(call).await;
    let Opened { frames, facts, begins_after } = subscribed.map_err(|refusal| tell(rule, refusal))?;
    Ok(Answer::thread_events(frames, begins_after.as_deref()).with_facts(facts))
}

fn run_header(run_id: Uuid) -> HeaderValue {
    HeaderValue::from_str(&run_id.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// The facts of a request that took two calls.
fn joined(first: ResponseMeta, second: ResponseMeta) -> ResponseMeta {
    ResponseMeta {
        rate_limit: second.rate_limit.or(first.rate_limit),
        user_id: first.user_id.or(second.user_id),
        db_time: first.db_time + second.db_time,
        replayed: first.replayed || second.replayed,
    }
}
