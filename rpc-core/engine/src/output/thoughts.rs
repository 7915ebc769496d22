//! Thoughts of the model: a workflow of their own, which ends when words or tool calls start.

use super::run_writer::RunWriter;
use threadline_schema::chatkit::{
    Extra, ItemUpdate, ThoughtTask, ThreadItem, Workflow, WorkflowItem, WorkflowKind, WorkflowSummary, WorkflowTask,
};
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::ids::ItemId;
use threadline_schema::items::ItemKind;
use tokio::time::Instant;

/// Bytes of one thought that are shown and kept.
const MAX_BYTES: usize = 32 * 1024;
/// New bytes in an update, at least.
const MIN_STEP_BYTES: usize = 80;
/// New bytes in an update, at least, as a fraction of the whole. An update contains the whole thought, so without this
/// the updates of a long thought would be thousands of times as long as the thought. With it they are about eight
/// times.
const STEP_FRACTION: usize = 8;

/// One thought: the reasoning of the model between two answers or tool calls.
pub(super) struct Thoughts {
    item: WorkflowItem,
    thought: ThoughtTask,
    started: Instant,
    /// Bytes that have been shown.
    shown_bytes: usize,
}

impl RunWriter {
    /// Appends to the model's thoughts. Thoughts while it speaks are not shown.
    pub fn write_thought(&mut self, delta: &str) {
        if self.message.is_some() {
            return;
        }
        if self.thoughts.is_none() {
            self.close_workflow();
            self.open_thoughts();
        }
        let Some(thoughts) = &mut self.thoughts else { return };
        thoughts.append(delta);
        if let Some(event) = thoughts.update() {
            self.emit(&event);
        }
    }

    /// Ends the thought that is being shown.
    pub(super) fn close_thoughts(&mut self) {
        let Some(Thoughts { mut item, thought, started, .. }) = self.thoughts.take() else { return };
        let (id, created_at) = (item.id, item.created_at.into());
        item.workflow.tasks = vec![WorkflowTask::Thought(thought)];
        let duration = started.elapsed().as_secs();
        item.workflow.summary = Some(WorkflowSummary::Duration { duration, extra: Extra::new() });
        let item = ThreadItem::Workflow(item);
        self.store_later(id, ItemKind::Workflow, false, &item, created_at);
        // Emitted at once, like the end of each workflow.
        self.emit(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
    }

    fn open_thoughts(&mut self) {
        let workflow = Workflow {
            kind: WorkflowKind::Reasoning,
            tasks: Vec::new(),
            summary: None,
            expanded: false,
            extra: Extra::new(),
        };
        let id = self.clock.new_id::<ItemId>();
        let (thread_id, created_at) = (self.thread_id, self.clock.now().utc());
        let item = WorkflowItem { id, thread_id, created_at, workflow, extra: Extra::new() };
        self.begin_item(id, ThreadItem::Workflow(item.clone()));
        let started = Instant::now();
        self.thoughts = Some(Thoughts { item, thought: ThoughtTask::default(), started, shown_bytes: 0 });
    }
}

impl Thoughts {
    fn append(&mut self, delta: &str) {
        let room = MAX_BYTES.saturating_sub(self.thought.content.len());
        let end = (0..=delta.len().min(room)).rev().find(|end| delta.is_char_boundary(*end)).unwrap_or_default();
        self.thought.content.push_str(delta.get(..end).unwrap_or_default());
    }

    /// Returns the event that shows the thought as it is now, if enough of it is new.
    fn update(&mut self) -> Option<ThreadStreamEvent> {
        let bytes = self.thought.content.len();
        let is_first = self.shown_bytes == 0;
        let step = MIN_STEP_BYTES.max(self.shown_bytes / STEP_FRACTION);
        if bytes == self.shown_bytes || !is_first && bytes < self.shown_bytes + step {
            return None;
        }
        self.shown_bytes = bytes;
        let (task_index, task) = (0, WorkflowTask::Thought(self.thought.clone()));
        let update = if is_first {
            ItemUpdate::WorkflowTaskAdded { task_index, task }
        } else {
            ItemUpdate::WorkflowTaskUpdated { task_index, task }
        };
        Some(ThreadStreamEvent::ItemUpdated { item_id: self.item.id, update })
    }
}
