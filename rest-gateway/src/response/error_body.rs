//! The JSON body of error responses: `{"success":false,"error":{...}}`.

use crate::docs::path_of;
use serde::Serialize;
use threadline_schema::chatkit::StreamErrorCode;
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::{ErrorCode, RpcError};

#[derive(Serialize)]
struct ErrorBody<'a> {
    /// ChatKit's `error` event. ChatKit's front ends read its members.
    #[serde(flatten)]
    event: Option<ThreadStreamEvent>,
    success: bool,
    error: ErrorView<'a>,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<&'a str>,
    /// Where the code is explained.
    docs: String,
}

/// Returns the body of an error.
pub(super) fn error_body(error: &RpcError) -> Vec<u8> {
    to_json(error, None)
}

/// Returns the body of an error with the members of ChatKit's `error` event.
pub(super) fn chatkit_error_body(error: &RpcError) -> Vec<u8> {
    let is_temporary = error.code.http_status() >= 500 || error.retry_after().is_some();
    let event = ThreadStreamEvent::Error {
        code: StreamErrorCode::Custom,
        message: Some(error.message.clone()),
        allow_retry: is_temporary || error.code == ErrorCode::ThreadBusy,
    };
    to_json(error, Some(event))
}

fn to_json(error: &RpcError, event: Option<ThreadStreamEvent>) -> Vec<u8> {
    let (code, docs) = (error.code.name(), path_of(error.code));
    let (retry_after, resets_at) = (error.retry_after(), error.resets_at());
    let view = ErrorView { code, message: &error.message, retry_after, resets_at, docs };
    // Strings and numbers can always be serialized. If not, the status still tells the client about the error.
    serde_json::to_vec(&ErrorBody { event, success: false, error: view }).unwrap_or_default()
}
