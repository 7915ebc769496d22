//! Why a connection to PostgreSQL was not opened.

use crate::connections::OpenFailure;
use crate::error::StoreError;
use threadline_schema::error::Chain;
use tokio_postgres::error::SqlState;

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The server or pooler is there, and grants no more connections.
    #[error("PostgreSQL grants no more connections: {0}")]
    Full(String),
    /// No server can be reached, or it refuses the connection.
    #[error("{0}")]
    Failed(String),
    /// The server or pooler is set up so that it cannot be used. The text says what to change.
    #[error("{0}")]
    Setup(String),
    /// The server refused the settings of the session.
    #[error("the settings of the session were refused")]
    Settings(#[source] diesel::result::Error),
}

/// What poolers say when they grant no more connections. The server has a code for that.
const FULL: [&str; 4] = [
    "too many connections",           // PgBouncer and others, in the words of the server
    "no more connections allowed",    // PgBouncer, max_client_conn
    "max clients reached",            // Supavisor, session mode
    "Max client connections reached", // Supavisor
];

impl OpenError {
    /// Returns what an error means that ended an attempt to connect.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        let text = Chain(error).to_string();
        let is_full = error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
            || error.as_db_error().is_some_and(|error| FULL.iter().any(|words| error.message().contains(words)));
        if is_full { Self::Full(text) } else { Self::Failed(text) }
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Setup(text) => Self::Config(text),
            error => Self::unavailable(error),
        }
    }
}

impl OpenFailure for OpenError {
    fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}
