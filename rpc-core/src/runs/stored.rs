//! The events of a run that has ended and is not in memory: from the log, or what stands for them when it is gone.

use super::log::Numbered;
use super::packing::{signed, unpack};
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::{ItemRow, RunRow};
use crate::store::{Store, StoreError};
use crate::wire;
use chrono::Utc;
use threadline_schema::event::RunLifecycleEvent;
use threadline_schema::page::{Page, Raw};
use threadline_schema::runs::Run;
use uuid::Uuid;

/// Rows of the log that are read at a time. A reader far behind holds so many, not all.
const ROWS: u32 = 64;

/// Where the events of an ended run come from.
pub(super) struct Stored {
    store: Store,
    row: RunRow,
    /// Whether the log may still be read.
    log_kept: bool,
}

impl Stored {
    /// `row` is of a run that has ended. Its log is good for `retention` after that, and may be there a little longer.
    pub(super) fn new(core: &Core, row: RunRow) -> Self {
        let good_until = row.finished_at.map(|end| end.utc() + core.config.run_events_retention);
        let log_kept = row.log_kept && good_until.is_some_and(|until| until > Utc::now());
        Self { store: core.store.clone(), row, log_kept }
    }

    pub(super) fn run_id(&self) -> Uuid {
        self.row.id.0
    }

    pub(super) fn last_seq(&self) -> u64 {
        wire::run(&self.row).last_seq
    }

    /// Some of the events after number `after`; none after the last.
    pub(super) async fn read(&self, after: u64) -> Result<Vec<Numbered>, StoreError> {
        let last = self.last_seq();
        if after >= last {
            return Ok(Vec::new());
        }
        if self.log_kept {
            let rows = self.store.events_after(self.row.id, signed(after), ROWS).await?;
            let events: Vec<_> = rows.into_iter().flat_map(unpack).filter(|(seq, _)| *seq > after).collect();
            // Otherwise it was trimmed since the run was looked up.
            if !events.is_empty() {
                return Ok(events);
            }
        }
        let items = self.store.run_items(self.row.id).await?;
        let [resync, terminal] = ending(&self.row, &items).map_err(|error| {
            tracing::error!(run_id = %self.row.id.0, error = error.log_text(), "the end of a run cannot be shown");
            StoreError::Corrupt("the items of a run".to_owned())
        })?;
        // It stands for all events up to its number: a reader who has that one needs only the last.
        let resync = (after + 1 < last).then_some((last - 1, resync.into()));
        Ok(resync.into_iter().chain([(last, terminal.into())]).collect())
    }
}

/// What stands for the events of a run: its items as they are, and how it ended.
pub(super) fn ending(row: &RunRow, items: &[ItemRow]) -> Result<[String; 2], Error> {
    let run = Run { tool_calls: wire::tool_calls(items)?, ..wire::run(row) };
    let shown = items.iter().filter(|item| !item.hidden);
    let data = shown.map(|item| Raw::from_json(item.body.clone())).collect::<Result<_, _>>()?;
    let items = Page { data, has_more: false, after: None };
    let resync = RunLifecycleEvent::Resync { run: Box::new(run.clone()), items };
    let terminal = RunLifecycleEvent::of(run).ok_or_else(|| Error::internal("a final run has no terminal event"))?;
    Ok([serde_json::to_string(&resync)?, serde_json::to_string(&terminal)?])
}
