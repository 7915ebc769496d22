//! What is known about the connection to PostgreSQL: the server, and a pooler in front of it.

use super::query::RunQueryDsl;
use crate::db::{Db, Store};
use crate::error::StoreResult;
use diesel::sql_types::Text;

/// How PostgreSQL is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresFacts {
    /// Whether a pooler answers in the place of the server.
    pub is_pooler: bool,
    /// Whether statements are prepared by name.
    pub prepares: bool,
    /// Whether the server takes no writes.
    pub is_read_only: bool,
    /// Whether a session of its own can be had, for LISTEN and the lock of a process.
    pub has_sessions: bool,
}

impl Store {
    /// How PostgreSQL is reached; `None` for SQLite.
    ///
    /// # Errors
    /// When it is not.
    pub async fn postgres_facts(&self) -> StoreResult<Option<PostgresFacts>> {
        #[derive(diesel::QueryableByName)]
        struct Setting {
            #[diesel(sql_type = Text)]
            value: String,
        }
        let Db::Pg(pool) = self.db() else { return Ok(None) };
        let mut connection = pool.get().await?;
        let read_only = diesel::sql_query("SELECT current_setting('transaction_read_only') AS value");
        let Setting { value } = read_only.get_result(&mut *connection).await?;
        let direct = pool.pool.manager().direct().session().await?;
        Ok(Some(PostgresFacts {
            is_pooler: connection.is_pooler(),
            prepares: connection.prepares(),
            is_read_only: value == "on",
            has_sessions: !direct.is_pooler,
        }))
    }
}
