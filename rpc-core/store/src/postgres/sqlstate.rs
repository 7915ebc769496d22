//! What PostgreSQL's error codes mean for a statement and for its connection.
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>. Poolers use the same codes, mostly 08P01, XX000
//! and those of class 53.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

/// What an error says about the connection that it came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is as good as before.
    Keep,
    /// The session at the other end is not a primary's any more, or comes from a pooler: others like it have the same.
    Doubt,
    /// A statement that was prepared by name is not there, or is another's.
    NotPrepared,
    /// The connection is of no use any more.
    Discard,
}

/// Returns what an error says about its connection.
pub(super) fn verdict(error: &tokio_postgres::Error, by_name: bool) -> Verdict {
    let Some(database) = error.as_db_error() else {
        // Without the server's words: the way to it is broken, or the answer was none.
        return Verdict::Discard;
    };
    let code = database.code();
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Verdict::Doubt;
    }
    if by_name && (*code == SqlState::INVALID_SQL_STATEMENT_NAME || *code == SqlState::DUPLICATE_PSTATEMENT) {
        return Verdict::NotPrepared;
    }
    // "cached plan must not change result type": a migration of another release has changed a column.
    if by_name && *code == SqlState::FEATURE_NOT_SUPPORTED {
        return Verdict::Discard;
    }
    match class(code) {
        // Connection exceptions; shutdown, crash and start of the server; too many connections; errors of a pooler.
        "08" | "57" if *code != SqlState::QUERY_CANCELED => Verdict::Discard,
        _ if *code == SqlState::TOO_MANY_CONNECTIONS || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
            Verdict::Discard
        }
        "XX" => Verdict::Doubt,
        _ => Verdict::Keep,
    }
}

/// Returns whether the server has undone the transaction because of a concurrent one, so that it can be repeated.
pub(super) fn is_undone(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}

/// The error in diesel's words. The kinds that the store reads as "unavailable right now" are chosen by the code, not
/// by the text, which depends on the server's language.
pub(super) fn to_diesel(error: &tokio_postgres::Error, by_name: bool) -> Error {
    use DatabaseErrorKind as Kind;
    let Some(database) = error.as_db_error() else {
        let kind = if error.is_closed() { Kind::ClosedConnection } else { Kind::UnableToSendCommand };
        return Error::DatabaseError(kind, Box::new(threadline_schema::error::Chain(error).to_string()));
    };
    let code = database.code();
    let kind = if *code == SqlState::UNIQUE_VIOLATION {
        Kind::UniqueViolation
    } else if *code == SqlState::FOREIGN_KEY_VIOLATION {
        Kind::ForeignKeyViolation
    } else if *code == SqlState::RESTRICT_VIOLATION {
        Kind::RestrictViolation
    } else if *code == SqlState::EXCLUSION_VIOLATION {
        Kind::ExclusionViolation
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        Kind::NotNullViolation
    } else if *code == SqlState::CHECK_VIOLATION {
        Kind::CheckViolation
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        Kind::ReadOnlyTransaction
    } else if class(code) == "40" {
        Kind::SerializationFailure
    } else if is_transient(code) || (by_name && *code == SqlState::FEATURE_NOT_SUPPORTED) {
        Kind::ClosedConnection
    } else {
        Kind::Unknown
    };
    Error::DatabaseError(kind, Box::new(ServerError(database.clone())))
}

/// Whether the same statement may succeed later: the server is short of something, stops, starts, or gave up waiting.
fn is_transient(code: &SqlState) -> bool {
    matches!(class(code), "08" | "53" | "57" | "58" | "XX")
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::IN_FAILED_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
        ]
        .contains(code)
}

fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

/// What the server said.
struct ServerError(DbError);

impl DatabaseErrorInformation for ServerError {
    fn message(&self) -> &str {
        self.0.message()
    }

    fn details(&self) -> Option<&str> {
        self.0.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.0.hint()
    }

    fn table_name(&self) -> Option<&str> {
        self.0.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.0.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.0.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        match self.0.position()? {
            ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => {
                i32::try_from(*position).ok()
            }
        }
    }
}
