//! Thoughts of the model: shown as a workflow of their own while they come, and closed when words or calls begin.

use super::{Output, now};
use crate::wire;
use std::time::Instant;
use threadline_schema::chatkit::{
    Extra, ItemUpdate, ThoughtTask, ThreadItem, ThreadStreamEvent, Workflow, WorkflowItem, WorkflowKind,
    WorkflowSummary, WorkflowTask,
};
use uuid::Uuid;

/// Bytes of one stretch of thought that are shown and kept.
const MAX_BYTES: usize = 32 * 1024;
/// Bytes that are new in an update, at least.
const MIN_STEP: usize = 80;
/// ... and the part of all there is. An update holds the whole thought, so that all updates of a long one are together
/// some eight times as long as it is, and not thousands of times.
const STEP_PART: usize = 8;

/// A stretch of thought.
pub(super) struct Thinking {
    item: WorkflowItem,
    thought: ThoughtTask,
    began: Instant,
    /// Bytes that have been shown.
    shown: usize,
}

impl Output {
    /// More of what the model thinks. What it thinks while it speaks is not shown.
    pub(crate) fn thought(&mut self, delta: &str) {
        if self.message.is_some() {
            return;
        }
        if self.thinking.is_none() {
            self.close_workflow();
            self.begin_thinking();
        }
        let Some(thinking) = &mut self.thinking else { return };
        thinking.grow(delta);
        if let Some(event) = thinking.update() {
            self.emit(&event);
        }
    }

    /// Ends the thought that is being shown.
    pub(super) fn close_thinking(&mut self) {
        let Some(Thinking { mut item, thought, began, .. }) = self.thinking.take() else { return };
        let (id, created_at) = (item.id, item.created_at);
        item.workflow.tasks = vec![WorkflowTask::Thought(thought)];
        let duration = began.elapsed().as_secs();
        item.workflow.summary = Some(WorkflowSummary::Duration { duration, extra: Extra::new() });
        let item = ThreadItem::Workflow(item);
        self.keep(id, wire::WORKFLOW, false, &item, created_at);
        // Said at once, like the end of any workflow.
        self.emit(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
    }

    fn begin_thinking(&mut self) {
        let workflow = Workflow {
            kind: WorkflowKind::Reasoning,
            tasks: Vec::new(),
            summary: None,
            expanded: false,
            extra: Extra::new(),
        };
        let (id, thread_id, created_at) = (Uuid::now_v7(), self.thread_id, now());
        let item = WorkflowItem { id, thread_id, created_at, workflow, extra: Extra::new() };
        self.begin_item(id, ThreadItem::Workflow(item.clone()));
        self.thinking = Some(Thinking { item, thought: ThoughtTask::default(), began: Instant::now(), shown: 0 });
    }
}

impl Thinking {
    fn grow(&mut self, delta: &str) {
        let room = MAX_BYTES.saturating_sub(self.thought.content.len());
        let end = (0..=delta.len().min(room)).rev().find(|end| delta.is_char_boundary(*end)).unwrap_or_default();
        self.thought.content.push_str(delta.get(..end).unwrap_or_default());
    }

    /// The event that shows it as it is now, if there is enough that is new.
    fn update(&mut self) -> Option<ThreadStreamEvent> {
        let bytes = self.thought.content.len();
        let first = self.shown == 0;
        if bytes == self.shown || !first && bytes < self.shown + MIN_STEP.max(self.shown / STEP_PART) {
            return None;
        }
        self.shown = bytes;
        let (task_index, task) = (0, WorkflowTask::Thought(self.thought.clone()));
        let update = if first {
            ItemUpdate::WorkflowTaskAdded { task_index, task }
        } else {
            ItemUpdate::WorkflowTaskUpdated { task_index, task }
        };
        Some(ThreadStreamEvent::ItemUpdated { item_id: self.item.id, update })
    }
}
