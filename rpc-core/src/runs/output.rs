//! What a run has said and done so far: it goes out as events, and is kept as items.

mod account;
mod calls;
mod citing;
mod pending;
mod showing;
mod storing;
mod thinking;
mod workflow;

use super::log::RunLog;
use crate::config::ModelPrices;
use crate::store::Bill;
use crate::store::rows::NewItem;
use crate::tools::WidgetView;
use crate::wire;
pub(super) use account::Account;
use calls::{Calls, Place};
use chrono::{DateTime, Utc};
use citing::Citations;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use storing::Storing;
use thinking::Thinking;
use threadline_schema::chatkit::{
    AssistantContent, AssistantMessage, Extra, ItemUpdate, NoticeLevel, SdkHiddenContext, ThreadItem,
    ThreadStreamEvent, WorkflowItem,
};
use threadline_schema::db::types::UtcTime;
use threadline_schema::event::text_delta;
use threadline_schema::ids::ItemId;
use threadline_schema::runs::Usage;
use uuid::Uuid;
pub(super) use workflow::{is_open, mark_unknown, task, workflow};

/// What the model reads when it is asked again after a cancelled answer.
pub(super) const CANCEL_NOTE: &str = "The user cancelled this answer. Do not continue it.";

/// What a person is told when a half message was taken back.
const TAKEN_BACK: &str = "The language model broke off. Another one answers from the beginning.";

/// The output of one run.
///
/// Text goes out as it comes. What makes a message whole is held back until the message has been stored: its
/// `ItemDone` means that it is kept.
pub(crate) struct Output {
    log: Arc<RunLog>,
    thread_id: Uuid,
    /// Whether this is to take the place of an answer that is there: until it does, its items are stored hidden.
    replaces: bool,
    /// Items that were begun, of an answer that may have to be taken back.
    begun: Vec<Uuid>,
    /// The message that is being written.
    message: Option<OpenMessage>,
    /// What its words are based on.
    citations: Citations,
    /// What the model is thinking.
    thinking: Option<Thinking>,
    /// The workflow that tools are being added to.
    workflow: Option<WorkflowItem>,
    /// What results of tools are shown as once the workflow has ended, by the places of their calls.
    shown: BTreeMap<Place, WidgetView>,
    /// The calls that the model asked for last.
    calls: Calls,
    /// Items that are whole but not stored yet, each with the events that say so.
    finished: Vec<NewItem>,
    announcements: Vec<String>,
    /// Items that are being stored.
    storing: Option<Storing>,
    /// Whether some of `finished` may be stored already.
    unsure: bool,
    /// The last message, once it is whole.
    pub(crate) message_id: Option<Uuid>,
    /// What the model's server says it used so far.
    pub(crate) usage: Usage,
    account: Account,
    /// Whether anything was said or done.
    pub(crate) has_begun: bool,
    /// Whether a tool was called.
    pub(crate) has_called: bool,
}

struct OpenMessage {
    id: Uuid,
    created_at: DateTime<Utc>,
    text: String,
    /// Whether anything had been said or done before it.
    has_begun_before: bool,
}

impl Output {
    pub(crate) fn new(log: Arc<RunLog>, thread_id: Uuid) -> Self {
        Self {
            log,
            thread_id,
            replaces: false,
            begun: Vec::new(),
            message: None,
            citations: Citations::default(),
            thinking: None,
            workflow: None,
            shown: BTreeMap::new(),
            calls: Calls::default(),
            finished: Vec::new(),
            announcements: Vec::new(),
            storing: None,
            unsure: false,
            message_id: None,
            usage: Usage::default(),
            account: Account::default(),
            has_begun: false,
            has_called: false,
        }
    }

    /// Whether the answer is to take the place of another.
    pub(crate) fn replacing(mut self, replaces: bool) -> Self {
        self.replaces = replaces;
        self
    }

    /// A model is asked, with so many bytes to read.
    pub(crate) fn asks(&mut self, bytes: usize, prices: Option<ModelPrices>) {
        self.account.asks(bytes, prices);
        self.forget_citations();
    }

    /// The model's server says what the call used.
    pub(crate) fn used(&mut self, usage: Usage) {
        self.account.reported(usage);
        self.usage += usage;
    }

    /// Something was used beside the run's own calls, and is charged with them.
    pub(crate) fn include(&mut self, usage: Usage, bill: Bill) {
        self.account.include(bill);
        self.usage += usage;
    }

    /// What the run's user is charged.
    pub(crate) fn bill(&self) -> Bill {
        self.account.bill()
    }

    /// More words of the assistant.
    pub(crate) fn text(&mut self, delta: &str) {
        self.account.wrote(delta.len());
        if self.message.is_none() {
            self.close_thinking();
            self.close_workflow();
            self.open_message();
        }
        let Some(message) = &mut self.message else { return };
        message.text.push_str(delta);
        match text_delta::write(message.id, 0, delta) {
            Ok(event) => {
                self.log.append(event);
            }
            Err(error) => tracing::error!(%error, "a delta could not be written"),
        }
        self.show_citations(false);
    }

