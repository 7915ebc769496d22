//! What a query can come back with, and the one place that tells a database that is away from one that is wrong.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error};

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// Why the store did not do what it was asked.
///
/// The texts are for the log. Those of the first group are outcomes a caller asks for by variant; the rest mean that
/// something is broken.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row is not there.
    #[error("no such row")]
    NotFound,
    /// The page was to go on after a row that is not in the list.
    #[error("the cursor names a row that is not in this list")]
    CursorNotFound,
    /// Some of the items are not in the thread, or hidden.
    #[error("the thread has no such item")]
    ItemNotFound,
    /// The row is there and belongs to another user.
    #[error("the row belongs to another user")]
    Forbidden,
    /// The thread is answering another message.
    #[error("the thread has an active run")]
    Busy,
    /// The user has as many threads as a user may have.
    #[error("the user has reached the limit of threads")]
    Limit,
    /// What the user may use in a day is used up.
    #[error("the user's budget of the day is used up")]
    Budget,
    /// A unique value is taken.
    #[error("the value is taken")]
    Duplicate,
    /// The thread takes no messages.
    #[error("the thread is {}", if *.locked { "locked" } else { "closed" })]
    Closed {
        /// Not at the moment; otherwise for good.
        locked: bool,
        /// Why, for its user.
        reason: Option<String>,
    },
    /// The request contradicts the state of what it is about.
    #[error("{0}")]
    Conflict(Conflict),

    /// The database cannot be asked right now; the same request may succeed later.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// A stored value cannot be what it stands for.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
    /// The tables are not those this binary was built for.
    #[error("{0}")]
    Schema(String),
    /// `DATABASE_URL` cannot be used. The text names what to change and never repeats the URL.
    #[error("DATABASE_URL: {0}")]
    Config(String),
    /// The database refused a statement.
    #[error("query failed: {0}")]
    Query(#[source] Error),
}

/// What a request contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The item is none of the user's messages.
    #[error("the item is no message of the user")]
    NotAMessage,
    /// What was to be answered is not as it was read.
    #[error("the item has been answered")]
    AnsweredAlready,
    /// The idempotency key was used for another submission.
    #[error("the idempotency key belongs to another submission")]
    KeyReused,
    /// The run has ended, or another process has taken it over.
    #[error("the run has ended or has another owner")]
    RunSuperseded,
    /// The attachment is uploaded already.
    #[error("the attachment is uploaded already")]
    AttachmentUploaded,
    /// Another upload has begun, or this one is further on or further back.
    #[error("the piece does not go on where the upload stands")]
    UploadSuperseded,
    /// The attachment belongs to a message.
    #[error("the attachment belongs to a message")]
    AttachmentUsed,
}

impl From<Conflict> for StoreError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        use DatabaseErrorKind as Kind;
        match error {
            Error::NotFound => Self::NotFound,
            Error::DeserializationError(cause) => Self::Corrupt(cause.to_string()),
            // Left behind by a connection that failed earlier; the pool throws it away.
            Error::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            Error::DatabaseError(
                Kind::ClosedConnection
                | Kind::UnableToSendCommand
                | Kind::SerializationFailure
                | Kind::ReadOnlyTransaction,
                info,
            ) => Self::Unavailable(info.message().to_owned()),
            Error::DatabaseError(Kind::Unknown, ref info) if is_passing(info.message()) => {
                Self::Unavailable(info.message().to_owned())
            }
            error => Self::Query(error),
        }
    }
}

impl From<ConnectionError> for StoreError {
    fn from(error: ConnectionError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Whether a message speaks of a state of the server that passes, and not of the statement.
///
/// diesel keeps no SQLSTATE for these, so the words have to do: SQLite's are fixed, PostgreSQL's are those of
/// `lc_messages = C` or English, beside each its SQLSTATE. Only a superuser may choose that setting, so it is left to
/// the operator (`docs/OPERATIONS.md`).
fn is_passing(message: &str) -> bool {
    const PASSING: &[&str] = &[
        // PostgreSQL
        "terminating connection",                  // 57P01 admin_shutdown, 57P02 crash_shutdown
        "the database system is",                  // 57P03 cannot_connect_now
        "canceling statement due to",              // 57014 query_canceled, 55P03 lock_not_available
        "canceling authentication due to timeout", // 57014
        "deadlock detected",                       // 40P01
        "too many connections",                    // 53300
        "too many clients already",                // 53300
        "remaining connection slots are reserved", // 53300
        "No space left on device",                 // 53100 disk_full
        "out of memory",                           // 53200
        "in a read-only transaction",              // 25006, after a failover
        "current transaction is aborted",          // 25P02, follows one of the above
        // SQLite: https://www.sqlite.org/rescode.html
        "database is locked",                   // SQLITE_BUSY
        "database table is locked",             // SQLITE_LOCKED
        "database or disk is full",             // SQLITE_FULL
        "attempt to write a readonly database", // SQLITE_READONLY
        "unable to open database file",         // SQLITE_CANTOPEN
        "disk I/O error",                       // SQLITE_IOERR
        "locking protocol",                     // SQLITE_PROTOCOL
    ];
    PASSING.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: DatabaseErrorKind, message: &str) -> StoreError {
        Error::DatabaseError(kind, Box::new(message.to_owned())).into()
    }

    #[test]
    fn a_database_that_is_away_is_told_from_a_statement_that_is_wrong() {
        for message in [
            "terminating connection due to administrator command",
            "canceling statement due to statement timeout",
            "database is locked",
            "database or disk is full",
        ] {
            assert!(matches!(said(DatabaseErrorKind::Unknown, message), StoreError::Unavailable(_)), "{message}");
        }
        for message in ["relation \"threads\" does not exist", "no such table: threads"] {
            assert!(matches!(said(DatabaseErrorKind::Unknown, message), StoreError::Query(_)), "{message}");
        }
        assert!(matches!(said(DatabaseErrorKind::ClosedConnection, "gone"), StoreError::Unavailable(_)));
        assert!(matches!(said(DatabaseErrorKind::UniqueViolation, "database is locked"), StoreError::Query(_)));
    }
}
