//! Reads the segments of other processes.
//!
//! A segment has the events of all runs of its process. So it is read once for all mirrors of such runs, by whichever
//! mirror asks first.

use crate::log::{NumberedEvent, SegmentPosition, decode_logged};
use crate::shared::Shared;
use threadline_schema::ids::{ProcessId, RunId};
use threadline_store::{StoreResult, rows::LoggedEvents, to_signed};

/// Segments that are read at a time.
const SEGMENTS: u32 = 64;

impl SegmentPosition {
    /// Reads the new segments of `owner`, and appends their events to the mirrors that they continue. A mirror that
    /// reads by itself after this what is stored misses nothing later.
    ///
    /// # Errors
    /// When the database fails. What was read until then counts.
    pub(crate) async fn read_new(&self, shared: &Shared, owner: ProcessId) -> StoreResult<()> {
        let mut position = self.last_read.lock().await;
        if let Some(position) = position.as_mut() {
            return read_from(shared, owner, position).await;
        }
        // No mirror needs those so far.
        *position = Some(shared.store.segments_last(owner).await?);
        Ok(())
    }

    /// Like [`read_new`](Self::read_new), unless another reader has got event `up_to` of the run meanwhile.
    pub(crate) async fn read_up_to(
        &self,
        shared: &Shared,
        owner: ProcessId,
        run_id: RunId,
        up_to: u64,
    ) -> StoreResult<()> {
        let mut position = self.last_read.lock().await;
        if shared.hub.find_mirror(run_id).is_some_and(|log| log.last_seq() >= up_to) {
            return Ok(());
        }
        match position.as_mut() {
            Some(position) => read_from(shared, owner, position).await,
            None => Ok(()),
        }
    }
}

async fn read_from(shared: &Shared, owner: ProcessId, position: &mut i64) -> StoreResult<()> {
    loop {
        let wanted = shared.hub.mirrored();
        let segments = shared.store.segments_after(owner, *position, SEGMENTS, wanted).await?;
        let Some(last) = segments.last() else { return Ok(()) };
        let number = last.number;
        let is_all = segments.len() < SEGMENTS as usize;
        for events in segments.into_iter().flat_map(|segment| segment.events) {
            continue_mirror(shared, events);
        }
        *position = number;
        if is_all {
            return Ok(());
        }
    }
}

/// Appends events to the mirror of their run, if they continue it. A mirror that lacks earlier ones reads them itself.
fn continue_mirror(shared: &Shared, events: LoggedEvents) {
    let Some(log) = shared.hub.find_mirror(events.run_id) else { return };
    if events.first_seq <= to_signed(log.last_seq() + 1) {
        let events: Vec<NumberedEvent> = decode_logged(events);
        let is_last = events.last().is_some_and(|(_, event)| event.kind().is_terminal());
        log.copy(events, is_last);
    }
}
