//! Statements that begin and end transactions.
//!
//! diesel prepares these types once per connection. SQLite would parse a text each time.

use diesel::QueryResult;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sqlite::Sqlite;
use diesel::{RunQueryDsl, SqliteConnection};

macro_rules! statements {
    ( $( $name:ident = $sql:literal; )+ ) => { $(
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name;

        impl QueryFragment<Sqlite> for $name {
            fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                pass.push_sql($sql);
                Ok(())
            }
        }

        impl QueryId for $name {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl RunQueryDsl<SqliteConnection> for $name {}

        impl $name {
            pub(super) fn run(self, connection: &mut SqliteConnection) -> QueryResult<()> {
                self.execute(connection).map(|_| ())
            }
        }
    )+ };
}

statements! {
    // Without IMMEDIATE, a transaction that reads first fails at its first write if another process has written since
    // then. `busy_timeout` does not prevent that.
    Begin = "BEGIN IMMEDIATE";
    Commit = "COMMIT";
    Rollback = "ROLLBACK";
    Savepoint = "SAVEPOINT unit";
    Release = "RELEASE unit";
    RollbackToSavepoint = "ROLLBACK TO unit";
}
