//! What makes events durable: one writer for all runs of the process.
//!
//! Every tick it writes what the runs have emitted since the last one, in one transaction however many runs there are.
//! Nobody waits for it: subscribers read from memory. What a crash can take is therefore the output of the last tick,
//! and never anything that was acknowledged.

use super::hub::{Entry, StopReason};
use super::packing::pack;
use crate::core::Core;
use crate::store::rows::EventRow;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use threadline_schema::ids::RunId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// After a transaction that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Events of one run in one transaction: a run that is far ahead, after an outage, must not hold up the others.
const RUN_EVENTS: usize = 2_000;
/// Rows in one transaction; the rest is for the next, which follows at once.
const ROWS: usize = 5_000;

/// Starts the writer. It ends with the core, or when told to.
pub(crate) fn spawn(core: &Arc<Core>, stop: CancellationToken) {
    let Some(tick) = core.config.run_events_interval else { return };
    let hub_begins = core.hub.begins.clone();
    let core = Arc::downgrade(core);
    tokio::spawn(async move {
        let mut trouble = None;
        loop {
            let wait = async {
                if core.upgrade().is_some_and(|core| core.hub.is_idle()) {
                    hub_begins.notified().await;
                }
                tokio::time::sleep(if trouble.is_some() { PAUSE } else { tick }).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wait => {}
            }
            if !write_all(&core, &mut trouble).await {
                return;
            }
        }
    });
}

/// Writes until nothing is left, or the database fails. `false` when the core is gone.
async fn write_all(core: &Weak<Core>, trouble: &mut Option<Instant>) -> bool {
    loop {
        let Some(core) = core.upgrade() else { return false };
        let (batch, rows) = collect(&core.hub.answering());
        if batch.is_empty() {
            return true;
        }
        let full = rows.len() >= ROWS;
        let followed: Vec<EventRow> =
            rows.iter().filter(|row| core.signals.is_followed(row.run_id.0)).cloned().collect();
        let began = Instant::now();
        match core.store.events_append(core.id, rows).await {
            Ok(written) => {
                metrics::histogram!("threadline_log_write_seconds").record(began.elapsed().as_secs_f64());
                if let Some(since) = trouble.take() {
                    tracing::info!(seconds = since.elapsed().as_secs(), "events are durable again");
                }
                let rows: HashMap<Uuid, &[EventRow]> = followed
                    .chunk_by(|one, next| one.run_id == next.run_id)
                    .filter_map(|rows| Some((rows.first()?.run_id.0, rows)))
                    .collect();
                for Taken { entry, up_to } in batch {
                    let ours = written.contains(&RunId(entry.run_id));
                    entry.log.saved(ours.then_some(up_to));
                    if ours {
                        let rows = rows.get(&entry.run_id).copied().unwrap_or_default();
                        core.signals.grown(entry.run_id, up_to, false, rows);
                    } else {
                        // Somebody took it for dead, or its thread is gone.
                        entry.stop(StopReason::Superseded);
                    }
                }
            }
            Err(error) => {
                metrics::counter!("threadline_log_failures_total").increment(1);
                if trouble.is_none() {
                    tracing::warn!(%error, "events cannot be made durable; they are kept in memory meanwhile");
                }
                trouble.get_or_insert(began);
                batch.iter().for_each(|taken| taken.entry.log.saved(None));
                return true;
            }
        }
        if !full {
            return true;
        }
    }
}

/// A run some of whose events are being written.
struct Taken {
    entry: Arc<Entry>,
    /// Number of the last of them.
    up_to: u64,
}

fn collect(entries: &[Arc<Entry>]) -> (Vec<Taken>, Vec<EventRow>) {
    let (mut batch, mut rows) = (Vec::new(), Vec::new());
    for entry in entries {
        if rows.len() >= ROWS {
            break;
        }
        let Some(unsaved) = entry.log.begin_saving(RUN_EVENTS) else { continue };
        rows.extend(pack(entry.run_id, unsaved.first, &unsaved.events));
        let up_to = unsaved.first + unsaved.events.len() as u64 - 1;
        batch.push(Taken { entry: entry.clone(), up_to });
    }
    (batch, rows)
}
