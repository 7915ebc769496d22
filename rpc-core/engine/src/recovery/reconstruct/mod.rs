//! Reconstructs the items that a run had begun and not stored when its process died, from the events in its log and the
//! items in the database.
//!
//! The two can be from different moments. An item is stored in a transaction of its own, and events reach the log some
//! milliseconds after they were emitted. So each of them can have what the other does not have yet.

#[cfg(test)]
mod tests;

use super::projection::{BegunItem, RunProjection};
use super::stored_calls::{RunFate, StoredCall, is_stored, show_calls};
use crate::log::NumberedEvent;
use crate::output::{CANCEL_NOTE, hidden_note, new_item};
use threadline_schema::chatkit::ThreadItem;
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
        let mut calls = this.complete_calls(items);
        show_calls(&mut projection, clock, thread_id, items, &mut calls, RunFate::Ends);
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
        let (calls, waiting) = StoredCall::all_of(items);
        self.completed_calls.extend(waiting.iter().filter_map(|call| call.completed(NOT_MADE_RESULT)));
        for call in calls.iter().filter(|call| call.body.result.is_none()) {
            self.completed_calls.extend(call.completed(UNKNOWN_RESULT));
            self.unknown_tools.push(call.body.name.clone());
        }
        calls
    }
}
