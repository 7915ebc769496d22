//! Errors of the WebSocket client -> errors of calls.

use super::meta::take_error_meta;
use crate::upstream::CallError;
use jsonrpsee::core::client::Error as ClientError;
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{ErrorCode as JsonRpcCode, TOO_MANY_SUBSCRIPTIONS_CODE};
use threadline_schema::call::Caller;
use threadline_schema::{ErrorCode, RpcError};

/// Returns the error for a core that cannot be reached.
pub(super) fn unavailable() -> CallError {
    RpcError::new(ErrorCode::ServiceUnavailable, "The service cannot be reached right now. Please try again.").into()
}

/// Returns the error of a failed call. Errors of the connection are logged here, because their cause does not go to the
/// caller.
pub(super) fn call_error(error: ClientError, method: &str, caller: &Caller) -> CallError {
    let error = match error {
        ClientError::Call(object) => return core_error(&object),
        other => other,
    };
    tracing::warn!(request_id = %caller.request_id, method, %error, "call of the core failed");
    match error {
        ClientError::RequestTimeout => {
            RpcError::new(ErrorCode::ServiceUnavailable, "The service did not answer in time. Please try again.").into()
        }
        ClientError::ParseError(_) | ClientError::InvalidRequestId(_) | ClientError::InvalidSubscriptionId => {
            RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be read.").into()
        }
        _ => unavailable(),
    }
}

/// Returns the error that the core has sent.
fn core_error(object: &ErrorObjectOwned) -> CallError {
    let data = object.data().and_then(|data| serde_json::from_str(data.get()).ok());
    let has_name = data.as_ref().and_then(|data: &serde_json::Value| data.get("code")).is_some();
    // Errors of the core have a name in `data`. Without one, it is an error of jsonrpsee, whose numbers for "too busy"
    // are used for other errors in our table.
    if !has_name && [JsonRpcCode::ServerIsBusy.code(), TOO_MANY_SUBSCRIPTIONS_CODE].contains(&object.code()) {
        return unavailable();
    }
    take_error_meta(object.code(), object.message(), data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_of_jsonrpsee_are_not_taken_for_errors_of_the_core() {
        let object = |code: i32, data: Option<serde_json::Value>| ErrorObjectOwned::owned(code, "m", data);
        let busy = core_error(&object(-32009, None));
        assert_eq!(busy.error.code, ErrorCode::ServiceUnavailable);
        let thread_busy = core_error(&object(-32009, Some(json!({"code": "THREAD_BUSY"}))));
        assert_eq!(thread_busy.error.code, ErrorCode::ThreadBusy);
        let limited = json!({"code": "RATE_LIMITED", "retry_after": 3, "_meta": {"rate": [30, 0, 60], "db_us": 5}});
        let limited = core_error(&object(-32029, Some(limited)));
        assert_eq!(limited.error, RpcError::new(ErrorCode::RateLimited, "m").with("retry_after", 3));
        assert_eq!(limited.meta.rate_limit.unwrap().limit, 30);
    }
}
