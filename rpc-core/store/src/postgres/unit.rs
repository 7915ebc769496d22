//! Runs units of work on PostgreSQL, and limits how long their callers wait.

use super::{PgManager, STATEMENT_TIMEOUT};
use crate::connections::Connections;
use crate::error::{StoreError, StoreResult};
use crate::unit::{outcome, spawn};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;

/// Runs a unit that may write on PostgreSQL, in a task: its transaction continues even if the caller is not polled any
/// more.
///
/// If a server is frozen or the network loses all packets, a query waits until TCP reports an error. This function
/// returns an error earlier, and marks all connections of the pool for replacement. The unit keeps its connection until
/// the server answers or TCP reports an error. The limit is longer than the time limit of a statement at the server. So
/// the server usually answers first, and a caller rarely gets an error for something that is committed a moment later.
///
/// # Errors
/// The error of the unit, or [`StoreError::Unavailable`] after the limit: the outcome of the unit is then unknown.
pub(crate) async fn write<T: Send + 'static>(
    pool: &Connections<PgManager>,
    unit: BoxFuture<'static, StoreResult<T>>,
) -> StoreResult<T> {
    let limit = STATEMENT_TIMEOUT + pool.wait;
    match tokio::time::timeout(limit, spawn(unit)).await {
        Ok(joined) => outcome(joined),
        Err(_) => Err(no_answer(pool, limit)),
    }
}

/// Runs a unit that only reads on PostgreSQL, as a part of the caller: a task would cost two more switches. If the
/// caller is dropped, a task reads the rest of the answer, so that the connection can be used again.
///
/// # Errors
/// The error of the unit, or [`StoreError::Unavailable`] after the limit. The unit is dropped then: it can be repeated.
pub(crate) async fn read<T: Send + 'static>(
    pool: &Connections<PgManager>,
    unit: BoxFuture<'static, StoreResult<T>>,
) -> StoreResult<T> {
    let mut unit = InPlace { unit: Some(unit) };
    match tokio::time::timeout(pool.wait, &mut unit).await {
        Ok(result) => result,
        Err(_) => {
            unit.unit = None;
            Err(no_answer(pool, pool.wait))
        }
    }
}

fn no_answer(pool: &Connections<PgManager>, limit: Duration) -> StoreError {
    pool.pool.manager().doubt_all();
    StoreError::unavailable(format!("PostgreSQL did not answer within {limit:?}"))
}

/// A unit that runs while it is polled, and in a task after this is dropped.
struct InPlace<T: Send + 'static> {
    unit: Option<BoxFuture<'static, StoreResult<T>>>,
}

impl<T: Send + 'static> Future for InPlace<T> {
    type Output = StoreResult<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<StoreResult<T>> {
        let Some(unit) = &mut self.unit else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| unit.poll_unpin(context)));
        let polled = polled.unwrap_or_else(|_| Poll::Ready(Err(StoreError::unavailable("a unit of work panicked"))));
        if polled.is_ready() {
            self.unit = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for InPlace<T> {
    fn drop(&mut self) {
        if let Some(unit) = self.unit.take()
            && Handle::try_current().is_ok()
        {
            // Its result is not needed.
            drop(spawn(unit));
        }
    }
}
