//! Writes the description of this process to the database at an interval, for the console.

use crate::config::ProcessConfig;
use crate::store::{Clock, ProcessDetails, Store};
use parking_lot::Mutex;
use std::sync::Arc;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;
use threadline_schema::ids::ProcessId;

/// The description of this process, for the console.
pub(crate) struct ProcessReport {
    store: Store,
    clock: Arc<Clock>,
    id: ProcessId,
    details: Mutex<ProcessDetails>,
}

impl ProcessReport {
    pub(crate) fn new(store: Store, clock: Arc<Clock>, id: ProcessId, config: &ProcessConfig) -> Self {
        let ProcessConfig { host, address } = config.clone();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let details = ProcessDetails { host, address, version, started_at: clock.now(), draining_since: None };
        Self { store, clock, id, details: Mutex::new(details) }
    }

    /// Writes the row of this process. If that fails, it is written the next time.
    pub(crate) async fn write(&self) {
        let details = self.details.lock().clone();
        if let Err(error) = self.store.process_report(self.id, details, self.clock.now()).await {
            tracing::debug!(error = %Chain(&error), "the row of this process could not be written");
        }
    }

    /// Writes that this process stops.
    pub(crate) async fn write_drain(&self) {
        let now: UtcTime = self.clock.now();
        self.details.lock().draining_since = Some(now);
        self.write().await;
    }
}
