//! Deletes threads that are not kept any longer.

use crate::agent::AgentRegistry;
use crate::store::{Clock, Store, StoreResult};
use chrono::TimeDelta;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::Engine;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;
use threadline_store::{Expiry, UnusedDeletion, UnusedThread};

/// Maximum number of threads that one query returns. Each is deleted in a transaction of its own.
const BATCH: u32 = 100;

/// Deletes threads that were not used for as long as the service, or their agent, keeps them.
pub(crate) struct ThreadRetention {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) agents: Arc<AgentRegistry>,
    /// How long they are kept if their agent does not say; `None` is without end.
    pub(crate) service: Option<Duration>,
    /// How long temporary ones are kept.
    pub(crate) temporary: Duration,
}

impl ThreadRetention {
    /// Deletes what is not kept any longer. A failure is logged; the next run of the job continues.
    pub(crate) async fn delete_unused(&self) {
        let agents = self.agents.current();
        let shortest = agents.shortest_retention(self.service).and_then(|retention| self.before(retention));
        let Some(before) = shortest else { return };
        let mut after = None;
        loop {
            let unused = self.store.threads_unused_since(before, after, BATCH).await;
            let Some(unused) = listed(unused) else { return };
            after = unused.last().map(|thread| thread.id);
            let due = unused.into_iter().filter_map(|thread| {
                let before = self.before(agents.retention_of(&thread.metadata, self.service)?)?;
                (thread.updated_at < before).then_some((thread, before))
            });
            if !self.delete(due.collect(), Expiry::Retention).await {
                return;
            }
        }
    }

    /// Deletes temporary threads that were not used for some hours.
    pub(crate) async fn delete_temporary(&self) {
        let Some(before) = self.before(self.temporary) else { return };
        let mut after = None;
        loop {
            let unused = self.store.temporary_threads_unused_since(before, after, BATCH).await;
            let Some(unused) = listed(unused) else { return };
            after = unused.last().map(|thread| thread.id);
            let due = unused.into_iter().map(|thread| (thread, before));
            if !self.delete(due.collect(), Expiry::Temporary).await {
                return;
            }
        }
    }

    /// Deletes threads that were not used since a time. Returns whether to continue: not if another process is at it,
    /// or the database fails.
    async fn delete(&self, due: Vec<(UnusedThread, UtcTime)>, expiry: Expiry) -> bool {
        let mut count = 0_u64;
        let mut goes_on = true;
        for (thread, before) in due {
            match self.engine.delete_unused_thread(thread.user_id, thread.id, before, expiry).await {
                Ok(UnusedDeletion::Deleted) => count += 1,
                Ok(UnusedDeletion::Kept) => {}
                Ok(UnusedDeletion::Elsewhere) => {
                    goes_on = false;
                    break;
                }
                Err(error) => {
                    let error = Chain(&error);
                    tracing::warn!(thread_id = %thread.id, %error, "an unused conversation cannot be deleted");
                    goes_on = false;
                    break;
                }
            }
        }
        if count > 0 {
            let reason = expiry.name();
            metrics::counter!("threadline_threads_expired_total", "reason" => reason).increment(count);
            tracing::info!(count, reason, "deleted conversations that are not kept any longer");
        }
        goes_on
    }

    /// Returns the time that lies this far back; `None` if the calendar does not reach that far back.
    fn before(&self, age: Duration) -> Option<UtcTime> {
        let age = TimeDelta::from_std(age).ok()?;
        self.clock.now().utc().checked_sub_signed(age).map(Into::into)
    }
}

/// Returns the threads of one query; `None` if there are no more, or they cannot be read.
fn listed(unused: StoreResult<Vec<UnusedThread>>) -> Option<Vec<UnusedThread>> {
    match unused {
        Ok(unused) => Some(unused).filter(|unused| !unused.is_empty()),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "unused conversations cannot be listed");
            None
        }
    }
}
