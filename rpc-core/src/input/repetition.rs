//! Finds the run of a request that its client repeats because the stream broke.

use super::InputRequest;
use super::answer_run::AnswerRuns;
use crate::error::Error;
use crate::model::ToolCall;
use crate::store::rows::{ItemRow, RunRow};
use serde_json::Value;
use threadline_engine::wire::ToolCallBody;
use threadline_engine::{Engine, StartedRun};
use threadline_schema::chatkit::{Attachment, ImageAttachment, ThreadItem, UserMessage, UserMessageInput};
use threadline_schema::ids::{ItemId, RunId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_schema::threads::EventCursor;
use threadline_tools::is_action_call;

/// What must be the same in both requests.
pub(super) enum Repeated<'a> {
    /// A message, in this thread or a new one.
    Message(Option<ThreadId>, &'a UserMessageInput),
    /// A message of this thread is answered again.
    Retry(ThreadId, ItemId),
    /// An action, which asks for this call.
    Action(ThreadId, &'a ToolCall),
}

impl InputRequest {
    /// Returns the run that the same request of the same user has started before, if its client is reading it. `None`
    /// for any other request: it starts a run of its own. An idempotency key decides alone if there is one.
    pub(super) async fn find_run(&self, engine: &Engine, repeated: Repeated<'_>) -> Result<Option<StartedRun>, Error> {
        let Some(run_id) = self.read_run() else { return Ok(None) };
        let is_same = |run: &RunRow, items: &[ItemRow]| match repeated {
            Repeated::Message(thread_id, input) => {
                thread_id.is_none_or(|thread_id| run.thread_id == thread_id)
                    // A run that answers a message again was not started by it.
                    && run.retry_of.is_none()
                    && items.iter().any(|item| is_of(item, input))
            }
            Repeated::Retry(thread_id, item_id) => run.thread_id == thread_id && run.retry_of == Some(item_id),
            Repeated::Action(thread_id, call) => {
                run.thread_id == thread_id && action_of(items).is_some_and(|made| is_same_call(&made, call))
            }
        };
        Ok(engine.find_started(self.user_id, run_id, is_same).await?)
    }

    /// Does what [`find_run`](Self::find_run) does, for an answer to an item of this kind. `is_answer` says whether the
    /// item has this answer.
    pub(super) async fn find_run_of_answer(
        &self,
        runs: &AnswerRuns,
        thread_id: ThreadId,
        kind: ItemKind,
        is_answer: impl FnOnce(&ItemRow) -> bool + Send,
    ) -> Result<Option<StartedRun>, Error> {
        let Some(run_id) = self.read_run() else { return Ok(None) };
        let can_be = |run: &RunRow, items: &[ItemRow]| {
            run.thread_id == thread_id
                && run.retry_of.is_none()
                && !items.iter().any(|item| item.kind == ItemKind::UserMessage)
                && action_of(items).is_none()
        };
        let Some(started) = runs.engine.find_started(self.user_id, run_id, can_be).await? else { return Ok(None) };
        let Some(run) = &started.run else { return Ok(None) };
        // What it continues with was the newest of its kind.
        let answered = runs.store.item_before(thread_id, kind, run.position).await?;
        Ok(answered.is_some_and(|item| is_answer(&item)).then_some(started))
    }

    /// Returns the run that the client is reading, unless an idempotency key decides.
    fn read_run(&self) -> Option<RunId> {
        let cursor = self.last_event_id.as_deref().filter(|_| self.key.is_none());
        // Whether the run has such an event is checked when it is subscribed to, as for any subscriber.
        cursor.and_then(EventCursor::run_of)
    }
}

/// Returns the call of a run that was started by an action.
fn action_of(items: &[ItemRow]) -> Option<ToolCallBody> {
    let first = items.iter().find(|item| item.kind == ItemKind::ToolCall)?;
    let call: ToolCallBody = serde_json::from_str(&first.body).ok()?;
    is_action_call(&call.id).then_some(call)
}

fn is_same_call(made: &ToolCallBody, call: &ToolCall) -> bool {
    let arguments = |text: &str| serde_json::from_str::<Value>(text).ok();
    made.name == call.name && arguments(&made.arguments) == arguments(&call.arguments)
}

/// Whether this item is the message of a request.
fn is_of(item: &ItemRow, input: &UserMessageInput) -> bool {
    let Ok(ThreadItem::UserMessage(message)) = serde_json::from_str(&item.body) else { return false };
    let UserMessage { content, attachments, quoted_text, inference_options, .. } = message;
    let attached = attachments.iter().map(|attachment| match attachment {
        Attachment::File(file) | Attachment::Image(ImageAttachment { file, .. }) => file.id,
    });
    fn quote(text: Option<&String>) -> Option<&String> {
        text.filter(|text| !text.trim().is_empty())
    }
    content == input.content
        && inference_options == input.inference_options
        && quote(quoted_text.as_ref()) == quote(input.quoted_text.as_ref())
        && attached.map(Some).eq(input.attachments.iter().map(|id| id.parse().ok()))
}
