//! Tool calls that run: stored as items for the model, and shown as the entries of a workflow.

use super::run_writer::RunWriter;
use super::tool_calls::{FinishedCall, RequestedCall, WaitingCall};
use crate::wire::ToolCallBody;
use chrono::{DateTime, Utc};
use threadline_schema::chatkit::{
    CustomTask, Extra, ItemUpdate, StatusIndicator, ThreadItem, Workflow, WorkflowItem, WorkflowKind, WorkflowSummary,
    WorkflowTask,
};
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::ids::{ItemId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::UNKNOWN_OUTCOME;

impl RunWriter {
    /// Records the calls that the model asks for in a turn. One can wait for the client or the user.
    ///
    /// Then call [`store_items`](Self::store_items), before any call runs. So after a crash it is known which calls may
    /// have taken effect.
    pub fn begin_calls(&mut self, turn: u32, calls: &[RequestedCall], waiting: Option<WaitingCall>) {
        self.close_thoughts();
        self.close_message();
        self.has_tool_calls = true;
        let items = self.calls.begin_turn(&self.clock, turn, calls, waiting);
        self.items.extend(items);
    }

    /// Begins with a call that is stored already, and belongs to this run: the user has approved it. It is the only one
    /// of its turn.
    pub fn adopt_call(&mut self, item_id: ItemId, body: ToolCallBody) {
        self.has_tool_calls = true;
        self.calls.adopt(item_id, body);
    }

    /// Shows that the call at `index` runs.
    pub fn start_call(&mut self, index: usize, title: &str) {
        self.has_output = true;
        let task = task_entry(title, StatusIndicator::Loading, None);
        let entry = match self.calls.entry(index) {
            // The former owner has shown it, and it is made again.
            Some(entry) => {
                self.update_workflow(entry, task);
                entry
            }
            None => self.add_to_workflow(task),
        };
        self.calls.set_entry(index, entry);
    }

    /// Emits how far a call has come. It is not stored.
    pub fn report_progress(&self, text: String) {
        self.emit(&ThreadStreamEvent::ProgressUpdate { icon: None, text });
    }

    /// Ends the call at `index`. Returns its item and the body to store; then call
    /// [`result_stored`](Self::result_stored). A result that cannot be stored now is stored with the end of the run.
    pub fn end_call(&mut self, index: usize, title: &str, call: &FinishedCall) -> Option<(ItemId, String)> {
        if call.changes_data || call.widget.as_ref().is_some_and(|widget| widget.is_overview) {
            self.widgets.retain(|_, widget| !widget.is_overview);
        }
        self.widgets.extend(self.calls.position(index).zip(call.widget.clone()));
        // No check mark if the outcome is unknown.
        let indicator = if call.is_outcome_unknown { StatusIndicator::None } else { StatusIndicator::Complete };
        let content = call.failure.as_ref().map(|failure| failure.message.clone());
        self.calls.end(index, call, task_entry(title, indicator, content))
    }

    /// Shows the end of a call whose result has been stored. Only now: a call that a client saw end has ended.
    pub fn result_stored(&mut self, item_id: ItemId) {
        if let Some((entry, task)) = self.calls.result_stored(item_id) {
            self.update_workflow(entry, task);
        }
    }

    /// Adds an entry to the workflow, and opens one if there is none. Returns the index of the entry.
    fn add_to_workflow(&mut self, task: WorkflowTask) -> usize {
        let Some(item) = &mut self.workflow else {
            let id = self.clock.new_id();
            let mut item = empty_workflow(id, self.thread_id, self.clock.now().utc());
            item.workflow.tasks.push(task);
            self.begin_item(id, ThreadItem::Workflow(item.clone()));
            self.workflow = Some(item);
            return 0;
        };
        let entry = item.workflow.tasks.len();
        item.workflow.tasks.push(task.clone());
        let update = ItemUpdate::WorkflowTaskAdded { task_index: to_index(entry), task };
        let event = ThreadStreamEvent::ItemUpdated { item_id: item.id, update };
        self.emit(&event);
        entry
    }

    fn update_workflow(&mut self, entry: usize, task: WorkflowTask) {
        let Some(item) = &mut self.workflow else { return };
        let Some(current) = item.workflow.tasks.get_mut(entry) else { return };
        current.clone_from(&task);
        let update = ItemUpdate::WorkflowTaskUpdated { task_index: to_index(entry), task };
        let event = ThreadStreamEvent::ItemUpdated { item_id: item.id, update };
        self.emit(&event);
    }

    /// Ends the workflow that is being shown.
    pub(super) fn close_workflow(&mut self) {
        let Some(mut item) = self.workflow.take() else { return };
        for (entry, task) in self.calls.take_unshown_entries() {
            if let Some(current) = item.workflow.tasks.get_mut(entry) {
                *current = task;
            }
        }
        for task in item.workflow.tasks.iter_mut().filter(|task| is_running(task)) {
            // The run was stopped while the call ran.
            mark_outcome_unknown(task);
        }
        let (id, created_at) = (item.id, item.created_at);
        let duration = (self.clock.now().utc() - created_at).num_seconds();
        let duration = u64::try_from(duration).unwrap_or_default();
        item.workflow.summary = Some(WorkflowSummary::Duration { duration, extra: Extra::new() });
        let item = ThreadItem::Workflow(item);
        self.store_later(id, ItemKind::Workflow, false, &item, created_at.into());
        // Emitted at once, so that it comes before the words that follow. The calls themselves are stored already.
        self.emit(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
    }
}

/// A workflow without entries.
pub(crate) fn empty_workflow(id: ItemId, thread_id: ThreadId, created_at: DateTime<Utc>) -> WorkflowItem {
    let workflow =
        Workflow { kind: WorkflowKind::Custom, tasks: Vec::new(), summary: None, expanded: false, extra: Extra::new() };
    WorkflowItem { id, thread_id, created_at, workflow, extra: Extra::new() }
}

/// Returns whether an entry shows a call that runs.
pub(crate) fn is_running(task: &WorkflowTask) -> bool {
    task.status() == StatusIndicator::Loading
}

/// Shows that it is unknown whether a call took effect: without a check mark, and in words.
pub(crate) fn mark_outcome_unknown(task: &mut WorkflowTask) {
    task.set_status(StatusIndicator::None);
    if let WorkflowTask::Custom(task) = task {
        task.content = Some(UNKNOWN_OUTCOME.to_owned());
    }
}

/// The entry of a call.
pub(crate) fn task_entry(title: &str, status_indicator: StatusIndicator, content: Option<String>) -> WorkflowTask {
    WorkflowTask::Custom(CustomTask {
        status_indicator,
        title: Some(title.to_owned()),
        content,
        ..CustomTask::default()
    })
}

fn to_index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
