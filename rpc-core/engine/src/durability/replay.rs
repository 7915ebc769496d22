//! Reads the events of a run that has ended and is not in memory: from the log in the database, or, when that was
//! removed, from the run's items.

use crate::log::{NumberedEvent, decode_row};
use crate::shared::Shared;
use crate::wire;
use std::sync::Arc;
use threadline_schema::event::{Event, RunLifecycleEvent};
use threadline_schema::ids::RunId;
use threadline_schema::page::{Page, Raw};
use threadline_schema::runs::Run;
use threadline_store::rows::{ItemRow, RunRow};
use threadline_store::{Store, StoreError, StoreResult, to_signed};

/// Rows that are read at a time: a reader far behind holds this many in memory, not all.
const ROWS: u32 = 64;

/// Reads the events of one ended run.
pub(crate) struct Replay {
    store: Store,
    row: RunRow,
    /// Whether the log may still be read.
    has_log: bool,
    renew_item: Arc<dyn Fn(&mut ItemRow) + Send + Sync>,
}

impl Replay {
    /// `row` is a run that has ended. Its log is good for the configured retention, by the database's clock, and may be
    /// there a little longer.
    pub(crate) fn new(shared: &Shared, row: RunRow) -> Self {
        let good_until = row.finished_at.map(|end| end.utc() + shared.config.events_retention);
        let has_log = row.log_kept && good_until.is_some_and(|until| until > shared.clock.now().utc());
        Self { store: shared.store.clone(), row, has_log, renew_item: shared.config.renew_item.clone() }
    }

    pub(crate) fn run_id(&self) -> RunId {
        self.row.id
    }

    pub(crate) fn last_seq(&self) -> u64 {
        wire::run(&self.row).last_seq
    }

    /// Returns some of the events after number `after`; none after the last.
    ///
    /// # Errors
    /// When the database fails, or holds what cannot be read.
    pub(crate) async fn read(&self, after: u64) -> StoreResult<Vec<NumberedEvent>> {
        let last = self.last_seq();
        if after >= last {
            return Ok(Vec::new());
        }
        if self.has_log {
            let rows = self.store.events_after(self.row.id, to_signed(after), ROWS).await?;
            let events: Vec<_> = rows.into_iter().flat_map(decode_row).filter(|(seq, _)| *seq > after).collect();
            // Otherwise the log was removed after the run was looked up.
            if !events.is_empty() {
                return Ok(events);
            }
        }
        let mut items = self.store.run_items(self.row.id).await?;
        items.iter_mut().for_each(|item| (self.renew_item)(item));
        let [resync, terminal] = resync_events(&self.row, &items)?;
        // The resync event stands for all events up to its number. A reader that has that one needs only the last.
        let resync = (after + 1 < last).then_some((last - 1, resync));
        Ok(resync.into_iter().chain([(last, terminal)]).collect())
    }
}

/// Returns the two events that stand for all events of an ended run: its items as they are, and how it ended.
///
/// # Errors
/// When a stored item cannot be read, or the run has not ended.
pub(crate) fn resync_events(row: &RunRow, items: &[ItemRow]) -> StoreResult<[Event; 2]> {
    let run = Run { tool_calls: wire::tool_calls(items)?, ..wire::run(row) };
    let visible = items.iter().filter(|item| !item.hidden);
    let data = visible.map(|item| Raw::from_json(item.body.clone())).collect::<Result<_, _>>().map_err(unreadable)?;
    let items = Page { data, has_more: false, after: None };
    let resync = RunLifecycleEvent::Resync { run: Box::new(run.clone()), items };
    let terminal = RunLifecycleEvent::of(run)
        .ok_or_else(|| StoreError::corrupt(format!("run {} has not ended and was read as ended", row.id)))?;
    Ok([Event::new(&resync).map_err(unreadable)?, Event::new(&terminal).map_err(unreadable)?])
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError::corrupt(format!("the items of a run: {error}"))
}
