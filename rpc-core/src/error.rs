//! Errors of a call: the public part that the caller sees, and the cause that only the log sees.
//!
//! The public part is a row of the error table with a sentence that says what to change. The cause is logged once,
//! with its own causes, where the error is consumed: at the end of a call or of a run. Store errors become rows here
//! and nowhere else.

use crate::store::{Cause, Conflict, Entity, Limit, StoreError};
use std::fmt;
use threadline_engine::EngineError;
use threadline_schema::error::Chain;
use threadline_schema::{ErrorCode, RpcError};
use threadline_tools::ActionError;

/// A failed call.
#[derive(Debug)]
pub struct Error {
    public: RpcError,
    cause: Option<Cause>,
}

impl Error {
    /// An error whose public text says everything.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { public: RpcError::new(code, message), cause: None }
    }

    /// A request of the wrong shape, or with a value outside its range.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// No token, or a bad one.
    pub fn unauthorized() -> Self {
        Self::new(
            ErrorCode::Unauthorized,
            "A valid bearer token is required. Log in and send it as `Authorization: Bearer <token>`.",
        )
    }

    /// The service is stopping.
    pub fn stopping() -> Self {
        Self::unavailable("The service is restarting. Please try again in a moment.")
    }

    /// A fault of this service. The caller gets only the request id, to ask about it.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(ErrorCode::InternalError, "Something went wrong on the server. Please try again.").because(cause)
    }

    /// A dependency of this service does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        // Long enough for a database to fail over, short enough for a person to wait.
        const RETRY_AFTER_SECONDS: u64 = 2;
        RpcError::new(ErrorCode::ServiceUnavailable, message).with("retry_after", RETRY_AFTER_SECONDS).into()
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The part that the caller sees.
    pub fn public(&self) -> &RpcError {
        &self.public
    }

    /// The public part, and the text for the log if there is a cause.
    pub fn into_parts(self) -> (RpcError, Option<String>) {
        let causes = self.causes();
        (self.public, causes)
    }

    fn causes(&self) -> Option<String> {
        self.cause.as_ref().map(|cause| Chain(&**cause).to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.public, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

impl From<ActionError> for Error {
    fn from(error: ActionError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::ShuttingDown => Self::stopping(),
            EngineError::InvalidCursor(message) => Self::invalid(message),
            EngineError::EventsUnreadable => {
                Self::unavailable("The events cannot be read right now. Ask again from the last event you have.")
            }
            EngineError::StillEnding => Self::unavailable("The run is still ending. Please ask again in a moment."),
            EngineError::Json(_) | EngineError::Internal(_) => Self::internal(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(entity) => not_found(entity),
            StoreError::CursorNotFound(entity) => cursor_not_found(entity),
            StoreError::Forbidden(entity) => {
                Self::new(ErrorCode::Forbidden, format!("This {entity} belongs to another user."))
            }
            StoreError::Busy => Self::new(
                ErrorCode::ThreadBusy,
                "The thread is still answering. Wait for the run to end, or cancel it first.",
            ),
            // The callers that know the number say it.
            StoreError::LimitReached(Limit::Threads) => {
                Self::new(ErrorCode::SessionLimit, "Maximum number of sessions reached. Please delete an old session.")
            }
            StoreError::LimitReached(Limit::AttachmentBytes) => Self::new(
                ErrorCode::PayloadTooLarge,
                "Your attachments have reached their limit in all. Delete a session that has some.",
            ),
            StoreError::LimitReached(Limit::DailyBudget) => {
                Self::new(ErrorCode::BudgetExceeded, "Your budget for today is used up.")
            }
            StoreError::LimitReached(Limit::SharedBudget) => {
                Self::new(ErrorCode::BudgetExceeded, "The service has used up its budget for today.")
            }
            StoreError::EmailTaken => Self::new(ErrorCode::EmailTaken, "An account with this email exists already."),
            StoreError::InvitationInvalid => Self::new(
                ErrorCode::InvitationRequired,
                "This invitation is unknown, used up, expired, or for another email address. Ask for a new one.",
            ),
            StoreError::Closed { locked, reason } => {
                let (is, when) = if locked { ("locked", "at the moment") } else { ("closed", "any more") };
                let why = reason.map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default();
                Self::new(ErrorCode::Conflict, format!("This thread is {is}{why}. It takes no messages {when}."))
            }
            StoreError::Conflict(conflict) => conflict.into(),
            StoreError::Unavailable(_) if error.is_disk_full() => Self::unavailable(
                "The disk of the database is full, so nothing new can be stored until its operator frees space. What was \
                 stored before is kept, and can be read.",
            )
            .because(error),
            StoreError::Unavailable(_) => {
                Self::unavailable("The database cannot be reached right now. Please try again in a moment.")
                    .because(error)
            }
            StoreError::Corrupt(_)
            | StoreError::Schema(_)
            | StoreError::Migration(_)
            | StoreError::Config(_)
            | StoreError::Query(_) => Self::internal(error),
        }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::AttachmentUploaded => Self::new(ErrorCode::Conflict, "The attachment is uploaded already."),
            Conflict::UploadSuperseded => {
                Self::new(ErrorCode::Conflict, "Another upload of this attachment has begun. Begin anew.")
            }
            Conflict::AttachmentUsed => {
                Self::new(ErrorCode::Conflict, "The attachment belongs to a message, or is gone.")
            }
            Conflict::NameTaken => Self::new(ErrorCode::Conflict, "Another service key has this name. Choose another."),
            Conflict::BeingErased => {
                Self::new(ErrorCode::Conflict, "This account is being erased, so it cannot be enabled.")
            }
            Conflict::NotAMessage => {
                Self::invalid("`item_id` must name a message of the user: only that can be answered again.")
            }
            Conflict::AnsweredAlready => Self::new(ErrorCode::Conflict, "This has been answered already."),
            Conflict::KeyReused => {
                Self::new(ErrorCode::Conflict, "This idempotency key was used for another request. Use a new one.")
            }
            Conflict::RunSuperseded => {
                Self::new(ErrorCode::Conflict, "The run has ended, or another process has taken it over.")
            }
        }
    }
}

fn not_found(entity: Entity) -> Error {
    match entity {
        // The token was valid, and the account has been deleted since.
        Entity::User => Error::unauthorized(),
        Entity::Thread => Error::new(ErrorCode::ThreadNotFound, "There is no such thread."),
        Entity::Item => Error::new(ErrorCode::ItemNotFound, "There is no such item in this thread."),
        Entity::Run => Error::new(ErrorCode::RunNotFound, "There is no such run."),
        Entity::Task => Error::new(ErrorCode::TaskNotFound, "There is no such task."),
        Entity::Attachment => Error::new(ErrorCode::AttachmentNotFound, "There is no such attachment."),
        Entity::Invitation => Error::new(ErrorCode::NotFound, "There is no such invitation."),
        Entity::ServiceKey => Error::new(ErrorCode::NotFound, "There is no such service key."),
    }
}

fn cursor_not_found(entity: Entity) -> Error {
    match entity {
        Entity::Thread => Error::invalid("`after` names no session of yours."),
        Entity::Item => Error::new(ErrorCode::ItemNotFound, "`after` names no item of this thread."),
        Entity::Task => Error::new(ErrorCode::TaskNotFound, "`after` names no task of yours."),
        Entity::User | Entity::Run | Entity::Attachment | Entity::Invitation | Entity::ServiceKey => {
            Error::invalid(format!("`after` names no {entity}."))
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<RpcError> for Error {
    fn from(public: RpcError) -> Self {
        Self { public, cause: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_for_the_log_only() {
        let error = Error::from(StoreError::unavailable("connection refused"));
        assert_eq!(error.public().code, ErrorCode::ServiceUnavailable);
        assert!(!error.to_string().contains("refused"), "{error}");
        let (_, log) = error.into_parts();
        assert_eq!(log.as_deref(), Some("database unavailable: connection refused"));
    }
}
