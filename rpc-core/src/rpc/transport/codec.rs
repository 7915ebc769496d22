//! JSON-RPC messages around the pipeline, for HTTP and WebSocket alike: requests, notifications, batches, responses.

use super::envelope::{Id, Request};
use super::response::{self, MAX_RESPONSE_BYTES, error_object, not_a_request};
use crate::rpc::call::{Call, CallKind};
use crate::rpc::pipeline::Pipeline;
use crate::rpc::reply::{Reply, Response};
use serde_json::value::RawValue;
use tower::Service;

/// Answers one request. HTTP and WebSocket differ in how they answer a subscription.
pub(super) trait Responder: Sync {
    fn pipeline(&self) -> &Pipeline;

    /// Most entries of one batch.
    fn max_batch_entries(&self) -> usize;

    /// Makes the call of a request. Returns the response; what it returns for a notification is not sent.
    fn respond<'a>(&'a self, request: Request<'a>, kind: CallKind) -> impl Future<Output = String> + Send + 'a;
}

/// Answers a message: a request, a notification or a batch. `None` if it is not to be answered.
pub(super) async fn respond_to_message(responder: &impl Responder, message: &[u8]) -> Option<String> {
    let Ok(json) = serde_json::from_slice::<&RawValue>(message) else {
        return Some(response::failure(Id::NULL, &response::not_json()));
    };
    if json.get().starts_with('[') {
        return match serde_json::from_str::<Vec<&RawValue>>(json.get()) {
            Ok(entries) => respond_to_batch(responder, &entries).await,
            Err(_) => Some(response::failure(Id::NULL, &not_a_request())),
        };
    }
    respond_to_entry(responder, Request::parse(json.get()), CallKind::Single).await
}

/// Answers the entries of a batch one after the other.
async fn respond_to_batch(responder: &impl Responder, entries: &[&RawValue]) -> Option<String> {
    let limit = responder.max_batch_entries();
    let refuse = |error| Some(response::failure(Id::NULL, &error));
    if entries.is_empty() {
        return refuse(not_a_request());
    }
    if entries.len() > limit {
        let message = format!("A batch has at most {limit} calls; this one has {}. Send it in parts.", entries.len());
        return refuse(response::invalid_request(message));
    }
    let entries: Vec<_> = entries.iter().map(|entry| Request::parse(entry.get())).collect();
    let params_bytes = entries.iter().flatten().map(Request::params_bytes).sum();
    if let Err(error) = responder.pipeline().check_params_size(params_bytes) {
        return refuse(error_object(error.public()));
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
