//! Decides what is kept of the output of a run that continues after its process has died: every finished step.
//! Unfinished output is dropped, because the model is asked again.

#[cfg(test)]
mod tests;

use super::projection::{BegunItem, RunProjection};
use super::stored_calls::{RunFate, StoredCall, is_stored, show_calls};
use crate::driver::RunProgress;
use crate::log::NumberedEvent;
use crate::output::{OpenCall, ResumedOutput, UsedSoFar, new_item};
use crate::wire;
use threadline_schema::chatkit::{ThreadItem, WorkflowItem, WorkflowKind, WorkflowTask};
use threadline_schema::event::{Event, RunLifecycleEvent, ThreadStreamEvent};
use threadline_schema::ids::ItemId;
use threadline_schema::items::ItemKind;
use threadline_schema::page::{Page, Raw};
use threadline_schema::runs::Run;
use threadline_schema::tool_result::NOT_MADE_RESULT;
use threadline_store::rows::{ItemRow, NewItem, RunRow};
use threadline_store::{Clock, StoreError, StoreResult};

/// What is kept of the output of a run that continues.
#[derive(Debug, Default)]
pub(super) struct KeptOutput {
    /// Items that were complete and not stored.
    pub(super) append: Vec<NewItem>,
    /// Calls that were never begun: the item of each, and its body with a result that says so.
    pub(super) completed_calls: Vec<(ItemId, String)>,
    /// The first state of the writer, except `shown`.
    pub(super) output: ResumedOutput,
    /// Items that clients have seen begin, and that are dropped.
    dropped: Vec<ItemId>,
}

impl KeptOutput {
    /// `events` are those of the run from the first on, as far as they reached the log. `items` are those that are
    /// stored, in their order. No call among them that has no result is one that must not be made again.
    pub(super) fn reconstruct(clock: &Clock, run: &RunRow, events: &[NumberedEvent], items: &[ItemRow]) -> Self {
        let mut projection = RunProjection::default();
        events.iter().for_each(|(_, event)| projection.apply(event));
        let (mut calls, waiting) = StoredCall::all_of(items);
        show_calls(&mut projection, clock, run.thread_id, items, &mut calls, RunFate::Continues);
        let mut this = Self {
            completed_calls: waiting.iter().filter_map(|call| call.completed(NOT_MADE_RESULT)).collect(),
            ..Self::default()
        };
        let is_hidden = run.retry_of.is_some();
        for begun in projection.items.into_iter().filter(|begun| !is_stored(items, begun.id())) {
            match begun {
                BegunItem::Workflow { item, is_done } if item.workflow.kind == WorkflowKind::Custom => {
                    if is_done {
                        this.append.extend(workflow_item(item, is_hidden));
                    } else if let Some(before) = this.output.workflow.replace(item) {
                        // Cannot happen: a run has one open workflow.
                        this.append.extend(workflow_item(before, is_hidden));
                    }
                }
                unfinished => this.drop_unfinished(unfinished),
            }
        }
        let workflow_id = this.output.workflow.as_ref().map(|workflow| workflow.id);
        let open = calls.iter().filter(|call| call.body.result.is_none());
        this.output.open_calls = open
            .map(|call| OpenCall {
                item_id: call.item_id,
                body: call.body.clone(),
                entry: call.shown_at.filter(|(id, _)| Some(*id) == workflow_id).map(|(_, index)| index),
            })
            .collect();
        this.output.message_id = items.iter().rfind(|item| item.kind == ItemKind::AssistantMessage).map(|item| item.id);
        this.output.has_tool_calls = items.iter().any(|item| item.kind == ItemKind::ToolCall);
        this.output.used = UsedSoFar::read(run.used.as_deref());
        this
    }

    fn drop_unfinished(&mut self, begun: BegunItem) {
        self.dropped.push(begun.id());
        let bytes: usize = match begun {
            BegunItem::Message(message) => message.content.iter().map(|part| part.text().len()).sum(),
            BegunItem::Workflow { item, .. } => item.workflow.tasks.iter().map(thought_bytes).sum(),
        };
        self.output.lost_bytes += bytes;
    }

    /// Returns the events that the new owner begins with, numbered from `first_seq` on: the items of the run as they
    /// stand, and for clients that do not know that event, what was dropped. Notes which items are shown.
    ///
    /// # Errors
    /// When a stored item cannot be read.
    pub(super) fn first_events(&mut self, run: &RunRow, items: &[ItemRow], first_seq: u64) -> StoreResult<Vec<Event>> {
        let mut items = items.to_vec();
        wire::replace_bodies(&mut items, &self.completed_calls);
        let rows = self.append.iter().cloned().map(|item| item.at(i64::MAX, run.thread_id, Some(run.id)));
        items.extend(rows);
        let tool_calls = wire::tool_calls(&items)?;
        // The items of an answer that is to replace another are hidden until it does, and the reader of the run sees
        // them.
        let is_shown = |item: &&ItemRow| !matches!(item.kind, ItemKind::ToolCall | ItemKind::HiddenContext);
        let mut shown: Vec<(ItemId, String)> =
            items.iter().filter(is_shown).map(|item| (item.id, item.body.clone())).collect();
        if let Some(workflow) = &self.output.workflow {
            let body = serde_json::to_string(&ThreadItem::Workflow(workflow.clone())).map_err(unreadable)?;
            shown.push((workflow.id, body));
        }
        let is_output =
            |item: &&ItemRow| matches!(item.kind, ItemKind::AssistantMessage | ItemKind::Workflow | ItemKind::Widget);
        self.output.shown = items.iter().filter(is_output).map(|item| item.id).collect();
        self.output.shown.extend(self.output.workflow.as_ref().map(|workflow| workflow.id));
        let data = shown.into_iter().map(|(_, body)| Raw::from_json(body)).collect::<Result<_, _>>();
        let items = Page { data: data.map_err(unreadable)?, has_more: false, after: None };
        let run = Box::new(Run { tool_calls, last_seq: first_seq, ..wire::run(run) });
        let resync = Event::new(&RunLifecycleEvent::Resync { run, items }).map_err(unreadable)?;
        let removed = self.dropped.iter().map(|item_id| ThreadStreamEvent::ItemRemoved { item_id: *item_id });
        let removed = removed.map(|event| Event::new(&event).map_err(unreadable));
        std::iter::once(Ok(resync)).chain(removed).collect()
    }
}

fn workflow_item(item: WorkflowItem, is_hidden: bool) -> Option<NewItem> {
    let (id, created_at) = (item.id, item.created_at.into());
    new_item(id, ItemKind::Workflow, is_hidden, &ThreadItem::Workflow(item), created_at)
}

fn thought_bytes(task: &WorkflowTask) -> usize {
    match task {
        WorkflowTask::Thought(task) => task.content.len(),
        _ => 0,
    }
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError::corrupt(format!("the items of a run: {error}"))
}

/// Returns which turn of the run comes next, and whether the run began with a call that its user had approved.
pub(super) fn progress_of(items: &[ItemRow]) -> RunProgress {
    let (ran, waiting) = StoredCall::all_of(items);
    let is_approved = |call: &StoredCall| {
        let outcome = call.body.approval.and_then(|approval| approval.outcome);
        call.body.turn == 0 && outcome.is_some_and(|outcome| outcome.is_approval())
    };
    let next_turn = ran.iter().chain(&waiting).map(|call| call.body.turn.saturating_add(1)).max().unwrap_or_default();
    RunProgress { next_turn, began_with_approved_call: ran.iter().any(is_approved) }
}
