//! Reconstructs, after a crash, the items that a run had begun and not stored, from the events in its log and the items
//! in the database.
//!
//! The two can be from different moments. An item is stored in a transaction of its own, and events reach the log some
//! milliseconds after they were emitted. So either can know what the other does not.

#[cfg(test)]
mod tests;

use super::projection::{BegunItem, RunProjection};
use crate::log::NumberedEvent;
use crate::output::{CANCEL_NOTE, empty_workflow, hidden_note, is_running, mark_outcome_unknown, new_item, task_entry};
use crate::wire::ToolCallBody;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use threadline_schema::chatkit::{StatusIndicator, ThreadItem, WorkflowKind, WorkflowTask};
use threadline_schema::ids::{ItemId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::{NOT_MADE_RESULT, UNKNOWN_RESULT};
use threadline_store::Clock;
use threadline_store::rows::{ItemRow, NewItem};

/// What is written when the run is closed, in one transaction with its end.
#[derive(Debug, Default)]
pub(super) struct RecoveredItems {
    /// Items that were begun, as far as they got.
    pub(super) append: Vec<NewItem>,
    /// Tool calls that were never seen to end: the item of each, and its body with a result that says so.
    pub(super) completed_calls: Vec<(ItemId, String)>,
    /// The last message of the assistant, among what is stored and what is appended.
    pub(super) message_id: Option<ItemId>,
    /// Names of the tools of `completed_calls`, as the model wrote them.
    pub(super) unknown_tools: Vec<String>,
}

impl RecoveredItems {
    /// `events` are those of the run from the first on, as far as they reached the log; deltas may be joined. `items`
    /// are those that are stored, in their order.
    pub(super) fn reconstruct(
        clock: &Clock,
        thread_id: ThreadId,
        events: &[NumberedEvent],
        items: &[ItemRow],
        is_cancelled: bool,
    ) -> Self {
        let mut projection = RunProjection::default();
        events.iter().for_each(|(_, event)| projection.apply(event));
        let mut this = Self::default();
        let calls = this.complete_calls(items);
        show_calls(&mut projection, clock, thread_id, items, &calls);
        this.message_id = items.iter().rfind(|item| item.kind == ItemKind::AssistantMessage).map(|item| item.id);
        for begun in projection.items {
            if is_stored(items, begun.id()) {
                continue;
            }
            match begun {
                BegunItem::Message(message) => {
                    if message.content.iter().all(|part| part.text().is_empty()) {
                        continue;
                    }
                    let (id, created_at) = (message.id, message.created_at.into());
                    let item = ThreadItem::AssistantMessage(message);
                    this.append.extend(new_item(id, ItemKind::AssistantMessage, false, &item, created_at));
                    this.message_id = Some(id);
                }
                BegunItem::Workflow { item, .. } => {
                    let (id, created_at) = (item.id, item.created_at.into());
                    this.append.extend(new_item(
                        id,
                        ItemKind::Workflow,
                        false,
                        &ThreadItem::Workflow(item),
                        created_at,
                    ));
                }
            }
        }
        if is_cancelled {
            this.append.extend(hidden_note(clock, thread_id, CANCEL_NOTE));
        }
        this
    }

    /// Gives every stored call a result. Returns the calls that ran, in their order.
    fn complete_calls(&mut self, items: &[ItemRow]) -> Vec<StoredCall> {
        let mut calls = Vec::new();
        for item in items.iter().filter(|item| item.kind == ItemKind::ToolCall) {
            let mut body: ToolCallBody = match serde_json::from_str(&item.body) {
                Ok(body) => body,
                Err(error) => {
                    tracing::error!(item_id = %item.id, %error, "stored tool call cannot be read");
                    continue;
                }
            };
            // The item that such a call waits for would have been stored with the end of the run.
            let is_pending = body.waits_for.is_some();
            if !is_pending {
                calls.push(StoredCall {
                    name: body.name.clone(),
                    result: body.result.clone(),
                    created_at: item.created_at.utc(),
                });
            }
            if body.result.is_some() {
                continue;
            }
            body.result = Some(if is_pending { NOT_MADE_RESULT } else { UNKNOWN_RESULT }.to_owned());
            match serde_json::to_string(&body) {
                Ok(json) => self.completed_calls.push((item.id, json)),
                Err(error) => tracing::error!(item_id = %item.id, %error, "tool call cannot be serialised"),
            }
            if !is_pending {
                self.unknown_tools.push(body.name);
            }
        }
        calls
    }
}

/// A tool call that is stored.
struct StoredCall {
    name: String,
    result: Option<String>,
    created_at: DateTime<Utc>,
}

impl StoredCall {
    /// Shows in a workflow entry how the call ended.
    fn show_in(&self, entry: &mut WorkflowTask) {
        #[derive(Deserialize)]
        struct Failed {
            error: String,
        }
        match self.result.as_deref() {
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
fn show_calls(
    projection: &mut RunProjection,
    clock: &Clock,
    thread_id: ThreadId,
    items: &[ItemRow],
    calls: &[StoredCall],
) {
    // Entries of workflows that are stored and not in the log: the newest ones.
    let unlogged = items.iter().filter(|item| item.kind == ItemKind::Workflow);
    let unlogged = unlogged.filter(|row| projection.items.iter().all(|begun| begun.id() != row.id));
    let unlogged_entries: usize = unlogged.map(|row| entry_count(items, row.id)).sum();
    let mut calls = calls.iter();
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
        for entry in &mut item.workflow.tasks {
            match calls.next() {
                Some(call) if is_running(entry) || call.result.is_none() => call.show_in(entry),
                // Each entry has a stored call, because calls are stored before they run. Better safe than wrong.
                None if is_running(entry) => mark_outcome_unknown(entry),
                _ => {}
            }
        }
        if !*is_done {
            open_workflow = Some(item);
        }
    }
    // Calls that are stored and whose entries are not in the log.
    let missing: Vec<&StoredCall> = calls.skip(unlogged_entries).collect();
    let Some(first) = missing.first() else { return };
    let mut new_workflow = None;
    let workflow = match open_workflow {
        Some(item) => item,
        None => new_workflow.insert(empty_workflow(clock.new_id(), thread_id, first.created_at)),
    };
    for call in missing {
        let mut entry = task_entry(&call.name.replace('_', " "), StatusIndicator::Loading, None);
        call.show_in(&mut entry);
        workflow.workflow.tasks.push(entry);
    }
    projection.items.extend(new_workflow.map(|item| BegunItem::Workflow { item, is_done: true }));
}

fn is_stored(items: &[ItemRow], id: ItemId) -> bool {
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
