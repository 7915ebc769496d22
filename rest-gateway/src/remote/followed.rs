//! What a subscription follows, and how it is asked for again.

use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;
use threadline_schema::event::{ends_thread, is_terminal};
use threadline_schema::rpc::{MethodInfo, RpcMethod};
use threadline_schema::runs::{After, RunsSubscribe, RunsSubscribeParams};
use threadline_schema::threads::{Since, ThreadsSubscribe, ThreadsSubscribeParams};
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// Silence after which the subscription to a run is made anew: asking again finds out whether the core still knows of it.
/// Longer than a model may keep silent, so a healthy stream rarely gets here.
const SILENT_RUN: Duration = Duration::from_secs(60);
/// The same for a thread, whose silence is its ordinary state, and asking again counts against its user's limit. That a
/// socket is dead is found out by its pings.
const SILENT_THREAD: Duration = Duration::from_secs(30 * 60);

/// What a subscription follows, with the params it was asked for with.
#[derive(Debug)]
pub(super) enum Followed {
    Run(MethodInfo, RunsSubscribeParams),
    Thread(MethodInfo, ThreadsSubscribeParams),
}

impl Followed {
    /// Reads the params of a subscription that the core has accepted. `begins_after` is the core's word on where its
    /// events begin: a thread may get and end a run before there was any event to come back with.
    pub(super) fn read(method: &MethodInfo, params: &RawValue, begins_after: Option<String>) -> Result<Self, RpcError> {
        if method.name == ThreadsSubscribe::NAME {
            let asked: ThreadsSubscribeParams = serde_json::from_str(params.get()).map_err(unreadable)?;
            return Ok(Self::Thread(*method, ThreadsSubscribeParams { after: begins_after.or(asked.after), ..asked }));
        }
        if method.name == RunsSubscribe::NAME {
            return Ok(Self::Run(*method, serde_json::from_str(params.get()).map_err(unreadable)?));
        }
        Err(RpcError::new(ErrorCode::InvalidRequest, "This method starts no stream."))
    }

    pub(super) fn method(&self) -> &MethodInfo {
        match self {
            Self::Run(method, _) | Self::Thread(method, _) => method,
        }
    }

    /// The run whose events these are, where it is one and the same.
    pub(super) fn run_id(&self) -> Option<Uuid> {
        match self {
            Self::Run(_, params) => Some(params.run_id),
            Self::Thread(..) => None,
        }
    }

    /// Silence after which the subscription is made anew.
    pub(super) fn silence(&self) -> Duration {
        match self {
            Self::Run(..) => SILENT_RUN,
            Self::Thread(..) => SILENT_THREAD,
        }
    }

    /// Whether an event of this type is the last.
    pub(super) fn ends_with(&self, kind: &str) -> bool {
        match self {
            Self::Run(..) => is_terminal(kind),
            Self::Thread(..) => ends_thread(kind),
        }
    }

    /// Notes that the reader has been given an event of this type.
    pub(super) fn has_given(&mut self, kind: &str) {
        if let Self::Thread(_, params) = self
            && kind == "thread.snapshot"
        {
            params.snapshot = false;
        }
    }

    /// The params that go on after an event, or begin as asked when there was none.
    pub(super) fn params(&self, last: Option<(Uuid, u64)>) -> serde_json::Result<Box<RawValue>> {
        match self {
            Self::Run(_, asked) => {
                let after = last.map(|(_, seq)| After::Seq(seq)).or_else(|| asked.after.clone());
                to_raw_value(&RunsSubscribeParams { after, ..*asked })
            }
            Self::Thread(_, ThreadsSubscribeParams { thread_id, after, snapshot }) => {
                let after =
                    last.map(|(run_id, seq)| Since::Event { run_id, seq }.to_string()).or_else(|| after.clone());
                to_raw_value(&ThreadsSubscribeParams { thread_id: *thread_id, after, snapshot: *snapshot })
            }
        }
    }
}

fn unreadable(error: serde_json::Error) -> RpcError {
    RpcError::new(ErrorCode::InvalidRequest, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read<M: RpcMethod>(params: &Value, begins_after: Option<&str>) -> Followed {
        let params = to_raw_value(params).unwrap();
        Followed::read(&MethodInfo::of::<M>(), &params, begins_after.map(Into::into)).unwrap()
    }

    fn asked(followed: &Followed, last: Option<(Uuid, u64)>) -> Value {
        serde_json::from_str(followed.params(last).unwrap().get()).unwrap()
    }

    #[test]
    fn a_run_goes_on_after_the_last_event() {
        let run = Uuid::now_v7();
        let followed = read::<RunsSubscribe>(&json!({"run_id": run, "after": "3"}), None);
        assert_eq!(asked(&followed, None), json!({"run_id": run, "after": "3"}));
        assert_eq!(asked(&followed, Some((run, 7))), json!({"run_id": run, "after": 7}));
        let held = read::<RunsSubscribe>(&json!({"run_id": run, "cancel_when_left": true}), None);
        assert_eq!(asked(&held, Some((run, 7))), json!({"run_id": run, "after": 7, "cancel_when_left": true}));
        assert!(followed.ends_with("run.failed") && !followed.ends_with("thread.deleted"));
    }

    #[test]
    fn a_thread_goes_on_where_the_core_began_and_is_shown_once() {
        let (thread, run) = (Uuid::now_v7(), Uuid::now_v7());
        let mut followed = read::<ThreadsSubscribe>(&json!({"thread_id": thread, "snapshot": true}), Some("a:1"));
        assert_eq!(asked(&followed, None), json!({"thread_id": thread, "after": "a:1", "snapshot": true}));
        followed.has_given("thread.snapshot");
        let on = json!({"thread_id": thread, "after": format!("{run}:7"), "snapshot": false});
        assert_eq!(asked(&followed, Some((run, 7))), on);
        assert!(!followed.ends_with("run.failed") && followed.ends_with("thread.deleted"));
    }
}
