//! The items of a run, computed from its events.

use serde::Deserialize;
use threadline_schema::chatkit::{AssistantContent, AssistantMessage, ItemUpdate, ThreadItem, WorkflowItem};
use threadline_schema::event::{Event, EventKind, ThreadStreamEvent};
use threadline_schema::ids::ItemId;

/// The items that the assistant has begun, in their order.
#[derive(Default)]
pub(super) struct RunProjection {
    pub(super) items: Vec<BegunItem>,
}

/// An item that is announced before it is complete.
pub(super) enum BegunItem {
    Message(AssistantMessage),
    Workflow { item: WorkflowItem, is_done: bool },
}

impl BegunItem {
    pub(super) fn id(&self) -> ItemId {
        match self {
            Self::Message(message) => message.id,
            Self::Workflow { item, .. } => item.id,
        }
    }
}

impl RunProjection {
    /// Applies the next event.
    pub(super) fn apply(&mut self, event: &Event) {
        if let Some(delta) = event.text_delta() {
            self.append_text(delta.item_id, delta.content_index, &delta.text.unescaped());
            return;
        }
        if event.kind() == EventKind::RunResync {
            return self.replace(event);
        }
        if !matches!(
            event.kind(),
            EventKind::ItemAdded | EventKind::ItemDone | EventKind::ItemUpdated | EventKind::ItemRemoved
        ) {
            return;
        }
        match serde_json::from_str(&event.json()) {
            Ok(ThreadStreamEvent::ItemAdded { item }) => self.put_item(*item, false),
            Ok(ThreadStreamEvent::ItemDone { item }) => self.put_item(*item, true),
            Ok(ThreadStreamEvent::ItemUpdated { item_id, update }) => self.update_item(item_id, update),
            Ok(ThreadStreamEvent::ItemRemoved { item_id }) => self.items.retain(|item| item.id() != item_id),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "event in the log of a run cannot be read"),
        }
    }

    /// Replaces everything by the items of a resync event, which an owner of the run has begun with. Workflows without
    /// a summary continue.
    fn replace(&mut self, resync: &Event) {
        #[derive(Deserialize)]
        struct Resync {
            items: Items,
        }
        #[derive(Deserialize)]
        struct Items {
            data: Vec<ThreadItem>,
        }
        match serde_json::from_str(&resync.json()) {
            Ok(Resync { items: Items { data } }) => {
                self.items.clear();
                for item in data {
                    let is_done = !matches!(&item, ThreadItem::Workflow(item) if item.workflow.summary.is_none());
                    self.put_item(item, is_done);
                }
            }
            Err(error) => tracing::error!(%error, "resync event in the log of a run cannot be read"),
        }
    }

    fn put_item(&mut self, item: ThreadItem, is_done: bool) {
        let item = match item {
            ThreadItem::AssistantMessage(message) => BegunItem::Message(message),
            ThreadItem::Workflow(item) => BegunItem::Workflow { item, is_done },
            // Stored before it was announced.
            _ => return,
        };
        match self.find(item.id()) {
            Some(known) => *known = item,
            None => self.items.push(item),
        }
    }

    fn update_item(&mut self, item_id: ItemId, update: ItemUpdate) {
        match update {
            ItemUpdate::TextDelta { content_index, delta } => self.append_text(item_id, content_index, &delta),
            ItemUpdate::ContentPartAdded { content_index, content }
            | ItemUpdate::ContentPartDone { content_index, content } => {
                if let Some(BegunItem::Message(message)) = self.find(item_id) {
                    put(&mut message.content, content_index, content);
                }
            }
            ItemUpdate::AnnotationAdded { content_index, annotation_index, annotation } => {
                let Some(BegunItem::Message(message)) = self.find(item_id) else { return };
                let part = usize::try_from(content_index).ok().and_then(|index| message.content.get_mut(index));
                if let Some(AssistantContent::Text { annotations, .. }) = part {
                    put(annotations, annotation_index, *annotation);
                }
            }
            ItemUpdate::WorkflowTaskAdded { task_index, task }
            | ItemUpdate::WorkflowTaskUpdated { task_index, task } => {
                if let Some(BegunItem::Workflow { item, .. }) = self.find(item_id) {
                    put(&mut item.workflow.tasks, task_index, task);
                }
            }
            // Updates of items that are stored before they are announced.
            _ => {}
        }
    }

    fn append_text(&mut self, item_id: ItemId, content_index: u32, delta: &str) {
        let Some(BegunItem::Message(message)) = self.find(item_id) else { return };
        let index = usize::try_from(content_index).unwrap_or(usize::MAX);
        match message.content.get_mut(index) {
            Some(AssistantContent::Text { text, .. }) => text.push_str(delta),
            None => message.content.push(AssistantContent::new(delta)),
        }
    }

    fn find(&mut self, id: ItemId) -> Option<&mut BegunItem> {
        self.items.iter_mut().rev().find(|item| item.id() == id)
    }
}

/// Sets an entry of a list, or appends it.
fn put<T>(list: &mut Vec<T>, index: u32, value: T) {
    match usize::try_from(index).ok().and_then(|index| list.get_mut(index)) {
        Some(entry) => *entry = value,
        None => list.push(value),
    }
}
