//! How far this process has read the segments of other processes.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use threadline_schema::ids::ProcessId;

/// The positions in the segments of other processes.
#[derive(Debug, Default)]
pub(crate) struct SegmentPositions {
    of: Mutex<BTreeMap<ProcessId, Arc<SegmentPosition>>>,
}

/// The position in the segments of one process.
#[derive(Debug, Default)]
pub(crate) struct SegmentPosition {
    /// Number of the last segment that was read; `None` before the first mirror. A reader holds the lock.
    pub(crate) last_read: tokio::sync::Mutex<Option<i64>>,
}

impl SegmentPositions {
    pub(crate) fn of(&self, owner: ProcessId) -> Arc<SegmentPosition> {
        self.of.lock().entry(owner).or_default().clone()
    }
}
