//! Sends a query of diesel over either connection.
//!
//! diesel has such a trait for connections that block, and diesel-async has one for those that do not. The queries of
//! the store are written once for both, so they use this trait. On SQLite the query blocks, and its future is ready.
//! diesel-async would copy each value of each row, to send it to another thread.

use super::unit::{LiteConn, PgConn};
use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::connection::LoadConnection;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::LimitDsl;
use diesel::sql_types::Integer;
use diesel::sqlite::Sqlite;
use std::future::ready;

/// Methods that send a query. They are those of diesel, by the same names.
pub(crate) trait RunQueryDsl<C>: Sized {
    /// Sends a statement, and returns how many rows it has changed.
    fn execute<'q>(self, connection: &mut C) -> impl Future<Output = QueryResult<usize>> + Send
    where
        C: Execute<'q, Self>,
    {
        connection.execute_statement(self)
    }

    /// Sends a query, and returns its rows.
    fn load<'q, U>(self, connection: &mut C) -> impl Future<Output = QueryResult<Vec<U>>> + Send
    where
        C: Load<'q, Self, U>,
    {
        connection.load_rows(self)
    }

    /// Sends a query, and returns its rows.
    fn get_results<'q, U>(self, connection: &mut C) -> impl Future<Output = QueryResult<Vec<U>>> + Send
    where
        C: Load<'q, Self, U>,
    {
        connection.load_rows(self)
    }

    /// Sends a query, and returns its first row.
    fn get_result<'q, U>(self, connection: &mut C) -> impl Future<Output = QueryResult<U>> + Send
    where
        C: Load<'q, Self, U>,
    {
        connection.load_row(self)
    }

    /// Sends a query with `LIMIT 1`, and returns its row.
    fn first<'q, U>(self, connection: &mut C) -> impl Future<Output = QueryResult<U>> + Send
    where
        Self: LimitDsl,
        C: Load<'q, diesel::dsl::Limit<Self>, U>,
    {
        connection.load_row(self.limit(1))
    }
}

impl<Q, C> RunQueryDsl<C> for Q {}

/// Marks statements whose text is the same each time.
pub(crate) trait FixedDsl: Sized {
    /// Makes the connection prepare the statement once.
    ///
    /// diesel does not do that for an `UPDATE` or an upsert, because the set of their columns can vary. Not for a
    /// statement with a list (`eq_any`): on SQLite its text has one parameter for each element.
    fn fixed(self) -> Fixed<Self> {
        Fixed(self)
    }
}

impl<Q> FixedDsl for Q {}

/// A connection that takes statements of this type.
pub(crate) trait Execute<'q, Q> {
    fn execute_statement(&mut self, statement: Q) -> impl Future<Output = QueryResult<usize>> + Send;
}

/// A connection that takes queries of this type, whose rows become `U`.
pub(crate) trait Load<'q, Q, U> {
    fn load_rows(&mut self, query: Q) -> impl Future<Output = QueryResult<Vec<U>>> + Send;
    fn load_row(&mut self, query: Q) -> impl Future<Output = QueryResult<U>> + Send;
}

impl<'q, Q> Execute<'q, Q> for PgConn
where
    Q: diesel_async::methods::ExecuteDsl<Self> + 'q,
{
    fn execute_statement(&mut self, statement: Q) -> impl Future<Output = QueryResult<usize>> + Send {
        diesel_async::RunQueryDsl::execute(statement, self)
    }
}

impl<'q, Q, U> Load<'q, Q, U> for PgConn
where
    Q: diesel_async::methods::LoadQuery<'q, Self, U> + Send + 'q,
    U: Send + 'static,
{
    fn load_rows(&mut self, query: Q) -> impl Future<Output = QueryResult<Vec<U>>> + Send {
        diesel_async::RunQueryDsl::load(query, self)
    }

    fn load_row(&mut self, query: Q) -> impl Future<Output = QueryResult<U>> + Send {
        diesel_async::RunQueryDsl::get_result(query, self)
    }
}

impl<'q, Q> Execute<'q, Q> for LiteConn
where
    Q: diesel::query_dsl::methods::ExecuteDsl<Self> + diesel::RunQueryDsl<Self> + 'q,
{
    fn execute_statement(&mut self, statement: Q) -> impl Future<Output = QueryResult<usize>> + Send {
        ready(diesel::RunQueryDsl::execute(statement, self))
    }
}

