//! Tool calls: what is kept of them before they act, and when they have ended.

use super::new_item;
use crate::model::ToolCall;
use crate::store::rows::NewItem;
use crate::wire::{self, ToolCallBody};
use threadline_schema::chatkit::WorkflowTask;
use threadline_schema::ids::ItemId;
use uuid::Uuid;

/// The place of a call among all of its run: which answer of the model asked for it, and as the how many.
pub(super) type Place = (u32, usize);

/// The calls of one answer of the model.
#[derive(Default)]
pub(super) struct Calls {
    /// In the order in which the model asked for them.
    asked: Vec<Call>,
    /// Results that are not stored yet.
    results: Vec<Ended>,
}

struct Ended {
    item_id: ItemId,
    /// The whole body of the item.
    body: String,
    /// What is shown once it has been stored: the entry's place in the workflow, and the entry.
    show: Option<(usize, WorkflowTask)>,
}

struct Call {
    item_id: ItemId,
    body: ToolCallBody,
    /// Its place in the workflow, once it has begun.
    entry: Option<usize>,
    ended: bool,
}

impl Calls {
    /// Takes the calls of a new answer, of which that at `waiting` is left for somebody else. Gives the items to store
    /// before any of them acts.
    pub(super) fn ask(&mut self, round: u32, calls: &[ToolCall], waiting: Option<usize>) -> Vec<NewItem> {
        self.asked.clear();
        for (index, call) in calls.iter().enumerate() {
            let ToolCall { id, name, arguments } = call.clone();
            let waits_for = (waiting == Some(index)).then(Uuid::now_v7);
            let body = ToolCallBody { id, name, arguments, result: None, round, waits_for };
            self.asked.push(Call { item_id: Uuid::now_v7().into(), body, entry: None, ended: false });
        }
        let items = self.asked.iter();
        items.filter_map(|call| new_item(call.item_id.0, wire::TOOL_CALL, true, &call.body, super::now())).collect()
    }

    /// A call begins to act; `entry` is its place in the workflow.
    pub(super) fn began(&mut self, index: usize, entry: usize) {
        if let Some(call) = self.asked.get_mut(index) {
            call.entry = Some(entry);
        }
    }

    pub(super) fn place(&self, index: usize) -> Option<Place> {
        self.asked.get(index).map(|call| (call.body.round, index))
    }

    /// A call is left for somebody else, who ends it after the run has. Gives the id of the item that shows it.
    pub(super) fn wait(&mut self, index: usize) -> Option<Uuid> {
        let call = self.asked.get_mut(index)?;
        call.ended = true;
        call.body.waits_for
    }

    /// A call has ended, which `task` will show. Gives its item and what is to be stored.
    pub(super) fn ended(&mut self, index: usize, result: &str, task: WorkflowTask) -> Option<(ItemId, String)> {
        let call = self.asked.get_mut(index)?;
        let body = call.end(result)?;
        let show = call.entry.map(|entry| (entry, task));
        self.results.push(Ended { item_id: call.item_id, body: body.clone(), show });
        Some((call.item_id, body))
    }

    /// A result has been stored. Gives what is to be shown now.
    pub(super) fn stored(&mut self, item_id: ItemId) -> Option<(usize, WorkflowTask)> {
        let place = self.results.iter().position(|ended| ended.item_id == item_id)?;
        self.results.swap_remove(place).show
    }

    /// What is to be shown of results that could not be stored so far.
    pub(super) fn unshown(&mut self) -> impl Iterator<Item = (usize, WorkflowTask)> {
        self.results.iter_mut().filter_map(|ended| ended.show.take())
    }

    /// Ends those that are still open: nobody waits for them any more.
    pub(super) fn give_up(&mut self) {
        for mut call in self.asked.drain(..) {
            let result = if call.entry.is_some() { wire::UNKNOWN_RESULT } else { wire::NOT_MADE_RESULT };
            let ended = call.end(result).map(|body| Ended { item_id: call.item_id, body, show: None });
            self.results.extend(ended);
        }
    }

    /// Forgets calls that could not be stored, and so have not acted.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
    }

    /// Results that are not stored yet: the item of each call, and its whole body.
    pub(super) fn take_results(&mut self) -> Vec<(ItemId, String)> {
        self.results.drain(..).map(|ended| (ended.item_id, ended.body)).collect()
    }
}

impl Call {
    /// Its body with a result; `None` when it has one already.
    fn end(&mut self, result: &str) -> Option<String> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        self.body.result = Some(result.to_owned());
        let body = serde_json::to_string(&self.body);
        body.inspect_err(|error| tracing::error!(%error, "a tool call could not be written")).ok()
    }
}
