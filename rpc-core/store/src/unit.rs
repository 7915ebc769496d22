//! Units of work: one query body, written once, expanded for both databases, and run in a task of its own.
//!
//! A request that goes away drops the future that waits, never the work: a transaction that has begun ends. The
//! connection is taken before the task begins, so a request that leaves while it queues for one does nothing at all.
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

/// Runs the closures of [`SyncConnectionWrapper`] at once, on the thread that asks.
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

/// Says what a unit is, so that `?` in its body knows which error to make.
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

/// What a unit came to.
pub(super) fn outcome<T>(joined: Result<StoreResult<T>, JoinError>) -> StoreResult<T> {
    // A panic in a unit, or a runtime that is shutting down: either way nothing was committed.
    joined.unwrap_or_else(|error| Err(StoreError::unavailable(error)))
}

/// What a unit on PostgreSQL came to, or that nobody knows by `limit`.
///
/// A server that is frozen, or a network that swallows packets, keeps a query waiting until TCP gives up. Its caller is
/// told earlier, and connections that were made with this one are not used again. A unit that may write goes on waiting,
/// and keeps its connection until the server answers or TCP has given up; one that reads gives it back.
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

    /// When a caller is told that nobody knows.
    pub(in super::super) struct Limit {
        pub(super) after: Duration,
        /// Whether the work ends then.
        pub(super) aborts: bool,
    }

    /// Asking again does no harm.
    pub(in super::super) fn read(wait: Duration) -> Limit {
        Limit { after: wait, aborts: true }
    }

    /// Longer than the server lets a statement run, so that as a rule its verdict comes first, and a caller is not told
    /// that something failed which is committed a moment later.
    pub(in super::super) fn write(wait: Duration) -> Limit {
        Limit { after: super::super::postgres::STATEMENT_TIMEOUT + wait, aborts: false }
    }
}

impl Begin for LiteConn {
    async fn begin(&mut self) -> QueryResult<()> {
        // IMMEDIATE: a transaction that begins by reading, and finds at its first write that another process wrote in
        // between, fails at once whatever `busy_timeout` says.
        self.spawn_blocking(|c| AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")).await
    }
}

/// Commits what went well, and takes back what did not.
pub(super) async fn end<C: AsyncConnection, T>(connection: &mut C, result: StoreResult<T>) -> StoreResult<T> {
    match result {
        Ok(value) => {
            C::TransactionManager::commit_transaction(connection).await?;
            Ok(value)
        }
        Err(error) => {
            // A rollback that fails leaves the connection marked as broken; the pool throws it away, and the server
            // rolls back when it is gone. What went wrong first is the better news.
            let _ = C::TransactionManager::rollback_transaction(connection).await;
            Err(error)
        }
    }
}

/// Expands a unit for both databases. `$role` is the SQLite pool that serves it.
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

/// Queries that only read.
macro_rules! read {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, read, |$c| $body)
    };
}

/// One statement that writes and commits by itself, and what must be read to explain its outcome.
macro_rules! change {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, write, |$c| $body)
    };
}

/// A transaction: committed whole when the body is `Ok`, otherwise not at all.
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

/// Declares functions that are parts of units of work. Each body is written once and compiled for both connections, as a
/// method of the connection: the trait of this name must be in scope where it is called.
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
