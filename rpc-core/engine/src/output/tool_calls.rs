//! Tool calls: stored before they run, and again with their results.

use super::resumed_output::OpenCall;
use super::run_writer::new_item;
use crate::wire::{CallApproval, ToolCallBody};
use serde_json::Value;
use threadline_schema::chatkit::WorkflowTask;
use threadline_schema::error::Failure;
use threadline_schema::ids::ItemId;
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::WidgetView;
use threadline_schema::tool_result::{NOT_MADE_RESULT, UNKNOWN_RESULT};
use threadline_store::Clock;
use threadline_store::rows::NewItem;

/// A tool call that the model asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedCall {
    /// Id that the model gave the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text, as the model wrote it.
    pub arguments: String,
    /// What the model's server wants back with the call. The engine stores it and does not read it.
    pub echo: Option<Value>,
    /// Whether making the call twice does no harm.
    pub is_idempotent: bool,
}

/// The call of a turn that waits for the client or the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingCall {
    /// Its index in the turn.
    pub index: usize,
    /// What it needs if it is made only with the user's approval.
    pub approval: Option<CallApproval>,
}

/// How a tool call ended.
#[derive(Debug, Clone)]
pub struct FinishedCall {
    /// JSON text for the model.
    pub result: String,
    /// What clients get instead of the result, if that is for the model alone. JSON text.
    pub shown: Option<String>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Whether it is unknown if the call took effect.
    pub is_outcome_unknown: bool,
    /// What the user sees of the result.
    pub widget: Option<WidgetView>,
    /// Whether the tool changes data, so that overviews from before the call are out of date.
    pub changes_data: bool,
}

/// The position of a call in its run: the turn, and the index of the call in that turn.
pub(super) type CallIndex = (u32, usize);

/// The calls of one turn.
#[derive(Default)]
pub(super) struct TurnCalls {
    /// In the order in which the model asked for them.
    calls: Vec<StoredCall>,
    /// Results that are not stored yet.
    results: Vec<UnstoredResult>,
}

struct StoredCall {
    item_id: ItemId,
    body: ToolCallBody,
    /// Index of its entry in the workflow, once it runs.
    entry: Option<usize>,
    /// Whether it may have taken effect.
    may_have_run: bool,
    has_ended: bool,
}

struct UnstoredResult {
    item_id: ItemId,
    /// The whole body of the item.
    body: String,
    /// What the workflow shows once the result is stored: index of the entry, and the entry.
    entry: Option<(usize, WorkflowTask)>,
}

impl TurnCalls {
    /// Replaces the calls by those of a new turn. One can wait for the client or the user. Returns the items to store
    /// before any of the calls runs.
    pub(super) fn begin_turn(
        &mut self,
        clock: &Clock,
        turn: u32,
        calls: &[RequestedCall],
        waiting: Option<WaitingCall>,
    ) -> Vec<NewItem> {
        self.calls.clear();
        for (index, call) in calls.iter().enumerate() {
            let RequestedCall { id, name, arguments, echo, is_idempotent } = call.clone();
            let waiting = waiting.filter(|waiting| waiting.index == index);
            let waits_for = waiting.map(|_| clock.new_id::<ItemId>());
            let approval = waiting.and_then(|waiting| waiting.approval);
            let body = ToolCallBody {
                id,
                name,
                arguments,
                result: None,
                shown: None,
                turn,
                waits_for,
                approval,
                echo,
                is_idempotent,
            };
            self.calls.push(StoredCall::new(clock.new_id(), body));
        }
        let now = clock.now();
        let calls = self.calls.iter();
        calls.filter_map(|call| new_item(call.item_id, ItemKind::ToolCall, true, &call.body, now)).collect()
    }

    /// Replaces the calls by one that is stored already.
    pub(super) fn adopt(&mut self, item_id: ItemId, body: ToolCallBody) {
        self.calls.clear();
        self.calls.push(StoredCall::new(item_id, body));
    }

