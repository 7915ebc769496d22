//! What a client knows of a run: its events, folded into items.

use std::collections::BTreeMap;
use threadline_schema::chatkit::{AssistantContent, ItemUpdate, ThreadItem, WorkflowItem};
use threadline_schema::event::{Event, EventKind, ThreadStreamEvent};
use threadline_schema::ids::ItemId;

/// The visible items of a run, as its events tell of them.
#[derive(Default, Clone)]
pub(crate) struct Fold {
    pub(crate) items: BTreeMap<ItemId, ThreadItem>,
    /// The terminal event.
    pub(crate) terminal: Option<EventKind>,
    /// The run in the terminal event: how it ended.
    pub(crate) end: serde_json::Value,
}

impl Fold {
    pub(crate) fn apply(&mut self, event: &Event) {
        if event.kind().is_terminal() {
            self.terminal = Some(event.kind());
            let event: serde_json::Value = serde_json::from_str(&event.json()).unwrap();
            self.end = event["run"].clone();
            return;
        }
        if event.kind() == EventKind::RunResync {
            let event: serde_json::Value = serde_json::from_str(&event.json()).unwrap();
            self.items.clear();
            for item in event["items"]["data"].as_array().unwrap() {
                let item: ThreadItem = serde_json::from_value(item.clone()).unwrap();
                self.items.insert(id_of(&item), item);
            }
            return;
        }
        match serde_json::from_str(&event.json()) {
            Ok(
                ThreadStreamEvent::ItemAdded { item }
                | ThreadStreamEvent::ItemDone { item }
                | ThreadStreamEvent::ItemReplaced { item },
            ) => {
                self.items.insert(id_of(&item), *item);
            }
            Ok(ThreadStreamEvent::ItemRemoved { item_id }) => drop(self.items.remove(&item_id)),
            Ok(ThreadStreamEvent::ItemUpdated { item_id, update }) => {
                if let Some(item) = self.items.get_mut(&item_id) {
                    update_item(item, update);
                }
            }
            _ => {}
        }
    }
}

fn update_item(item: &mut ThreadItem, update: ItemUpdate) {
    match (item, update) {
        (ThreadItem::AssistantMessage(message), ItemUpdate::TextDelta { delta, .. }) => {
            match message.content.first_mut() {
                Some(AssistantContent::Text { text, .. }) => text.push_str(&delta),
                None => message.content.push(AssistantContent::new(&delta)),
            }
        }
        (ThreadItem::AssistantMessage(message), ItemUpdate::ContentPartAdded { content, .. }) => {
            message.content.push(content)
        }
        (ThreadItem::AssistantMessage(message), ItemUpdate::ContentPartDone { content, .. }) => {
            message.content = vec![content]
        }
        (ThreadItem::Workflow(item), ItemUpdate::WorkflowTaskAdded { task, .. }) => item.workflow.tasks.push(task),
        (ThreadItem::Workflow(item), ItemUpdate::WorkflowTaskUpdated { task_index, task }) => {
            item.workflow.tasks[task_index as usize] = task;
        }
        _ => {}
    }
}

pub(crate) fn id_of(item: &ThreadItem) -> ItemId {
    serde_json::to_value(item).unwrap()["id"].as_str().unwrap().parse().unwrap()
}

/// What counts of an item: its text, or the titles and ends of its entries.
pub(crate) fn essence(item: &ThreadItem) -> String {
    match item {
        ThreadItem::AssistantMessage(message) => message.content.iter().map(AssistantContent::text).collect(),
        ThreadItem::Workflow(WorkflowItem { workflow, .. }) => serde_json::to_string(&workflow.tasks).unwrap(),
        other => serde_json::to_string(other).unwrap(),
    }
}
