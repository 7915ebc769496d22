//! Why the engine did not do what it was asked.

use threadline_store::StoreError;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store refused, or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is shutting down and starts nothing new.
    #[error("the process is shutting down")]
    ShuttingDown,
    /// A cursor is malformed, or is ahead of the last event. The text is for the caller.
    #[error("{0}")]
    InvalidCursor(String),
    /// The events exist, and cannot be read at the moment.
    #[error("the events cannot be read at the moment")]
    EventsUnreadable,
    /// The run did not end within the time that a cancel request waits.
    #[error("the run is still ending")]
    StillEnding,
    /// Something stored, or about to be stored, is not the JSON that it should be.
    #[error("JSON that cannot be read or written")]
    Json(#[from] serde_json::Error),
    /// A background task of the engine did not finish.
    #[error("{0}")]
    Internal(&'static str),
}
