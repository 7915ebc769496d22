//! Rows that make one call and reply with its result.

use crate::answer::{Answer, Outcome};
use crate::reply::{Form, ReplyInfo};
use crate::rule::Rule;
use crate::upstream::{Call, Refusal, Upstream};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use threadline_schema::auth::AuthMe;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::rpc::{Kind, MethodInfo, RpcMethod};
use threadline_schema::system::HealthStatus;
use threadline_schema::{ErrorCode, RpcError};

/// Makes the call and puts its result into the row's shape.
pub(crate) async fn call(rule: &Rule, reply: &ReplyInfo, named: &str, upstream: &dyn Upstream, call: Call) -> Outcome {
    let (method, request_id) = (call.method, call.caller.request_id.clone());
    let answered = upstream.call(call).await;
    let answer = match (answered, reply.form) {
        (Ok(answer), _) => answer,
        (Err(refusal), Form::Envelope | Form::Bare) => return Err(tell(rule, refusal).into()),
        (Err(refusal), Form::Health { .. }) => return Ok(unhealthy(refusal)),
    };
    let body = reply.body(&answer.result, named);
    let status = match reply.form {
        Form::Envelope | Form::Bare => Ok(rule.status),
        Form::Health { tolerant } => health_status(&answer.result, tolerant),
    };
    match (status, body) {
        (Ok(status), Ok(body)) => Ok(Answer::json(status, body).with_facts(answer.facts)),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%request_id, method, %error, "a result does not have its method's shape");
            let told = RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be shown.");
            Err(Refusal { error: told, facts: answer.facts }.into())
        }
    }
}

/// Answers a request without a token to a row that needs one. The core refuses it whatever the params, and counts it
/// against the address; so nothing of the request is read for somebody who may not make it.
pub(crate) async fn unauthenticated(method: &MethodInfo, upstream: &dyn Upstream, caller: Caller) -> Outcome {
    let params = to_raw_value(&serde_json::Map::new()).map_err(|_| refused())?;
    let call = Call { method: method.name, params, caller };
    let refusal = match method.kind {
        Kind::Command => upstream.call(call).await.err(),
        Kind::Subscription { .. } => upstream.subscribe(call).await.err(),
    };
    Err(refusal.map_or_else(|| refused().into(), Into::into))
}

/// What somebody is told whose request cannot be read: first whether the token is good, which the core says while it
/// counts the request, and only then what is wrong.
pub(crate) async fn misread(error: RpcError, upstream: &dyn Upstream, caller: Caller) -> Refusal {
    let Ok(params) = to_raw_value(&serde_json::Map::new()) else {
        return Refusal { error, facts: ResponseMeta::default() };
    };
    match upstream.call(Call { method: AuthMe::NAME, params, caller }).await {
        Ok(answer) => Refusal { error, facts: answer.facts },
        Err(refusal) => refusal,
    }
}

/// An error in REST's words.
pub(crate) fn tell(rule: &Rule, mut refusal: Refusal) -> Refusal {
    if refusal.error.code == ErrorCode::ThreadNotFound && rule.speaks_of_sessions() {
        refusal.error.code = ErrorCode::SessionNotFound;
        ErrorCode::SessionNotFound.meaning().trim().clone_into(&mut refusal.error.message);
    }
    refusal
}

fn refused() -> RpcError {
    RpcError::new(ErrorCode::Unauthorized, "Send a token as Authorization: Bearer.")
}

fn health_status(result: &RawValue, tolerant: bool) -> serde_json::Result<u16> {
    #[derive(Deserialize)]
    struct View {
        status: HealthStatus,
    }
    let view: View = serde_json::from_str(result.get())?;
    Ok(match view.status {
        HealthStatus::Healthy => 200,
        HealthStatus::Degraded if tolerant => 200,
        HealthStatus::Degraded | HealthStatus::Unhealthy => 503,
    })
}

/// The form of `/health` when nobody is there to say more.
fn unhealthy(refusal: Refusal) -> Answer {
    #[derive(Serialize)]
    struct Told<'a> {
        status: HealthStatus,
        detail: &'a str,
    }
    let told = Told { status: HealthStatus::Unhealthy, detail: &refusal.error.message };
    let mut answer = Answer::json(503, serde_json::to_vec(&told).unwrap_or_default()).with_facts(refusal.facts);
    answer.error = Some(refusal.error);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;
    use threadline_schema::call::ResponseMeta;

    #[test]
    fn a_missing_thread_is_a_missing_session_where_the_path_says_session() {
        let told = |path: &str| {
            let rule = RULES.iter().find(|rule| rule.path == path).unwrap();
            let error = RpcError::new(ErrorCode::ThreadNotFound, "No such thread.");
            tell(rule, Refusal { error, facts: ResponseMeta::default() }).error
        };
        let error = told("/api/v1/chatkit/sessions/{session_id}");
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::SessionNotFound, "No such session."));
        assert_eq!(told("/api/v1/chatkit/runs/{run_id}").code, ErrorCode::ThreadNotFound);
    }

    #[test]
    fn health_decides_the_status() {
        for (status, tolerant, strict) in [("healthy", 200, 200), ("degraded", 200, 503), ("unhealthy", 503, 503)] {
            let result = RawValue::from_string(format!(r#"{{"status":"{status}","components":{{}}}}"#)).unwrap();
            assert_eq!(health_status(&result, true).unwrap(), tolerant);
            assert_eq!(health_status(&result, false).unwrap(), strict);
        }
    }
}
