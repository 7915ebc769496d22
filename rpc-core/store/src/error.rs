//! Errors of the store, and the distinction between an unavailable database and a wrong statement.

use diesel::QueryResult;
use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use std::fmt;
use threadline_schema::error::Chain;
use threadline_schema::ids::UserId;

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// What a [`StoreError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// A user.
    User,
    /// A thread.
    Thread,
    /// An item of a thread.
    Item,
    /// A run.
    Run,
    /// A task of a to-do list.
    Task,
    /// An attachment.
    Attachment,
    /// An invitation.
    Invitation,
    /// A service key.
    ServiceKey,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Thread => "thread",
            Self::Item => "item",
            Self::Run => "run",
            Self::Task => "task",
            Self::Attachment => "attachment",
            Self::Invitation => "invitation",
            Self::ServiceKey => "service key",
        })
    }
}

/// A limit that a user has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Threads that are not archived.
    Threads,
    /// Bytes of all attachments.
    AttachmentBytes,
    /// Tokens or money of the day.
    DailyBudget,
    /// A budget that all users share.
    SharedBudget,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "threads",
            Self::AttachmentBytes => "bytes of attachments",
            Self::DailyBudget => "the daily budget",
            Self::SharedBudget => "the daily budget of all users",
        })
    }
}

/// The cause of a [`StoreError`].
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store operation failed.
///
/// A caller distinguishes the errors of the first group. The others mean that something is broken. The texts are for
/// the log, which also shows the causes ([`Chain`]).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row does not exist.
    #[error("no such {0}")]
    NotFound(Entity),
    /// The cursor names a row that is not in the list.
    #[error("the cursor names no {0} of this list")]
    CursorNotFound(Entity),
    /// The row belongs to another user.
    #[error("the {0} belongs to another user")]
    Forbidden(Entity),
    /// The thread has an active run.
    #[error("the thread has an active run")]
    Busy,
    /// The user has reached a limit.
    #[error("the user has reached the limit of {0}")]
    LimitReached(Limit),
    /// The email has an account.
    #[error("the email has an account")]
    EmailTaken,
    /// The invitation is unknown, used up or expired, or is for another email address.
    #[error("the invitation cannot be used")]
    InvitationInvalid,
    /// The thread accepts no messages.
    #[error("the thread is {}", if *.locked { "locked" } else { "closed" })]
    Closed {
        /// Whether it is locked and may become active again. Otherwise it is closed permanently.
        locked: bool,
        /// The reason, as a text for the user.
        reason: Option<String>,
    },
    /// The request contradicts the state of its subject.
    #[error("{0}")]
    Conflict(Conflict),

    /// The database cannot answer right now; the same request may succeed later.
    #[error("database unavailable")]
    Unavailable(#[source] Cause),
    /// A stored value is invalid.
    #[error("stored data is corrupt")]
    Corrupt(#[source] Cause),
    /// The tables do not match this binary.
    #[error("{0}")]
    Schema(String),
    /// A migration failed.
    #[error("migration failed")]
    Migration(#[source] Cause),
    /// `DATABASE_URL` cannot be used. The text names what to change and never repeats the URL.
    #[error("DATABASE_URL: {0}")]
    Config(String),
    /// The database refused a statement.
    #[error("query failed")]
    Query(#[source] Error),
}

impl StoreError {
    /// Returns the error of a database that cannot answer right now.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// Returns the error of an invalid stored value.
    pub fn corrupt(cause: impl Into<Cause>) -> Self {
        Self::Corrupt(cause.into())
    }

    /// Returns whether the disk of the database is full. Reads still work then, and writes do again when there is
    /// space.
    pub fn is_disk_full(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let cause = Chain(&**cause).to_string();
        DISK_FULL.iter().any(|words| cause.contains(words))
    }
}

/// What databases say when their disk is full.
const DISK_FULL: [&str; 2] = [
    "No space left on device",  // PostgreSQL, 53100 disk_full
    "database or disk is full", // SQLITE_FULL
];

/// Explains why a statement that is limited to the rows of `user_id` has changed none: the row does not exist, belongs
/// to another user, or otherwise `otherwise`. `owner` is the owner of the row.
pub(super) fn why_unchanged(
    entity: Entity,
    owner: Option<UserId>,
    user_id: UserId,
    otherwise: StoreError,
) -> StoreError {
    match owner {
        None => StoreError::NotFound(entity),
        Some(owner) if owner != user_id => StoreError::Forbidden(entity),
        Some(_) => otherwise,
    }
}

/// Names the row that a query did not find.
pub(super) trait OrNotFound<T> {
    /// # Errors
    /// [`StoreError::NotFound`] with this entity when the query found no row; otherwise the error of the query.
    fn or_not_found(self, entity: Entity) -> StoreResult<T>;
}

impl<T> OrNotFound<T> for QueryResult<T> {
    fn or_not_found(self, entity: Entity) -> StoreResult<T> {
        self.map_err(|error| match error {
            Error::NotFound => StoreError::NotFound(entity),
            error => error.into(),
        })
    }
}

/// What a request contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The item is not a message of the user.
    #[error("the item is not a message of the user")]
    NotAMessage,
    /// The item to answer has changed since it was read.
    #[error("the item has been answered")]
    AnsweredAlready,
    /// The idempotency key was used for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The run has ended, or another process has taken it over.
    #[error("the run has ended or has another owner")]
    RunSuperseded,
    /// The attachment is already uploaded.
    #[error("the attachment is already uploaded")]
    AttachmentUploaded,
    /// A newer upload has begun, or the offset of the piece is not the end of what this upload has stored.
    #[error("the piece does not start where the upload has ended")]
    UploadSuperseded,
    /// The attachment belongs to a message.
    #[error("the attachment belongs to a message")]
    AttachmentUsed,
    /// Another service key has the name.
    #[error("another service key has the name")]
    NameTaken,
    /// The erasure of the account is requested.
    #[error("the account is being erased")]
    BeingErased,
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
            Error::DeserializationError(cause) => Self::Corrupt(cause),
            // The connection has failed earlier; the pool discards it.
            Error::BrokenTransactionManager
            | Error::DatabaseError(
                Kind::ClosedConnection
                | Kind::UnableToSendCommand
                | Kind::SerializationFailure
                | Kind::ReadOnlyTransaction,
                _,
            ) => Self::unavailable(error),
            Error::DatabaseError(Kind::Unknown, ref info) if is_transient(info.message()) => Self::unavailable(error),
            error => Self::Query(error),
        }
    }
}