impl<'q, Q, U> Load<'q, Q, U> for LiteConn
where
    Q: diesel::query_dsl::methods::LoadQuery<'q, Self, U> + 'q,
    U: Send,
{
    fn load_rows(&mut self, query: Q) -> impl Future<Output = QueryResult<Vec<U>>> + Send {
        ready(diesel::RunQueryDsl::load(query, self))
    }

    fn load_row(&mut self, query: Q) -> impl Future<Output = QueryResult<U>> + Send {
        ready(diesel::RunQueryDsl::get_result(query, self))
    }
}

/// A statement whose text is the same each time.
pub(crate) struct Fixed<Q>(Q);

impl<Q> Fixed<Q> {
    /// Sends the statement, and returns how many rows it has changed.
    pub(crate) fn execute<'q, C>(self, connection: &mut C) -> impl Future<Output = QueryResult<usize>> + Send
    where
        C: ExecuteFixed<'q, Q>,
    {
        connection.execute_fixed(self)
    }
}

/// A connection that prepares statements of this type once.
pub(crate) trait ExecuteFixed<'q, Q> {
    fn execute_fixed(&mut self, statement: Fixed<Q>) -> impl Future<Output = QueryResult<usize>> + Send;
}

impl<'q, Q> ExecuteFixed<'q, Q> for PgConn
where
    Self: Execute<'q, Fixed<Q>>,
{
    fn execute_fixed(&mut self, statement: Fixed<Q>) -> impl Future<Output = QueryResult<usize>> + Send {
        self.execute_statement(statement)
    }
}

/// Counts the rows that the statement returns. For a statement without rows, diesel's connection to SQLite asks a
/// reference to it whether it can be prepared, and a reference does not pass the question on to [`Fixed`].
impl<'q, Q: QueryFragment<Sqlite> + 'q> ExecuteFixed<'q, Q> for LiteConn {
    fn execute_fixed(&mut self, statement: Fixed<Q>) -> impl Future<Output = QueryResult<usize>> + Send {
        let changed = LoadConnection::load(self, ReturningOne(statement)).and_then(|mut rows| {
            rows.try_fold(0, |count: usize, row| {
                row?;
                Ok(count.saturating_add(1))
            })
        });
        ready(changed)
    }
}

/// A statement that returns a row for each row that it changes.
struct ReturningOne<Q>(Fixed<Q>);

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for ReturningOne<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(pass.reborrow())?;
        pass.push_sql(" RETURNING 1");
        Ok(())
    }

    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for ReturningOne<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for ReturningOne<Q> {
    type SqlType = Integer;
}

impl<DB: Backend, Q: QueryFragment<DB>> QueryFragment<DB> for Fixed<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Fixed<Q> {
    // Statements of one type may differ in the columns that they set: they are told apart by their text.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Fixed<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> diesel::RunQueryDsl<C> for Fixed<Q> {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use diesel::connection::{InstrumentationEvent, SimpleConnection};
    use diesel::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use threadline_schema::db::tables::users;

    #[test]
    fn a_fixed_statement_is_prepared_once_on_sqlite() {
        let mut connection = LiteConn::establish(":memory:").unwrap();
        connection
            .batch_execute("CREATE TABLE users (session_count INTEGER); INSERT INTO users VALUES (1), (2)")
            .unwrap();
        let kept = Arc::new(AtomicU32::new(0));
        let counter = kept.clone();
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::CacheQuery { .. }) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        for (at_least, expected) in [(0, 2), (2, 2), (9, 0)] {
            let update = diesel::update(users::table.filter(users::session_count.ge(at_least)))
                .set(users::session_count.eq(users::session_count + 1))
                .fixed();
            let changed = crate::unit::at_once(async { Ok(update.execute(&mut connection).await?) }).unwrap();
            assert_eq!(changed, expected);
        }
        assert_eq!(AtomicU32::load(&kept, Ordering::Relaxed), 1, "one statement, prepared at its first execution");
    }

    #[test]
    fn sqlite_does_not_plan_a_statement_again_for_another_limit() {
        let mut connection = LiteConn::establish(":memory:").unwrap();
        let used = diesel::dsl::sql::<diesel::sql_types::Bool>("SELECT sqlite_compileoption_used('ENABLE_QPSG')");
        assert!(diesel::RunQueryDsl::get_result::<bool>(used, &mut connection).unwrap(), ".cargo/config.toml sets it");
    }
}
