//! The tool calls that a run has stored, and their entries in its workflows.

use super::projection::{BegunItem, RunProjection};
use crate::output::{empty_workflow, is_running, mark_outcome_unknown, task_entry};
use crate::wire::ToolCallBody;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use threadline_schema::chatkit::{StatusIndicator, ThreadItem, WorkflowItem, WorkflowKind, WorkflowTask};
use threadline_schema::ids::{ItemId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::UNKNOWN_RESULT;
use threadline_store::Clock;
use threadline_store::rows::ItemRow;

/// A tool call that is stored.
pub(super) struct StoredCall {
    pub(super) item_id: ItemId,
    pub(super) body: ToolCallBody,
    created_at: DateTime<Utc>,
    /// The workflow and the index of the entry that shows it, if that workflow is not stored.
    pub(super) shown_at: Option<(ItemId, usize)>,
}

/// What becomes of a run whose process has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunFate {
    /// The run ends, and calls without a result have an unknown outcome.
    Ends,
    /// The run continues, and calls without a result are made again.
    Continues,
}

impl StoredCall {
    /// Reads the calls among the items of a run, in their order: those that ran, and those that wait for the client or
    /// the user.
    pub(super) fn all_of(items: &[ItemRow]) -> (Vec<Self>, Vec<Self>) {
        let calls = items.iter().filter(|item| item.kind == ItemKind::ToolCall).filter_map(|item| {
            let body: ToolCallBody = serde_json::from_str(&item.body)
                .inspect_err(|error| tracing::error!(item_id = %item.id, %error, "stored tool call cannot be read"))
                .ok()?;
            Some(Self { item_id: item.id, body, created_at: item.created_at.utc(), shown_at: None })
        });
        let (waiting, ran): (Vec<_>, Vec<_>) = calls.partition(|call| call.body.waits_for.is_some());
        // The item that such a call waits for would have been stored with the end of the run.
        (ran, waiting.into_iter().filter(|call| call.body.result.is_none()).collect())
    }

    /// Returns the item of the call and its body with this result.
    pub(super) fn completed(&self, result: &str) -> Option<(ItemId, String)> {
        let body = ToolCallBody { result: Some(result.to_owned()), ..self.body.clone() };
        let json = serde_json::to_string(&body)
            .inspect_err(|error| tracing::error!(item_id = %self.item_id, %error, "tool call cannot be serialised"));
        Some((self.item_id, json.ok()?))
    }

    /// Shows in a workflow entry how the call ended. The entry of a call that is made again stays as it is.
    fn show_in(&self, entry: &mut WorkflowTask, fate: RunFate) {
        #[derive(Deserialize)]
        struct Failed {
            error: String,
        }
        match self.body.shown.as_deref().or(self.body.result.as_deref()) {
            None if fate == RunFate::Continues => {}
            None | Some(UNKNOWN_RESULT) => mark_outcome_unknown(entry),
            Some(result) => {
                entry.set_status(StatusIndicator::Complete);
                if let WorkflowTask::Custom(entry) = entry {
                    entry.content = serde_json::from_str(result).ok().map(|Failed { error }| error);
                }
            }
        }
    }
}

/// Makes the entries of workflows that are not stored agree with the calls: each call has one entry, in the same order.
pub(super) fn show_calls(
    projection: &mut RunProjection,
    clock: &Clock,
    thread_id: ThreadId,
    items: &[ItemRow],
    calls: &mut [StoredCall],
    fate: RunFate,
) {
    // Entries of workflows that are stored and not in the log: the newest ones.
    let unlogged = items.iter().filter(|item| item.kind == ItemKind::Workflow);
    let unlogged = unlogged.filter(|row| projection.items.iter().all(|begun| begun.id() != row.id));
    let unlogged_entries: usize = unlogged.map(|row| entry_count(items, row.id)).sum();
    let mut calls = calls.iter_mut();
    let mut open_workflow = None;
    for begun in &mut projection.items {
        let BegunItem::Workflow { item, is_done } = begun else { continue };
        if item.workflow.kind == WorkflowKind::Reasoning {
            continue;
        }
        open_workflow = None;
        if is_stored(items, item.id) {
            calls.by_ref().take(entry_count(items, item.id)).for_each(drop);
            continue;
        }
        for (index, entry) in item.workflow.tasks.iter_mut().enumerate() {
            match calls.next() {
                Some(call) => {
                    call.shown_at = Some((item.id, index));
                    if is_running(entry) || call.body.result.is_none() {
                        call.show_in(entry, fate);
                    }
                }
                // Each entry has a stored call, because calls are stored before they run. Better safe than wrong.
                None if is_running(entry) => mark_outcome_unknown(entry),
                None => {}
            }
        }
        if !*is_done {
            open_workflow = Some(item);
        }
    }
    // Calls that are stored and whose entries are not in the log.
    let missing: Vec<_> = calls.skip(unlogged_entries).collect();
    let Some(first) = missing.first() else { return };
    let mut new_workflow: Option<WorkflowItem> = None;
    let workflow = match open_workflow {
        Some(item) => item,
        None => new_workflow.insert(empty_workflow(clock.new_id(), thread_id, first.created_at)),
    };
    for call in missing {
        let mut entry = task_entry(&call.body.name.replace('_', " "), StatusIndicator::Loading, None);
        call.show_in(&mut entry, fate);
        call.shown_at = Some((workflow.id, workflow.workflow.tasks.len()));
        workflow.workflow.tasks.push(entry);
    }
    let is_done = fate == RunFate::Ends;
    projection.items.extend(new_workflow.map(|item| BegunItem::Workflow { item, is_done }));
}

pub(super) fn is_stored(items: &[ItemRow], id: ItemId) -> bool {
    items.iter().any(|item| item.id == id)
}

/// Returns how many calls a stored workflow shows.
fn entry_count(items: &[ItemRow], id: ItemId) -> usize {
    let body = items.iter().find(|item| item.id == id).map(|item| serde_json::from_str(&item.body));
    match body {
        Some(Ok(ThreadItem::Workflow(item))) if item.workflow.kind == WorkflowKind::Custom => item.workflow.tasks.len(),
        _ => 0,
    }
}
