//! Whether a database and the pooler in front of it are set up so that they can be used.

use super::open_error::OpenError;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Encodings in which every text can be stored. `SQL_ASCII` stores bytes as they are.
const ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

/// What PgBouncer says to a transaction in statement mode.
const STATEMENT_MODE: &str = "not allowed in statement pooling mode";

/// Checks that transactions work, and that every text can be stored.
///
/// # Errors
/// [`OpenError::Setup`] if not; the other errors if the server does not answer.
pub(super) async fn check(client: &Client, is_pooler: bool) -> Result<(), OpenError> {
    if is_pooler {
        // In two messages: PgBouncer looks whether a transaction is open after each.
        for statement in ["BEGIN", "COMMIT"] {
            client.batch_execute(statement).await.map_err(|error| match error.as_db_error() {
                Some(refused) if refused.message().contains(STATEMENT_MODE) => OpenError::Setup(
                    "the pooler must be in transaction or session mode (PgBouncer: pool_mode = transaction)".to_owned(),
                ),
                _ => OpenError::of(&error),
            })?;
        }
    }
    let answer = client.simple_query("SHOW server_encoding").await.map_err(|error| OpenError::of(&error))?;
    let encoding = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    match encoding {
        Some(encoding) if !ENCODINGS.contains(&encoding) => Err(OpenError::Setup(format!(
            "the encoding of the database is {encoding}, which cannot store every character; create a database with \
             CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        ))),
        _ => Ok(()),
    }
}