    /// Takes back the message that is being written: another model answers anew, and its words would not go on from
    /// these.
    pub(crate) fn take_back_message(&mut self) {
        // Thoughts stay: they are no answer, and each model has its own.
        self.close_thinking();
        let Some(message) = self.message.take() else { return };
        self.has_begun = message.has_begun_before;
        self.begun.retain(|id| *id != message.id);
        self.emit(&ThreadStreamEvent::ItemRemoved { item_id: message.id });
        self.emit(&ThreadStreamEvent::Notice { level: NoticeLevel::Info, message: TAKEN_BACK.to_owned(), title: None });
    }

    /// Words of the message that is being written; empty when there is none.
    pub(crate) fn open_text(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.text)
    }

    /// Keeps a note for the model.
    pub(crate) fn keep_note(&mut self, note: &str) {
        self.finished.extend(hidden_note(self.thread_id, note));
    }

    /// Ends what is being written, as far as it got, and the calls that are in flight: whether those took effect nobody
    /// will know.
    pub(crate) fn close(&mut self) {
        self.close_thinking();
        self.close_message();
        self.close_workflow();
        self.show_widgets();
        self.calls.give_up();
    }

    /// Says which items this answer takes the place of, once it is stored.
    pub(crate) fn replace(&mut self, old: impl IntoIterator<Item = ItemId>) {
        self.close_message();
        for id in old {
            self.announce_later(&ThreadStreamEvent::ItemRemoved { item_id: id.0 });
        }
    }

    /// Takes everything back that was said and is not to replace anything after all. Calls of tools stay.
    pub(crate) fn withdraw(&mut self) {
        self.finished.retain(|item| item.kind == wire::TOOL_CALL);
        self.announcements.clear();
        self.message_id = None;
        for item_id in std::mem::take(&mut self.begun) {
            self.announce_later(&ThreadStreamEvent::ItemRemoved { item_id });
        }
    }

    /// Appends an event.
    pub(crate) fn emit(&self, event: &impl Serialize) {
        match serde_json::to_string(event) {
            Ok(event) => {
                self.log.append(event);
            }
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }

    fn begin_item(&mut self, id: Uuid, item: ThreadItem) {
        if self.replaces {
            self.begun.push(id);
        }
        self.emit(&ThreadStreamEvent::ItemAdded { item: Box::new(item) });
    }

    fn open_message(&mut self) {
        let has_begun_before = std::mem::replace(&mut self.has_begun, true);
        let message = OpenMessage { id: Uuid::now_v7(), created_at: now(), text: String::new(), has_begun_before };
        let item = AssistantMessage {
            id: message.id,
            thread_id: self.thread_id,
            created_at: message.created_at,
            content: Vec::new(),
            extra: Extra::new(),
        };
        self.begin_item(message.id, ThreadItem::AssistantMessage(item));
        self.emit(&ThreadStreamEvent::ItemUpdated {
            item_id: message.id,
            update: ItemUpdate::ContentPartAdded { content_index: 0, content: AssistantContent::new("") },
        });
        self.message = Some(message);
    }

    /// Ends the message that is being written.
    pub(crate) fn close_message(&mut self) {
        self.show_citations(true);
        let Some(OpenMessage { id, created_at, text, .. }) = self.message.take() else { return };
        let content = AssistantContent::Text { text, annotations: self.take_citations(), extra: Extra::new() };
        let item = ThreadItem::AssistantMessage(AssistantMessage {
            id,
            thread_id: self.thread_id,
            created_at,
            content: vec![content.clone()],
            extra: Extra::new(),
        });
        self.keep(id, wire::ASSISTANT_MESSAGE, false, &item, created_at);
        self.announce_later(&ThreadStreamEvent::ItemUpdated {
            item_id: id,
            update: ItemUpdate::ContentPartDone { content_index: 0, content },
        });
        self.announce_later(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
        self.message_id = Some(id);
    }

    fn keep(&mut self, id: Uuid, kind: &'static str, hidden: bool, body: &impl Serialize, created_at: DateTime<Utc>) {
        self.finished.extend(new_item(id, kind, hidden || self.replaces, body, created_at));
    }

    fn announce_later(&mut self, event: &ThreadStreamEvent) {
        match serde_json::to_string(event) {
            Ok(event) => self.announcements.push(event),
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// An item to store; `None`, with a line in the log, if it cannot be written.
pub(super) fn new_item(
    id: Uuid,
    kind: &'static str,
    hidden: bool,
    body: &impl Serialize,
    created_at: DateTime<Utc>,
) -> Option<NewItem> {
    match serde_json::to_string(body) {
        Ok(body) => Some(NewItem { id: id.into(), kind: kind.to_owned(), hidden, body, created_at: created_at.into() }),
        Err(error) => {
            tracing::error!(%error, kind, "an item could not be written");
            None
        }
    }
}

/// To the microsecond, as it will be stored: an item looks the same in its event and in the history.
pub(super) fn now() -> DateTime<Utc> {
    UtcTime::now().utc()
}

/// A note for the model.
pub(super) fn hidden_note(thread_id: Uuid, note: &str) -> Option<NewItem> {
    let (id, created_at) = (Uuid::now_v7(), now());
    let item = ThreadItem::SdkHiddenContext(SdkHiddenContext {
        id,
        thread_id,
        created_at,
        content: note.to_owned(),
        extra: Extra::new(),
    });
    new_item(id, wire::HIDDEN_CONTEXT, true, &item, created_at)
}
