//! JSON-RPC envelopes around the pipeline, for HTTP and WebSocket alike: requests, notifications, batches, responses.

use crate::rpc::call::{Call, CallKind};
use crate::rpc::pipeline::Pipeline;
use crate::rpc::reply::{CallError, Reply, Response};
use jsonrpsee::core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, Request};
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse, ResponsePayload};
use jsonrpsee::types::error::INVALID_REQUEST_CODE;
use jsonrpsee::types::{ErrorCode as JsonRpcErrorCode, ErrorObject, Id, InvalidRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use threadline_schema::call::{META, ResponseMeta};
use threadline_schema::{ErrorCode, RpcError};
use tower::Service;

/// Largest response, in bytes: a page of a thousand long items fits several times.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Answers one request. HTTP and WebSocket differ in how they answer a subscription.
pub(super) trait Responder: Sync {
    fn pipeline(&self) -> &Pipeline;

    /// Most entries of one batch.
    fn max_batch_entries(&self) -> usize;

    fn respond<'a>(&'a self, request: Request<'a>, kind: CallKind) -> impl Future<Output = MethodResponse> + Send + 'a;
}

/// Answers an HTTP body: a request, a notification or a batch. jsonrpsee reads the messages of a WebSocket.
pub(super) async fn respond_to_body(responder: &impl Responder, body: &[u8]) -> MethodResponse {
    let Ok(json) = serde_json::from_slice::<&RawValue>(body) else {
        let error = RpcError::new(ErrorCode::InvalidJson, "The body is not valid JSON in UTF-8.");
        return MethodResponse::error(Id::Null, error_object(&error));
    };
    if json.get().starts_with('[') {
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(json.get()) else {
            return MethodResponse::error(Id::Null, not_a_request());
        };
        let entries = entries
            .into_iter()
            .map(|entry| parse_entry(entry.get()).map_err(|id| BatchEntryErr::new(id, not_a_request())));
        return respond_to_batch(responder, Batch::from(entries.collect())).await;
    }
    match parse_entry(json.get()) {
        Ok(BatchEntry::Call(request)) => responder.respond(request, CallKind::Single).await,
        Ok(BatchEntry::Notification(notification)) => respond_to_notification(responder, notification).await,
        Err(id) => MethodResponse::error(id, not_a_request()),
    }
}

/// Answers the entries of a batch one after the other.
pub(super) async fn respond_to_batch(responder: &impl Responder, batch: Batch<'_>) -> MethodResponse {
    let limit = responder.max_batch_entries();
    if batch.len() > limit {
        let message = format!("A batch has at most {limit} calls; this one has {}. Send it in parts.", batch.len());
        return MethodResponse::error(Id::Null, invalid_request(message));
    }
    let params_bytes = batch.iter().flatten().map(|entry| match entry {
        BatchEntry::Call(request) => params_bytes(request.params.as_deref()),
        BatchEntry::Notification(notification) => params_bytes(notification.params.as_deref()),
    });
    if let Err(error) = responder.pipeline().check_params_size(params_bytes.sum()) {
        return MethodResponse::error(Id::Null, error_object(error.public()));
    }
    let mut responses = BatchResponseBuilder::new_with_limit(MAX_RESPONSE_BYTES);
    let mut only_notifications = !batch.is_empty();
    for entry in batch {
        let response = match entry {
            Ok(BatchEntry::Call(request)) => responder.respond(request, CallKind::Batched).await,
            Ok(BatchEntry::Notification(notification)) => {
                respond_to_notification(responder, notification).await;
                continue;
            }
            Err(invalid) => {
                let (_, id) = invalid.into_parts();
                MethodResponse::error(id, not_a_request())
            }
        };
        only_notifications = false;
        if let Err(too_large) = responses.append(response) {
            return too_large;
        }
    }
    match (only_notifications, responses.is_empty()) {
        (true, _) => MethodResponse::notification(),
        (false, true) => MethodResponse::error(Id::Null, not_a_request()),
        (false, false) => MethodResponse::from_batch(responses.finish()),
    }
}

/// Makes the call of a notification and drops the response.
pub(super) async fn respond_to_notification(
    responder: &impl Responder,
    notification: Notification<'_>,
) -> MethodResponse {
    let Notification { method, params, extensions, .. } = notification;
    let mut request = Request::owned(method.into_owned(), params.map(Cow::into_owned), Id::Null);
    request.extensions = extensions;
    responder.respond(request, CallKind::Batched).await;
    MethodResponse::notification()
}

/// Makes a call and writes its response.
pub(super) async fn respond_to_call(pipeline: &Pipeline, id: Id<'_>, call: Call<'_>) -> MethodResponse {
    match pipeline.clone().call(call).await {
        Ok(Response { result: Reply::Result(result), meta, wants_meta }) => {
            let result = if wants_meta { insert_meta(result, &meta) } else { result };
            MethodResponse::response(id, ResponsePayload::success_borrowed(&result), MAX_RESPONSE_BYTES)
        }
        Ok(Response { result: Reply::Feed(_), .. }) => {
            // The pipeline refuses subscriptions where no feed can be sent, and the WebSocket answers its own.
            tracing::error!("a subscription was dispatched as a command");
            MethodResponse::error(id, JsonRpcErrorCode::InternalError)
        }
        Err(error) => MethodResponse::error(id, call_error_object(&error)),
    }
}

/// Returns the params of a request as the pipeline takes them.
pub(super) fn params_text(params: Option<Cow<'_, RawValue>>) -> Option<Cow<'_, str>> {
    params.map(|params| match params {
        Cow::Borrowed(params) => Cow::Borrowed(params.get()),
        Cow::Owned(params) => Cow::Owned(Box::<str>::from(params).into_string()),
    })
}

fn params_bytes(params: Option<&RawValue>) -> usize {
    params.map_or(0, |params| params.get().len())
}

/// Parses a request or a notification. The error is the id that the error response must have.
fn parse_entry(json: &str) -> Result<BatchEntry<'_>, Id<'_>> {
    if let Ok(request) = serde_json::from_str::<Request<'_>>(json) {
        return Ok(BatchEntry::Call(request));
    }
    // With a valid id it was meant as a request.
    if let Ok(invalid) = serde_json::from_str::<InvalidRequest<'_>>(json) {
        return Err(invalid.id);
    }
    // So it was with an invalid id. As a notification it would have no response, for which the caller would wait.
    let has_id = serde_json::from_str::<MaybeId<'_>>(json).is_ok_and(|entry| entry.id.is_some());
    match serde_json::from_str::<Notification<'_>>(json) {
        Ok(notification) if !has_id => Ok(BatchEntry::Notification(notification)),
        _ => Err(Id::Null),
    }
}

/// Any object, with or without an `id` of any type.
#[derive(Deserialize)]
struct MaybeId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
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

/// The error for JSON that is not a JSON-RPC request.
fn not_a_request() -> ErrorObject<'static> {
    invalid_request(
        r#"This is no JSON-RPC 2.0 request: it needs "jsonrpc": "2.0", "method" and, to be answered, an "id" that is a string, a whole number from 0, or null."#,
    )
}

/// JSON-RPC's "Invalid Request", for an invalid envelope. Invalid params have another number and the same name.
fn invalid_request(message: impl Into<String>) -> ErrorObject<'static> {
    let error = RpcError::new(ErrorCode::InvalidRequest, message);
    ErrorObject::owned(INVALID_REQUEST_CODE, error.message.clone(), Some(error.data()))
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
fn insert_meta(result: Box<RawValue>, meta: &ResponseMeta) -> Box<RawValue> {
    let Some(rest) = result.get().strip_prefix('{') else { return result };
    let comma = if rest.starts_with('}') { "" } else { "," };
    let meta = meta_json(meta);
    RawValue::from_string(format!(r#"{{"{META}":{meta}{comma}{rest}"#)).unwrap_or(result)
}
