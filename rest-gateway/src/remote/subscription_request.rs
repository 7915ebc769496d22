//! The request of a subscription, and how to repeat it from a later cursor.

use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;
use threadline_schema::event::EventKind;
use threadline_schema::ids::RunId;
use threadline_schema::rpc::{MethodInfo, RpcMethod};
use threadline_schema::runs::{After, RunsSubscribe, RunsSubscribeParams};
use threadline_schema::threads::{EventCursor, ThreadsSubscribe, ThreadsSubscribeParams};
use threadline_schema::{ErrorCode, RpcError};

/// Time without events after which the subscription to a run is renewed, to find out whether the core still has the
/// run. Longer than a model may be silent, so it is rare for a healthy stream.
const RUN_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a thread. A thread is usually silent, and a renewal counts against the user's rate limit. A broken
/// socket is detected by its pings.
const THREAD_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// A subscription: its method and the params of its first request.
#[derive(Debug)]
pub(super) enum SubscriptionRequest {
    Run(MethodInfo, RunsSubscribeParams),
    Thread(MethodInfo, ThreadsSubscribeParams),
}

impl SubscriptionRequest {
    /// Parses a request that the core has accepted. `start_cursor` is where the events of a thread start. Without it, a
    /// run that starts and ends while the socket is broken would be missed: there is no event yet to resume from.
    pub(super) fn parse(
        method: &MethodInfo,
        params: &RawValue,
        start_cursor: Option<String>,
    ) -> Result<Self, RpcError> {
        if method.name == ThreadsSubscribe::NAME {
            let params: ThreadsSubscribeParams = serde_json::from_str(params.get()).map_err(invalid)?;
            return Ok(Self::Thread(
                *method,
                ThreadsSubscribeParams { after: start_cursor.or(params.after), ..params },
            ));
        }
        if method.name == RunsSubscribe::NAME {
            return Ok(Self::Run(*method, serde_json::from_str(params.get()).map_err(invalid)?));
        }
        Err(RpcError::new(ErrorCode::InvalidRequest, "This method starts no stream."))
    }

    pub(super) fn method(&self) -> &MethodInfo {
        match self {
            Self::Run(method, _) | Self::Thread(method, _) => method,
        }
    }

    /// Returns the run, if all events are of one run.
    pub(super) fn run_id(&self) -> Option<RunId> {
        match self {
            Self::Run(_, params) => Some(params.run_id),
            Self::Thread(..) => None,
        }
    }

    /// Returns the time without events after which the subscription is renewed.
    pub(super) fn idle_timeout(&self) -> Duration {
        match self {
            Self::Run(..) => RUN_IDLE_TIMEOUT,
            Self::Thread(..) => THREAD_IDLE_TIMEOUT,
        }
    }

    /// Returns whether an event of this kind is the last one.
    pub(super) fn ends_with(&self, kind: EventKind) -> bool {
        match self {
            Self::Run(..) => kind.is_terminal(),
            Self::Thread(..) => kind.ends_thread(),
        }
    }

    /// Records that an event of this kind was delivered: a snapshot is requested only once.
    pub(super) fn delivered(&mut self, kind: EventKind) {
        if let Self::Thread(_, params) = self
            && kind == EventKind::ThreadSnapshot
        {
            params.snapshot = false;
        }
    }

    /// Returns the params to resume after an event, or those of the first request if there was no event.
    pub(super) fn params_after(&self, last: Option<(RunId, u64)>) -> serde_json::Result<Box<RawValue>> {
        match self {
            Self::Run(_, params) => {
                let after = last.map(|(_, seq)| After::Seq(seq)).or_else(|| params.after.clone());
                to_raw_value(&RunsSubscribeParams { after, ..*params })
            }
            Self::Thread(_, ThreadsSubscribeParams { thread_id, after, snapshot }) => {
                let after =
                    last.map(|(run_id, seq)| EventCursor::Event { run_id, seq }.to_string()).or_else(|| after.clone());
                to_raw_value(&ThreadsSubscribeParams { thread_id: *thread_id, after, snapshot: *snapshot })
            }
        }
    }
}

fn invalid(error: serde_json::Error) -> RpcError {
    RpcError::new(ErrorCode::InvalidRequest, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use threadline_schema::ids::ThreadId;

    fn parse<M: RpcMethod>(params: &Value, start_cursor: Option<&str>) -> SubscriptionRequest {
        let params = to_raw_value(params).unwrap();
        SubscriptionRequest::parse(&MethodInfo::of::<M>(), &params, start_cursor.map(Into::into)).unwrap()
    }

    fn params_after(request: &SubscriptionRequest, last: Option<(RunId, u64)>) -> Value {
        serde_json::from_str(request.params_after(last).unwrap().get()).unwrap()
    }

    #[test]
    fn a_run_resumes_after_the_last_event() {
        let run = RunId::random();
        let request = parse::<RunsSubscribe>(&json!({"run_id": run, "after": "3"}), None);
        assert_eq!(params_after(&request, None), json!({"run_id": run, "after": "3"}));
        assert_eq!(params_after(&request, Some((run, 7))), json!({"run_id": run, "after": 7}));
        let cancelling = parse::<RunsSubscribe>(&json!({"run_id": run, "cancel_when_left": true}), None);
        assert_eq!(
            params_after(&cancelling, Some((run, 7))),
            json!({"run_id": run, "after": 7, "cancel_when_left": true})
        );
        assert!(request.ends_with(EventKind::RunFailed) && !request.ends_with(EventKind::ThreadDeleted));
    }

    #[test]
    fn a_thread_resumes_from_its_start_cursor_and_has_one_snapshot() {
        let (thread, run) = (ThreadId::random(), RunId::random());
        let mut request = parse::<ThreadsSubscribe>(&json!({"thread_id": thread, "snapshot": true}), Some("a:1"));
        assert_eq!(params_after(&request, None), json!({"thread_id": thread, "after": "a:1", "snapshot": true}));
        request.delivered(EventKind::ThreadSnapshot);
        let resumed = json!({"thread_id": thread, "after": format!("{run}:7"), "snapshot": false});
        assert_eq!(params_after(&request, Some((run, 7))), resumed);
        assert!(!request.ends_with(EventKind::RunFailed) && request.ends_with(EventKind::ThreadDeleted));
    }
}
