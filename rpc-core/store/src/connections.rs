//! What the connections to both databases have in common.

use super::error::{StoreError, StoreResult};
use deadpool::managed::{Manager, Object, Pool, Status};
use std::time::Duration;

/// A pool, and how long to wait for one of its connections.
pub(super) struct Connections<M: Manager> {
    pub(super) pool: Pool<M>,
    pub(super) wait: Duration,
}

impl<M> Connections<M>
where
    M: Manager<Error: std::error::Error + Send + Sync + 'static> + 'static,
{
    /// A connection that works as far as anybody knows, made if need be.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection is free in time: all are in use, or the server does not answer.
    pub(super) async fn get(&self) -> StoreResult<Object<M>> {
        match tokio::time::timeout(self.wait, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(StoreError::unavailable(error)),
            Err(_) => {
                metrics::counter!("threadline_db_pool_timeouts_total").increment(1);
                let Status { max_size, size, available, waiting } = self.pool.status();
                Err(StoreError::unavailable(format!(
                    "no connection within {:?} ({} of {max_size} in use, {waiting} requests waiting)",
                    self.wait,
                    size.saturating_sub(available),
                )))
            }
        }
    }
}
