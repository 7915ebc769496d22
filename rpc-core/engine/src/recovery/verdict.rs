//! Decides whether a run whose process has died continues.

use super::kept_output::progress_of;
use crate::driver::{RunDriver, RunProgress};
use crate::lifecycle::{RunTooLong, status_after_owner_died};
use crate::shared::Shared;
use crate::wire::ToolCallBody;
use threadline_schema::error::Failure;
use threadline_schema::items::ItemKind;
use threadline_schema::runs::RunStatus;
use threadline_schema::tool_result::UNKNOWN_RESULT;
use threadline_store::StoreResult;
use threadline_store::rows::{ItemRow, RunRow};

/// How many times a run continues. A run that crashes each process that executes it must not crash all of them.
pub(super) const MAX_CONTINUATIONS: i64 = 3;

/// What becomes of a run whose process has died.
pub(super) enum Verdict {
    /// It continues.
    Continue(Box<dyn RunDriver>, RunProgress),
    /// It ends, for a reason that is not the user's; the text is for the log.
    End(RunStatus, Option<Failure>, &'static str),
}

/// Decides what becomes of a run that this process has taken over. `items` are the stored items of the run.
///
/// # Errors
/// When the database fails, or the thread has been deleted.
pub(super) async fn judge(shared: &Shared, run: &RunRow, items: &[ItemRow]) -> StoreResult<Verdict> {
    if run.cancel_requested_at.is_some() {
        return Ok(Verdict::End(status_after_owner_died(true), None, "its user has cancelled it"));
    }
    if shared.age_of(run) >= shared.config.run_timeout {
        return Ok(Verdict::End(RunStatus::Failed, Some(RunTooLong::failure()), "it takes longer than it may"));
    }
    let interrupted = |why| Ok(Verdict::End(status_after_owner_died(false), None, why));
    // The first owner has epoch 1, and the row has the epoch of this process.
    if run.epoch - 1 > MAX_CONTINUATIONS {
        return interrupted("it has lost its process too often");
    }
    if let Some(why) = doubt_about_calls(items) {
        return interrupted(why);
    }
    let thread = shared.store.thread_get(run.user_id, run.thread_id).await?;
    match shared.config.drivers.driver_to_continue(&thread, run, items).await? {
        Ok(driver) => Ok(Verdict::Continue(driver, progress_of(items))),
        Err(why) => interrupted(why),
    }
}

/// Returns why it is not safe to continue a run with these calls; `None` if it is safe.
fn doubt_about_calls(items: &[ItemRow]) -> Option<&'static str> {
    items.iter().filter(|item| item.kind == ItemKind::ToolCall).find_map(|item| {
        let Ok(call) = serde_json::from_str::<ToolCallBody>(&item.body) else {
            return Some("a tool call of it cannot be read");
        };
        match call.result.as_deref() {
            _ if call.is_idempotent => None,
            // A call that waits for the client or the user has not been made.
            None if call.waits_for.is_some() => None,
            None => Some("a tool call was open that may have taken effect"),
            Some(UNKNOWN_RESULT) => Some("the outcome of a tool call is unknown"),
            Some(_) => None,
        }
    })
}
