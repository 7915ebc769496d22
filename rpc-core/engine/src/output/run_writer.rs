//! The writer of one run.

use super::citations::Citations;
use super::store_items::PendingWrite;
use super::thoughts::Thoughts;
use super::tool_calls::{CallIndex, TurnCalls};
use super::usage_meter::{AskedModel, UsageMeter};
use crate::log::RunLog;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use threadline_runtime::Supervisor;
use threadline_schema::chatkit::{
    AssistantContent, AssistantMessage, Extra, ItemUpdate, NoticeLevel, SdkHiddenContext, ThreadItem, WorkflowItem,
};
use threadline_schema::db::types::UtcTime;
use threadline_schema::event::{Event, ThreadStreamEvent};
use threadline_schema::ids::{ItemId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_schema::runs::{FinishReason, Usage};
use threadline_schema::tool_result::WidgetView;
use threadline_store::rows::NewItem;
use threadline_store::{Charge, Clock, Held, ModelUse};

/// What the model reads when it is asked again after a cancelled answer.
pub(crate) const CANCEL_NOTE: &str = "The user cancelled this answer. Do not continue it.";

/// What the user reads when half a message was withdrawn.
const MESSAGE_WITHDRAWN: &str = "The language model broke off. Another one answers from the beginning.";

/// Turns the text and tool calls of a driver into events and items.
///
/// Text is emitted as it comes. The events that complete a message wait until the message is stored: `ItemDone` means
/// that it is kept.
pub struct RunWriter {
    pub(super) log: Arc<RunLog>,
    pub(super) clock: Arc<Clock>,
    pub(super) supervisor: Supervisor,
    pub(super) thread_id: ThreadId,
    /// Whether the answer will replace another one. Until it does, its items are stored hidden.
    pub(super) replaces_answer: bool,
    /// Items that such an answer has begun. They are removed if the answer fails.
    pub(super) begun: Vec<ItemId>,
    /// The message that is being written.
    pub(super) message: Option<OpenMessage>,
    pub(super) citations: Citations,
    /// The thoughts that are being written.
    pub(super) thoughts: Option<Thoughts>,
    /// The workflow that shows the running calls.
    pub(super) workflow: Option<WorkflowItem>,
    /// Widgets of finished calls, to be shown after the workflow.
    pub(super) widgets: BTreeMap<CallIndex, WidgetView>,
    /// The calls of the current turn.
    pub(super) calls: TurnCalls,
    /// Items that are complete and not stored yet.
    pub(super) items: Vec<NewItem>,
    /// Events that are emitted when `items` are stored.
    pub(super) announcements: Vec<Event>,
    pub(super) pending_write: Option<PendingWrite>,
    /// Whether some of `items` may be stored already.
    pub(super) is_storage_unknown: bool,
    /// The last message that is complete.
    pub(crate) message_id: Option<ItemId>,
    /// How the answer ended.
    pub(crate) finish_reason: Option<FinishReason>,
    /// What the models' servers have reported.
    pub(crate) usage: Usage,
    pub(super) meter: UsageMeter,
    /// What the run holds of budgets, if that is more than at its start.
    pub(crate) held: Option<Held>,
    pub(super) has_output: bool,
    pub(crate) has_tool_calls: bool,
    /// Whether text was appended since the subscribers were last woken.
    has_unannounced_text: bool,
}

/// A message that is being written.
pub(super) struct OpenMessage {
    pub(super) id: ItemId,
    created_at: UtcTime,
    pub(super) text: String,
    /// Whether the run had output before the message.
    had_output: bool,
}

impl RunWriter {
    pub(crate) fn new(
        log: Arc<RunLog>,
        clock: Arc<Clock>,
        supervisor: Supervisor,
        thread_id: ThreadId,
        replaces_answer: bool,
    ) -> Self {
        Self {
            log,
            clock,
            supervisor,
            thread_id,
            replaces_answer,
            begun: Vec::new(),
            message: None,
            citations: Citations::default(),
            thoughts: None,
            workflow: None,
            widgets: BTreeMap::new(),
            calls: TurnCalls::default(),
            items: Vec::new(),
            announcements: Vec::new(),
            pending_write: None,
            is_storage_unknown: false,
            message_id: None,
            finish_reason: None,
            usage: Usage::default(),
            meter: UsageMeter::default(),
            held: None,
            has_output: false,
            has_tool_calls: false,
            has_unannounced_text: false,
        }
    }

    /// Returns whether the run has any output.
    pub fn has_output(&self) -> bool {
        self.has_output
    }

    /// Returns the text of the message that is being written; empty without one.
    pub fn open_text(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.text)
    }

    /// Returns whether a message is being written.
    pub fn has_open_message(&self) -> bool {
        self.message.is_some()
    }

    /// Starts a request to a model, with a prompt of `prompt_bytes`.
    pub fn start_request(&mut self, prompt_bytes: usize, asked: AskedModel) {
        self.meter.start_request(prompt_bytes, asked);
        self.tell_tokens();
        self.clear_citations();
    }

    /// Forgets the request to a model: it failed before the model said anything, and is not charged.
    pub fn abandon_request(&mut self) {
        self.meter.abandon_request();
        self.tell_tokens();
    }

    /// Notes that the run holds more of budgets than at its start.
    pub fn set_held(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// Adds what the model's server reports for the request.
    pub fn report_usage(&mut self, usage: Usage) {
        self.meter.report(usage);
        self.tell_tokens();
        self.usage += usage;
    }

    /// Adds what was used beside the run's own requests, and is charged with them.
    pub(crate) fn include_usage(&mut self, usage: Usage, meter: &UsageMeter) {
        self.meter.include_meter(meter);
        self.usage += usage;
    }

    /// Tells those who look at the run how many tokens it has used so far.
    pub(super) fn tell_tokens(&self) {
        self.log.set_tokens(self.meter.tokens());
    }

    /// Returns what the user is charged so far.
    pub fn charge(&self) -> Charge {
        self.meter.charge()
    }

    /// Returns the parts of the charge that models have used.
    pub(crate) fn uses(&self) -> Vec<ModelUse> {
        self.meter.uses()
    }

    /// Appends to the assistant's message, and opens one if there is none.
    pub fn write_text(&mut self, delta: &str) {
        self.add_text(delta);
        self.wake_readers();
    }

    /// Like [`write_text`](Self::write_text), but wakes no subscriber before the next
    /// [`wake_readers`](Self::wake_readers): many pieces of text can come together.
    pub fn add_text(&mut self, delta: &str) {
        self.meter.add_output(delta.len());
        self.tell_tokens();
        if self.message.is_none() {
            self.close_thoughts();
            self.close_workflow();
            self.open_message();
        }
        let Some(message) = &mut self.message else { return };
        message.text.push_str(delta);
        self.log.append_text(message.id, 0, delta);
        self.has_unannounced_text = true;
        self.show_citations(false);
    }

    /// Wakes the subscribers if text was appended since they were last woken.
    pub fn wake_readers(&mut self) {
        if std::mem::take(&mut self.has_unannounced_text) {
            self.log.wake_readers();
        }
    }

    /// Notes how the answer ended. If it is incomplete, the user reads why.
    pub fn finish_answer(&mut self, reason: FinishReason) {
        self.finish_reason = Some(reason);
        let Some(message) = incomplete_notice(reason) else { return };
        metrics::counter!("threadline_answers_incomplete_total", "reason" => reason.name()).increment(1);
        self.emit(&ThreadStreamEvent::Notice {
            level: NoticeLevel::Warning,
            message: message.to_owned(),
            title: None,
            finish_reason: Some(reason),
        });
    }

    /// Removes the message that is being written: another model answers from the beginning, and its words would not
    /// continue this one. Thoughts stay: they are not part of the answer.
    pub fn withdraw_message(&mut self) {
        self.close_thoughts();
        self.finish_reason = None;
        if self.remove_message().is_some() {
            let message = MESSAGE_WITHDRAWN.to_owned();
            self.emit(&ThreadStreamEvent::Notice {
                level: NoticeLevel::Info,
                message,
                title: None,
                finish_reason: None,
            });
        }
    }

    /// Turns the message that is being written into a thought: only what follows has shown that it is one.
    pub fn turn_text_into_thought(&mut self) {
        if let Some(text) = self.remove_message() {
            self.write_thought(&text);
        }
    }

    /// Stores a note for the model that the user does not see.
    pub(crate) fn add_hidden_note(&mut self, note: &str) {
        self.items.extend(hidden_note(&self.clock, self.thread_id, note));
    }

    /// Completes the open message and thoughts as they are, and abandons the running calls: their outcome is unknown.
    pub(crate) fn close(&mut self) {
        self.wake_readers();
        self.close_thoughts();
        self.close_message();
        self.close_workflow();
        self.close_widgets();
        self.calls.abandon();
    }

    /// Announces which items this answer replaces, once it is stored.
    pub(crate) fn replace_items(&mut self, replaced: impl IntoIterator<Item = ItemId>) {
        self.close_message();
        for id in replaced {
            self.announce_later(&ThreadStreamEvent::ItemRemoved { item_id: id });
        }
    }

    /// Removes the answer that was to replace another one. Tool calls stay: they have taken effect.
    pub(crate) fn withdraw_answer(&mut self) {
        self.items.retain(|item| item.kind == ItemKind::ToolCall);
        self.announcements.clear();
        self.message_id = None;
        for id in std::mem::take(&mut self.begun) {
            self.announce_later(&ThreadStreamEvent::ItemRemoved { item_id: id });
        }
    }

    /// Emits an event.
    pub fn emit(&self, event: &ThreadStreamEvent) {
        match Event::new(event) {
            Ok(event) => {
                self.log.append(event);
            }
            Err(error) => tracing::error!(%error, "event cannot be serialised"),
        }
    }

    pub(super) fn begin_item(&mut self, id: ItemId, item: ThreadItem) {
        if self.replaces_answer {
            self.begun.push(id);
        }
        self.emit(&ThreadStreamEvent::ItemAdded { item: Box::new(item) });
    }

    fn open_message(&mut self) {
        let had_output = std::mem::replace(&mut self.has_output, true);
        let (id, created_at) = (self.clock.new_id::<ItemId>(), self.clock.now());
        let item = AssistantMessage {
            id,
            thread_id: self.thread_id,
            created_at: created_at.utc(),
            content: Vec::new(),
            finish_reason: None,
            extra: Extra::new(),
        };
        self.begin_item(id, ThreadItem::AssistantMessage(item));
        self.emit(&ThreadStreamEvent::ItemUpdated {
            item_id: id,
            update: ItemUpdate::ContentPartAdded { content_index: 0, content: AssistantContent::new("") },
        });
        self.message = Some(OpenMessage { id, created_at, text: String::new(), had_output });
    }

    /// Removes the message that is being written, and returns its text.
    fn remove_message(&mut self) -> Option<String> {
        let message = self.message.take()?;
        self.has_output = message.had_output;
        self.begun.retain(|id| *id != message.id);
        self.emit(&ThreadStreamEvent::ItemRemoved { item_id: message.id });
        Some(message.text)
    }

    /// Completes the message that is being written.
    pub(super) fn close_message(&mut self) {
        self.show_citations(true);
        let Some(OpenMessage { id, created_at, text, .. }) = self.message.take() else { return };
        let content = AssistantContent::Text { text, annotations: self.take_citations(), extra: Extra::new() };
        let item = ThreadItem::AssistantMessage(AssistantMessage {
            id,
            thread_id: self.thread_id,
            created_at: created_at.utc(),
            content: vec![content.clone()],
            finish_reason: self.finish_reason,
            extra: Extra::new(),
        });
        self.store_later(id, ItemKind::AssistantMessage, false, &item, created_at);
        self.announce_later(&ThreadStreamEvent::ItemUpdated {
            item_id: id,
            update: ItemUpdate::ContentPartDone { content_index: 0, content },
        });
        self.announce_later(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
        self.message_id = Some(id);
    }

    /// Adds an item that is complete.
    pub(super) fn store_later(
        &mut self,
        id: ItemId,
        kind: ItemKind,
        is_hidden: bool,
        body: &impl Serialize,
        created_at: UtcTime,
    ) {
        self.items.extend(new_item(id, kind, is_hidden || self.replaces_answer, body, created_at));
    }

    /// Adds an event to emit when the items are stored.
    pub(super) fn announce_later(&mut self, event: &ThreadStreamEvent) {
        match Event::new(event) {
            Ok(event) => self.announcements.push(event),
            Err(error) => tracing::error!(%error, "event cannot be serialised"),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(log: Arc<RunLog>) -> Self {
        let thread_id = ThreadId::random();
        Self::new(log, Arc::new(Clock::for_tests()), Supervisor::default(), thread_id, false)
    }
}

/// Returns what the user reads when an answer ended like this; `None` if the answer is complete.
fn incomplete_notice(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Stop => None,
        FinishReason::Length => Some("This answer is incomplete: it reached the length limit."),
        FinishReason::ContentFilter => Some("This answer is incomplete: a content filter stopped it."),
        FinishReason::TurnLimit => Some("There is no final answer: the assistant reached the limit of tool calls."),
        FinishReason::Refusal => Some("The language model refused to answer."),
    }
}

/// An item to store; `None`, with a line in the log, if it cannot be serialised.
pub(crate) fn new_item(
    id: ItemId,
    kind: ItemKind,
    hidden: bool,
    body: &impl Serialize,
    created_at: UtcTime,
) -> Option<NewItem> {
    match serde_json::to_string(body) {
        Ok(body) => Some(NewItem { id, kind, hidden, body, created_at }),
        Err(error) => {
            tracing::error!(%error, kind = kind.name(), "item cannot be serialised");
            None
        }
    }
}

/// A note for the model that the user does not see.
pub(crate) fn hidden_note(clock: &Clock, thread_id: ThreadId, note: &str) -> Option<NewItem> {
    let (id, created_at) = (clock.new_id::<ItemId>(), clock.now());
    let item = ThreadItem::SdkHiddenContext(SdkHiddenContext {
        id,
        thread_id,
        created_at: created_at.utc(),
        content: note.to_owned(),
        extra: Extra::new(),
    });
    new_item(id, ItemKind::HiddenContext, true, &item, created_at)
}
