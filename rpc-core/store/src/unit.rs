//! Units of work: a macro expands one query body for both databases, and runs it in a separate task.
//!
//! When a request is dropped, only the future that waits for the task is dropped: a transaction that has begun always
//! ends. The connection is taken before the task starts, so a request that is dropped while it waits for one changes
//! nothing.
//!
//! On SQLite a unit is one closure on one blocking thread. diesel-async would go to such a thread and back for every
//! query; [`Inline`] makes its queries run where they are called, and the unit goes there once. On PostgreSQL a unit is
//! an ordinary task.

use super::error::{StoreError, StoreResult};
use diesel::connection::AnsiTransactionManager;
use diesel::{QueryResult, SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_async::{AsyncConnection, TransactionManager};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinHandle};

use super::connections::{Begin, Connections};
pub(super) use super::postgres::PgConn;
use super::postgres::PgManager;

/// A connection to SQLite. Its queries block: use it on a blocking thread only.
pub(super) type LiteConn = SyncConnectionWrapper<SqliteConnection, Inline>;

/// Runs the closures of [`SyncConnectionWrapper`] immediately, on the calling thread.
pub(super) struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        std::future::ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// Fixes the error type of a body, so that `?` converts errors to `StoreError`.
pub(super) fn work<T, F: Future<Output = StoreResult<T>>>(body: F) -> F {
    body
}

/// Starts a unit on PostgreSQL.
#[expect(
    clippy::disallowed_methods,
    reason = "its caller awaits it and reports its panic; a supervisor would not add to that"
)]
pub(super) fn spawn<T: Send + 'static>(unit: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(unit)
}

/// Returns the result of a finished unit.
pub(super) fn outcome<T>(joined: Result<StoreResult<T>, JoinError>) -> StoreResult<T> {
    // The unit has panicked, or the runtime is shutting down. In both cases nothing was committed.
    joined.unwrap_or_else(|error| Err(StoreError::unavailable(error)))
}

/// Waits for a unit on PostgreSQL, up to `limit`.
///
/// If a server is frozen or the network loses all packets, a query waits until TCP reports an error. This function
/// returns an error earlier, and marks all connections of the pool for replacement. After the limit, a unit that may
/// write keeps its connection until the server answers or TCP reports an error. A unit that only reads is aborted.
///
/// # Errors
/// The error of the unit, or [`StoreError::Unavailable`] after the limit: the outcome of the unit is then unknown.
pub(super) async fn outcome_within<T>(
    pool: &Connections<PgManager>,
    limit: patience::Limit,
    mut task: JoinHandle<StoreResult<T>>,
) -> StoreResult<T> {
    let patience::Limit { after, aborts } = limit;
    match tokio::time::timeout(after, &mut task).await {
        Ok(joined) => outcome(joined),
        Err(_) => {
            pool.pool.manager().doubt_all();
            if aborts {
                task.abort();
            }
            Err(StoreError::unavailable(format!("PostgreSQL did not answer within {after:?}")))
        }
    }
}

/// How long callers wait for PostgreSQL, given how long they wait for a connection.
pub(super) mod patience {
    use std::time::Duration;

    /// How long a caller waits for the outcome of a unit.
    pub(in super::super) struct Limit {
        pub(super) after: Duration,
        /// Whether the unit is aborted then.
        pub(super) aborts: bool,
    }

    /// The limit of a unit that only reads. It can be repeated, so it is aborted.
    pub(in super::super) fn read(wait: Duration) -> Limit {
        Limit { after: wait, aborts: true }
    }

    /// The limit of a unit that may write. It is longer than the time limit of a statement at the server. So the server
    /// usually answers first, and a caller rarely gets an error for something that is committed a moment later.
    pub(in super::super) fn write(wait: Duration) -> Limit {
        Limit { after: super::super::postgres::STATEMENT_TIMEOUT + wait, aborts: false }
    }
}

