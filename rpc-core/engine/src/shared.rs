//! The collaborators of the engine.

use crate::driver::DriverSource;
use crate::hub::Hub;
use crate::leases::{LEASE, Leases};
use crate::log::SegmentPositions;
use crate::presences::Presences;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{ItemId, ProcessId, ThreadId};
use threadline_signals::Signals;
use threadline_store::rows::{ItemRow, RunRow};
use threadline_store::{Clock, Store};
use threadline_trace::{InSpan, Span};

use crate::error::EngineError;

/// How the engine behaves.
#[derive(Clone)]
pub struct EngineConfig {
    /// How long a run may take.
    pub run_timeout: Duration,
    /// How long the events of a run are kept after its end.
    pub events_retention: Duration,
    /// How long an event may be in memory only; `None` until the run ends.
    pub journal_interval: Option<Duration>,
    /// How long a run continues after the disconnect of a reader that cancels it by disconnecting.
    pub cancel_grace: Duration,
    /// Makes the drivers of runs that continue after their process has died.
    pub drivers: Arc<dyn DriverSource>,
    /// Is called with the name of each tool that had an unfinished call when its process died.
    pub on_unknown_outcome: Arc<dyn Fn(&str) + Send + Sync>,
    /// Called with each stored item before it is sent: what expires in it is made anew.
    pub renew_item: Arc<dyn Fn(&mut ItemRow) + Send + Sync>,
}

/// The collaborators of the engine, shared by its parts.
pub(crate) struct Shared {
    /// This process, as the owner of its runs.
    pub(crate) process_id: ProcessId,
    pub(crate) config: EngineConfig,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) signals: Signals,
    pub(crate) supervisor: Supervisor,
    pub(crate) hub: Arc<Hub>,
    pub(crate) leases: Leases,
    pub(crate) presences: Presences,
    pub(crate) segment_positions: SegmentPositions,
    /// Held by the task that takes over runs.
    pub(crate) recovering: tokio::sync::Mutex<()>,
}

impl Shared {
    /// Returns when a lease that is renewed now expires.
    pub(crate) fn lease_until(&self) -> UtcTime {
        (self.clock.now().utc() + LEASE).into()
    }

    /// Returns how long ago a run was created.
    pub(crate) fn age_of(&self, run: &RunRow) -> Duration {
        (self.clock.now().utc() - run.created_at.utc()).to_std().unwrap_or_default()
    }

    /// Notifies the feeds of a thread, in all processes, that its title, its status or an item has changed.
    pub(crate) fn announce_change(&self, thread_id: ThreadId, item_id: Option<ItemId>) {
        self.hub.notifier.notify_changed(thread_id, item_id);
        self.signals.changed(thread_id, item_id);
    }

    /// Runs `work` to its end even if the caller goes away: nothing may stop between a stored run and its execution.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        match self.supervisor.spawn_with_result(TaskKind::Request, work.in_span(Span::current())).await {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => Err(EngineError::Internal("a request to the engine panicked")),
        }
    }
}
