//! What can be saved of a run whose process died: worked out from the events in its log and the items in the database.
//!
//! The two may be from different moments. An item is stored in a transaction of its own, and events reach the log some
//! milliseconds after they were said; so either may know of something that the other does not.

mod told;

use super::output::{CANCEL_NOTE, hidden_note, is_open, mark_unknown, new_item, task, workflow};
use crate::store::rows::{ItemRow, NewItem};
use crate::wire::{self, ToolCallBody};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use threadline_schema::chatkit::{StatusIndicator, ThreadItem, WorkflowKind, WorkflowTask};
use threadline_schema::ids::ItemId;
use told::{Begun, Told};
use uuid::Uuid;

/// What is to be written when the run is closed, in one transaction with its end.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// Items that were begun, as far as they got.
    pub(crate) append: Vec<NewItem>,
    /// Tool calls that were never seen to end: the item of each, and its body with a result that says so.
    pub(crate) complete: Vec<(ItemId, String)>,
    /// The last message of the assistant, among what is stored and what is appended.
    pub(crate) message_id: Option<ItemId>,
    /// Names of the tools that were called in `complete`, as the model wrote them.
    pub(crate) unknown_tools: Vec<String>,
}

impl Salvage {
    /// Works out what is missing.
    ///
    /// `events` are the run's from the first on, as far as they reached the log; deltas may be joined. `items` are those
    /// that are stored, in their order. `cancelled` says whether the run's user had asked for its end.
    pub(crate) fn of<E: AsRef<str>>(thread_id: Uuid, events: &[E], items: &[ItemRow], cancelled: bool) -> Self {
        let mut told = Told::default();
        for event in events {
            told.hear(event.as_ref());
        }
        let mut this = Self::default();
        let calls = this.complete_calls(items);
        told.show_calls(thread_id, items, &calls);
        this.message_id = items.iter().rfind(|item| item.kind == wire::ASSISTANT_MESSAGE).map(|item| item.id);
        for begun in told.begun {
            if is_stored(items, begun.id()) {
                continue;
            }
            match begun {
                Begun::Message(message) => {
                    if message.content.iter().all(|part| part.text().is_empty()) {
                        continue;
                    }
                    let (id, created_at) = (message.id, message.created_at);
                    let item = ThreadItem::AssistantMessage(message);
                    this.append.extend(new_item(id, wire::ASSISTANT_MESSAGE, false, &item, created_at));
                    this.message_id = Some(id.into());
                }
                Begun::Workflow { item, .. } => {
                    let (id, created_at) = (item.id, item.created_at);
                    this.append.extend(new_item(id, wire::WORKFLOW, false, &ThreadItem::Workflow(item), created_at));
                }
            }
        }
        if cancelled {
            this.append.extend(hidden_note(thread_id, CANCEL_NOTE));
        }
        this
    }

    /// Gives every stored call a result. Returns all calls of the run, in their order.
    fn complete_calls(&mut self, items: &[ItemRow]) -> Vec<Call> {
        let mut calls = Vec::new();
        for item in items.iter().filter(|item| item.kind == wire::TOOL_CALL) {
            let mut body: ToolCallBody = match serde_json::from_str(&item.body) {
                Ok(body) => body,
                Err(error) => {
                    tracing::error!(item_id = %item.id.0, %error, "a stored tool call cannot be read");
                    continue;
                }
            };
            // What was to answer it would have been stored with the end of the run.
            let waits = body.waits_for.is_some();
            if !waits {
                calls.push(Call {
                    name: body.name.clone(),
                    result: body.result.clone(),
                    created_at: item.created_at.utc(),
                });
            }
            if body.result.is_some() {
                continue;
            }
            body.result = Some(if waits { wire::NOT_MADE_RESULT } else { wire::UNKNOWN_RESULT }.to_owned());
            match serde_json::to_string(&body) {
                Ok(text) => self.complete.push((item.id, text)),
                Err(error) => tracing::error!(item_id = %item.id.0, %error, "a tool call could not be written"),
            }
            if !waits {
                self.unknown_tools.push(body.name);
            }
        }
        calls
    }
}

/// A stored call.
struct Call {
    name: String,
    result: Option<String>,
    created_at: DateTime<Utc>,
}

impl Call {
    /// How its entry of a workflow ends.
    fn show(&self, entry: &mut WorkflowTask) {
        #[derive(Deserialize)]
        struct Failed {
            error: String,
        }
        match self.result.as_deref() {
            None | Some(wire::UNKNOWN_RESULT) => mark_unknown(entry),
            Some(result) => {
                entry.set_status(StatusIndicator::Complete);
                if let WorkflowTask::Custom(entry) = entry {
                    entry.content = serde_json::from_str(result).ok().map(|Failed { error }| error);
                }
            }
        }
    }
}

impl Told {
    /// Brings the entries of workflows that are not stored in line with the calls: each call has one entry, and they
    /// come in the same order.
    fn show_calls(&mut self, thread_id: Uuid, items: &[ItemRow], calls: &[Call]) {
        // Entries of workflows that were stored and did not reach the log any more: the newest there are.
        let unheard = items.iter().filter(|item| item.kind == wire::WORKFLOW);
        let unheard = unheard.filter(|row| self.begun.iter().all(|begun| begun.id() != row.id.0));
        let unheard: usize = unheard.map(|row| entries_of(items, row.id.0)).sum();
        let mut calls = calls.iter();
        let mut unstored = None;
        for begun in &mut self.begun {
            let Begun::Workflow { item, done } = begun else { continue };
            if item.workflow.kind == WorkflowKind::Reasoning {
                continue;
            }
            unstored = None;
            if is_stored(items, item.id) {
                calls.by_ref().take(entries_of(items, item.id)).for_each(drop);
                continue;
            }
            for entry in &mut item.workflow.tasks {
                match calls.next() {
                    Some(call) if is_open(entry) || call.result.is_none() => call.show(entry),
                    // The store has lost nothing, so there is a call for each entry; be that as it may.
                    None if is_open(entry) => mark_unknown(entry),
                    _ => {}
                }
            }
            if !*done {
                unstored = Some(item);
            }
        }
        // Calls that were stored and whose entries did not reach the log any more.
        let silent: Vec<&Call> = calls.skip(unheard).collect();
        let Some(first) = silent.first() else { return };
        let mut opened = None;
        let item = match unstored {
            Some(item) => item,
            None => opened.insert(workflow(thread_id, first.created_at)),
        };
        for call in silent {
            let mut entry = task(&call.name.replace('_', " "), StatusIndicator::Loading, None);
            call.show(&mut entry);
            item.workflow.tasks.push(entry);
        }
        self.begun.extend(opened.map(|item| Begun::Workflow { item, done: true }));
    }
}

fn is_stored(items: &[ItemRow], id: Uuid) -> bool {
    items.iter().any(|item| item.id.0 == id)
}

/// How many entries for calls a stored workflow has.
fn entries_of(items: &[ItemRow], id: Uuid) -> usize {
    let body = items.iter().find(|item| item.id.0 == id).map(|item| serde_json::from_str(&item.body));
    match body {
        Some(Ok(ThreadItem::Workflow(item))) if item.workflow.kind == WorkflowKind::Custom => item.workflow.tasks.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