impl Begin for LiteConn {
    async fn begin(&mut self) -> QueryResult<()> {
        // Without IMMEDIATE, a transaction that reads first fails at its first write if another process has written
        // since then. `busy_timeout` does not prevent that.
        self.spawn_blocking(|c| AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")).await
    }
}

/// Commits the transaction if its body succeeded, otherwise rolls it back.
pub(super) async fn end<C: AsyncConnection, T>(connection: &mut C, result: StoreResult<T>) -> StoreResult<T> {
    match result {
        Ok(value) => {
            C::TransactionManager::commit_transaction(connection).await?;
            Ok(value)
        }
        Err(error) => {
            // If the rollback fails, diesel marks the connection as broken. The pool then closes it, and the server
            // rolls back. The first error says more, so this one is ignored.
            let _ = C::TransactionManager::rollback_transaction(connection).await;
            Err(error)
        }
    }
}

/// Expands a unit of work for both databases. `$role` is the pool that it uses on SQLite: `read` or `write`.
macro_rules! unit {
    ($store:expr, $role:ident, |$c:ident| $body:block) => {
        $crate::timing::record(async {
            match $store.db() {
                $crate::db::Db::Pg(pool) => {
                    let mut connection = pool.get().await?;
                    $crate::unit::outcome_within(
                        pool,
                        $crate::unit::patience::$role(pool.wait),
                        $crate::unit::spawn($crate::unit::work(async move {
                            let $c: &mut $crate::unit::PgConn = &mut connection;
                            $body
                        })),
                    )
                    .await
                }
                $crate::db::Db::Lite { $role: pool, .. } => {
                    let mut connection = pool.get().await?;
                    let unit = move || {
                        futures::executor::block_on($crate::unit::work(async move {
                            let $c: &mut $crate::unit::LiteConn = &mut connection;
                            $body
                        }))
                    };
                    #[cfg(feature = "simulation")]
                    if let Some(simulation) = $store.simulation() {
                        fn here() {}
                        let operation = $crate::simulation::operation_name(std::any::type_name_of_val(&here));
                        return simulation.clone().run(operation, unit).await;
                    }
                    $crate::unit::outcome(tokio::task::spawn_blocking(unit).await)
                }
            }
        })
        .await
    };
}

/// A unit of work that only reads.
macro_rules! read {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, read, |$c| $body)
    };
}

/// A unit of work with one statement that writes, which commits by itself, and the queries that explain its outcome.
macro_rules! change {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, write, |$c| $body)
    };
}

/// A unit of work in one transaction, which is committed if the body returns `Ok` and rolled back otherwise.
macro_rules! tx {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, write, |connection| {
            $crate::connections::Begin::begin(connection).await?;
            let result = $crate::unit::work(async {
                let $c = &mut *connection;
                $body
            })
            .await;
            $crate::unit::end(connection, result).await
        })
    };
}

/// Declares functions that are parts of units of work. Each body is written once and compiled for both connections, as
/// a method of the connection: the trait of this name must be in scope where it is called.
///
/// `?` and `return` in a body leave the function, not the unit that calls it.
macro_rules! steps {
    (
        trait $trait:ident {
            $( $(#[$meta:meta])* fn $name:ident($c:ident $(, $argument:ident: $type:ty)* $(,)?) -> $output:ty $body:block )+
        }
    ) => {
        pub(crate) trait $trait {
            $(
                $(#[$meta])*
                fn $name(
                    &mut self,
                    $( $argument: $type, )*
                ) -> impl Future<Output = $crate::StoreResult<$output>> + Send;
            )+
        }

        impl $trait for $crate::unit::PgConn {
            $( async fn $name(&mut self, $( $argument: $type, )*) -> $crate::StoreResult<$output> {
                let $c = self;
                $body
            } )+
        }

        impl $trait for $crate::unit::LiteConn {
            $( async fn $name(&mut self, $( $argument: $type, )*) -> $crate::StoreResult<$output> {
                let $c = self;
                $body
            } )+
        }
    };
}

pub(super) use {change, read, steps, tx, unit};
