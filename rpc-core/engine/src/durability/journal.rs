//! The journal makes events durable: one writer for all runs of the process.
//!
//! Each tick it writes what the runs have emitted since the last one, in one transaction however many runs there are.
//! Subscribers read from memory and never wait for it. So a crash can lose the output of the last tick, and nothing that
//! was acknowledged.

use crate::hub::{Hub, RunHandle, StopReason};
use crate::log::encode_rows;
use crate::shared::Shared;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_schema::ids::RunId;
use threadline_store::rows::EventRow;
use tokio::time::Instant;

/// Pause after a transaction that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// Events of one run in one transaction: after an outage, a run with a long backlog must not delay the others.
const MAX_RUN_EVENTS: usize = 2_000;
/// Rows in one transaction. The next one follows at once.
const MAX_ROWS: usize = 5_000;

/// Writes until the shutdown, each `interval`.
pub(crate) async fn run_journal(shared: Arc<Shared>, interval: Duration) {
    let mut failing_since = None;
    loop {
        if shared.hub.is_idle() {
            shared.hub.run_activated.notified().await;
        }
        tokio::time::sleep(if failing_since.is_some() { PAUSE_AFTER_FAILURE } else { interval }).await;
        write_all(&shared, &mut failing_since).await;
        let lag = failing_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        metrics::gauge!("threadline_journal_lag_seconds").set(lag);
    }
}

/// Writes until nothing is left, or until the database fails.
async fn write_all(shared: &Shared, failing_since: &mut Option<Instant>) {
    loop {
        let Batch { runs, rows } = Batch::collect(&shared.hub);
        if runs.is_empty() {
            return;
        }
        let is_full = rows.len() >= MAX_ROWS;
        let followed: Vec<EventRow> =
            rows.iter().filter(|row| shared.signals.is_followed(row.run_id)).cloned().collect();
        let started = Instant::now();
        match shared.store.events_append(shared.process_id, rows).await {
            Ok(written) => {
                metrics::histogram!("threadline_log_write_seconds").record(started.elapsed().as_secs_f64());
                if let Some(since) = failing_since.take() {
                    tracing::info!(seconds = since.elapsed().as_secs(), "journal writes again");
                }
                let followed = group_by_run(&followed);
                for SavingRun { handle, up_to } in runs {
                    let is_ours = written.contains(&handle.run_id);
                    handle.log.end_saving(is_ours.then_some(up_to));
                    if is_ours {
                        let rows = followed.get(&handle.run_id).copied().unwrap_or_default();
                        shared.signals.grown(handle.run_id, up_to, false, rows);
                    } else {
                        // Another process has taken it over, or its thread is gone.
                        handle.stop(StopReason::Superseded);
                    }
                }
            }
            Err(error) => {
                metrics::counter!("threadline_log_failures_total").increment(1);
                if failing_since.is_none() {
                    tracing::warn!(error = %Chain(&error), "journal cannot write; events stay in memory until it can");
                }
                failing_since.get_or_insert(started);
                runs.iter().for_each(|run| run.handle.log.end_saving(None));
                return;
            }
        }
        if !is_full {
            return;
        }
    }
}

/// What one transaction writes.
#[derive(Default)]
struct Batch {
    runs: Vec<SavingRun>,
    rows: Vec<EventRow>,
}

/// A run of which some events are being written.
struct SavingRun {
    handle: Arc<RunHandle>,
    /// Number of the last of them.
    up_to: u64,
}

impl Batch {
    fn collect(hub: &Hub) -> Self {
        let mut batch = Self::default();
        for handle in hub.active() {
            if batch.rows.len() >= MAX_ROWS {
                break;
            }
            let Some(unsaved) = handle.log.begin_saving(MAX_RUN_EVENTS) else { continue };
            batch.rows.extend(encode_rows(handle.run_id, unsaved.first_seq, &unsaved.events));
            let up_to = unsaved.last_seq();
            batch.runs.push(SavingRun { handle, up_to });
        }
        batch
    }
}

fn group_by_run(rows: &[EventRow]) -> HashMap<RunId, &[EventRow]> {
    rows.chunk_by(|one, next| one.run_id == next.run_id).filter_map(|rows| Some((rows.first()?.run_id, rows))).collect()
}