    /// Begins with calls that another process may have made, and that are made again.
    pub(super) fn resume(&mut self, calls: Vec<OpenCall>) {
        let stored = |OpenCall { item_id, body, entry }| StoredCall {
            entry,
            may_have_run: true,
            ..StoredCall::new(item_id, body)
        };
        self.calls = calls.into_iter().map(stored).collect();
    }

    /// Returns the calls that have not ended: the item of each, and its body.
    pub(super) fn open_calls(&self) -> Vec<(ItemId, ToolCallBody)> {
        let open = self.calls.iter().filter(|call| !call.has_ended);
        open.map(|call| (call.item_id, call.body.clone())).collect()
    }

    /// Records that a call runs, and which workflow entry shows it.
    pub(super) fn set_entry(&mut self, index: usize, entry: usize) {
        if let Some(call) = self.calls.get_mut(index) {
            call.entry = Some(entry);
            call.may_have_run = true;
        }
    }

    /// Returns the index of the workflow entry of a call, if it has one.
    pub(super) fn entry(&self, index: usize) -> Option<usize> {
        self.calls.get(index)?.entry
    }

    pub(super) fn position(&self, index: usize) -> Option<CallIndex> {
        self.calls.get(index).map(|call| (call.body.turn, index))
    }

    /// Leaves a call to the client or the user, who ends it after the run has ended. Returns the id of the item that
    /// shows it.
    pub(super) fn leave_pending(&mut self, index: usize) -> Option<ItemId> {
        let call = self.calls.get_mut(index)?;
        call.has_ended = true;
        call.body.waits_for
    }

    /// Ends a call. Returns its item and the body to store.
    pub(super) fn end(
        &mut self,
        index: usize,
        finished: &FinishedCall,
        task: WorkflowTask,
    ) -> Option<(ItemId, String)> {
        let call = self.calls.get_mut(index)?;
        call.body.shown.clone_from(&finished.shown);
        let body = call.end(&finished.result)?;
        let entry = call.entry.map(|entry| (entry, task));
        self.results.push(UnstoredResult { item_id: call.item_id, body: body.clone(), entry });
        Some((call.item_id, body))
    }

    /// Records that a result has been stored. Returns the workflow entry to show now.
    pub(super) fn result_stored(&mut self, item_id: ItemId) -> Option<(usize, WorkflowTask)> {
        let index = self.results.iter().position(|result| result.item_id == item_id)?;
        self.results.swap_remove(index).entry
    }

    /// Returns the workflow entries of results that could not be stored so far.
    pub(super) fn take_unshown_entries(&mut self) -> impl Iterator<Item = (usize, WorkflowTask)> {
        self.results.iter_mut().filter_map(|result| result.entry.take())
    }

    /// Ends the calls that are still open: the run has been stopped.
    pub(super) fn abandon(&mut self) {
        for mut call in self.calls.drain(..) {
            let result = if call.may_have_run { UNKNOWN_RESULT } else { NOT_MADE_RESULT };
            let ended = call.end(result).map(|body| UnstoredResult { item_id: call.item_id, body, entry: None });
            self.results.extend(ended);
        }
    }

    /// Forgets calls that could not be stored, and so have not run.
    pub(super) fn forget(&mut self) {
        self.calls.clear();
    }

    /// Takes the results that are not stored yet: the item of each call, and its whole body.
    pub(super) fn take_results(&mut self) -> Vec<(ItemId, String)> {
        self.results.drain(..).map(|result| (result.item_id, result.body)).collect()
    }
}

impl StoredCall {
    fn new(item_id: ItemId, body: ToolCallBody) -> Self {
        Self { item_id, body, entry: None, may_have_run: false, has_ended: false }
    }

    /// Returns the body with a result; `None` if it has one already.
    fn end(&mut self, result: &str) -> Option<String> {
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        self.body.result = Some(result.to_owned());
        let body = serde_json::to_string(&self.body);
        body.inspect_err(|error| tracing::error!(%error, "tool call cannot be serialised")).ok()
    }
}