impl From<ConnectionError> for StoreError {
    fn from(error: ConnectionError) -> Self {
        Self::unavailable(error)
    }
}

/// Whether a message describes a transient state of the server, and not a fault of the statement.
///
/// diesel keeps no SQLSTATE for these errors, so this compares texts: SQLite's are fixed, PostgreSQL's are those of
/// `lc_messages = C` or English; the comments name the SQLSTATE. Only a superuser can set `lc_messages`, so it is left
/// to the operator (`docs/OPERATIONS.md`).
fn is_transient(message: &str) -> bool {
    const TRANSIENT: &[&str] = &[
        // PostgreSQL
        "terminating connection",                  // 57P01 admin_shutdown, 57P02 crash_shutdown
        "the database system is",                  // 57P03 cannot_connect_now
        "canceling statement due to",              // 57014 query_canceled, 55P03 lock_not_available
        "canceling authentication due to timeout", // 57014
        "deadlock detected",                       // 40P01
        "too many connections",                    // 53300
        "too many clients already",                // 53300
        "remaining connection slots are reserved", // 53300
        "out of memory",                           // 53200
        "in a read-only transaction",              // 25006, after a failover
        "current transaction is aborted",          // 25P02, follows one of the above
        // SQLite: https://www.sqlite.org/rescode.html
        "database is locked",                   // SQLITE_BUSY
        "database table is locked",             // SQLITE_LOCKED
        "attempt to write a readonly database", // SQLITE_READONLY
        "unable to open database file",         // SQLITE_CANTOPEN
        "disk I/O error",                       // SQLITE_IOERR
        "locking protocol",                     // SQLITE_PROTOCOL
    ];
    TRANSIENT.iter().chain(&DISK_FULL).any(|words| message.contains(words))
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
        assert!(said(DatabaseErrorKind::Unknown, "database or disk is full").is_disk_full());
        assert!(!said(DatabaseErrorKind::Unknown, "database is locked").is_disk_full());
        assert!(matches!(said(DatabaseErrorKind::UniqueViolation, "database is locked"), StoreError::Query(_)));
    }
}
