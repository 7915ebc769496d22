//! Sends a query of diesel over either connection.
//!
//! diesel has such a trait for connections that block, and diesel-async has one for those that do not. The queries of
//! the store are written once for both, so they use this trait. On SQLite the query blocks, and its future is ready.
//! diesel-async would copy each value of each row, to send it to another thread.

use super::unit::{LiteConn, PgConn};
use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::LimitDsl;
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
