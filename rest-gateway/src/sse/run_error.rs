//! The error of a run that did not end well.

use serde::Deserialize;
use threadline_schema::error::Failure;
use threadline_schema::event::{Event, EventKind};
use threadline_schema::{ErrorCode, RpcError};

/// Returns the error of a terminal event; `None` for `run.completed`, `run.cancelled` and all other events.
pub(super) fn error_of_end(event: &Event) -> Option<RpcError> {
    match event.kind() {
        EventKind::RunFailed => {
            let failed: Result<FailedEvent, _> = serde_json::from_str(&event.json());
            Some(failed.map_or_else(
                |_| RpcError::new(ErrorCode::InternalError, "The run failed."),
                |failed| RpcError::new(failed.error.code, failed.error.message),
            ))
        }
        EventKind::RunInterrupted => Some(RpcError::new(
            ErrorCode::ServiceUnavailable,
            "The server stopped while it was answering. Please send the message again.",
        )),
        _ => None,
    }
}

/// Returns the error for events that stop without a terminal event.
pub(super) fn events_lost() -> RpcError {
    RpcError::new(ErrorCode::ServiceUnavailable, "The service cannot be reached right now. Please try again.")
}

#[derive(Deserialize)]
struct FailedEvent {
    error: Failure,
}
