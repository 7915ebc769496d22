//! Tool calls at work: kept, and shown as the entries of a workflow.

use super::{Output, now};
use crate::model::ToolCall;
use crate::tools::{CallOutcome, ToolResult};
use crate::wire;
use chrono::{DateTime, Utc};
use threadline_schema::chatkit::{
    CustomTask, Extra, ItemUpdate, StatusIndicator, ThreadItem, ThreadStreamEvent, Workflow, WorkflowItem,
    WorkflowKind, WorkflowSummary, WorkflowTask,
};
use threadline_schema::ids::ItemId;
use uuid::Uuid;

impl Output {
    /// The model has asked for tools; the call at `waiting` is somebody else's to answer. Its calls are kept, hidden, for itself and for the history of REST: without a
    /// result for now, and before any of them acts, so that whatever happens to this process it is known that they may
    /// have.
    pub(crate) fn calls_asked(&mut self, round: u32, calls: &[ToolCall], waiting: Option<usize>) {
        self.close_thinking();
        self.close_message();
        self.has_called = true;
        self.finished.extend(self.calls.ask(round, calls, waiting));
    }

    /// A call begins to act; `index` is its place among those asked for. The calls have been stored.
    pub(crate) fn call_began(&mut self, index: usize, title: &str) {
        self.has_begun = true;
        let entry = self.add_to_workflow(task(title, StatusIndicator::Loading, None));
        self.calls.began(index, entry);
    }

    /// A call goes on. Said once and not kept: it is nothing when the call has ended.
    pub(crate) fn progress(&self, text: String) {
        self.emit(&ThreadStreamEvent::ProgressUpdate { icon: None, text });
    }

    /// A call has ended. Gives its item and the body to store; then call [`call_stored`](Self::call_stored). Until it
    /// is stored it is among [`take_results`](Self::take_results).
    pub(crate) fn call_ended(&mut self, index: usize, title: &str, done: &ToolResult) -> Option<(ItemId, String)> {
        if done.may_have_changed_data || done.widget.as_ref().is_some_and(|shown| shown.is_overview) {
            self.shown.retain(|_, shown| !shown.is_overview);
        }
        self.shown.extend(self.calls.place(index).zip(done.widget.clone()));
        // No check mark where nobody knows.
        let indicator =
            if done.outcome == CallOutcome::Unknown { StatusIndicator::None } else { StatusIndicator::Complete };
        self.calls.ended(
            index,
            &done.content,
            task(title, indicator, done.failure.as_ref().map(|failure| failure.message.clone())),
        )
    }

    /// The result of a call has been stored. Only now is it shown: a call that was seen to end is known to have ended.
    pub(crate) fn call_stored(&mut self, item_id: ItemId) {
        if let Some((entry, task)) = self.calls.stored(item_id) {
            self.update_workflow(entry, task);
        }
    }

    /// Adds an entry to the workflow, and tells of it; where there is no workflow it begins with that. Gives the entry's
    /// place.
    fn add_to_workflow(&mut self, task: WorkflowTask) -> usize {
        let Some(item) = &mut self.workflow else {
            let mut item = workflow(self.thread_id, now());
            item.workflow.tasks.push(task);
            self.begin_item(item.id, ThreadItem::Workflow(item.clone()));
            self.workflow = Some(item);
            return 0;
        };
        let entry = item.workflow.tasks.len();
        item.workflow.tasks.push(task.clone());
        let update = ItemUpdate::WorkflowTaskAdded { task_index: index_of(entry), task };
        let event = ThreadStreamEvent::ItemUpdated { item_id: item.id, update };
        self.emit(&event);
        entry
    }

    fn update_workflow(&mut self, entry: usize, task: WorkflowTask) {
        let Some(item) = &mut self.workflow else { return };
        let Some(shown) = item.workflow.tasks.get_mut(entry) else { return };
        shown.clone_from(&task);
        let update = ItemUpdate::WorkflowTaskUpdated { task_index: index_of(entry), task };
        let event = ThreadStreamEvent::ItemUpdated { item_id: item.id, update };
        self.emit(&event);
    }

    /// Ends the workflow that is being shown, as far as it got.
    pub(super) fn close_workflow(&mut self) {
        let Some(mut item) = self.workflow.take() else { return };
        for (entry, task) in self.calls.unshown() {
            if let Some(shown) = item.workflow.tasks.get_mut(entry) {
                *shown = task;
            }
        }
        for task in &mut item.workflow.tasks {
            if is_open(task) {
                // The run was stopped while it worked.
                mark_unknown(task);
            }
        }
        let (id, created_at) = (item.id, item.created_at);
        let duration = u64::try_from((now() - created_at).num_seconds()).unwrap_or_default();
        item.workflow.summary = Some(WorkflowSummary::Duration { duration, extra: Extra::new() });
        let item = ThreadItem::Workflow(item);
        self.keep(id, wire::WORKFLOW, false, &item, created_at);
        // Said at once, so that it stands before the words that follow. The calls themselves are stored already; this
        // is how they are shown.
        self.emit(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
    }
}

/// A workflow without entries.
pub(in crate::runs) fn workflow(thread_id: Uuid, created_at: DateTime<Utc>) -> WorkflowItem {
    let workflow =
        Workflow { kind: WorkflowKind::Custom, tasks: Vec::new(), summary: None, expanded: false, extra: Extra::new() };
    WorkflowItem { id: Uuid::now_v7(), thread_id, created_at, workflow, extra: Extra::new() }
}

/// Whether an entry shows a call in flight.
pub(in crate::runs) fn is_open(task: &WorkflowTask) -> bool {
    task.status() == StatusIndicator::Loading
}

/// Shows of a call that nobody knows whether it took effect: without a check mark, and in words.
pub(in crate::runs) fn mark_unknown(task: &mut WorkflowTask) {
    task.set_status(StatusIndicator::None);
    if let WorkflowTask::Custom(task) = task {
        task.content = Some(wire::UNKNOWN_TASK.to_owned());
    }
}

pub(in crate::runs) fn task(title: &str, status_indicator: StatusIndicator, content: Option<String>) -> WorkflowTask {
    WorkflowTask::Custom(CustomTask {
        status_indicator,
        title: Some(title.to_owned()),
        content,
        ..CustomTask::default()
    })
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
