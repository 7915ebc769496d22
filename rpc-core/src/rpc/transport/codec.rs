//! Bytes of an HTTP body -> JSON-RPC calls.
//!
//! jsonrpsee reads them in the same way for a WebSocket. Here the errors of reading carry `data` like all others.

use crate::rpc::pipeline::{error_object, not_a_call};
use jsonrpsee::Extensions;
use jsonrpsee::core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, Request, RpcServiceT};
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::{Id, InvalidRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use threadline_schema::{ErrorCode, RpcError};

/// Makes the calls that a body holds.
pub(super) async fn dispatch<S>(service: &S, body: &[u8], extensions: &Extensions) -> MethodResponse
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        >,
{
    let Ok(json) = serde_json::from_slice::<&RawValue>(body) else {
        let error = RpcError::new(ErrorCode::InvalidJson, "The body is not valid JSON in UTF-8.");
        return MethodResponse::error(Id::Null, error_object(&error));
    };
    if json.get().starts_with('[') {
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(json.get()) else {
            return MethodResponse::error(Id::Null, not_a_call());
        };
        let entries = entries.into_iter().map(|entry| match read(entry.get(), extensions) {
            Ok(Entry::Call(request)) => Ok(BatchEntry::Call(request)),
            Ok(Entry::Notification(notification)) => Ok(BatchEntry::Notification(notification)),
            Err(id) => Err(BatchEntryErr::new(id, not_a_call())),
        });
        return service.batch(Batch::from(entries.collect())).await;
    }
    match read(json.get(), extensions) {
        Ok(Entry::Call(request)) => service.call(request).await,
        Ok(Entry::Notification(notification)) => service.notification(notification).await,
        Err(id) => MethodResponse::error(id, not_a_call()),
    }
}

enum Entry<'a> {
    Call(Request<'a>),
    Notification(Notification<'a>),
}

/// Reads one entry, or else the id to which an error is told.
fn read<'a>(json: &'a str, extensions: &Extensions) -> Result<Entry<'a>, Id<'a>> {
    if let Ok(mut request) = serde_json::from_str::<Request<'a>>(json) {
        request.extensions = extensions.clone();
        return Ok(Entry::Call(request));
    }
    // With an id it was meant to be a call.
    if let Ok(invalid) = serde_json::from_str::<InvalidRequest<'a>>(json) {
        return Err(invalid.id);
    }
    // So it was with one that no id can be: done as a notification, the caller would wait for its answer for ever.
    let has_id = serde_json::from_str::<Ided<'_>>(json).is_ok_and(|ided| ided.id.is_some());
    match serde_json::from_str::<Notification<'a>>(json) {
        Ok(mut notification) if !has_id => {
            notification.extensions = extensions.clone();
            Ok(Entry::Notification(notification))
        }
        _ => Err(Id::Null),
    }
}

/// Anything with an `id`, whatever that is.
#[derive(Deserialize)]
struct Ided<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}
