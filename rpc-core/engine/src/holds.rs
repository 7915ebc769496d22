//! Books work that holds a part of budgets and has no row of an active run: see `threadline_store::NewHold`.

use crate::output::UsedSoFar;
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::TaskKind;
use threadline_schema::error::Chain;
use threadline_schema::ids::HoldId;
use threadline_store::rows::HoldRow;
use threadline_store::{Charge, ModelUse, Unbooked};

/// Pause before the second attempt to book. Each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(15);
/// Rows that one query reads.
const BATCH: u32 = 100;

/// Books work of this process, and releases what it held. If that fails, a task tries again until it succeeds or the
/// process stops; then another process books the work, or the next one.
pub(crate) async fn settle_hold(shared: &Arc<Shared>, id: HoldId, charge: Charge, uses: Vec<ModelUse>) {
    if try_settle(shared, id, charge, uses.clone()).await {
        return;
    }
    let task_shared = shared.clone();
    shared.supervisor.spawn(TaskKind::HoldRetry, async move {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
            if try_settle(&task_shared, id, charge, uses.clone()).await {
                return;
            }
        }
    });
}

/// Returns whether the work is booked.
async fn try_settle(shared: &Shared, id: HoldId, charge: Charge, uses: Vec<ModelUse>) -> bool {
    let settled = shared.store.budget_hold_settle(id, shared.process_id, charge, uses).await;
    settled.inspect_err(|error| tracing::warn!(hold = %id, error = %Chain(error), "usage is not booked yet")).is_ok()
}

/// Books work of processes that are dead: what is known of its use, or else the estimate that was stored with it.
pub(crate) async fn book_holds(shared: &Shared, whose: Unbooked) {
    loop {
        let rows = match shared.store.budget_holds_unbooked(whose.clone(), BATCH).await {
            Ok(rows) if rows.is_empty() => return,
            Ok(rows) => rows,
            Err(error) => return tracing::warn!(error = %Chain(&error), "work of dead processes could not be read"),
        };
        for row in rows {
            let (id, owner, charge) = (row.id, row.owner, charge_of(&row));
            match shared.store.budget_hold_settle(id, owner, charge, Vec::new()).await {
                Ok(true) => tracing::warn!(hold = %id, user_id = %row.user_id, "booked work of a dead process"),
                // Another process was first.
                Ok(false) => {}
                Err(error) => {
                    return tracing::warn!(hold = %id, error = %Chain(&error), "work of a dead process is not booked yet");
                }
            }
        }
    }
}

fn charge_of(row: &HoldRow) -> Charge {
    match UsedSoFar::read(row.used.as_deref()).charge() {
        nothing if nothing == Charge::default() => {
            Charge { prompt_tokens: row.prompt_tokens, completion_tokens: 0, cost_micros: row.cost_micros }
        }
        charge => charge,
    }
}
