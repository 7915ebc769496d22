//! Units of work: a macro expands one query body for both databases.
//!
//! When a request is dropped, only the future that waits for the unit is dropped: a transaction that has begun always
//! ends. The connection is taken before the unit starts, so a request that is dropped while it waits for one changes
//! nothing.
//!
//! On PostgreSQL a unit is a task. On SQLite a unit is one closure, whose queries block. A read runs on the calling
//! thread while such reads are fast (`sqlite/readers.rs`). Writes that wait at the same time share one transaction
//! (`sqlite/writer.rs`).

use super::error::{StoreError, StoreResult};
use diesel::SqliteConnection;
use diesel_async::{AsyncConnection, TransactionManager};
use futures::FutureExt;
use tokio::task::{JoinError, JoinHandle};

pub(super) use super::postgres::PgConn;

/// A connection to SQLite. Its queries block.
pub(super) type LiteConn = SqliteConnection;

/// Runs the body of a unit on SQLite. Its queries block, so its future is ready when it is polled once.
pub(super) fn at_once<T>(body: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    body.now_or_never().unwrap_or_else(|| Err(StoreError::unavailable("a unit of work waited for something else")))
}

/// Fixes the error type of a body, so that `?` converts errors to `StoreError`.
pub(super) fn work<T, F: Future<Output = StoreResult<T>>>(body: F) -> F {
    body
}

/// Runs a unit in a task.
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

/// Commits the transaction if its body succeeded, otherwise rolls it back.
pub(super) async fn end<T>(connection: &mut PgConn, result: StoreResult<T>) -> StoreResult<T> {
    type Transaction = <PgConn as AsyncConnection>::TransactionManager;
    match result {
        Ok(value) => {
            Transaction::commit_transaction(connection).await?;
            Ok(value)
        }
        Err(error) => {
            // If the rollback fails, diesel marks the connection as broken. The pool then closes it, and the server
            // rolls back. The first error says more, so this one is ignored.
            let _ = Transaction::rollback_transaction(connection).await;
            Err(error)
        }
    }
}

/// Expands a unit of work for both databases: `$pg` is its body on PostgreSQL, `$lite` its body on SQLite. `$role` is
/// `read` or `write`.
macro_rules! unit {
    ($store:expr, $role:ident, |$pg_conn:ident| $pg:block, |$lite_conn:ident| $lite:block) => {{
        // Its type name has the name of the operation.
        fn here() {}
        let place = || std::any::type_name_of_val(&here);
        $crate::timing::record($store.db().system(), place, async {
            match $store.db() {
                $crate::db::Db::Pg(pool) => {
                    let mut connection = pool.get().await?;
                    let unit = $crate::unit::work(async move {
                        let $pg_conn: &mut $crate::unit::PgConn = &mut connection;
                        $pg
                    });
                    $crate::postgres::unit::$role(pool, Box::pin(unit)).await
                }
                $crate::db::Db::Lite(lite) => {
                    let unit = move |$lite_conn: &mut $crate::unit::LiteConn| {
                        $crate::unit::at_once($crate::unit::work(async move { $lite }))
                    };
                    #[cfg(feature = "simulation")]
                    if let Some(simulation) = $store.simulation() {
                        let operation = $crate::timing::operation_name(place());
                        let lite = lite.clone();
                        return simulation
                            .clone()
                            .run(operation, async move { $crate::unit::$role!(lite, unit) })
                            .await;
                    }
                    $crate::unit::$role!(lite, unit)
                }
            }
        })
        .await
    }};
}

/// A unit of work that only reads.
macro_rules! read {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, read, |$c| $body, |$c| $body)
    };
    ($lite:ident, $unit:ident) => {{
        static KIND: $crate::sqlite::ReadKind = $crate::sqlite::ReadKind::new();
        $crate::sqlite::read(&$lite.readers, &KIND, $unit).await
    }};
}

/// Gives a unit of work to the writer of SQLite.
macro_rules! write {
    ($lite:ident, $unit:ident) => {
        $lite.writer.write($unit).await
    };
}

/// A unit of work with one statement that writes, which commits by itself, and the queries that explain its outcome.
macro_rules! change {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!($store, write, |$c| $body, |$c| $body)
    };
}

/// A unit of work in one transaction, which is committed if the body returns `Ok` and rolled back otherwise.
macro_rules! tx {
    ($store:expr, |$c:ident| $body:block) => {
        $crate::unit::unit!(
            $store,
            write,
            |connection| {
                connection.begin().await?;
                let result = $crate::unit::work(async {
                    let $c = &mut *connection;
                    $body
                })
                .await;
                $crate::unit::end(connection, result).await
            },
            |$c| $body
        )
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

pub(super) use {change, read, steps, tx, unit, write};
