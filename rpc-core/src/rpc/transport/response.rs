//! JSON-RPC responses and errors, as text.

use super::envelope::Id;
use crate::rpc::reply::CallError;
use jsonrpsee::types::ErrorObject;
use jsonrpsee::types::error::INVALID_REQUEST_CODE;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use threadline_schema::call::{META, ResponseMeta};
use threadline_schema::{ErrorCode, RpcError};

/// Largest response, in bytes: a page of a thousand long items fits several times.
pub(super) const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Returns the response to a call that succeeded. One that is too large becomes an error: the call is answered all the
/// same.
pub(super) fn success(id: Id<'_>, result: &RawValue) -> String {
    if result.get().len() > MAX_RESPONSE_BYTES {
        return failure(id, &too_large());
    }
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, id.json(), result.get())
}

/// Returns the response to a call that failed.
pub(super) fn failure(id: Id<'_>, error: &ErrorObject<'_>) -> String {
    // An error is a number, a text and a JSON value: it can be written.
    let error = serde_json::to_string(error).unwrap_or_else(|_| r#"{"code":-32603,"message":"Internal error"}"#.into());
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.json())
}

/// Returns an error of the table as a JSON-RPC error object.
pub(super) fn error_object(error: &RpcError) -> ErrorObject<'static> {
    error_object_with(error, error.data())
}

/// Returns the error object of a failed call, with the response metadata if the caller asked for it.
pub(super) fn call_error_object(error: &CallError) -> ErrorObject<'static> {
    let mut data = error.error.data();
    if error.wants_meta
        && let Some(members) = data.as_object_mut()
    {
        members.insert(META.to_owned(), meta_json(&error.meta));
    }
    error_object_with(&error.error, data)
}

fn error_object_with(error: &RpcError, data: Value) -> ErrorObject<'static> {
    ErrorObject::owned(error.code.rpc_code(), error.message.clone(), Some(data))
}

/// The error for what is not JSON.
pub(super) fn not_json() -> ErrorObject<'static> {
    error_object(&RpcError::new(ErrorCode::InvalidJson, "This is not valid JSON in UTF-8."))
}

/// The error for JSON that is not a JSON-RPC request.
pub(super) fn not_a_request() -> ErrorObject<'static> {
    invalid_request(
        r#"This is not a JSON-RPC 2.0 request: it needs "jsonrpc": "2.0", "method" and, to be answered, an "id" that is a string, a number or null, each of them once. "params" is an object."#,
    )
}

/// JSON-RPC's "Invalid Request", for an invalid envelope. Invalid params have another number and the same name.
pub(super) fn invalid_request(message: impl Into<String>) -> ErrorObject<'static> {
    let error = RpcError::new(ErrorCode::InvalidRequest, message);
    ErrorObject::owned(INVALID_REQUEST_CODE, error.message.clone(), Some(error.data()))
}

/// The error in place of a response, or a batch of them, that is larger than [`MAX_RESPONSE_BYTES`].
pub(super) fn too_large() -> ErrorObject<'static> {
    let message = format!("The response would have more than {MAX_RESPONSE_BYTES} bytes. Ask for less at a time.");
    error_object(&RpcError::new(ErrorCode::PayloadTooLarge, message))
}

/// A fault of this service.
pub(super) fn internal_error() -> ErrorObject<'static> {
    error_object(&RpcError::new(ErrorCode::InternalError, "Something went wrong on the server. Please try again."))
}

/// Returns the response metadata as it is sent in `_meta`.
pub(super) fn meta_json(meta: &ResponseMeta) -> Value {
    json!({
        "rate": meta.rate_limit.map(|rate| (u64::from(rate.limit), u64::from(rate.remaining), rate.reset)),
        "user_id": meta.user_id,
        "db_us": u64::try_from(meta.db_time.as_micros()).unwrap_or(u64::MAX),
        "replayed": meta.replayed,
    })
}

/// Inserts the response metadata into a result as its first member, where the gateway reads it without a full parse.
pub(super) fn insert_meta(result: Box<RawValue>, meta: &ResponseMeta) -> Box<RawValue> {
    let Some(rest) = result.get().strip_prefix('{') else { return result };
    let comma = if rest.starts_with('}') { "" } else { "," };
    let meta = meta_json(meta);
    RawValue::from_string(format!(r#"{{"{META}":{meta}{comma}{rest}"#)).unwrap_or(result)
}
