//! Reads the rest of a body whose response is complete, so that its connection returns to the pool.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest wait for the end of the body after the end of the response. A body that has ended returns its connection to
/// the pool.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The bodies of one server that are being read to their end. Dropping the last clone stops that.
#[derive(Clone, Default)]
pub(super) struct BodyDrains {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl BodyDrains {
    /// Reads `rest` to its end in the background, for as long as [`DRAIN_TIMEOUT`].
    pub(super) fn drain(&self, rest: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "reading the rest of a response failed");
            }
        }
        tasks.spawn(async move { drop(timeout(DRAIN_TIMEOUT, rest).await) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_that_have_ended_are_forgotten_also_after_a_panic() {
        let drains = BodyDrains::default();
        drains.drain(async { panic!("a broken body") });
        drains.drain(std::future::pending());
        tokio::time::sleep(DRAIN_TIMEOUT * 2).await;
        drains.drain(std::future::pending());
        assert_eq!(drains.tasks.lock().len(), 1);
    }
}
