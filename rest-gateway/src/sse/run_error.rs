//! The errors of a run that gave no answer.

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
                |failed| of_failure(failed.error),
            ))
        }
        EventKind::RunInterrupted => Some(RpcError::new(
            ErrorCode::ServiceUnavailable,
            "The server stopped while it was answering. Please send the message again.",
        )),
        _ => None,
    }
}

/// Returns the error of a failed run. Its event does not have the time at which a budget begins anew.
fn of_failure(Failure { code, message }: Failure) -> RpcError {
    let error = RpcError::new(code, message);
    #[expect(clippy::disallowed_methods, reason = "it only tells the client how long to wait")]
    let now = chrono::Utc::now();
    if code == ErrorCode::BudgetExceeded { error.until_tomorrow(now) } else { error }
}

/// Why there is no answer of a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The run did not end well.
    #[error("{0}")]
    RunFailed(RpcError),
    /// The events stopped before the end of the run: the core is gone, or the caller's token is not accepted any more.
    #[error("The service cannot be reached right now. Please try again.")]
    EventsLost,
}

impl From<NoAnswer> for RpcError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::RunFailed(error) => error,
            NoAnswer::EventsLost => Self::new(ErrorCode::ServiceUnavailable, reason.to_string()),
        }
    }
}

#[derive(Deserialize)]
struct FailedEvent {
    error: Failure,
}
