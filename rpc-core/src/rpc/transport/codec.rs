//! JSON-RPC messages around the pipeline, for HTTP and WebSocket alike: requests, notifications, batches, responses.

use super::batch::BatchEntries;
use super::envelope::{Id, Request};
use super::response::{self, MAX_RESPONSE_BYTES, error_object, not_a_request};
use crate::rpc::call::{Call, CallKind, Connection};
use crate::rpc::pipeline::Pipeline;
use crate::rpc::reply::{Reply, Response};
use jsonrpsee::types::ErrorObject;
use serde_json::value::RawValue;
use threadline_schema::ErrorCode;
use tower::Service;

/// Answers one request. HTTP and WebSocket differ in how they answer a subscription.
pub(super) trait Responder: Sync {
    fn pipeline(&self) -> &Pipeline;

    /// Maximum number of entries of one batch.
    fn max_batch_entries(&self) -> usize;

    /// Who has sent the message.
    fn connection(&self) -> &Connection;

    /// Makes the call of a request. Returns the response; what it returns for a notification is not sent.
    fn respond<'a>(&'a self, request: Request<'a>, kind: CallKind) -> impl Future<Output = String> + Send + 'a;
}

/// Answers a message: a request, a notification or a batch. `None` if it is not to be answered.
pub(super) async fn respond_to_message(responder: &impl Responder, message: &[u8]) -> Option<String> {
    let Ok(json) = serde_json::from_slice::<&RawValue>(message) else {
        return Some(response::failure(Id::NULL, &response::not_json()));
    };
    if json.get().starts_with('[') {
        return match BatchEntries::read(json.get(), responder.max_batch_entries()) {
            Ok(BatchEntries(entries)) => respond_to_batch(responder, &entries).await,
            Err(error) => Some(response::failure(Id::NULL, &counted(responder, error).await)),
        };
    }
    respond_to_entry(responder, Request::parse(json.get()), CallKind::Single).await
}

/// Returns the error of a batch that is refused as a whole, after it was counted like a call; or the error that it is
/// one too many.
async fn counted(responder: &impl Responder, error: ErrorObject<'static>) -> ErrorObject<'static> {
    let call = responder.connection().call("", None::<&str>, CallKind::Batched);
    match responder.pipeline().admit(call).await {
        Err(refused) if refused.error.code == ErrorCode::RateLimited => response::call_error_object(&refused),
        _ => error,
    }
}

/// Answers the entries of a batch one after the other.
async fn respond_to_batch(responder: &impl Responder, entries: &[&RawValue]) -> Option<String> {
    if entries.is_empty() {
        return Some(response::failure(Id::NULL, &counted(responder, not_a_request()).await));
    }
    let entries: Vec<_> = entries.iter().map(|entry| Request::parse(entry.get())).collect();
    let params_bytes = entries.iter().flatten().map(Request::params_bytes).sum();
    if let Err(error) = responder.pipeline().check_params_size(params_bytes) {
        let error = counted(responder, error_object(error.public())).await;
        return Some(response::failure(Id::NULL, &error));
    }
    let mut responses = String::new();
    for entry in entries {
        // What could not be answered is not carried out.
        let is_full = responses.len() > MAX_RESPONSE_BYTES;
        let id = entry.as_ref().ok().and_then(|request| request.id);
        let answer = match id {
            Some(id) if is_full => Some(response::failure(id, &response::too_large())),
            _ => respond_to_entry(responder, entry, CallKind::Batched).await,
        };
        if let Some(answer) = answer {
            responses.push(if responses.is_empty() { '[' } else { ',' });
            responses.push_str(&answer);
        }
    }
    // A batch of notifications has no response.
    (!responses.is_empty()).then(|| responses + "]")
}

async fn respond_to_entry<'a>(
    responder: &'a impl Responder,
    entry: Result<Request<'a>, Id<'a>>,
    kind: CallKind,
) -> Option<String> {
    match entry {
        Ok(request) if request.id.is_some() => Some(responder.respond(request, kind).await),
        Ok(notification) => {
            responder.respond(notification, CallKind::Batched).await;
            None
        }
        Err(id) => Some(response::failure(id, &not_a_request())),
    }
}

/// Makes a call and writes its response.
pub(super) async fn respond_to_call(pipeline: &Pipeline, id: Id<'_>, call: Call<'_>) -> String {
    match pipeline.clone().call(call).await {
        Ok(Response { result: Reply::Result(result), meta, wants_meta }) => {
            let result = if wants_meta { response::insert_meta(result, &meta) } else { result };
            response::success(id, &result)
        }
        Ok(Response { result: Reply::Feed(_), .. }) => {
            // The pipeline refuses subscriptions where no feed can be sent, and the WebSocket answers its own.
            tracing::error!("a subscription was dispatched as a command");
            response::failure(id, &response::internal_error())
        }
        Err(error) => response::failure(id, &response::call_error_object(&error)),
    }
}
