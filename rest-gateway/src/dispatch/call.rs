//! Operations that make one call and respond with its result as JSON.

use super::errors::{invalid_result, translate};
use crate::response::{Response, ResponseResult};
use crate::response_data::{Envelope, ResponseFormat};
use crate::rule::Rule;
use crate::upstream::{Call, CallError, Upstream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::system::HealthStatus;

/// Makes the call, and responds with its result in the format of the row.
pub(super) async fn call(
    rule: &Rule,
    format: &ResponseFormat,
    path_id: &str,
    upstream: &dyn Upstream,
    call: Call,
) -> ResponseResult {
    let (method, request_id) = (call.method, call.caller.request_id.clone());
    let result = match (upstream.call(call).await, format.envelope) {
        (Ok(result), _) => result,
        (Err(error), Envelope::Standard | Envelope::Bare) => return Err(translate(rule, error).into()),
        (Err(error), Envelope::Health { .. }) => return Ok(unhealthy(error)),
    };
    let status = match format.envelope {
        Envelope::Standard | Envelope::Bare => Ok(rule.status),
        Envelope::Health { degraded_is_ok } => health_status(&result.result, degraded_is_ok),
    };
    match status.and_then(|status| Ok((status, format.body(&result.result, path_id)?))) {
        Ok((status, body)) => Ok(Response::json(status, body).with_meta(result.meta)),
        Err(error) => {
            let error = invalid_result(&request_id, method, error);
            Err(CallError { error, meta: result.meta }.into())
        }
    }
}

fn health_status(result: &RawValue, degraded_is_ok: bool) -> serde_json::Result<u16> {
    #[derive(Deserialize)]
    struct HealthView {
        status: HealthStatus,
    }
    let health: HealthView = serde_json::from_str(result.get())?;
    Ok(match health.status {
        HealthStatus::Healthy => 200,
        HealthStatus::Degraded if degraded_is_ok => 200,
        HealthStatus::Degraded | HealthStatus::Unhealthy => 503,
    })
}

/// Returns the response of a health check whose call has failed. It has the form of a health check, not of an error.
fn unhealthy(CallError { error, meta }: CallError) -> Response {
    #[derive(Serialize)]
    struct UnhealthyView<'a> {
        status: HealthStatus,
        detail: &'a str,
    }
    let view = UnhealthyView { status: HealthStatus::Unhealthy, detail: &error.message };
    let mut response = Response::json(503, serde_json::to_vec(&view).unwrap_or_default()).with_meta(meta);
    response.error = Some(error);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_decides_the_status() {
        for (status, lenient, strict) in [("healthy", 200, 200), ("degraded", 200, 503), ("unhealthy", 503, 503)] {
            let result = RawValue::from_string(format!(r#"{{"status":"{status}","components":{{}}}}"#)).unwrap();
            assert_eq!(health_status(&result, true).unwrap(), lenient);
            assert_eq!(health_status(&result, false).unwrap(), strict);
        }
    }
}
