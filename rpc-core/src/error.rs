//! What goes wrong inside, and what the caller is told of it.
//!
//! An [`Error`] has two texts. The public one is a row of the error table with a sentence that says what to change;
//! the other is for the log, and is written once, where the error is consumed: at the end of a call, or of a run.
//! Store errors become rows here and nowhere else.

use crate::store::{Conflict, StoreError};
use threadline_engine::EngineError;
use threadline_schema::{ErrorCode, RpcError};
use threadline_tools::ActionError;

/// A failed call.
#[derive(Debug)]
pub struct Error {
    public: RpcError,
    log: Option<String>,
}

impl Error {
    /// An error whose public text says it all.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { public: RpcError::new(code, message), log: None }
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

    /// The service is on its way down.
    pub fn stopping() -> Self {
        Self::unavailable("The service is restarting. Please try again in a moment.", None)
    }

    /// A fault of ours. The caller learns nothing of it but the request id it can ask about.
    pub fn internal(log: impl std::fmt::Display) -> Self {
        Self {
            public: RpcError::new(ErrorCode::InternalError, "Something went wrong on the server. Please try again."),
            log: Some(log.to_string()),
        }
    }

    /// Something this service depends on is away.
    pub fn unavailable(message: impl Into<String>, log: Option<String>) -> Self {
        // Long enough for a database to fail over, short enough for a person to wait.
        const RETRY_AFTER_SECONDS: u64 = 2;
        Self {
            public: RpcError::new(ErrorCode::ServiceUnavailable, message).with("retry_after", RETRY_AFTER_SECONDS),
            log,
        }
    }

    /// Adds a text for the log.
    #[must_use]
    pub fn because(mut self, log: impl std::fmt::Display) -> Self {
        self.log = Some(log.to_string());
        self
    }

    /// What the caller is told.
    pub fn public(&self) -> &RpcError {
        &self.public
    }

    /// What the log is told: the other text, or the public one where there is no other.
    pub(crate) fn log_text(&self) -> String {
        self.log.clone().unwrap_or_else(|| self.public.to_string())
    }

    /// What the caller is told, and what the log is told.
    pub fn into_parts(self) -> (RpcError, Option<String>) {
        (self.public, self.log)
    }

    /// A store error in a call about a thread.
    pub fn of_thread(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(ErrorCode::ThreadNotFound, "There is no such thread."),
            StoreError::Forbidden => Self::new(ErrorCode::Forbidden, "This thread belongs to somebody else."),
            StoreError::Busy => Self::new(
                ErrorCode::ThreadBusy,
                "The thread is still answering. Wait for the run to end, or cancel it first.",
            ),
            StoreError::CursorNotFound => Self::new(ErrorCode::ItemNotFound, "`after` names no item of this thread."),
            StoreError::ItemNotFound => Self::new(ErrorCode::ItemNotFound, "There is no such item in this thread."),
            other => Self::of_store(other),
        }
    }

    /// A store error in a call about a run.
    pub fn of_run(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(ErrorCode::RunNotFound, "There is no such run."),
            StoreError::Forbidden => Self::new(ErrorCode::Forbidden, "This run belongs to somebody else."),
            other => Self::of_store(other),
        }
    }

    /// A store error in a call about a task.
    pub fn of_task(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(ErrorCode::TaskNotFound, "There is no such task."),
            StoreError::Forbidden => Self::new(ErrorCode::Forbidden, "This task belongs to somebody else."),
            StoreError::CursorNotFound => Self::new(ErrorCode::TaskNotFound, "`after` names no task of yours."),
            other => Self::of_store(other),
        }
    }

    /// A store error in a call about an attachment.
    pub fn of_attachment(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(ErrorCode::AttachmentNotFound, "There is no such attachment."),
            StoreError::Forbidden => Self::new(ErrorCode::Forbidden, "This attachment belongs to somebody else."),
            other => Self::of_store(other),
        }
    }

    fn of_store(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::AttachmentUploaded) => {
                Self::new(ErrorCode::Conflict, "The attachment is uploaded already.")
            }
            StoreError::Conflict(Conflict::UploadSuperseded) => {
                Self::new(ErrorCode::Conflict, "Another upload of this attachment has begun. Begin anew.")
            }
            StoreError::Conflict(Conflict::AttachmentUsed) => {
                Self::new(ErrorCode::Conflict, "The attachment belongs to a message, or is gone.")
            }
            StoreError::Closed { locked, reason } => {
                let (is, when) = if locked { ("locked", "at the moment") } else { ("closed", "any more") };
                let why = reason.map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default();
                Self::new(ErrorCode::Conflict, format!("This thread is {is}{why}. It takes no messages {when}."))
            }
            StoreError::Conflict(Conflict::NotAMessage) => {
                Self::invalid("`item_id` must name a message of the user: only that can be answered again.")
            }
            StoreError::Conflict(Conflict::AnsweredAlready) => {
                Self::new(ErrorCode::Conflict, "This has been answered already.")
            }
            StoreError::Conflict(Conflict::KeyReused) => {
                Self::new(ErrorCode::Conflict, "This idempotency key was used for another request. Use a new one.")
            }
            StoreError::Conflict(Conflict::RunSuperseded) => {
                Self::new(ErrorCode::Conflict, "The run has ended, or goes on in another process.")
            }
            StoreError::Unavailable(_) => Self::unavailable(
                "The database cannot be reached right now. Please try again in a moment.",
                Some(error.to_string()),
            ),
            other => Self::internal(other),
        }
    }
}

impl From<ActionError> for Error {
    fn from(error: ActionError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::of_thread(error)
    }
}

impl Error {
    /// An error of the engine in a call about a run.
    pub(crate) fn of_engine_run(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::of_run(error),
            other => other.into(),
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::of_thread(error),
            EngineError::ShuttingDown => Self::stopping(),
            EngineError::InvalidCursor(message) => Self::invalid(message),
            EngineError::EventsUnreadable => {
                Self::unavailable("The events cannot be read right now. Ask again from the last event you have.", None)
            }
            EngineError::StillEnding => {
                Self::unavailable("The run is still ending. Please ask again in a moment.", None)
            }
            error @ (EngineError::Json(_) | EngineError::Internal(_)) => Self::internal(error),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.log_text())
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<RpcError> for Error {
    fn from(public: RpcError) -> Self {
        Self { public, log: None }
    }
}
