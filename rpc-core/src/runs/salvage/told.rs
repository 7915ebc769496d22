//! The items of a run as its events tell of them.

use threadline_schema::chatkit::{
    AssistantContent, AssistantMessage, ItemUpdate, ThreadItem, ThreadStreamEvent, WorkflowItem,
};
use threadline_schema::event::{text_delta, type_of};
use uuid::Uuid;

/// What the events tell of the items that the assistant began, in their order.
#[derive(Default)]
pub(super) struct Told {
    pub(super) begun: Vec<Begun>,
}

pub(super) enum Begun {
    Message(AssistantMessage),
    Workflow { item: WorkflowItem, done: bool },
}

impl Begun {
    pub(super) fn id(&self) -> Uuid {
        match self {
            Self::Message(message) => message.id,
            Self::Workflow { item, .. } => item.id,
        }
    }
}

impl Told {
    /// Takes the next event in.
    pub(super) fn hear(&mut self, event: &str) {
        if let Some(delta) = text_delta::split(event) {
            if let (Ok(id), Ok(text)) = (delta.item_id.parse(), serde_json::from_str::<String>(delta.delta)) {
                self.add_text(id, delta.content_index.parse().unwrap_or_default(), &text);
            }
            return;
        }
        if !type_of(event).is_some_and(|kind| kind.starts_with("thread.item.")) {
            return;
        }
        match serde_json::from_str(event) {
            Ok(ThreadStreamEvent::ItemAdded { item }) => self.add(*item, false),
            Ok(ThreadStreamEvent::ItemDone { item }) => self.add(*item, true),
            Ok(ThreadStreamEvent::ItemUpdated { item_id, update }) => self.update(item_id, update),
            Ok(ThreadStreamEvent::ItemRemoved { item_id }) => self.begun.retain(|begun| begun.id() != item_id),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "an event in the log of a run cannot be read"),
        }
    }

    fn add(&mut self, item: ThreadItem, done: bool) {
        let begun = match item {
            ThreadItem::AssistantMessage(message) => Begun::Message(message),
            ThreadItem::Workflow(item) => Begun::Workflow { item, done },
            // Stored before it was announced.
            _ => return,
        };
        match self.find(begun.id()) {
            Some(known) => *known = begun,
            None => self.begun.push(begun),
        }
    }

    fn update(&mut self, item_id: Uuid, update: ItemUpdate) {
        match update {
            ItemUpdate::TextDelta { content_index, delta } => self.add_text(item_id, content_index, &delta),
            ItemUpdate::ContentPartAdded { content_index, content }
            | ItemUpdate::ContentPartDone { content_index, content } => {
                if let Some(Begun::Message(message)) = self.find(item_id) {
                    put(&mut message.content, content_index, content);
                }
            }
            ItemUpdate::AnnotationAdded { content_index, annotation_index, annotation } => {
                let Some(Begun::Message(message)) = self.find(item_id) else { return };
                let part = usize::try_from(content_index).ok().and_then(|index| message.content.get_mut(index));
                if let Some(AssistantContent::Text { annotations, .. }) = part {
                    put(annotations, annotation_index, *annotation);
                }
            }
            ItemUpdate::WorkflowTaskAdded { task_index, task }
            | ItemUpdate::WorkflowTaskUpdated { task_index, task } => {
                if let Some(Begun::Workflow { item, .. }) = self.find(item_id) {
                    put(&mut item.workflow.tasks, task_index, task);
                }
            }
            // Of items that are not begun before they are stored.
            _ => {}
        }
    }

    fn add_text(&mut self, item_id: Uuid, content_index: u32, text: &str) {
        let Some(Begun::Message(message)) = self.find(item_id) else { return };
        let index = usize::try_from(content_index).unwrap_or(usize::MAX);
        match message.content.get_mut(index) {
            Some(AssistantContent::Text { text: said, .. }) => said.push_str(text),
            None => message.content.push(AssistantContent::new(text)),
        }
    }

    fn find(&mut self, id: Uuid) -> Option<&mut Begun> {
        self.begun.iter_mut().rev().find(|begun| begun.id() == id)
    }
}

/// Sets an entry of a list, or adds it at the end.
fn put<T>(list: &mut Vec<T>, index: u32, value: T) {
    match usize::try_from(index).ok().and_then(|index| list.get_mut(index)) {
        Some(place) => *place = value,
        None => list.push(value),
    }
}
